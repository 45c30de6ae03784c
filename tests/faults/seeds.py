"""Small files of many kinds, and what can be wrong with them."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

VIDEOS = {
    "plain.mp4": ("libx264", "yuv420p", None),
    "fragments.mp4": ("libx264", "yuv420p", {"movflags": "frag_keyframe+empty_moov"}),
    "prores.mov": ("prores_ks", "yuv422p10le", None),
    "ffv1.mkv": ("ffv1", "yuv420p", None),
    "vp9.webm": ("libvpx-vp9", "yuva420p", None),
    "mpeg4.avi": ("mpeg4", "yuv420p", None),
}
PICTURES = ("p.jpg", "p.png", "p.webp", "p.tif", "p.bmp")


def write_seeds(folder: Path, pictures: list[np.ndarray]) -> list[Path]:
    """A file of each kind.

    Args:
        folder: takes them.
        pictures: (h, w, 3) uint8, RGB.
    """
    found = []
    for name, (codec, kind, options) in VIDEOS.items():
        path = folder / name
        with av.open(str(path), "w", options=options or {}) as out:
            stream = out.add_stream(codec, rate=Fraction(25))
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = kind
            sound = out.add_stream("libopus" if name.endswith("webm") else "aac", rate=48000)
            for number, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=kind)
                frame.pts = number
                out.mux(stream.encode(frame))
            samples = np.zeros((1, 48000 // 25 * len(pictures)), np.float32)
            noise = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            noise.sample_rate, noise.pts = 48000, 0
            for each in (*sound.encode(noise), *sound.encode(), *stream.encode()):
                out.mux(each)
        found.append(path)
    for name in PICTURES:
        cv2.imwrite(str(folder / name), pictures[0][:, :, ::-1])
        found.append(folder / name)
    return found


Mutator = Callable[[bytearray, random.Random], bytearray]


def flipped(data: bytearray, rng: random.Random) -> bytearray:
    """Some bits anywhere."""
    for _ in range(rng.choice((1, 4, 32))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def head_flipped(data: bytearray, rng: random.Random) -> bytearray:
    """Some bytes among the first and last, where headers and indices are."""
    reach = min(len(data), 2048)
    for _ in range(rng.choice((1, 3, 12))):
        place = rng.randrange(reach)
        data[place if rng.random() < 0.5 else len(data) - 1 - place] = rng.randrange(256)
    return data


def cut(data: bytearray, rng: random.Random) -> bytearray:
    """The end is missing."""
    return data[: rng.randrange(len(data))]


def hole(data: bytearray, rng: random.Random) -> bytearray:
    """A piece is zero."""
    start = rng.randrange(len(data))
    size = min(len(data) - start, rng.choice((4, 64, 4096)))
    data[start : start + size] = bytes(size)
    return data


def repeated(data: bytearray, rng: random.Random) -> bytearray:
    """A piece is there twice, so that all that follows has moved."""
    start = rng.randrange(len(data))
    piece = data[start : start + rng.choice((1, 7, 512))]
    return data[:start] + piece + data[start:]


def swapped(data: bytearray, rng: random.Random) -> bytearray:
    """Two pieces have changed places."""
    size = min(rng.choice((16, 256, 2048)), len(data) // 2)
    a, b = sorted(rng.randrange(len(data) - size + 1) for _ in range(2))
    if b - a >= size:
        data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]
    return data


def huge(data: bytearray, rng: random.Random) -> bytearray:
    """A number of four bytes is very large, or minus one: sizes, counts, times."""
    place = rng.randrange(max(1, min(len(data), 4096) - 4))
    value = rng.choice((0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x00FFFFFF, 0))
    data[place : place + 4] = struct.pack(rng.choice((">I", "<I")), value)
    return data


def box(data: bytearray, rng: random.Random) -> bytearray:
    """A box of MP4 or MOV has another size or another name; as `huge` where there is none."""
    names = (b"moov", b"trak", b"mdia", b"stts", b"ctts", b"stsz", b"stco", b"stsc", b"stsd")
    names += (b"tkhd", b"mvhd", b"mdhd", b"avcC", b"elst", b"moof", b"trun", b"mdat", b"ftyp")
    places = [place for name in names if (place := data.find(name)) >= 4]
    if not places:
        return huge(data, rng)
    place = rng.choice(places)
    if rng.random() < 0.2:
        data[place : place + 4] = b"free"
    elif rng.random() < 0.5:
        data[place - 4 : place] = struct.pack(">I", rng.choice((0, 1, 7, 8, 0xFFFFFFFF, 1 << 20)))
    else:  # in its first fields: counts and times
        at = place + 4 + 4 * rng.randrange(6)
        data[at : at + 4] = struct.pack(">I", rng.choice((0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 12345)))
    return data


def empty(_: bytearray, __: random.Random) -> bytearray:
    """Nothing is left."""
    return bytearray()


MUTATORS: tuple[Mutator, ...] = (
    *(flipped, head_flipped, cut, hole, repeated, swapped, huge, box, box),
)


def mutants(seeds: list[Path], folder: Path, count: int, seed: int = 0) -> Iterator[Path]:
    """Writes so many damaged files; the same for the same seed."""
    rng = random.Random(seed)
    for number in range(count):
        source = seeds[number % len(seeds)]
        data = bytearray(source.read_bytes())
        for _ in range(rng.choice((1, 1, 2))):
            data = rng.choice(MUTATORS)(data, rng) if data else data
        path = folder / f"{number:04d}{source.suffix}"
        path.write_bytes(empty(data, rng) if rng.random() < 0.01 else data)
        yield path
