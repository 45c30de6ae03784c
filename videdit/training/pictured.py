"""Training maps on through pictures, as much of them as will be shown.

Of an edit E, only the difference from the reconstruction R arrives in a person's own picture S, and
only in the regions that its attribute may touch (`editing.touch`, `blending.transfer`). So the
witness sees just that: C = S + M (E - R), and E itself where it is shown as matter. An attribute
has to be given there, or it is not given at all; a man's face, say, becomes a woman's without
longer hair. And what E changes elsewhere is lost, so it costs.

S is what R reconstructs: the picture of the code that the encoder saw. Trained with R in its place,
edits took away wrinkles that R had already lost, and most of Young, Attractive or Pointy_Nose that
was seen in R + M (E - R) was not in S + M (E - R).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..editing.picture_classifier import Looks, PictureClassifier
from ..editing.touch import touch_of
from ..faces.recognition import FaceNetwork
from ..faces.regions import NEVER, REGIONS
from .classifier import Viewer, shaken
from .maps import Direction, MapBank, Part, Seen, TransformerTraining, descend
from .pool import Pool
from .precision import half

_PAYS = 30
"""Compiling takes as long as some tens of steps."""

_RARE = 40
"""So many faces that have it are sought for each attribute, and as many that do not."""

_TONED = {
    *("5_o_Clock_Shadow", "Goatee", "Mustache", "No_Beard", "Sideburns"),
    *("Pale_Skin", "Rosy_Cheeks", "Heavy_Makeup", "Blurry"),
}
"""Attributes by which the skin as a whole may take another colour. Without this, Big_Lips made
faces darker: that is how labels and skin go together in the data."""

Show = Callable[[Tensor], Tensor]


def allowance(before: Tensor, after: Tensor, touched: Tensor, never: Tensor) -> Tensor:
    """Where an edit's picture may be shown.

    Args:
        before, after: (n, regions, 128, 128) probabilities of R's and of E's regions.
        touched: (n, regions) 1 for those that the attribute may touch.
        never: (regions,) 1 for those that nothing touches.

    Returns:
        (n, 1, 256, 256) from 0 to 1: where R shows what may be touched, and two pixels of 128
        around; and where E does, unless it grows over what is never touched.
    """
    own = (before * touched[:, :, None, None]).sum(1, keepdim=True)
    own = F.max_pool2d(own, 5, 1, 2)
    new = (after * touched[:, :, None, None]).sum(1, keepdim=True)
    barred = (before * never[:, None, None]).sum(1, keepdim=True)
    mask = torch.maximum(own, new * (1 - barred)).clamp(0, 1)
    return F.interpolate(mask, scale_factor=2, mode="bilinear", align_corners=False)


def composed(
    source: Tensor, reconstruction: Tensor, edited: Tensor, mask: Tensor, bare: Tensor
) -> Tensor:
    """An edit's picture as far as it will be shown, all (n, 3, 256, 256).

    Args:
        source, reconstruction, edited: S, R, E.
        mask: (n, 1, 256, 256) where S changes as R does.
        bare: the same, where E itself is shown.
    """
    changed = source + mask * (edited - reconstruction)
    return changed + bare * (edited - changed)


def skin_tone(regions: Tensor, change: Tensor) -> Tensor:
    """(n, 3) mean change of the skin's colour.

    Args:
        regions: (n, regions, 128, 128) of the unedited faces, bytes.
        change: (n, 3, 256, 256) of their pictures.
    """
    skin = regions[:, [REGIONS.index(name) for name in ("skin", "nose")]].float().sum(1) / 255
    small = F.avg_pool2d(change, 2)
    return (small * skin[:, None]).sum((2, 3)) / (skin.sum((1, 2))[:, None] + 1)


class Witness(nn.Module):
    """What the teacher and the face network say of pictures, with a gradient.

    Pictures (n, 3, 256, 256) to logits (n, k), the same with a part of what the teacher sees left
    out at random, and the face network's descriptors (n, 1024). What is left out is another part at
    each look, so that an edit has to be seen in many ways, not in the one that moves the teacher
    most.
    """

    def __init__(self, face: FaceNetwork, teacher: PictureClassifier) -> None:
        super().__init__()
        self.face, self.teacher = face, teacher

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen = self.face(pictures)
        parts = (seen.whole, F.avg_pool2d(seen.regions, 2), F.avg_pool2d(seen.parts, 4))
        looks = Looks(torch.cat(parts, 1), F.avg_pool2d(pictures, 4) * 255)
        sure = self.teacher.eval()(looks)
        doubted = self.teacher.train()(looks)
        return sure, doubted, seen.descriptor


@dataclass(frozen=True)
class Pictured:
    """Faces on which maps are refined.

    Attributes:
        show: codes to pictures.
        cost: memory that one of them takes, in those of the cheap kind.
        parse: pictures to logits of regions.
        witness: sees.
        coordinates: (n, rows, width).
        pictures: (n, 3, 256, 256) bytes, R.
        sources: the same, S.
        regions: (n, regions, 128, 128) probabilities, bytes, of S.
        logits: (n, k) the witness's, of S.
        descriptors: (n, 1024), of S.
    """

    show: Show
    cost: int
    parse: Callable[[Tensor], Tensor]
    witness: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
    coordinates: Tensor
    pictures: Tensor
    sources: Tensor
    regions: Tensor
    logits: Tensor
    descriptors: Tensor

    @staticmethod
    def of(
        pool: Pool,
        viewer: Viewer,
        parser: nn.Module,
        teacher: PictureClassifier,
        how: TransformerTraining,
        steps: int,
    ) -> Pictured:
        """Some of the pool's inverted faces, for so many steps: any, and of each attribute some
        that surely have it and some that surely don't. The networks move to the pool's device."""
        device, show = pool.device, viewer.show
        parse = parser.to(device)
        witness = Witness(viewer.face, teacher.to(device))
        rows = _chosen(pool, how)
        chosen, shown = (torch.from_numpy(r).to(device) for r in (rows, pool.shown[rows]))
        pictures, sources, regions, logits, descriptors = [], [], [], [], []

        def pictures_of(which: Tensor) -> Tensor:
            return viewer.pictures(pool.space.codes(pool.coordinates[which]))

        with torch.no_grad():
            for piece, own in zip(torch.split(chosen, 40), torch.split(shown, 40), strict=True):
                source = pictures_of(own)
                seen, _, who = witness(source)
                pictures.append((pictures_of(piece) * 255).round().byte())
                sources.append((source * 255).round().byte())
                regions.append((parse(source).softmax(1) * 255).round().byte())
                logits.append(seen)
                descriptors.append(who)
        # Compiling for the CPU needs a C++ compiler; without one, it only takes three times longer.
        pays = device.type == "cpu" and steps > _PAYS
        if pays and shutil.which("g++") is not None:
            show = torch.compile(show, dynamic=False)
            fused = torch.compile(witness, dynamic=False)
        else:
            fused = witness
        return Pictured(
            show,
            viewer.cost,
            parse,
            fused,
            pool.coordinates[chosen],
            *(torch.cat(parts) for parts in (pictures, sources, regions, logits, descriptors)),
        )


def _chosen(pool: Pool, how: TransformerTraining) -> np.ndarray:
    # What users edit are inverted codes; a folder without any has only the others.
    rows = np.flatnonzero(pool.inverted) if pool.inverted.any() else np.arange(len(pool.inverted))
    count = min(how.refining_faces, len(rows))
    rng = np.random.default_rng(how.seed)
    logits = pool.logits[torch.from_numpy(rows).to(pool.device)].cpu().numpy()
    few = min(_RARE, count // (4 * logits.shape[1]) + 1)
    ends = np.argsort(logits, axis=0)
    rare = np.unique(np.concatenate((ends[:few].ravel(), ends[-few:].ravel())))[:count]
    rest = rng.permutation(np.setdiff1d(np.arange(len(rows)), rare))[: count - len(rare)]
    return np.asarray(rows[np.concatenate((rare, rest))])


def refine_maps(
    bank: MapBank, pool: Pool, faces: Pictured, how: TransformerTraining, steps: int
) -> Tensor:
    """Train maps on through pictures: the same losses by the teacher's logits of the picture as it
    will be shown, and three more: that the face network still sees the same person, that what is
    not shown stays, and that skin keeps its colour where the attribute is none of colour.

    Returns:
        (m,) the share of faces that get what they lacked, as the teacher sees it.
    """
    device = pool.device
    touched, matter = (part.to(device) for part in _touched(bank.directions))
    never = torch.tensor([float(name in NEVER) for name in REGIONS], device=device)
    keeping = torch.tensor([float(one.name not in _TONED) for one in bank.directions])
    keeping = keeping.to(device)

    def see(after: Tensor, chosen: Tensor) -> Seen:
        m, b = chosen.shape
        flat = chosen.flatten()
        codes = pool.space.codes(after.flatten(0, 1))
        with half(device.type):
            edited = faces.show(codes).float()
            before, source = (p[flat].float() / 255 for p in (faces.pictures, faces.sources))
            own = faces.regions[flat].float() / 255
            with torch.no_grad():
                regions = faces.parse(edited.clamp(0, 1)).float().softmax(1)
            mask, bare = (
                allowance(own, regions, names.repeat_interleave(b, 0), never)
                for names in (touched, matter)
            )
            change = edited - before
            seen, doubted, who = faces.witness(shaken(composed(source, before, edited, mask, bare)))
        same = (1 - (who.float() * faces.descriptors[flat]).sum(1)).mean()
        lost = ((1 - mask) * change.abs()).mean()
        toned = skin_tone(faces.regions[flat], change).reshape(m, b, -1) * keeping[:, None, None]
        more = how.identity * same + how.outside * lost + how.tone * toned.abs().mean()
        return Seen(seen.float().reshape(m, b, -1), doubted.float().reshape(m, b, -1), more)

    torch.manual_seed(how.seed)
    batch = how.refining_batch
    needed = len(bank.directions) * batch * faces.cost / how.memory
    # As few as will do, and equal ones.
    pieces = next((n for n in range(1, batch) if batch % n == 0 and n >= needed), batch)
    part = Part(
        steps,
        batch,
        pieces,
        how.refining_rate / (1 if faces.cost == 1 else 2),
        faces.coordinates,
        faces.logits,
        see,
    )
    return descend(bank, part, pool, how)


def _touched(directions: Sequence[Direction]) -> tuple[Tensor, Tensor]:
    """(m, regions) what each direction may touch, and what it shows as matter and nothing else."""
    touches = [touch_of(one.name, float(one.sign)) for one in directions]
    return (
        torch.tensor([[float(name in touch.all) for name in REGIONS] for touch in touches]),
        torch.tensor(
            [[float(name in touch.matter - touch.shape) for name in REGIONS] for touch in touches]
        ),
    )
