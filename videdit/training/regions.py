"""Training the parser of regions on generated faces whose regions are known."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from ..arrays import keep_arrays
from ..device import channels_last
from ..editing.labelled import LabelledFaces
from ..errors import InputError
from ..faces.detection import Landmarker, largest
from ..faces.region_network import RegionNetwork
from ..faces.regions import PARSED, REGIONS, SIDE, draw_regions
from ..files import replaced
from ..generators.network import GeneratorNetwork
from ..generators.wspace import WStatistics
from ..media.pictures import write_picture
from ..models.protocols import Generator
from ..sheet import tile
from .clusters import Clusters, activations, show_face
from .degrade import worsen
from .faces import expand, shard_codes
from .precision import half
from .region_labels import UNKNOWN, label_regions

SHARD = 250
"""Faces in a file."""

_RARE = 0.5  # share of a shard's faces that are picked for what is rare


RARE = (
    *("Eyeglasses", "Wearing_Hat", "Goatee", "Mustache", "Bald", "Bangs", "Gray_Hair"),
    *("Mouth_Slightly_Open", "5_o_Clock_Shadow"),
)
"""Attributes of the faces that half of the samples are."""


def rare_faces(faces: LabelledFaces, each: int, seed: int = 0) -> NDArray[np.float32]:
    """(n, 16, 512) codes of labelled faces, up to ``each`` with every one of ``RARE``, and as many
    others."""
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for name in RARE:
        having = np.flatnonzero(faces.labels[:, faces.names.index(name)])
        chosen += rng.permutation(having)[:each].tolist()
    chosen += rng.permutation(len(faces.codes))[: len(chosen)].tolist()
    return np.asarray(faces.codes[rng.permutation(np.unique(chosen))], np.float32)


@dataclass(frozen=True)
class RegionTraining:
    """Settings of the training.

    Attributes:
        shards: files of generated faces; the last is held out.
        steps: of optimisation.
        batch: faces in each.
        learning_rate: AdamW's; it falls to 0 over the steps.
        foreign: share of faces with something before them: a patch of another picture, which is to
            be seen as background.
        wide: share of faces that are shown from farther, up to 1.7 times: hair is looked for beyond
            the aligned crop.
        seed: of all that is random.
    """

    shards: int = 10
    steps: int = 3000
    batch: int = 16
    learning_rate: float = 2e-3
    foreign: float = 0.15
    wide: float = 0.35
    seed: int = 0


def sample_regions(
    folder: Path,
    shards: int,
    clusters: Clusters,
    names: Sequence[str],
    rare: NDArray[np.float32],
    mapping: Callable[[Tensor], Tensor],
    statistics: WStatistics,
    synthesis: GeneratorNetwork,
    generator: Generator,
    landmarker: Landmarker,
    report: Callable[[str], None] = print,
) -> None:
    """Make the shards that ``folder`` does not hold yet: ``regions-NNNN.npz`` with ``pictures``
    (n, 256, 256, 3) and ``labels`` (n, 128, 128), uint8. Faces that the landmarker does not find
    are left out.

    Raises:
        InputError: none is found.

    Args:
        rare: (m, rows, width) codes of faces with glasses, hats, beards, bald heads: half of all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(shards):
        target = folder / f"regions-{number:04d}.npz"
        if target.exists():
            continue
        rows = rare.shape[1]
        codes = expand(*shard_codes(number, mapping, statistics, rows), rows)
        count = int(SHARD * _RARE)
        picked = (np.arange(count) + number * count) % len(rare)
        # Every second of the random faces: they are half single codes, half mixed ones.
        codes = np.concatenate((codes[:: round(1 / (1 - _RARE))][: SHARD - count], rare[picked]))
        pictures, labels = [], []
        for code in codes:
            picture = show_face(generator, code)
            found = [face for face in landmarker.detect(picture) if face.mesh is not None]
            if not found:
                continue
            mesh = largest(found).mesh
            assert mesh is not None
            pictures.append(picture)
            labels.append(
                label_regions(
                    clusters.of(activations(synthesis, code)), names, picture, mesh / PARSED
                )
            )
        if not pictures:
            raise InputError(
                "no face is found in the generator's pictures",
                "Regions can be learned from a generator of faces alone.",
            )
        keep_arrays(target, pictures=np.stack(pictures), labels=np.stack(labels))
        report(f"{number + 1} of {shards} shards")


