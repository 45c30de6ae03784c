"""Backend ``fan``: the face-alignment library's S3FD detector and FAN landmarks.

Bulat and Tzimiropoulos, *How far are we from solving the 2D & 3D face alignment problem?* (ICCV
2017), in its authors' package (BSD). Its weights are fetched from its author's site the first time
and kept where the library looks for them, PyTorch's own cache (``$TORCH_HOME/hub/checkpoints``).
They are checked before each use and read as plain tensors.
"""

from __future__ import annotations

import pickle  # nosec B403
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from videdit.errors import WeightsError
from videdit.faces.detection import Detection
from videdit.faces.parameters import DEFAULT, Fan
from videdit.files import sha256_of

_ADDRESS = "https://www.adrianbulat.com/downloads/python-fan"
_DETECTOR = "s3fd-619a316812.pth"
_SHA256 = {
    "2DFAN4-11f355bf06.pth.tar": "11f355bf0693120222f5955ce3f9dc8fb5763ebb30a47d7906e509490d32e4aa",
    _DETECTOR: "619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
}


class FanBackend:
    """See the module's text. Stateless, like every backend."""

    threads = 1

    def __init__(self, device: str = "cpu", parameters: Fan = DEFAULT.detecting.fan) -> None:
        """Load the networks, letting the library fetch their weights if it must.

        Args:
            device: ``"cpu"`` or ``"cuda"``.
            parameters: what counts as a face, and at which size it is looked at.

        Raises:
            WeightsError: they could not be fetched or loaded.
        """
        # Late: this import alone takes seconds, and the other backend doesn't need it.
        import torch
        from face_alignment import FaceAlignment, LandmarksType

        self.parameters = parameters
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        try:
            for name in _SHA256:
                _fetch(folder / name)
            self._network = FaceAlignment(
                LandmarksType.TWO_D,
                device=device,
                face_detector="sfd",
                face_detector_kwargs={
                    "filter_threshold": parameters.score_threshold,
                    "path_to_detector": str(folder / _DETECTOR),
                },
                compile=False,  # minutes of compiling for a landmarker that is not the slow part
            )
        # The library lets everything through that urllib, zipfile and torch.load raise.
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.PickleError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            names = " and ".join(_SHA256)
            raise WeightsError(
                f"the weights of the face backend 'fan' could not be had ({reason})",
                f"It needs {names} from {_ADDRESS} in {folder}: allow the "
                "download, put them there, or use `--backend mesh`.",
            ) from error

    def detect(self, rgb8: NDArray[np.uint8]) -> list[Detection]:
        """All faces of an upright (H, W, 3) RGB frame, best score first; empty if none.

        Raises:
            ValueError: the frame is not (H, W, 3) uint8.
        """
        if rgb8.ndim != 3 or rgb8.shape[2] != 3 or rgb8.dtype != np.uint8 or 0 in rgb8.shape:
            raise ValueError(f"expected (H, W, 3) uint8 pixels, got {rgb8.shape} {rgb8.dtype}")
        height, width = rgb8.shape[:2]
        scale = min(1.0, self.parameters.detection_side / max(height, width))
        w, h = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(rgb8, (w, h), interpolation=cv2.INTER_AREA)
        faces = []
        for row in self._network.face_detector.detect_from_image(small):
            values = np.asarray(row, dtype=np.float64)
            box = values[:4] * (width / w, height / h, width / w, height / h)
            if np.all(np.isfinite(box)) and np.all(box[2:] - box[:2] >= 1):
                faces.append(
                    Detection(
                        box=box.astype(np.float32),
                        score=float(np.clip(values[4], 0.0, 1.0)),
                        points68=self._points(rgb8, box),
                        mesh=None,
                    )
                )
        return sorted(faces, key=lambda face: -face.score)

    def _points(self, rgb8: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.float32]:
        """FAN's landmarks for one face.

        The library's own crop is not anti-aliased, so a large face is reduced for it first, and
        only the face's surroundings (its crop is 1.5 times the box, and then some) are.
        """
        height, width = rgb8.shape[:2]
        centre, side = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max())
        reach = self.parameters.surroundings * side
        left, top = (int(v) for v in np.clip(np.floor(centre - reach), 0, (width, height)))
        right, bottom = (int(v) for v in np.clip(np.ceil(centre + reach), 0, (width, height)))
        region: NDArray[Any] = rgb8[top:bottom, left:right]
        if region.size == 0:  # a box wholly outside; points there cannot be measured
            left, top, region = 0, 0, rgb8
        scale = min(1.0, self.parameters.face_side / side)
        w, h = max(1, round(region.shape[1] * scale)), max(1, round(region.shape[0] * scale))
        factor = np.array([w / region.shape[1], h / region.shape[0]])
        region = cv2.resize(region, (w, h), interpolation=cv2.INTER_AREA)
        inner = ((box.reshape(2, 2) - (left, top)) * factor).reshape(4)
        points = self._network.get_landmarks_from_image(region, detected_faces=[inner])[0]
        # The library's coordinates count pixel centres as whole numbers.
        result: NDArray[np.float32] = (
            (points.astype(np.float64) + 0.5) / factor + (left, top)
        ).astype(np.float32)
        return result


def _fetch(path: Path) -> None:
    """Make sure that one of the files is there and is the one that its author published.

    Raises:
        OSError, RuntimeError: it cannot be fetched, or is another.
    """
    import torch

    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # It is downloaded beside, and checked before it takes this name.
        torch.hub.download_url_to_file(f"{_ADDRESS}/{path.name}", str(path), _SHA256[path.name])
    elif sha256_of(path) != _SHA256[path.name]:
        raise RuntimeError(f"{path.name} is damaged or another file; delete it")
