"""Backend ``mesh``: MediaPipe's full-range face detector and 468-point face mesh on the CPU.

The two ``.tflite`` networks run in OpenVINO with fp32 arithmetic. Both, and the constants below,
are published by Google in MediaPipe (Apache-2.0): Bazarevsky et al., *BlazeFace* (2019), Kartynnik
et al., *Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs* (2019).

Every frame is looked at by itself: first as a whole; only if that shows no face, in overlapping
tiles of half and then a quarter of its long side, which finds faces down to about 20 pixels; and
if that shows none for sure, turned by quarters.
A face is found on a close look at each candidate: the mesh is fitted twice, the second time to
the region that the first fit's own points give, so that the result hardly depends on where the
detector happened to put its box, and there to its mirror image as well, so that left and right
are treated alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from videdit.compiled import core
from videdit.device import threads, workers
from videdit.errors import WeightsError
from videdit.faces.align import cut_crop
from videdit.faces.boxes import overlaps
from videdit.faces.detection import Detection
from videdit.faces.parameters import DEFAULT, Mesh

DETECTOR_FILE = "face_detection_full_range.tflite"
MESH_FILE = "face_landmark.tflite"

_INPUT = 192  # side of both networks' input, pixels
_STRIDE = 4  # of the detector's one layer: 48 x 48 anchors, one each
_LOGIT_LIMIT = 100.0  # MediaPipe's score_clipping_thresh
_LEFT_EYE, _RIGHT_EYE = 33, 263  # outer corners in the mesh, left and right in the picture

# iBUG's 68 points on the 468-point mesh, each the middle of one or two of its vertices.
# Left and right are mirror images of each other on the mesh.
MESH_TO_68: tuple[tuple[int, ...], ...] = (
    # jaw, 0-16
    (127,), (234,), (93,), (132, 58), (58, 172), (136,), (150,), (176,),
    (152,),
    (400,), (379,), (365,), (288, 397), (361, 288), (323,), (454,), (356,),
    # brows, 17-26
    (70,), (63,), (105,), (66,), (107,),
    (336,), (296,), (334,), (293,), (300,),
    # nose, 27-35
    (168, 6), (197, 195), (5,), (4,),
    (240,), (97,), (2,), (326,), (460,),
    # eyes, 36-47
    (33,), (160,), (158,), (133,), (153,), (144,),
    (362,), (385,), (387,), (263,), (373,), (380,),
    # outer lips, 48-59
    (61,), (39, 40), (37,), (0,), (267,), (269, 270), (291,),
    (321,), (314, 405), (17,), (84, 181), (91,),
    # inner lips, 60-67
    (78,), (81,), (13,), (311,), (308,), (402,), (14,), (178,),
)  # fmt: skip
_FIRST = np.array([vertices[0] for vertices in MESH_TO_68])
_SECOND = np.array([vertices[-1] for vertices in MESH_TO_68])


# Vertices that change places when a face is mirrored (the others lie on its middle line), found by
# matching the network's answers to pictures of faces with those to their mirror images.
_MIRRORED = """
3:248 7:249 20:250 21:251 22:252 23:253 24:254 25:255 26:256 27:257 28:258 29:259 30:260
31:261 32:262 33:263 34:264 35:265 36:266 37:267 38:268 39:269 40:270 41:271 42:272 43:273
44:274 45:275 46:276 47:277 48:278 49:279 50:280 51:281 52:282 53:283 54:284 55:285 56:286
57:287 58:288 59:289 60:290 61:291 62:292 63:293 64:294 65:295 66:296 67:297 68:298 69:299
70:300 71:301 72:302 73:303 74:304 75:305 76:306 77:307 78:308 79:309 80:310 81:311 82:312
83:313 84:314 85:315 86:316 87:317 88:318 89:319 90:320 91:321 92:322 93:323 95:324 96:325
97:326 98:327 99:328 100:329 101:330 102:331 103:332 104:333 105:334 106:335 107:336 108:337
109:338 110:339 111:340 112:341 113:342 114:343 115:344 116:345 117:346 118:347 119:348
120:349 121:350 122:351 123:352 124:353 125:354 126:355 127:356 128:357 129:358 130:359
131:360 132:361 133:362 134:363 135:364 136:365 137:366 138:367 139:368 140:369 141:370
142:371 143:372 144:373 145:374 146:375 147:376 148:377 149:378 150:379 153:380 154:381
155:382 156:383 157:384 158:385 159:386 160:387 161:388 162:389 163:390 165:391 166:392
167:393 169:394 170:395 171:396 172:397 173:398 174:399 176:400 177:401 178:402 179:403
180:404 181:405 182:406 183:407 184:408 185:409 186:410 187:411 188:412 189:413 190:414
191:415 192:416 193:417 194:418 196:419 198:420 201:421 202:422 203:423 204:424 205:425
206:426 207:427 208:428 209:429 210:430 211:431 212:432 213:433 214:434 215:435 216:436
217:437 218:438 219:439 220:440 221:441 222:442 223:443 224:444 225:445 226:446 227:447
228:448 229:449 230:450 231:451 232:452 233:453 234:454 235:455 236:456 237:457 238:458
239:459 240:460 241:461 242:462 243:463 244:464 245:465 246:466 247:467
"""
_MIRROR = np.arange(468)
for _pair in _MIRRORED.split():
    _a, _b = (int(number) for number in _pair.split(":"))
    _MIRROR[_a], _MIRROR[_b] = _b, _a


def points68_of_mesh(mesh: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """iBUG's 68 points (..., 68, 2) of mesh points (..., 468, 3)."""
    flat = mesh[..., :2]
    return ((flat[..., _FIRST, :] + flat[..., _SECOND, :]) / 2).astype(np.float32)


