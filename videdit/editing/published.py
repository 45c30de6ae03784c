"""Editors as their authors publish them, made files of this project's own.

A file is known by its keys and shapes:

- *The latent transformer's paper* (Yao et al. 2021): one map per attribute, ``dense.N.weight`` and
  ``dense.N.bias`` for each row of a code, with an equalised learning rate (what is stored is
  divided by the root of the width when it is used); the latent classifier, ``fcs.N``.
- *InterFaceGAN* (Shen et al. 2020): boundaries, (1, width) for all rows or (rows, width), one to a
  file or several by name.
- *GANSpace* (Härkönen et al. 2020): ``act_comp``, ``act_stdev``, ``lat_comp``, ``lat_stdev``; or
  ``comp`` and ``std``, as e4e has them.
- *StyleCLIP* (Patashnik et al. 2021): ``fs3.npy``, a row in CLIP's space per style channel;
  ``S_mean_std``, means and deviations of the channels by layer; texts' differences, (d,).

Numbers are kept in single precision: an edit is to the last digits what its authors' code makes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundles.latent import LatentSpace
from ..bundles.published_arrays import read_arrays
from ..errors import UsageError, WeightsError
from .attributes import NAMES, canonical
from .files import read_description
from .linear import Components, Normals, load_normals
from .styleclip import GlobalDirections, load_global_directions
from .transformer import EDITED_ROWS, LatentTransformers, WholeMap, load_transformers

Arrays = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float32]

_ANOTHER = "It was made for another generator; see `videdit weights import --help`."
_AGAIN = "Fetch it again, or ask whoever published it."


@dataclass(frozen=True)
class Kind:
    """One of the layouts.

    Attributes:
        name: what it is called.
        role: what it is of a bundle.
        licence: as far as it is known.
        source: of whom.
    """

    name: str
    role: str
    licence: str
    source: str


_PAPER = "A Latent Transformer for Disentangled Face Editing (Yao et al. 2021)"
MAP = Kind("latent transformer", "editor-transformer", "its authors', for evaluation only", _PAPER)
CLASSIFIER = Kind("latent classifier", "classifier", "its authors', for evaluation only", _PAPER)
_SILENT = "; of the numbers its authors say nothing"
BOUNDARY = Kind(
    "InterFaceGAN boundary",
    "editor-interfacegan",
    f"code MIT{_SILENT}",
    "InterFaceGAN (Shen et al. 2020)",
)
COMPONENTS = Kind(
    "GANSpace components",
    "editor-ganspace",
    f"code Apache-2.0{_SILENT}",
    "GANSpace (Härkönen et al. 2020)",
)
RELEVANCE = Kind(
    "StyleCLIP relevance of style channels",
    "editor-styleclip",
    f"code MIT{_SILENT}",
    "StyleCLIP (Patashnik et al. 2021)",
)
DEVIATIONS = replace(RELEVANCE, name="StyleCLIP deviations of style channels")
TEXT = replace(RELEVANCE, name="text difference in CLIP's space")


@dataclass(frozen=True)
class EditorFile:
    """A file of an editor, recognised and checked by itself; not yet against a bundle.

    Attributes:
        path: the file.
        kind: what it is.
        arrays: its arrays by name, single precision; of a map, of its edited rows.
        rows: of the codes it was made for; None for any number.
        width: of these codes' rows, or of CLIP's space.
    """

    path: Path
    kind: Kind
    arrays: Mapping[str, Floats]
    rows: int | None
    width: int

    def __str__(self) -> str:
        """In words: "latent transformer Smiling, 18 rows of 512"."""
        if self.kind in (CLASSIFIER, COMPONENTS, RELEVANCE, DEVIATIONS):
            names = ""
        elif self.kind is MAP:
            names = " " + next(iter(self.arrays)).rpartition(".")[0]
        else:
            names = " " + ", ".join(self.arrays)
        rows = "" if self.rows is None else f", {self.rows} rows of {self.width}"
        return f"{self.kind.name}{names}{rows}"


@dataclass(frozen=True)
class Converted:
    """A file of this project's own, for a bundle.

    Attributes:
        path: of the file; it is the part's name too.
        role: that it takes.
        architecture: what the role's file is the weights of.
        licence, provenance: for the manifest.
        needs: other roles that it works with.
    """

    path: Path
    role: str
    architecture: str
    licence: str
    provenance: str
    needs: tuple[str, ...] = ()


def read_editor(path: Path, called: str = "") -> EditorFile | None:
    """An editor's file; None where it is none of the layouts that are known here.

    Args:
        path: the file; nothing of it is run.
        called: the attribute's name, or CelebA's number of it; the file's name says it otherwise.

    Raises:
        InputError: it cannot be read.
        WeightsError: it is damaged, or does not keep to its layout: the first key that is missing,
            unknown or of another shape is named.
    """
    return recognise(path, read_arrays(path), called)


def recognise(path: Path, arrays: Mapping[str, Any], called: str = "") -> EditorFile | None:
    """See `read_editor`; of a file that has been read.

    Args:
        path: the file, for its name.
        arrays: NumPy's or PyTorch's, by name.
        called: see `read_editor`.
    """
    found = {name: np.asarray(value) for name, value in arrays.items()}
    for mark, read in (("fcs", _classifier), ("dense", _map)):
        head = re.compile(rf"(.*\.)?{mark}\.\d+\.(weight|bias)")
        prefix = next((m[1] or "" for m in map(head.fullmatch, found) if m), None)
        if prefix is not None:
            own = {name.removeprefix(prefix): value for name, value in found.items()}
            return read(path, own, called)
    if {"act_comp", "lat_comp"} & set(found) or {"comp", "std"} <= set(found):
        return _components(path, found)
    if {"0.0", "1.0"} <= set(found) and all(re.fullmatch(r"[01]\.\d+", name) for name in found):
        return _deviations(path, found)
    if set(found) == {""}:
        (only,) = found.values()
        if only.ndim == 1:
            name = attribute_of(path, called)
            return EditorFile(path, TEXT, _floats(path, {name: only}), None, len(only))
        if only.ndim == 2 and len(only) > _MOST_ROWS:
            return EditorFile(path, RELEVANCE, _floats(path, {"": only}), None, only.shape[1])
    return _boundaries(path, found, called)


def attribute_of(path: Path, called: str = "", *, numbered: bool = False) -> str:
    """The attribute that a file is about: CelebA's name where it is one of CelebA's.

    Args:
        path: the file: ``Smiling.pt``, ``boundary_Smiling.npy``, ``stylegan_ffhq_smile_w_boundary
            .npy``.
        called: its name, or CelebA's number of it, where that is known otherwise.
        numbered: whether such a number, from 0, may end the file's name: ``net_31.pth.tar``.

    Raises:
        UsageError: CelebA has no attribute of that number.
    """
    stem = called or path.name.split(".")[0]
    if stem.isdigit() and called:
        return _numbered(int(stem), path)
    if not called:
        known = re.fullmatch(r"(?:style|pg)gan\d?_[a-z]+?_(\w+?)(?:_w)?_boundary", stem)
        stem = known[1] if known else re.sub(r"(?i)^boundary_|_boundary$|_direction$", "", stem)
    name = _WORDS.get(stem.lower(), canonical(stem))
    number = re.search(r"(?:^|[^\d])(\d{1,2})$", stem)
    if numbered and name not in NAMES and number and not called:
        return _numbered(int(number[1]), path)
    return name


_WORDS = {"smile": "Smiling", "gender": "Male"}
"""What boundaries of CelebA's attributes are called."""

