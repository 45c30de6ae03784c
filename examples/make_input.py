"""Makes ``input.mp4``: a person who does not exist turns the head and crosses a scene, talking.

    python examples/make_input.py examples/input.mp4

The person is a code of the embedded generator. Where "turn the head" and "open the mouth" lie in W
is measured here, on a few hundred generated faces: the direction along which codes and the measured
pose vary together. Takes two to three minutes on two cores.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from videdit.generators.mobile import ROWS
from videdit.generators.wspace import WStatistics
from videdit.models.networks import open_networks
from videdit.models.protocols import Generator, Landmarker
from videdit.training.faces import shard_codes

WIDTH, HEIGHT, RATE, SECONDS = 1280, 720, 25, 4
PERSON = (4, 108)  # shard and number: a neutral face before a plain wall
CROP = 640  # side of the generated square in the scene, pixels
SAMPLES = 240
AXES = 40  # principal axes of W searched for a direction: later ones hold no pose
SOUND_RATE = 48000


def pose_of(points: np.ndarray) -> tuple[float, float]:
    """Turn of the head and opening of the mouth, in units of the distance between the eyes."""
    left, right = points[36:42].mean(0), points[42:48].mean(0)
    unit = np.linalg.norm(right - left)
    turn = (points[30, 0] - (left + right)[0] / 2) / unit
    opening = (points[66, 1] - points[62, 1]) / unit
    return float(turn), float(opening)


def find_directions(
    decoder: Generator, codes: torch.Tensor, stats: WStatistics, landmarker: Landmarker
) -> np.ndarray:
    """(2, 512) steps of W: one standard deviation of turning, and of opening the mouth."""
    poses, kept = [], []
    for index, code in enumerate(codes):
        row = np.broadcast_to(code.numpy(), (1, ROWS, 512))
        picture = cv2.resize(decoder.decode(row)[0], (256, 256), interpolation=cv2.INTER_AREA)
        faces = landmarker.detect(np.rint(picture * 255).astype(np.uint8))
        if faces:
            poses.append(pose_of(faces[0].points68))
            kept.append(index)
    values = np.array(poses)
    values = (values - values.mean(0)) / values.std(0)
    whitened = stats.whiten(codes[kept]).numpy()[:, :AXES]
    pattern = np.zeros((2, 512), np.float32)
    pattern[:, :AXES] = values.T @ whitened / len(kept)
    return (stats.color(torch.from_numpy(pattern)) - stats.mean).numpy()


def scene_of(picture: np.ndarray) -> np.ndarray:
    """The wall behind the person, with a soft light from the left, (720, 1280, 3) in [0, 1]."""
    border = np.concatenate(
        [
            picture[:60].reshape(-1, 3),
            picture[:400, :40].reshape(-1, 3),
            picture[:400, -40:].reshape(-1, 3),
        ]
    )
    light = np.linspace(1.04, 0.94, WIDTH, dtype=np.float32)[None, :, None]
    return np.broadcast_to(np.median(border, 0) * light, (HEIGHT, WIDTH, 3)).astype(np.float32)


def feather() -> np.ndarray:
    """Weight of the generated square in the scene: fades out to the left, the right and the top."""
    axis = (np.arange(CROP, dtype=np.float32) + 0.5) / CROP
    side = np.clip(np.minimum(axis, 1 - axis) / 0.12, 0, 1)
    top = np.clip(axis / 0.08, 0, 1)
    ramp = np.outer(top * top * (3 - 2 * top), side * side * (3 - 2 * side))
    return ramp[:, :, None]


def frames(decoder: Generator, code: np.ndarray, steps: np.ndarray):
    """The frames, (720, 1280, 3) uint8, and the mouth's opening that the sound follows."""
    rng = np.random.default_rng(7)
    total = RATE * SECONDS
    scene = None
    for index in range(total):
        t = index / total
        turn = 1.1 * np.sin(2 * np.pi * t)
        talk = 0.5 * (1 - np.cos(2 * np.pi * 3.5 * index / RATE)) * (0.2 < t < 0.8)
        rows = np.broadcast_to(code, (1, ROWS, 512)).copy()
        rows[:, :8] += turn * steps[0]
        rows[:, 3:7] += 0.9 * talk * steps[1]
        picture = decoder.decode(rows)[0]
        if scene is None:
            scene, fade = scene_of(picture), feather()
        person = cv2.resize(picture, (CROP, CROP), interpolation=cv2.INTER_AREA)
        x = 180 + 460 * t
        y = HEIGHT - CROP + 6 * np.sin(4 * np.pi * t)
        matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
        size = (WIDTH, HEIGHT)
        border = cv2.BORDER_REPLICATE
        placed = cv2.warpAffine(person, matrix, size, flags=cv2.INTER_CUBIC, borderMode=border)
        weight = cv2.warpAffine(fade, matrix, size, borderMode=cv2.BORDER_CONSTANT)[:, :, None]
        # Below the square's lower edge (it bobs a little) the last row goes on.
        weight[-8:] = weight[-9]
        frame = scene + weight * (placed - scene)
        frame += rng.normal(0, 0.006, frame.shape).astype(np.float32)
        yield np.rint(np.clip(frame, 0, 1) * 255).astype(np.uint8), float(talk)


def voice(talking: list[float]) -> np.ndarray:
    """A hum that is loud while the mouth is open, (samples,) float32."""
    time = np.arange(SOUND_RATE * SECONDS) / SOUND_RATE
    loud = np.interp(time * RATE, np.arange(len(talking)), talking)
    pitch = 2 * np.pi * np.cumsum(165 + 12 * np.sin(2 * np.pi * 0.7 * time)) / SOUND_RATE
    tone = sum(np.sin(k * pitch) / k for k in (1, 2, 3, 4))
    return (0.12 * (0.15 + loud) * tone).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    networks = open_networks("mobile", "cpu", "fp32", say=print)
    stats, mapping, decoder = networks.statistics, networks.mapping, networks.generator
    samples = torch.from_numpy(shard_codes(0, mapping, stats)[0][:SAMPLES].astype(np.float32))
    steps = find_directions(decoder, samples, stats, networks.landmarker)
    code = shard_codes(PERSON[0], mapping, stats)[0][PERSON[1]].astype(np.float32)

    with av.open(str(output), "w", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "20", "preset": "slow"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=SOUND_RATE, layout="mono")
        talking = []
        for picture, talk in frames(decoder, code, steps):
            talking.append(talk)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        samples_ = voice(talking)
        for start in range(0, len(samples_), 1024):
            piece = samples_[None, start : start + 1024]
            block = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
            block.sample_rate = SOUND_RATE
            block.pts = start
            block.time_base = Fraction(1, SOUND_RATE)
            container.mux(sound.encode(block))
        container.mux(sound.encode())
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