class RegionFaces:
    """Sampled faces in memory.

    Raises:
        InputError: fewer than two shards.
    """

    def __init__(self, folder: Path, shards: int) -> None:
        paths = [folder / f"regions-{number:04d}.npz" for number in range(shards)]
        if len(paths) < 2 or not all(path.exists() for path in paths):
            raise InputError(f"{folder} does not hold {shards} shards", "Sample them first.")
        pictures, labels = [], []
        for path in paths:
            with np.load(path, allow_pickle=False) as stored:
                pictures.append(stored["pictures"])
                labels.append(stored["labels"])
        self.train = np.concatenate(pictures[:-1]), np.concatenate(labels[:-1])
        self.held_out = pictures[-1], labels[-1]

    def batch(self, step: int, settings: RegionTraining) -> tuple[Tensor, Tensor]:
        """A step's crops (n, 3, 256, 256), made worse, and labels (n, 128, 128)."""
        pictures, labels = self.train
        rng = np.random.default_rng((settings.seed, step))
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        chosen = rng.integers(len(pictures), size=settings.batch)
        seen, told = pictures[chosen], labels[chosen]
        flipped = rng.random(settings.batch) < 0.5
        seen[flipped], told[flipped] = seen[flipped, :, ::-1], told[flipped, :, ::-1]
        for i in np.flatnonzero(rng.random(settings.batch) < settings.foreign):
            other = pictures[rng.integers(len(pictures))]
            _cover(seen[i], told[i], other, rng)
        farther = np.where(
            rng.random(settings.batch) < settings.wide, rng.uniform(1, 1.7, settings.batch), 1
        )
        moved = [_moved(p, t, f, rng) for p, t, f in zip(seen, told, farther, strict=True)]
        crops = np.stack([picture for picture, _ in moved]).transpose(0, 3, 1, 2)
        tensor = worsen(torch.from_numpy(crops.astype(np.float32) / 255), generator)
        return tensor, torch.from_numpy(np.stack([label for _, label in moved]).astype(np.int64))


def _cover(
    picture: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    other: NDArray[np.uint8],
    rng: np.random.Generator,
) -> None:
    """Lay, in place, a soft blob cut from another picture over this one."""
    points = rng.normal(0, 1, (8, 2))
    points *= rng.uniform(0.04, 0.14) * PARSED / np.linalg.norm(points, axis=1, keepdims=True)
    points *= rng.uniform(0.6, 1.4, (8, 1))
    points += rng.uniform(0.2, 0.9, 2) * PARSED
    mask = np.zeros((PARSED, PARSED), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(points.astype(np.int32)), 1)
    shift = tuple(rng.integers(0, PARSED, 2).tolist())
    picture[mask > 0] = np.roll(other, shift, (0, 1))[mask > 0]
    labels[cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_AREA) > 0] = REGIONS.index(
        "background"
    )