_MOST_ROWS = 18


def _numbered(number: int, path: Path) -> str:
    if number >= len(NAMES):
        raise UsageError(
            f"{path.name}: CelebA has no attribute {number}",
            f"They go from 0 ({NAMES[0]}) to {len(NAMES) - 1} ({NAMES[-1]}).",
        )
    return NAMES[number]


# --- layouts -------------------------------------------------------------------------------------


def _wrong(path: Path, what: str) -> WeightsError:
    return WeightsError(f"{path.name}: {what}", _AGAIN)


def _floats(path: Path, arrays: Arrays) -> dict[str, Floats]:
    """In single precision, and finite."""
    found = {}
    for name, value in arrays.items():
        with np.errstate(over="ignore"):
            found[name] = np.ascontiguousarray(value, np.float32)
        if not np.isfinite(found[name]).all():
            raise _wrong(path, f"{name or 'it'} holds numbers that are not finite")
    return found


def _checked(path: Path, arrays: Arrays, wanted: Mapping[str, tuple[int, ...]], what: str) -> None:
    """Names and shapes of a layout; the first key that does not keep to it is named."""
    for name, shape in wanted.items():
        if name not in arrays:
            raise _wrong(path, f"{name} is missing")
        if arrays[name].shape != shape:
            raise _wrong(path, f"{name} is {arrays[name].shape}, not {shape}")
    unknown = next((name for name in arrays if name not in wanted), None)
    if unknown is not None:
        raise _wrong(path, f"{unknown} is no part of {what}")