class MeshBackend:
    """See the module's text."""

    def __init__(
        self, files: Mapping[str, Path], parameters: Mesh = DEFAULT.detecting.mesh
    ) -> None:
        """Read and compile the networks.

        Args:
            files: paths by name, ``DETECTOR_FILE`` and ``MESH_FILE`` among them.
            parameters: what counts as a face, and where it is looked for.

        Raises:
            WeightsError: a file is missing or is not that network.
        """
        self.parameters = parameters
        self.threads = workers()
        opened = core()
        compiled = []
        for name, outputs in ((DETECTOR_FILE, {2304 * 16, 2304}), (MESH_FILE, {1404, 1})):
            path = files.get(name)
            try:
                if path is None:
                    raise FileNotFoundError(name)
                model = opened.read_model(str(path))
                sizes = {int(np.prod(list(port.shape))) for port in model.outputs}
                if list(model.input().shape) != [1, _INPUT, _INPUT, 3] or sizes != outputs:
                    raise RuntimeError("another network's shapes")
                compiled.append(
                    opened.compile_model(
                        model,
                        "CPU",
                        {
                            "INFERENCE_PRECISION_HINT": "f32",
                            # Networks as small as these gain nothing by a second thread.
                            "INFERENCE_NUM_THREADS": str(threads()),
                            "NUM_STREAMS": str(min(threads(), self.threads)),
                            "ENABLE_CPU_PINNING": "NO",
                        },
                    )
                )
            except (OSError, RuntimeError) as error:
                reason = str(error).strip().splitlines()[-1] if str(error).strip() else "unreadable"
                raise WeightsError(
                    f"the face network {name} cannot be used ({reason})",
                    "Run `videdit weights verify`, then `videdit weights fetch`.",
                ) from error
        # A request answers one caller at a time.
        self._free: SimpleQueue[tuple[Any, Any]] = SimpleQueue()
        for _ in range(self.threads):
            detector, mesh = (network.create_infer_request() for network in compiled)
            self._free.put((detector, mesh))
        cells = (np.arange(_INPUT // _STRIDE) + 0.5) * _STRIDE
        self._anchors = np.stack(np.meshgrid(cells, cells), axis=-1).reshape(-1, 1, 2)

    def _infer(self, which: int, picture: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
        """What a network, the detector (0) or the mesh's (1), gives: the larger first."""
        requests = self._free.get()
        try:
            found = _by_size(requests[which].infer([picture]))
            # The request's own memory, which the next caller overwrites.
            return found[0].copy(), found[1].copy()
        finally:
            self._free.put(requests)

    def detect(self, rgb8: NDArray[np.uint8]) -> list[Detection]:
        """All faces of an upright (H, W, 3) RGB frame, best score first; empty if none.

        Raises:
            ValueError: the frame is not (H, W, 3) uint8.
        """
        if rgb8.ndim != 3 or rgb8.shape[2] != 3 or rgb8.dtype != np.uint8 or 0 in rgb8.shape:
            raise ValueError(f"expected (H, W, 3) uint8 pixels, got {rgb8.shape} {rgb8.dtype}")
        faces: list[Detection] = []
        for tiles in _levels(rgb8.shape[0], rgb8.shape[1], self.parameters):
            faces = self._faces(rgb8, tiles)
            if faces:
                break
        if not faces or faces[0].score < self.parameters.sure:
            # Somebody may lie down or stand on their head: detector and mesh know upright faces,
            # and make something of others.
            best = faces[0].score + self.parameters.turned_margin if faces else 0.0
            for turns in (1, 3, 2):
                turned = np.ascontiguousarray(np.rot90(rgb8, turns))
                whole = (0, 0, turned.shape[1], turned.shape[0])
                found = self._faces(turned, [whole])
                if found and found[0].score > best:
                    faces = [_turned_back(face, turns, rgb8.shape[:2]) for face in found]
                    best = faces[0].score
        return faces

    def _faces(
        self, rgb8: NDArray[np.uint8], tiles: list[tuple[int, int, int, int]]
    ) -> list[Detection]:
        """The faces in some tiles, best first."""
        candidates = [found for tile in tiles for found in self._candidates(rgb8, *tile)]
        faces = [
            face
            for candidate in _merge(candidates, self.parameters.overlap_threshold)
            if (face := self._fit(rgb8, candidate)) is not None
        ]
        return _without_doubles(faces, self.parameters.overlap_threshold)

    def _candidates(
        self, rgb8: NDArray[np.uint8], left: int, top: int, right: int, bottom: int
    ) -> list[tuple[float, NDArray[np.float64]]]:
        """The detector's (score, (8, 2) corners of the box and keypoints) in one tile."""
        width, height = right - left, bottom - top
        scale = _INPUT / max(width, height)
        w, h = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(
            rgb8[top:bottom, left:right],
            (w, h),
            interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
        )
        pad_x, pad_y = (_INPUT - w) // 2, (_INPUT - h) // 2
        image = np.full((1, _INPUT, _INPUT, 3), -1.0, np.float32)
        image[0, pad_y : pad_y + h, pad_x : pad_x + w] = small * np.float32(1 / 127.5) - 1
        boxes, logits = self._infer(0, image)
        scores = _sigmoid(logits.reshape(-1))
        chosen = np.flatnonzero(scores >= self.parameters.detector_threshold)
        raw = boxes.reshape(-1, 8, 2)[chosen].astype(np.float64)
        anchors = self._anchors[chosen]
        half = raw[:, 1:2] / 2
        points = raw + anchors  # box centre and six keypoints, in input pixels
        points = np.concatenate([points[:, :1] - half, points[:, :1] + half, points[:, 2:]], axis=1)
        points = (points - (pad_x, pad_y)) * (width / w, height / h) + (left, top)
        return [
            (float(score), shape)
            for score, shape in zip(scores[chosen], points, strict=True)
            if np.all(shape[1] > shape[0])
        ]

    def _fit(
        self, rgb8: NDArray[np.uint8], candidate: tuple[float, NDArray[np.float64]]
    ) -> Detection | None:
        """Look closely at a candidate; None if it is no face."""
        score, shape = candidate
        centre = (shape[0] + shape[1]) / 2
        side = self.parameters.region_scale * float((shape[1] - shape[0]).max())
        quad = _region_quad(centre, side, shape[3] - shape[2])
        mesh, probability = self._mesh_in(rgb8, quad)
        if probability < self.parameters.first_look_threshold:
            return None
        quad = _region_of_mesh(mesh, self.parameters.region_scale)
        mesh, probability = self._mesh_in(rgb8, quad, both_ways=True)
        if probability < self.parameters.mesh_threshold:
            return None
        flat = mesh[:, :2]
        return Detection(
            box=np.concatenate([flat.min(axis=0), flat.max(axis=0)]).astype(np.float32),
            score=min(score, probability),
            points68=points68_of_mesh(mesh),
            mesh=mesh.astype(np.float32),
        )

    def _mesh_in(
        self, rgb8: NDArray[np.uint8], quad: NDArray[np.float64], *, both_ways: bool = False
    ) -> tuple[NDArray[np.float64], float]:
        """The mesh (468, 3) in frame pixels and the probability of a face, in one region.

        The network's answer leans to the left by about a quarter of a pixel, and trembles;
        ``both_ways`` takes the mean with its answer to the mirror image, which ends the one and
        halves the other's power.
        """
        image = cut_crop(rgb8, quad, _INPUT)
        points, logit = self._answer(image)
        if both_ways:
            other, other_logit = self._answer(image[:, ::-1])
            other = other[_MIRROR] * (-1, 1, 1) + (_INPUT, 0, 0)
            points, logit = (points + other) / 2, (logit + other_logit) / 2
        right, down = quad[3] - quad[0], quad[1] - quad[0]
        mesh = np.empty((468, 3))
        mesh[:, :2] = quad[0] + (points[:, :1] * right + points[:, 1:2] * down) / _INPUT
        mesh[:, 2] = points[:, 2] / _INPUT * np.linalg.norm(right)
        return mesh, float(_sigmoid(np.array(logit)))

    def _answer(self, image: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
        """The network's points (468, 3), in continuous pixels of its input, and its logit."""
        raw, logit = self._infer(1, np.ascontiguousarray(image)[None])
        # It counts pixel centres as whole numbers.
        points = raw.reshape(468, 3).astype(np.float64)
        points[:, :2] += 0.5
        return points, float(logit.reshape(-1)[0])


def _by_size(outputs: Mapping[Any, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both networks have one large and one small output, in no promised order."""
    first, second = outputs.values()
    return (first, second) if first.size > second.size else (second, first)


def _sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    clipped = np.clip(logits.astype(np.float64), -_LOGIT_LIMIT, _LOGIT_LIMIT)
    result: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-clipped))
    return result


def _levels(height: int, width: int, parameters: Mesh) -> Iterator[list[tuple[int, int, int, int]]]:
    """The whole frame, then tiles whose side is a part of its long side, smaller and smaller.

    Neighbours overlap: a face that the level before was too coarse for lies whole in one of them.
    """
    yield [(0, 0, width, height)]
    for division in parameters.tiles:
        side = max(width, height) // division
        if side < parameters.smallest_tile:
            return
        yield [
            (x, y, min(x + side, width), min(y + side, height))
            for y in _steps(height, side, parameters.tile_density)
            for x in _steps(width, side, parameters.tile_density)
        ]


def _steps(length: int, side: int, density: float) -> list[int]:
    """Where tiles start along one direction, evenly, the last one ending at the border."""
    if length <= side:
        return [0]
    count = int(np.ceil((length - side) * density / side)) + 1
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def _merge(
    candidates: list[tuple[float, NDArray[np.float64]]], threshold: float
) -> list[tuple[float, NDArray[np.float64]]]:
    """Weighted non-maximum suppression: overlapping candidates become their weighted mean."""
    if not candidates:
        return []
    scores = np.array([score for score, _ in candidates])
    shapes = np.stack([shape for _, shape in candidates])
    order = np.argsort(-scores, kind="stable")
    scores, shapes = scores[order], shapes[order]
    merged = []
    while len(scores):
        boxes = shapes[:, :2].reshape(-1, 4)
        same = overlaps(boxes[0], boxes) > threshold
        same[0] = True
        weights = scores[same] / scores[same].sum()
        merged.append((float(scores[0]), np.tensordot(weights, shapes[same], axes=1)))
        scores, shapes = scores[~same], shapes[~same]
    return merged


def _without_doubles(faces: list[Detection], threshold: float) -> list[Detection]:
    """Best first; of faces whose meshes lie on each other only the best."""
    kept: list[Detection] = []
    for face in sorted(faces, key=lambda item: -item.score):
        boxes = np.array([other.box for other in kept]).reshape(-1, 4)
        if np.all(overlaps(face.box, boxes) <= threshold):
            kept.append(face)
    return kept


def _turned_back(face: Detection, turns: int, size: tuple[int, ...]) -> Detection:
    """A face of ``np.rot90(frame, turns)`` in a frame of (height, width)."""
    height, width = size

    def back(points: NDArray[np.float32]) -> NDArray[np.float32]:
        x, y = points[:, 0], points[:, 1]
        # rot90 turns counterclockwise: what was at the right is at the top.
        flat = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[turns]
        return np.stack(flat, 1).astype(np.float32)

    assert face.mesh is not None
    mesh = np.concatenate([back(face.mesh[:, :2]), face.mesh[:, 2:]], 1)
    ends = np.concatenate([mesh[:, :2].min(0), mesh[:, :2].max(0)]).astype(np.float32)
    return Detection(box=ends, score=face.score, points68=back(face.points68), mesh=mesh)


def _region_quad(
    centre: NDArray[np.float64], side: float, across: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A square around a centre whose upper edge runs along ``across``, left eye to right."""
    length = float(np.linalg.norm(across))
    right = across / length if length > 0 else np.array([1.0, 0.0])
    right = right * side / 2
    down = np.array([-right[1], right[0]])
    return np.array([centre - right - down, centre - right + down,
                     centre + right + down, centre + right - down])  # fmt: skip


def _region_of_mesh(mesh: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """The region to look at again: level with the eyes, ``scale`` times the points' own extent."""
    flat = mesh[:, :2]
    across = flat[_RIGHT_EYE] - flat[_LEFT_EYE]
    across = across / max(float(np.linalg.norm(across)), 1e-9)
    axes = np.stack([across, [-across[1], across[0]]])
    turned = flat @ axes.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    side = scale * float((high - low).max())
    return _region_quad((low + high) / 2 @ axes, side, across)
