"""Head poses of generated faces, so that edits can be fitted to leave them alone.

    python -m videdit.training.pose FACES training_data/faces/pose.npz

An edited face goes back onto the head it came from, so an edit must not turn, move or resize the
head. This measures what to hold: a rigid pose per generated face (``videdit.training.faces``),
from the face mesh's points that no expression moves.

**Pose.** Weak perspective: a mesh is ``scale * points @ rotation + place`` of the mean face, found
by Procrustes (Kabsch 1976; Umeyama 1991) over the rigid points. The mean face is generalised
Procrustes' (Gower 1975), made symmetric, so that yaw and roll of 0 face the camera; pitch of 0 is
the average face's. Six numbers: yaw, pitch and roll in degrees (``scipy``'s intrinsic "YXZ" angles
of the picture's axes, x right, y down, z away from the camera), x and y of the rigid points' centre
as shares of the picture's side, and the logarithm of the scale to the mean face's.
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..faces.detection import Detection, Landmarker
from ..generators.mobile import ROWS

Array = npt.NDArray[np.float64]

POSE = ("yaw", "pitch", "roll", "x", "y", "log_scale")
"""What a pose's columns are."""

_MIDDLE = (10, 151, 168, 6, 197, 195)  # hairline to the nose's bridge
_PAIRS = (  # eye corners, sides of the nose's bridge, temples, forehead
    *((33, 263), (133, 362), (193, 417), (122, 351)),
    *((127, 356), (162, 389), (21, 251), (54, 284), (103, 332), (67, 297), (109, 338)),
)
RIGID = np.array([*_MIDDLE, *(left for left, _ in _PAIRS), *(right for _, right in _PAIRS)])
"""Vertices of the face mesh that brows, lids, cheeks, mouth and jaw do not move."""

_MIRRORED = np.r_[
    : len(_MIDDLE),
    len(_MIDDLE) + len(_PAIRS) : len(RIGID),
    len(_MIDDLE) : len(_MIDDLE) + len(_PAIRS),
]


def _fit(points: Array, model: Array) -> tuple[Array, Array, Array]:
    """Scale (n,), rotation (n, 3, 3) and centre (n, 3) with points ~ scale * model @ R.T + centre.

    Args:
        points: (n, k, 3).
        model: (k, 3), centred.
    """
    centre = points.mean(1)
    free = points - centre[:, None]
    u, values, vt = np.linalg.svd(np.einsum("nki,kj->nij", free, model))
    signs = np.ones_like(values)
    signs[:, 2] = np.linalg.det(u @ vt)  # a rotation, never a mirror image
    scale = (values * signs).sum(1) / (model**2).sum()
    return scale, (u * signs[:, None]) @ vt, centre


def mean_face(meshes: npt.NDArray[np.floating[Any]], rounds: int = 10) -> Array:
    """The mean face's rigid points: symmetric, centred, of root mean square radius 1.

    Args:
        meshes: (n, 468, 3) meshes in pixels, in upright pictures.
        rounds: of generalised Procrustes; it settles within a few.

    Returns:
        (28, 3).
    """
    points = np.asarray(meshes, np.float64)[:, RIGID]
    model = points.mean(0)
    for _ in range(rounds):
        model = model - model.mean(0)
        model = (model + model[_MIRRORED] * (-1, 1, 1)) / 2
        model /= np.sqrt((model**2).sum(1).mean())
        scale, rotation, centre = _fit(points, model)
        free = (points - centre[:, None]) / scale[:, None, None]
        model = np.einsum("nki,nij->kj", free, rotation) / len(points)
    model = (model + model[_MIRRORED] * (-1, 1, 1)) / 2
    model -= model.mean(0)
    result: Array = model / np.sqrt((model**2).sum(1).mean())
    return result


def poses(meshes: npt.NDArray[np.floating[Any]], model: Array, side: float) -> Array:
    """Rigid poses of faces.

    Args:
        meshes: (n, 468, 3) meshes in pixels.
        model: ``mean_face``.
        side: the picture's, pixels.

    Returns:
        (n, 6), see ``POSE``; the logarithm is of the scale over the picture's side.
    """
    from scipy.spatial.transform import Rotation

    scale, rotation, centre = _fit(np.asarray(meshes, np.float64)[:, RIGID], model)
    angles = Rotation.from_matrix(rotation).as_euler("YXZ", degrees=True)
    return np.column_stack([angles, centre[:, :2] / side, np.log(scale / side)])


def _area(face: Detection) -> float:
    left, top, right, bottom = face.box
    return float((right - left) * (bottom - top))


def mesh_in(backend: Landmarker, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(468, 3) the largest face's mesh in a picture (s, s, 3), pixels; not finite where there is
    none."""
    found = max(backend.detect(np.ascontiguousarray(picture)), key=_area, default=None)
    if found is None or found.mesh is None:
        return np.full((468, 3), np.nan, np.float32)
    return np.asarray(found.mesh, np.float32)


def measure(folder: Path, out_path: Path, backend: Landmarker, shards: int) -> None:
    """Measures the first shards of sampled faces and writes ``training_data/faces/pose.npz``.

    Args:
        folder: of ``sample_faces``.
        out_path: ``w_a``, ``w_b`` (n, 512) and (m, 512) float16, ``crossover`` (n,) uint8 and
            ``pose`` (n, 6) float32. Faces of one code come first in each shard and have none of
            the m second codes; the others have one each, in order. Faces that the backend does
            not find are left out.
        backend: one that gives meshes.
        shards: how many.

    Raises:
        InputError: shards are missing or damaged.
    """
    codes: list[dict[str, npt.NDArray[Any]]] = []
    meshes: list[npt.NDArray[np.float32]] = []
    side = 1
    try:
        for number in range(shards):
            path = folder / f"codes-{number:04d}.npz"
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                shard = {name: arrays[name] for name in ("w_a", "w_b", "crossover")}
            pictures = np.load(folder / f"pictures-{number:04d}.npy", mmap_mode="r")
            side = pictures.shape[1]
            found = np.zeros(len(pictures), bool)
            for i, picture in enumerate(pictures):
                mesh = mesh_in(backend, picture)
                if np.isfinite(mesh).all():
                    meshes.append(mesh)
                    found[i] = True
            codes.append({name: values[found] for name, values in shard.items()})
            print(f"shard {number}: {found.sum()} faces", flush=True)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"the sampled faces in {folder} cannot be read ({error})",
            "Make them with `videdit train encoder`.",
        ) from error
    points = np.stack(meshes)
    first, second, crossover = (
        np.concatenate([shard[name] for shard in codes]) for name in ("w_a", "w_b", "crossover")
    )
    np.savez(
        out_path,
        w_a=first.astype(np.float16),
        w_b=second[crossover < ROWS].astype(np.float16),
        crossover=crossover.astype(np.uint8),
        pose=poses(points, mean_face(points), side).astype(np.float32),
    )


def main() -> None:
    """The module's command line."""
    from ..bundles import load_bundle
    from ..faces.backend import load_backend

    parser = argparse.ArgumentParser(description="Measure the head poses of sampled faces.")
    parser.add_argument("faces", type=Path, help="folder of sampled faces")
    parser.add_argument("output", type=Path, help="the npz file to write")
    parser.add_argument("--shards", type=int, default=15, help="how many shards to measure")
    arguments = parser.parse_args()
    files = {path.name: path for path in load_bundle().files("landmarker")}
    backend = load_backend("mesh", files)
    measure(arguments.faces, arguments.output, backend, arguments.shards)


if __name__ == "__main__":
    main()