def _first(path: Path, arrays: Arrays, name: str, ndim: int) -> tuple[int, ...]:
    if name not in arrays:
        raise _wrong(path, f"{name} is missing")
    if arrays[name].ndim != ndim:
        raise _wrong(path, f"{name} is {arrays[name].shape}, of {ndim} dimensions it should be")
    return arrays[name].shape


def _map(path: Path, arrays: Arrays, called: str) -> EditorFile:
    _, width = _first(path, arrays, "dense.0.weight", 2)
    numbers = {int(n.split(".")[1]) for n in arrays if re.fullmatch(r"dense\.\d+\.\w+", n)}
    rows = max(numbers) + 1
    wanted: dict[str, tuple[int, ...]] = {}
    for row in range(rows):
        wanted |= {f"dense.{row}.weight": (width, width), f"dense.{row}.bias": (width,)}
    _checked(path, arrays, wanted, "a latent transformer")
    name = attribute_of(path, called, numbered=True)
    edited = range(min(rows, EDITED_ROWS))
    # The equalised learning rate's scale; matrices are multiplied from the left here.
    matrix = np.stack([arrays[f"dense.{row}.weight"].T for row in edited]) / math.sqrt(width)
    bias = np.stack([arrays[f"dense.{row}.bias"] for row in edited])
    found = _floats(path, {f"{name}.matrix": matrix, f"{name}.bias": bias})
    return EditorFile(path, MAP, found, rows, width)


def _classifier(path: Path, arrays: Arrays, called: str) -> EditorFile:
    numbers = sorted({int(n.split(".")[1]) for n in arrays if re.fullmatch(r"fcs\.\d+\.\w+", n)})
    wanted: dict[str, tuple[int, ...]] = {}
    before = None
    for number in numbers:
        out, ins = _first(path, arrays, f"fcs.{number}.weight", 2)
        wanted[f"fcs.{number}.weight"] = (out, ins if before is None else before)
        wanted[f"fcs.{number}.bias"] = (out,)
        before = out
    _checked(path, arrays, wanted, "a latent classifier")
    ins = arrays[f"fcs.{numbers[0]}.weight"].shape[1]
    if before != len(NAMES):
        raise _wrong(path, f"fcs.{numbers[-1]}.bias is ({before},), not ({len(NAMES)},)")
    layers = {
        f"layers.{place}.{part}": arrays[f"fcs.{number}.{part}"]
        for place, number in enumerate(numbers)
        for part in ("weight", "bias")
    }
    return EditorFile(path, CLASSIFIER, _floats(path, layers), None, ins)


