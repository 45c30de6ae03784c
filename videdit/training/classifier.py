"""Training the latent classifier.

A few thousand labelled faces are too few to learn 40 attributes from codes: on faces left out, a
network of codes trained on them alone reaches a mean AUC of 0.91, no better than a linear one. What
they do suffice for is a classifier of *pictures* (0.94), whose features know faces already. So:

1. the *teacher*, a picture classifier, learns from the labelled faces of the part ``edit``;
2. it labels generated faces by the ten thousand, from their cheap pictures (`inversion.readout`),
   or, where a generator has none, from its own;
3. the latent classifier learns the teacher's probabilities from those faces' codes, from the codes
   that the encoder gives for every fourth one's picture (so that it fits what inversion really
   gives), and from the labelled faces themselves;
4. it learns what edits really do (`training.pushed`).

The teacher knows pictures and no codes: what it learned from one generator's faces it says of any
other's. So labels serve the codes of every generator; those of another are only not learned from
themselves (3). `training.latent` does it from start to end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..arrays import keep_arrays
from ..device import channels_last
from ..editing.classifier import POSE_ROWS, LatentClassifier, load_classifier
from ..editing.labelled import EDIT, TEST, LabelledFaces
from ..editing.picture_classifier import (
    Looks,
    PictureClassifier,
    join,
    load_picture_classifier,
    look,
)
from ..editing.scores import mean_score, score
from ..errors import UsageError
from ..faces.recognition import FaceNetwork
from ..files import replaced
from ..generators.wspace import WStatistics
from .faces import expand, shard_codes
from .looks import kept_look
from .picture_classifier import PictureTraining, train_picture_classifier
from .pose import mean_face, mesh_in, poses
from .readout import READOUT, load_readout
from .views import SIDE, generated

if TYPE_CHECKING:
    from ..models.networks import Networks

Report = Callable[[str], None]
Floats = npt.NDArray[np.float32]

_BATCH = {"cpu": 10, "cuda": 250}
"""Pictures at a time."""

_COST, _RESOLUTION = 4, 512
"""Memory that a picture of a generator's own takes at this resolution, in cheap ones."""

_FEWEST_HEADS = 30  # that say how codes turn them
_PENALTY = 200.0  # of the ridge of that, for coordinates of mean square 1

_PART = 250  # faces that are looked at between two lines of progress


@dataclass(frozen=True)
class ClassifierTraining:
    """Settings; the defaults made what ships.

    Attributes:
        teacher: settings of the teacher.
        shards: of 250 generated faces each that the teacher labels.
        inverted_every: every which shard is also seen as the encoder inverts it.
        members: networks that are averaged.
        epochs: passes over all codes.
        rounds: how often the classifier meets faces moved by transformers, see `training.pushed`.
        pushed: such faces per attribute and round.
        more_epochs: passes over all codes after each round.
        batch: codes a step.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: AdamW's.
        seed: decides everything random.
    """

    teacher: PictureTraining = field(default_factory=PictureTraining)
    shards: int = 120
    inverted_every: int = 4
    members: int = 4
    epochs: int = 8
    rounds: int = 2
    pushed: int = 120
    more_epochs: int = 3
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    seed: int = 0


_SHIFT = 6
_GAIN = 0.1


def shaken(pictures: Tensor) -> Tensor:
    """Pictures a little moved and lit otherwise, so that no edit is made for one grid of pixels."""
    dy, dx = (int(v) for v in torch.randint(-_SHIFT, _SHIFT + 1, (2,)))
    padded = F.pad(pictures, (_SHIFT,) * 4, mode="replicate")
    top, left = _SHIFT + dy, _SHIFT + dx
    moved = padded[:, :, top : top + pictures.shape[2], left : left + pictures.shape[3]]
    gain = 1 + _GAIN * (2 * torch.rand(len(pictures), 1, 1, 1, device=pictures.device) - 1)
    return moved * gain


