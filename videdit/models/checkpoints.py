"""What a published checkpoint is, by its keys and shapes, and what it gives to a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..bundles.published import Published, below, read_published
from ..bundles.published_arrays import from_numpy
from ..bundles.tensors import check_layout
from ..editing import published as editors
from ..errors import WeightsError
from ..generators.stylegan2 import Mapping8, Synthesis, from_ada, load_synthesis
from ..inversion.crop_encoder import ARCHITECTURES, encoder_of
from .trained import TrainedFile, trained_file

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..inversion.psp import EncoderShape

_FFHQ = (
    "as its publisher says; what comes from NVIDIA's StyleGAN2: NVIDIA Source Code License, "
    "non-commercial; trained on FFHQ: CC BY-NC-SA 4.0"
)
_CODE = "code MIT; " + _FFHQ
OWN = "Apache-2.0 as far as our rights reach; else as the generator"
_TYPES = {
    "GradualStyleEncoder": "psp-encoder",
    "Encoder4Editing": "e4e-encoder",
    "BackboneEncoder": "restyle-psp-encoder",
    "ResNetBackboneEncoder": "restyle-psp-encoder",
    "ProgressiveBackboneEncoder": "restyle-e4e-encoder",
    "ResNetProgressiveBackboneEncoder": "restyle-e4e-encoder",
}
"""``opts.encoder_type``, and what a manifest calls the architecture."""

_KNOWN = (
    "Known are StyleGAN2 generators (.pt with `g_ema`, StyleGAN2-ADA's .pkl), pSp, e4e and "
    "ReStyle encoders, and editors: latent transformers, InterFaceGAN, GANSpace, StyleCLIP."
)

DEFAULT_NAMES = {"psp-encoder": "psp-ffhq", "e4e-encoder": "e4e-ffhq"}
"""Names of the bundles that encoders go to if no other is said."""


@dataclass(frozen=True)
class FoundGenerator:
    """A StyleGAN2.

    Attributes:
        synthesis: codes to pictures.
        mapping: noise to W, if the checkpoint has it.
        mean: (width,) of W, if the checkpoint has it.
    """

    synthesis: Synthesis
    mapping: Mapping8 | None
    mean: Tensor | None


@dataclass(frozen=True)
class FoundEncoder:
    """An encoder, with the mean of W in it.

    Attributes:
        architecture: of `ARCHITECTURES`.
        network, shape: its own.
    """

    architecture: str
    network: nn.Module
    shape: EncoderShape


@dataclass(frozen=True)
class Checkpoint:
    """What a file is.

    Attributes:
        path: of the file.
        what: in words.
        licence: as far as known.
        generator, encoder, editor: what it gives to a bundle.
        parser: the state of a parser of regions (`faces.region_network`), trained here.
        trained: it is another file of this project's own.
    """

    path: Path
    what: str
    licence: str
    generator: FoundGenerator | None = None
    encoder: FoundEncoder | None = None
    editor: editors.EditorFile | None = None
    parser: Mapping[str, Tensor] | None = None
    trained: TrainedFile | None = None


def recognise(path: Path, called: str = "") -> Checkpoint:
    """What a file is, by its keys and shapes. Nothing of it is run.

    Args:
        path: the file.
        called: the attribute of an editor's file, where that does not say it itself.

    Raises:
        InputError: it cannot be read.
        WeightsError: it is damaged, of no known kind, or not as that kind is published; then the
            first key that is missing, unknown or of another shape is named.
    """
    own = trained_file(path)
    if own is not None:
        return Checkpoint(path, own.what, OWN, trained=own)
    if from_numpy(path):
        found = editors.read_editor(path, called)
        if found is None:
            raise WeightsError(f"{path.name} is no editor that is known here", _KNOWN)
        return _editor(found)
    held = read_published(path)
    try:
        return _recognised(path, held, called)
    except WeightsError as error:
        raise WeightsError(f"{path.name}: {error.message}", error.remedy) from error


def _recognised(path: Path, held: Published, called: str) -> Checkpoint:
    """The one place where kinds are told apart."""
    tensors = held.tensors
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise WeightsError(f"{name} holds numbers that are not finite", "Fetch it again.")
    state = below(tensors, "state_dict.") or tensors
    if any(name.startswith("encoder.") for name in state):
        return _encoder(path, state, held)
    if any(name.startswith("G_ema.") for name in tensors):
        given = below(tensors, "G_ema.")
        mean = given.get("mapping.w_avg")
        return _generator(path, "G_ema", "StyleGAN2-ADA", from_ada(given), mean)
    for prefix in ("g_ema", "decoder"):
        if given := below(state, f"{prefix}."):
            return _generator(path, prefix, "StyleGAN2", given, tensors.get("latent_avg"))
    if "input.input" in tensors:
        given = {name: value for name, value in tensors.items() if name != "latent_avg"}
        return _generator(path, "", "StyleGAN2", given, tensors.get("latent_avg"))
    if {"stem.0.weight", "last.weight"} <= tensors.keys():
        from ..faces.region_network import RegionNetwork

        layout = RegionNetwork().state_dict()
        check_layout(tensors, layout, "a parser of regions", "Train it: videdit train regions.")
        return Checkpoint(path, "parser of regions", OWN, parser=tensors)
    arrays = {name: value.float().numpy() for name, value in tensors.items()}
    found = editors.recognise(path, arrays, called)
    if found is not None:
        return _editor(found)
    first = ", ".join(list(tensors)[:3])
    raise WeightsError(f"it is no checkpoint that is known here (it holds {first}, ...)", _KNOWN)


def _editor(found: editors.EditorFile) -> Checkpoint:
    return Checkpoint(found.path, str(found), found.kind.licence, editor=found)


def _generator(
    path: Path, prefix: str, kind: str, state: Mapping[str, Tensor], mean: Tensor | None
) -> Checkpoint:
    found = _loaded(prefix, state, mean)
    what = f"{kind} generator, {_of(found)}"
    return Checkpoint(path, what, _FFHQ, generator=found)


def _loaded(prefix: str, state: Mapping[str, Tensor], mean: Tensor | None) -> FoundGenerator:
    try:
        synthesis, mapping = load_synthesis(state)
    except WeightsError as error:
        where = f" (in `{prefix}`)" if prefix else ""
        raise WeightsError(error.message + where, error.remedy) from error
    width = synthesis.shape.width
    if mean is not None:
        mean = mean.reshape(-1, mean.shape[-1])[0].float() if mean.ndim else mean
        if mean.shape != (width,):
            raise WeightsError(
                f"latent_avg is {tuple(mean.shape)}, not ({width},)", "Fetch it again."
            )
    return FoundGenerator(synthesis, mapping, mean)


def _of(found: FoundGenerator) -> str:
    shape = found.synthesis.shape
    more = "with its mapping network" if found.mapping else "without a mapping network"
    return f"{shape.size} pixels, {shape.rows} rows of {shape.width}, {more}"


def _encoder(path: Path, state: Mapping[str, Tensor], held: Published) -> Checkpoint:
    for name in state:
        if not name.startswith(("encoder.", "decoder.")) and state is not held.tensors:
            raise WeightsError(f"{name} is no part of an encoder's checkpoint", "Fetch it again.")
    said = str(held.values.get("opts.encoder_type", ""))
    if said not in _TYPES:
        raise WeightsError(
            f"its opts.encoder_type is {said!r}, not {' or '.join(_TYPES)}"
            if said
            else "it does not say whether it is a pSp or an e4e (opts.encoder_type is missing)",
            "Give the checkpoint as it was published.",
        )
    kind, mean = _TYPES[said], held.tensors.get("latent_avg")
    try:
        network, shape = encoder_of(kind, below(state, "encoder."), mean)
    except WeightsError as error:
        raise WeightsError(f"{error.message} (in `encoder`)", error.remedy) from error
    rows = f"{shape.rows} rows of {shape.width}"
    what = f"{ARCHITECTURES[kind]}, {rows}, crops of {shape.side} pixels"
    generator = None
    if decoder := below(state, "decoder."):
        generator = _loaded("decoder", decoder, mean)
        what += f"; StyleGAN2 generator, {_of(generator)}"
    return Checkpoint(path, what, _CODE, generator, FoundEncoder(kind, network, shape))