def _components(path: Path, arrays: Arrays) -> EditorFile:
    axes, scale = ("comp", "std") if "comp" in arrays else ("lat_comp", "lat_stdev")
    # GANSpace has no deviations of noise, and says 1.
    noise = scale == "lat_stdev" and scale in arrays and bool((arrays[scale] == 1).all())
    if noise and _flat_width(arrays.get("act_comp")):
        # Latents are noise, but what was decomposed is W.
        axes, scale, noise = "act_comp", "act_stdev", False
    if noise:
        raise WeightsError(
            f"{path.name}: {axes} are directions of noise, not of W",
            "Give components that were found with GANSpace's `--use_w`.",
        )
    for name in (axes, scale):
        if name not in arrays:
            raise _wrong(path, f"{name} is missing")
    width = _flat_width(arrays[axes])
    if not width:
        raise _wrong(path, f"{axes} is {arrays[axes].shape}, not (components, 1, width)")
    found = _floats(
        path, {"axes": arrays[axes].reshape(-1, width), "scale": arrays[scale].reshape(-1)}
    )
    count = len(found["axes"])
    if found["scale"].shape != (count,):
        raise _wrong(path, f"{scale} is {arrays[scale].shape}, not ({count},)")
    lengths = np.linalg.norm(found["axes"], axis=1)
    if not np.allclose(lengths, 1, atol=1e-3):
        raise _wrong(path, f"{axes} holds directions that have no unit length")
    return EditorFile(path, COMPONENTS, found, None, width)


def _flat_width(axes: NDArray[Any] | None) -> int:
    """The width of (components, 1, ..., width); 0 where they are something else."""
    if axes is None or axes.ndim < 2 or math.prod(axes.shape[1:-1]) != 1:
        return 0
    return int(axes.shape[-1])


def _deviations(path: Path, arrays: Arrays) -> EditorFile:
    layers = [name for name in arrays if name.startswith("1.")]
    if layers != [f"1.{k}" for k in range(len(layers))]:
        raise _wrong(path, f"1.{len(layers) - 1} is missing")
    flat = {name: arrays[name].reshape(-1) for name in layers}
    return EditorFile(path, DEVIATIONS, _floats(path, flat), None, 0)


def _boundaries(path: Path, arrays: Arrays, called: str) -> EditorFile | None:
    """One to a file, or several by name; None where it is something else."""
    flat = {name: _rows_of(value) for name, value in arrays.items()}
    shapes = {value.shape for value in flat.values()}
    rows, widths = {len(value) for value in flat.values()} - {1}, {s[-1] for s in shapes}
    if len(widths) != 1 or len(rows) > 1 or not all(len(s) == 2 for s in shapes):
        return None
    if max(rows, default=1) > _MOST_ROWS or any("." in name for name in arrays):
        return None
    if _OF_NOISE.search(path.stem) or path.parent.name.endswith("_z"):
        raise WeightsError(
            f"{path.name} is a boundary of noise, not of W",
            "Give the one of W (`..._w_boundary.npy`).",
        )
    if set(flat) == {""} or (called and len(flat) == 1):
        named = {attribute_of(path, called): next(iter(flat.values()))}
    else:
        named = {_WORDS.get(name.lower(), canonical(name)): value for name, value in flat.items()}
    found = _floats(path, named)
    zero = next((name for name, value in found.items() if not value.any()), None)
    if zero is not None:
        raise _wrong(path, f"{zero} is nothing but zeros")
    return EditorFile(path, BOUNDARY, found, max(rows, default=None), widths.pop())


_OF_NOISE = re.compile(r"^(style|pg)gan\w*(?<!_w)_boundary$")


def _rows_of(value: NDArray[Any]) -> NDArray[Any]:
    """(rows, width) of what may have an axis too many or too few."""
    if value.ndim == 1:
        return value[None]
    return value[0] if value.ndim == 3 and len(value) == 1 else value


# --- into a bundle -------------------------------------------------------------------------------