class Viewer:
    """Shows codes cheaply and looks at what they show.

    Args:
        show: (n, rows, width) codes as (n, 3, 256, 256) pictures, about in [0, 1], with a gradient;
            of networks on the device.
        face: makes the looks.
        device: where they do.
        cost: memory that a picture takes, in those of the embedded generator's cheap kind.
    """

    def __init__(
        self,
        show: Callable[[Tensor], Tensor],
        face: FaceNetwork,
        device: str = "cpu",
        cost: int = 1,
    ) -> None:
        self.show = show
        self.face = face.to(device)
        channels_last(self.face)
        self.device = device
        self.cost = cost
        self._batch = max(1, _BATCH[device.split(":")[0]] // cost)

    @staticmethod
    def of(networks: Networks, folder: Path | None = None, *, cheap: bool = True) -> Viewer:
        """Of a bundle's generator: by its cheap pictures, where the bundle, or the folder of a
        training, has a readout for them; else by its own, reduced."""
        device = networks.device.name
        synthesis = networks.synthesis.to(device)
        channels_last(synthesis)
        readout, face = None, networks.recognition
        if cheap and "readout" in networks:
            readout = networks.readout.to(device)
        elif cheap and folder is not None and (folder / READOUT).exists():
            readout = load_readout(folder / READOUT).to(device)
        if readout is not None:
            return Viewer(partial(readout.show, synthesis), face, device)
        cost = max(1, round(_COST * (networks.space.resolution / _RESOLUTION) ** 2))
        return Viewer(generated(synthesis), face, device, cost)

    @torch.inference_mode()
    def pictures(self, codes: Floats | Tensor) -> Tensor:
        """(n, 3, 256, 256) in [0, 1] of (n, rows, width) codes."""
        parts = [torch.zeros(0, 3, SIDE, SIDE, device=self.device)]
        for start in range(0, len(codes), self._batch):
            piece = torch.as_tensor(codes[start : start + self._batch]).float().to(self.device)
            parts.append(self.show(piece).clamp(0, 1))
        return torch.cat(parts)

    def look(self, pictures: Tensor) -> Looks:
        """What pictures look like."""
        return join([look(self.face, piece) for piece in torch.split(pictures, self._batch)])

    def looks(self, codes: Floats | Tensor) -> Looks:
        """What the codes' pictures look like."""
        starts = range(0, len(codes), self._batch)
        return join([self.look(self.pictures(codes[i : i + self._batch])) for i in starts])

    def judged(self, teacher: PictureClassifier, codes: Floats | Tensor) -> Tensor:
        """(n, k) what a picture classifier on the same device says of the codes' pictures; on the
        CPU."""
        return judged(teacher, self.looks(codes)).cpu()


@torch.no_grad()
def judged(network: PictureClassifier, looks: Looks) -> Tensor:
    """(n, k) logits of looks, a hundred at a time."""
    parts = [
        network(Looks(looks.features[i : i + 100], looks.picture[i : i + 100]))
        for i in range(0, len(looks.features), 100)
    ]
    return torch.cat(parts)


def make_teacher(
    folder: Path, data: LabelledFaces, viewer: Viewer, how: PictureTraining, report: Report
) -> PictureClassifier:
    """The teacher in ``folder``, trained where there is none yet."""
    path = folder / "teacher.safetensors"
    if not path.exists():
        part = data.of(EDIT)
        looks = kept_looks(folder, part.codes, viewer, report, how.views)
        labels = torch.from_numpy(np.tile(part.labels, (how.views, 1)))
        teacher = train_picture_classifier(looks, labels, part.names, how, report, viewer.device)
        test = data.of(TEST)
        scores = score(viewer.judged(teacher, test.codes).numpy(), test.labels, test.names)
        mean = mean_score(scores)
        report(f"teacher: AUC {mean.auc:.3f} ({mean.name})")
        with replaced(path) as temporary:
            teacher.save(temporary, {})
        for seen in folder.glob("looks-*.npz"):
            seen.unlink()
    return load_picture_classifier(path)[0].to(viewer.device)


def kept_looks(
    folder: Path, codes: Floats, viewer: Viewer, report: Report, views: int = 1
) -> Looks:
    """What the codes' pictures look like, and ``views - 1`` times more, `shaken`; kept in
    ``folder`` in parts of 250 as they come, so that a training that is stopped goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    parts, began, made = [], time.monotonic(), 0
    starts = [(view, start) for view in range(views) for start in range(0, len(codes), _PART)]
    for number, (view, start) in enumerate(starts):
        piece = codes[start : start + _PART]

        def make(view: int = view, piece: Floats = piece, number: int = number) -> Looks:
            nonlocal made
            pictures = viewer.pictures(piece)
            torch.manual_seed(number)  # the same shakes wherever a stopped run goes on
            seen = viewer.look(shaken(pictures) if view else pictures)
            made += 1
            left = (time.monotonic() - began) / made * len(starts[number + 1 :])
            report(f"looked at part {number + 1}/{len(starts)}, {left:.0f} s left")
            return seen

        parts.append(kept_look(folder / f"looks-{view}-{start:05d}.npz", piece, make))
    return join(parts)


def label_faces(
    folder: Path,
    teacher: PictureClassifier,
    viewer: Viewer,
    networks: Networks,
    how: ClassifierTraining,
    report: Report,
    *,
    posed: int = 0,
) -> None:
    """Make the shards that ``folder`` does not hold yet: ``labelled-NNNN.npz`` with ``codes``
    (250, rows, width), ``logits`` (250, k), for some ``inverted``, shaped as codes, and for some
    ``meshes`` (250, 468, 3), pixels, not finite where no face was found.

    Args:
        posed: of how many shards heads are measured, the first ones.
    """
    rows = networks.space.rows
    for number in range(how.shards):
        path = folder / f"labelled-{number:04d}.npz"
        if path.exists():
            continue
        started = time.monotonic()
        codes = expand(*shard_codes(number, networks.mapping, networks.statistics, rows), rows)
        pictures = viewer.pictures(codes)
        arrays = {
            "codes": codes.astype(np.float16),
            "logits": judged(teacher, viewer.look(pictures)).cpu().numpy(),
        }
        crops = pictures.permute(0, 2, 3, 1).cpu().numpy()
        if number % how.inverted_every == 0 and "encoder" in networks:
            arrays["inverted"] = networks.encoder.encode(crops).astype(np.float16)
        if number < posed:
            shown = (np.ascontiguousarray(np.rint(crop * 255), np.uint8) for crop in crops)
            arrays["meshes"] = np.stack([mesh_in(networks.landmarker, each) for each in shown])
        keep_arrays(path, **arrays)
        report(f"faces {number + 1}/{how.shards} ({time.monotonic() - started:.0f} s)")


def trained_classifier(folder: Path) -> LatentClassifier:
    """The finished classifier in ``folder``.

    Raises:
        UsageError: there is none.
    """
    path = folder / "classifier.safetensors"
    if not path.exists():
        raise UsageError(f"{folder} holds no classifier", "Run `videdit train classifier` first.")
    return load_classifier(path)


def labelled_codes(folder: Path, kind: str) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """The codes (n, rows, width) in ``folder`` that the teacher has labelled, its logits (n, k),
    and of each the row whose picture it shows: another one's where the encoder gave it, else its
    own.

    Args:
        folder: of the training.
        kind: ``labelled`` for faces as they come, with inverted codes behind them; ``pushed-R`` for
            those that were edited in round R.

    Raises:
        UsageError: there are none.
    """
    codes, logits, shown = [], [], []
    count = 0
    for path in sorted(folder.glob(f"{kind}-*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            rows = count + np.arange(len(arrays["codes"]))
            for name in ("codes", "inverted"):
                if name in arrays:
                    codes.append(arrays[name])
                    logits.append(arrays["logits"])
                    shown.append(rows)
                    count += len(rows)
    if not codes:
        raise UsageError(
            f"{folder} holds no {kind} faces", "Run `videdit train classifier` there again."
        )
    return (
        np.concatenate(codes).astype(np.float32),
        np.concatenate(logits),
        np.concatenate(shown),
    )


def fit_classifier(
    codes: Floats,
    targets: Floats,
    names: tuple[str, ...],
    stats: WStatistics,
    how: ClassifierTraining,
    report: Report = print,
    *,
    taught: LatentClassifier | None = None,
    device: str = "cpu",
) -> LatentClassifier:
    """The classifier from codes and the probabilities of their attributes.

    Args:
        codes: (n, rows, width).
        targets: (n, k) from 0 to 1.
        names: of the k attributes.
        stats: of W.
        how: settings.
        report: takes lines of progress.
        taught: one to train on, for fewer epochs, at a lower rate.
        device: where it is trained; it comes back on the CPU.
    """
    torch.manual_seed(how.seed)
    epochs, rate = how.epochs, how.learning_rate
    if taught is None:
        network = LatentClassifier(names, how.members, *codes.shape[1:])
        network.take_coordinates(stats)
    else:
        network, epochs, rate = taught.requires_grad_(True), how.more_epochs, rate / 2
    network = network.to(device)
    with torch.no_grad():
        rows = torch.cat(
            [
                network.coordinates(torch.from_numpy(c).to(device))
                for c in np.array_split(codes, max(1, len(codes) // 1000))
            ]
        )
    wanted = torch.from_numpy(targets).to(device)
    batch = min(how.batch, len(codes))
    steps = epochs * (len(codes) // batch)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=how.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps + 1)
    network.train()
    for epoch in range(epochs):
        # Each member meets the codes in the same order, but drops out other parts of them.
        order = torch.randperm(len(codes)).to(device)
        total = torch.zeros((), device=device)
        for start in range(0, len(order) - batch + 1, batch):
            chosen = order[start : start + batch]
            found = network.each(rows[chosen])
            loss = torch.stack(
                [F.binary_cross_entropy_with_logits(z, wanted[chosen]) for z in found]
            ).sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += loss.detach() * (batch / len(order) / how.members)
        report(f"epoch {epoch + 1}/{epochs}: loss {total:.4f}")
    return network.cpu().eval().requires_grad_(False)


def fit_pose(path: Path, classifier: LatentClassifier, penalty: float = _PENALTY) -> Tensor:
    """`regressed` on the poses in a file.

    Args:
        path: ``pose.npz``, see training_data/faces/README.md.
        classifier, penalty: see `regressed`.
    """
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        first, crossover = arrays["w_a"], arrays["crossover"]
        second = first.copy()
        second[crossover < classifier.rows] = arrays["w_b"]
        measured = arrays["pose"].astype(np.float32)
    codes = expand(first, second, crossover, classifier.rows)
    return regressed(codes, measured, classifier, penalty)


def fit_measured_pose(folder: Path, classifier: LatentClassifier) -> Tensor | None:
    """`regressed` on the heads that `label_faces` measured in ``folder``; None where faces are too
    few."""
    codes, meshes = [], []
    for path in sorted(folder.glob("labelled-*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            if "meshes" in arrays:
                found = np.isfinite(arrays["meshes"]).all((1, 2))
                codes.append(arrays["codes"][found].astype(np.float32))
                meshes.append(arrays["meshes"][found])
    if sum(map(len, meshes)) < _FEWEST_HEADS:
        return None
    points = np.concatenate(meshes)
    measured = poses(points, mean_face(points), SIDE)
    return regressed(np.concatenate(codes), measured.astype(np.float32), classifier)


def regressed(
    codes: Floats, measured: Floats, classifier: LatentClassifier, penalty: float = _PENALTY
) -> Tensor:
    """Ridge regressions of yaw, pitch and the size of yaw; see ``LatentClassifier.pose``.

    Faces seen from the front smile more, so a smile turns any head to the front, whichever way it
    looks: hence the size of yaw. Roll is no part of it: the pictures are aligned.

    Args:
        codes: (n, rows, width).
        measured: (n, 6) their poses, see `training.pose`.
        classifier: its coordinates.
        penalty: of the ridge, for coordinates of mean square 1.
    """
    held = np.column_stack([measured[:, 0], measured[:, 1], np.abs(measured[:, 0])])
    wanted = torch.from_numpy((held - held.mean(0)) / held.std(0))
    rows = classifier.coordinates(torch.from_numpy(codes[:, :POSE_ROWS])).flatten(1)
    rows = rows - rows.mean(0)
    system = rows.T @ rows + penalty * torch.eye(rows.shape[1])
    return cast(Tensor, torch.linalg.solve(system, rows.T @ wanted).T)