def _moved(
    picture: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    farther: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both turned, scaled and shifted alike: an aligned crop is never aligned exactly. What lies
    around a face that is shown from farther is unknown: its border goes on, and is no label."""
    angle, scale = rng.normal(0, 5), math.exp(rng.normal(0, 0.06)) / farther
    shift = rng.normal(0, 0.03, 2)
    out = []
    for image, method in ((picture, cv2.INTER_LINEAR), (labels, cv2.INTER_NEAREST)):
        size = image.shape[0]
        matrix = cv2.getRotationMatrix2D((size / 2 - 0.5, size / 2 - 0.5), angle, scale)
        matrix[:, 2] += shift * size
        border = cv2.BORDER_REFLECT if farther == 1 else cv2.BORDER_REPLICATE
        if farther > 1 and image is labels:
            border = cv2.BORDER_CONSTANT
        out.append(
            cv2.warpAffine(
                image, matrix, (size, size), flags=method, borderMode=border, borderValue=UNKNOWN
            )
        )
    return np.asarray(out[0], np.uint8), np.asarray(out[1], np.uint8)


def train_regions(
    faces: RegionFaces,
    folder: Path,
    settings: RegionTraining,
    report: Callable[[str], None] = print,
) -> Path:
    """Train the parser; goes on where it stopped. Leaves ``regions.safetensors`` in ``folder`` and
    a sheet of held-out faces; returns the file."""
    torch.manual_seed(settings.seed)
    network = RegionNetwork()
    channels_last(network)
    optimiser = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=1e-2)
    checkpoint, step = folder / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        step = int(state["step"])
    weights = _weights(faces.train[1])
    started, first = time.monotonic(), step
    while step < settings.steps:
        crops, labels = faces.batch(step, settings)
        for group in optimiser.param_groups:
            rate = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
            group["lr"] = settings.learning_rate * rate * min(1, (step + 1) / 100)
        network.train()
        with half("cpu"):
            logits = network(crops.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), labels, weights, ignore_index=UNKNOWN)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        step += 1
        if step % 50 == 0:
            pace = (step - first) / (time.monotonic() - started)
            left = (settings.steps - step) / pace / 60
            report(f"step {step}: loss {float(loss.detach()):.3f} ({left:.0f} min left)")
        if step % 500 == 0 or step == settings.steps:
            with replaced(checkpoint) as temporary:
                torch.save(
                    {
                        "network": network.state_dict(),
                        "optimiser": optimiser.state_dict(),
                        "step": step,
                    },
                    temporary,
                )
            scores = measure_regions(network, faces)
            report(" ".join(f"{name} {score:.2f}" for name, score in scores.items()))
    path = folder / "regions.safetensors"
    tensors = {k: v.half().contiguous() for k, v in network.state_dict().items()}
    with replaced(path) as temporary:
        save_file(tensors, str(temporary))
    write_picture(folder / "sheet.jpg", tile(_shown(network, faces), 256))
    return path


def _weights(labels: NDArray[np.uint8]) -> Tensor:
    """Of the regions in the loss: what is small counts for more, as the root of its rarity."""
    counts = np.bincount(labels[labels != UNKNOWN].ravel(), minlength=len(REGIONS)) + 1.0
    weights = np.sqrt(counts.max() / counts)
    return torch.from_numpy((weights / weights.mean()).astype(np.float32))


@torch.no_grad()
def parsed(network: RegionNetwork, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n, 128, 128) the likeliest region of each pixel of crops (n, 256, 256, 3)."""
    network.eval()
    out = []
    for picture in pictures:
        crop = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
        out.append(network(crop)[0].argmax(0).byte().numpy())
    return np.stack(out)


def measure_regions(network: RegionNetwork, faces: RegionFaces) -> dict[str, float]:
    """Intersection over union of each region on the faces that were held out; NaN where they show
    none."""
    pictures, labels = faces.held_out
    found, known = parsed(network, pictures), labels != UNKNOWN
    scores = {}
    for index, name in enumerate(REGIONS):
        a, b = (found == index) & known, labels == index
        union = float((a | b).sum())
        scores[name] = float((a & b).sum()) / union if b.any() else math.nan
    return scores


def _shown(network: RegionNetwork, faces: RegionFaces) -> list[list[NDArray[np.uint8]]]:
    """Rows of held-out faces: picture, its labels, what the parser says."""
    pictures, labels = (part[:40] for part in faces.held_out)
    found = parsed(network, pictures)
    triples = [
        [p, draw_regions(t), draw_regions(f)]
        for p, t, f in zip(pictures, labels, found, strict=True)
    ]
    return [[one for triple in triples[i : i + 4] for one in triple] for i in range(0, 40, 4)]