def convert(
    files: Sequence[EditorFile],
    space: LatentSpace,
    folder: Path,
    before: Mapping[str, Path] | None = None,
) -> list[Converted]:
    """Make files of this project's own, one per role, that a bundle's editors are read from.

    Args:
        files: that were recognised. Of several of one attribute the last one counts.
        space: of the bundle that they are for.
        folder: takes the files.
        before: by role, the file that the bundle has; what was in it stays, unless it is given
            again.

    Raises:
        WeightsError: one was made for another latent space, or they are not all that an editor
            needs.
        StorageError: the folder cannot be written to.
    """
    for file in files:
        _check_space(file, space)
    kinds = {file.kind.role: file.kind for file in files}
    made = []
    for role, kind in kinds.items():
        own = [file for file in files if file.kind.role == role]
        old = (before or {}).get(role)
        architecture, name, write = _WRITERS[role]
        path = folder / name
        write(own, space, path, old)
        sources = read_description(path)["notes"]["from"]
        made.append(
            Converted(
                path,
                role,
                architecture,
                kind.licence,
                f"{kind.source}; from {', '.join(sources)}.",
                ("generator",) if role == RELEVANCE.role else (),
            )
        )
    return made


def _check_space(file: EditorFile, space: LatentSpace) -> None:
    if file.kind in (MAP, BOUNDARY, COMPONENTS) and file.width != space.width:
        raise WeightsError(
            f"{file.path.name}: {file.kind.name} of codes {file.width} wide, the bundle's are"
            f" {space.width}",
            _ANOTHER,
        )
    if file.rows not in (None, space.rows):
        raise WeightsError(
            f"{file.path.name}: {file.kind.name} of {file.rows} rows, the bundle's codes have"
            f" {space.rows}",
            _ANOTHER,
        )
    if file.kind is CLASSIFIER and file.width != space.rows * space.width:
        raise WeightsError(
            f"{file.path.name}: a latent classifier of {file.width} numbers, the bundle's codes"
            f" have {space.rows} rows of {space.width}",
            _ANOTHER,
        )


def _notes(files: Sequence[EditorFile], old: Path | None) -> dict[str, object]:
    """Which files it was made of."""
    before = read_description(old)["notes"].get("from", []) if old else []
    return {"from": list(dict.fromkeys([*before, *(file.path.name for file in files)]))}


def _write_maps(
    files: Sequence[EditorFile], space: LatentSpace, path: Path, old: Path | None
) -> None:
    known = load_transformers(old, shape=space.shape) if old else None
    maps = dict(known.maps) if known else {}
    for file in files:
        name = next(iter(file.arrays)).rpartition(".")[0]
        maps[name] = WholeMap(file.arrays[f"{name}.matrix"], file.arrays[f"{name}.bias"])
    mean = known.mean if known else np.zeros(space.width, np.float32)
    less = {n: one for n, one in known.less.items() if n in maps} if known else {}
    whole = {name for name, one in maps.items() if isinstance(one, WholeMap)}
    less = {name: one for name, one in less.items() if name not in whole}
    LatentTransformers(mean, maps, less).save(path, _notes(files, old))


def _write_classifier(
    files: Sequence[EditorFile], space: LatentSpace, path: Path, old: Path | None
) -> None:
    import torch

    from .classifier import PaperClassifier

    arrays = files[-1].arrays
    weights = [value for name, value in arrays.items() if name.endswith(".weight")]
    widths = [files[-1].width, *(len(weight) for weight in weights)]
    network = PaperClassifier(NAMES, space.rows, widths)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    network.save(path, _notes(files, None))


def _write_boundaries(
    files: Sequence[EditorFile], space: LatentSpace, path: Path, old: Path | None
) -> None:
    known = load_normals(old, space.shape) if old else Normals({}, {})
    normals, lengths = dict(known.normals), dict(known.lengths)
    for file in files:
        for name, boundary in file.arrays.items():
            step = np.broadcast_to(boundary, space.shape).astype(np.float64)
            lengths[name] = float(np.linalg.norm(step))
            normals[name] = (step / lengths[name]).astype(np.float32)
    Normals(normals, lengths).save(path, _notes(files, old), np.float32)


def _write_components(
    files: Sequence[EditorFile], space: LatentSpace, path: Path, old: Path | None
) -> None:
    arrays = files[-1].arrays
    Components(arrays["axes"], arrays["scale"], {}).save(path, _notes(files, None))


