"""Makes the pictures of the documentation, before and after, from people who do not exist.

    python examples/gallery.py docs/gallery

Faces are drawn from the embedded generator by a fixed seed; every edit goes through the whole chain
as `videdit image --quality fast` does it, and the film through that of `videdit run`. What did not
come out well is made too: it is shown on the page of limits. Pictures that are there are not made
again. All of them take a quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from videdit import edit_image, edit_video
from videdit.media.pictures import read_picture, write_picture
from videdit.models.networks import Networks, open_networks
from videdit.sheet import tile

SEED, PEOPLE = 20260101, 64
TRUNCATION = 0.75  # how far from W's mean: faces as one meets them
SIDE = 288  # of each picture in a pair, pixels
QUALITY = 78  # of WebP
EXAMPLE = Path(__file__).parent / "input.mp4"


@dataclass(frozen=True)
class Pair:
    """A face before and after.

    Attributes:
        face: number of the face that is drawn, below :data:`PEOPLE`.
        edits: attributes and strengths.
    """

    face: int
    edits: Mapping[str, float]

    @property
    def words(self) -> str:
        """The edits as one types them."""
        return " ".join(f"{name}={alpha:g}" for name, alpha in self.edits.items())

    @property
    def file(self) -> str:
        """The picture's name."""
        return f"{self.words.replace('=', '_').replace(' ', '-')}-{self.face}.webp"


def _pair(face: int, **edits: float) -> Pair:
    return Pair(face, edits)


GALLERY = (
    _pair(20, Smiling=1.5),
    _pair(40, Smiling=1.5),
    _pair(60, Smiling=1),
    _pair(55, Smiling=1.5),
    _pair(58, Smiling=-1),
    _pair(61, Mouth_Slightly_Open=1),
    _pair(53, Narrow_Eyes=0.5),
    _pair(58, Young=-1),
    _pair(61, Young=-1),
    _pair(0, Young=1),
    _pair(50, Young=1),
    _pair(63, Male=1),
    _pair(30, Male=-1),
    _pair(28, Bangs=1),
    _pair(61, Bangs=1),
    _pair(19, Brown_Hair=1),
    _pair(40, Gray_Hair=1),
    _pair(16, Blond_Hair=0.6),
    _pair(58, Wavy_Hair=1),
    _pair(33, No_Beard=1),
    _pair(61, No_Beard=-1),
    _pair(40, Goatee=1),
    _pair(40, **{"5_o_Clock_Shadow": 1}),
    _pair(42, Bushy_Eyebrows=0.5),
    _pair(16, Arched_Eyebrows=1),
    _pair(16, Heavy_Makeup=1),
    _pair(55, Eyeglasses=1),
    _pair(28, Eyeglasses=1),
    _pair(40, Eyeglasses=1),
    _pair(56, Eyeglasses=-1),
    _pair(34, Eyeglasses=-1),
    _pair(8, Eyeglasses=-1),
    _pair(61, Wearing_Hat=1),
    _pair(35, Young=-1, Gray_Hair=1),
    _pair(42, Smiling=1, Eyeglasses=1),
)
"""What works, on people that it suits."""

LIMITS = (
    _pair(58, Young=-4),
    _pair(63, Smiling=4),
    _pair(42, Bushy_Eyebrows=1),
    _pair(53, Narrow_Eyes=1),
    _pair(20, Blond_Hair=1),
    _pair(4, Blond_Hair=1),
    _pair(41, Blond_Hair=1),
    _pair(47, Black_Hair=1),
    _pair(20, Brown_Hair=1),
    _pair(58, Pale_Skin=1),
    _pair(46, Wearing_Lipstick=1),
    _pair(26, Male=1),
    _pair(35, Receding_Hairline=1),
    _pair(20, Chubby=1),
    _pair(63, Bags_Under_Eyes=1),
    _pair(63, Big_Nose=1),
    _pair(0, Big_Lips=1),
    _pair(53, Double_Chin=1),
    _pair(15, Mustache=1),
    _pair(53, Sideburns=1),
    _pair(45, Young=1),
    _pair(0, Smiling=1),
    _pair(61, Smiling=1.5, Mouth_Slightly_Open=1),
    _pair(46, Smiling=-1),
    _pair(61, Pointy_Nose=1),
    _pair(4, Wearing_Earrings=1),
    _pair(28, Bald=1),
    _pair(61, Bald=1),
    _pair(37, Wearing_Hat=1),
    _pair(41, Straight_Hair=1),
    _pair(59, Straight_Hair=1),
    _pair(61, Wearing_Earrings=1),
    _pair(62, Oval_Face=1),
    _pair(49, Smiling=1),
)
"""What is too strong or too weak, brings something else along, or breaks."""