def _write_directions(
    files: Sequence[EditorFile], space: LatentSpace, path: Path, old: Path | None
) -> None:
    known = load_global_directions(old) if old else None
    if not space.styles:
        raise WeightsError(
            f"{files[0].path.name}: the bundle says nothing of its style channels",
            "Import its generator again.",
        )
    rows, deviations = _last(files, RELEVANCE), _last(files, DEVIATIONS)
    if rows is not None:
        places, table = _places(rows, space), rows.arrays[""]
    elif known is not None:
        places, table = known.places, known.rows
    else:
        raise _lacking(files, "the rows of style channels (fs3.npy)")
    if deviations is not None:
        scale = _scale(deviations, space)
    elif known is not None:
        scale = known.scale
    else:
        raise _lacking(files, "the deviations of style channels (S_mean_std)")
    texts = dict(known.texts) if known else {}
    for file in files:
        if file.kind is TEXT:
            texts |= file.arrays
    wrong = next((name for name, text in texts.items() if text.shape != table.shape[1:]), None)
    if wrong is not None:
        raise WeightsError(
            f"{wrong} is {texts[wrong].shape}, channels have rows of {table.shape[1]}",
            "Make it with the CLIP that the rows were made with (ViT-B/32).",
        )
    GlobalDirections(space.styles, places, table, scale, texts).save(path, _notes(files, old))


def _lacking(files: Sequence[EditorFile], what: str) -> WeightsError:
    return WeightsError(
        f"{files[0].path.name} needs {what}",
        "Give all of StyleCLIP's files at once: fs3.npy, S_mean_std, and a text's difference. (A"
        " direction of W has the shape (1, width).)",
    )


def _last(files: Sequence[EditorFile], kind: Kind) -> EditorFile | None:
    return next((file for file in reversed(files) if file.kind is kind), None)


def _places(rows: EditorFile, space: LatentSpace) -> NDArray[np.int64]:
    """Which style channels, among all, have a row: all, or those of the convolutions, every layer
    but those that make colours (the second, and each third one behind it)."""
    layer = np.repeat(np.arange(len(space.styles)), space.styles)
    count, convolutions = len(rows.arrays[""]), np.flatnonzero(layer % 3 != 1)
    if count == len(layer):
        return np.arange(count)
    if count != len(convolutions):
        raise WeightsError(
            f"{rows.path.name} has rows for {count} style channels, the bundle's generator has"
            f" {len(convolutions)} (with those of colours {len(layer)})",
            _ANOTHER,
        )
    return convolutions


def _scale(deviations: EditorFile, space: LatentSpace) -> Floats:
    found = list(deviations.arrays.items())
    for k, channels in enumerate(space.styles):
        if k >= len(found):
            raise WeightsError(f"{deviations.path.name}: 1.{k} is missing", _ANOTHER)
        name, values = found[k]
        if len(values) != channels:
            raise WeightsError(
                f"{deviations.path.name}: {name} is ({len(values)},), the bundle's layer {k} has"
                f" {channels} channels",
                _ANOTHER,
            )
    if len(found) > len(space.styles):
        raise WeightsError(
            f"{deviations.path.name}: {found[len(space.styles)][0]} is of a layer that the"
            " bundle's generator does not have",
            _ANOTHER,
        )
    return np.concatenate([values for _, values in found])


_Writer = Callable[[Sequence[EditorFile], LatentSpace, Path, "Path | None"], None]

_WRITERS: dict[str, tuple[str, str, _Writer]] = {
    MAP.role: ("latent-transformers", "transformers.safetensors", _write_maps),
    CLASSIFIER.role: ("latent-classifier", "classifier.safetensors", _write_classifier),
    BOUNDARY.role: ("normals", "interfacegan.safetensors", _write_boundaries),
    COMPONENTS.role: ("components", "ganspace.safetensors", _write_components),
    RELEVANCE.role: ("global-directions", "styleclip.safetensors", _write_directions),
}
"""By role: the architecture, the file's name, and what writes it."""