FILM = "film.webp"
"""The example clip, left its source, right its edit: an animated WebP."""


def draw_faces(networks: Networks, numbers: set[int]) -> dict[int, NDArray[np.uint8]]:
    """Faces, (H, H, 3) RGB each at the generator's resolution, by number."""
    z = torch.randn(PEOPLE, 512, generator=torch.Generator().manual_seed(SEED))
    mean = networks.statistics.mean
    with torch.no_grad():
        codes = (mean + TRUNCATION * (networks.mapping(z) - mean)).numpy()
    rows = networks.space.rows
    drawn = {}
    for number in sorted(numbers):
        code = np.broadcast_to(codes[number], (1, rows, 512)).astype(np.float32)
        picture = np.clip(networks.generator.decode(code)[0], 0, 1)
        drawn[number] = np.rint(picture * 255).astype(np.uint8)
    return drawn


def side_by_side(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two pictures (H, W, 3) of one size as one."""
    small = [cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for one in (before, after)]
    return tile([small], SIDE)


def write_webp(path: Path, picture: NDArray[np.uint8]) -> None:
    """A picture (H, W, 3) RGB as WebP."""
    cv2.imwrite(str(path), picture[:, :, ::-1], [cv2.IMWRITE_WEBP_QUALITY, QUALITY])


def make_pairs(folder: Path) -> None:
    """All pairs that are not there yet."""
    missing = [pair for pair in GALLERY + LIMITS if not (folder / pair.file).exists()]
    if not missing:
        return
    networks = open_networks("mobile", say=print)
    faces = draw_faces(networks, {pair.face for pair in missing})
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for number, face in faces.items():
            write_picture(work / f"{number}.png", face)
        how = {"quality": "fast", "cache_dir": work / "cache"}
        for pair in missing:
            source, result = work / f"{pair.face}.png", work / "edited.png"
            edit_image(source, result, pair.edits, overwrite=True, settings=how, networks=networks)
            picture = side_by_side(faces[pair.face], read_picture(result))
            write_webp(folder / pair.file, picture)
            print(pair.file)


def make_film(folder: Path) -> None:
    """The film, unless it is there."""
    if (folder / FILM).exists():
        return
    with tempfile.TemporaryDirectory() as name:
        result = Path(name) / "edited.mp4"
        how = {"quality": "fast", "cache_dir": Path(name) / "cache"}
        edit_video(EXAMPLE, result, {"Smiling": "0s:0,2s:1.5,3.8s:0"}, settings=how)
        frames = []
        with av.open(str(EXAMPLE)) as before, av.open(str(result)) as after:
            both = zip(before.decode(video=0), after.decode(video=0), strict=True)
            for index, pair in enumerate(both):
                if index % 2 == 0:
                    shown = [frame.to_ndarray(format="rgb24") for frame in pair]
                    frames.append(tile([shown], 216)[:, :, ::-1])
    animation = cv2.Animation()
    animation.frames = frames
    animation.durations = [80] * len(frames)
    cv2.imwriteanimation(str(folder / FILM), animation, [cv2.IMWRITE_WEBP_QUALITY, 60])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    make_pairs(folder)
    make_film(folder)
    size = sum(path.stat().st_size for path in folder.glob("*.webp"))
    print(f"{folder}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
