"""HEIC files of tiles, as phones write them, put together box by box (ISO/IEC 14496-12, 23008-12):
nothing that pip installs by itself writes them."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np

from tests.media.conftest import run_ffmpeg

TILE = 64

GAIN_MAP = b"urn:com:apple:photo:2020:aux:hdrgainmap"


def box(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + name + body


def full(name: bytes, *content: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(name, struct.pack(">I", version << 24 | flags), *content)


def coded_tiles(folder: Path, pictures: list[np.ndarray]) -> tuple[bytes, list[bytes]]:
    """The HEVC configuration and the samples of (64, 64, 3) pictures, without loss in 4:2:0."""
    raw, film = folder / "tiles.raw", folder / "tiles.mp4"
    raw.write_bytes(np.concatenate(pictures).tobytes())
    run_ffmpeg(
        f"-f rawvideo -pix_fmt rgb24 -s {TILE}x{TILE} -i",
        raw,
        "-vf scale=out_range=pc:out_color_matrix=smpte170m -pix_fmt yuv420p -color_range pc",
        "-colorspace smpte170m -c:v libx265 -tag:v hvc1",
        "-x265-params lossless=1:keyint=1:log-level=error:info=0",
        film,
    )
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        extradata = stream.codec_context.extradata
        assert extradata is not None
        return extradata, [bytes(packet) for packet in container.demux(stream) if packet.size]


def write_tiled_heic(
    path: Path,
    rgb: np.ndarray,
    *,
    turns: int = 0,
    mirror: int | None = None,
    profile: bytes | None = None,
    thumbnail: bool = False,
    gain_map: bool = False,
) -> None:
    """Write a picture as a grid of 64x64 tiles.

    Args:
        rgb: (H, W, 3) uint8; tiles at its right and lower edge are filled up.
        turns: quarter turns against the clock that make it upright (``irot``).
        mirror: ``imir`` after that; 0 swaps up and down, 1 left and right.
        profile: of colours (``colr``).
        thumbnail: with one tile more, before the others, as a picture of its own.
        gain_map: with a second grid, of the first tile four times, that is auxiliary.
    """
    height, width = rgb.shape[:2]
    rows, columns = -(-height // TILE), -(-width // TILE)
    edge = ((0, rows * TILE - height), (0, columns * TILE - width), (0, 0))
    padded = np.pad(rgb, edge, mode="edge")
    tiles = [
        padded[y : y + TILE, x : x + TILE]
        for y in range(0, rows * TILE, TILE)
        for x in range(0, columns * TILE, TILE)
    ]
    extras = [np.full((TILE, TILE, 3), 77, np.uint8)] if thumbnail else []
    configuration, samples = coded_tiles(path.parent, [*extras, *tiles])

    properties = [box(b"hvcC", configuration), full(b"ispe", struct.pack(">II", TILE, TILE))]
    of_tile = [0x81, 2]
    properties.append(full(b"ispe", struct.pack(">II", width, height)))
    of_grid = [3]
    if profile is not None:
        properties.append(box(b"colr", b"prof", profile))
        of_grid.append(len(properties))
    if turns:
        properties.append(box(b"irot", bytes([turns])))
        of_grid.append(0x80 | len(properties))
    if mirror is not None:
        properties.append(box(b"imir", bytes([mirror])))
        of_grid.append(0x80 | len(properties))

    # Items: coded pictures 1.., then the grids.
    count = len(samples)
    grid = count + 1
    used = list(range(1 + len(extras), count + 1))
    grids = [(grid, (rows, columns, width, height), used, of_grid)]
    if gain_map:
        first = used[0]
        properties.append(full(b"ispe", struct.pack(">II", 2 * TILE, 2 * TILE)))
        properties.append(full(b"auxC", GAIN_MAP + b"\0"))
        of_gain_map = [len(properties) - 1, 0x80 | len(properties)]
        grids.insert(0, (grid + 1, (2, 2, 2 * TILE, 2 * TILE), [first] * 4, of_gain_map))
    references = [
        box(b"dimg", struct.pack(f">HH{len(parts)}H", item, len(parts), *parts))
        for item, _, parts, _ in grids
    ]
    if thumbnail:
        references.append(box(b"thmb", struct.pack(">HHH", 1, 1, grid)))
    if gain_map:
        references.append(box(b"auxl", struct.pack(">HHH", grid + 1, 1, grid)))
    entries = [
        full(b"infe", struct.pack(">HH", item, 0), b"hvc1\0", version=2)
        for item in range(1, count + 1)
    ]
    entries += [
        full(b"infe", struct.pack(">HH", item, 0), b"grid\0", version=2) for item, *_ in grids
    ]
    uses = [(item, of_tile) for item in range(1, count + 1)]
    uses += [(item, of) for item, _, _, of in grids]
    associations = b"".join(struct.pack(">HB", i, len(of)) + bytes(of) for i, of in sorted(uses))
    descriptions = [
        struct.pack(">BBBBHH", 0, 0, r - 1, c - 1, w, h) for _, (r, c, w, h), _, _ in grids
    ]

    def meta(data_at: int) -> bytes:
        places, at = [], data_at
        for item, sample in enumerate(samples, 1):
            # Item, in the file, no other file, one extent: where, how long.
            places.append(struct.pack(">HHHHII", item, 0, 0, 1, at, len(sample)))
            at += len(sample)
        for number, (item, *_) in enumerate(grids):
            places.append(struct.pack(">HHHHII", item, 1, 0, 1, 8 * number, 8))  # in idat
        return full(
            b"meta",
            full(b"hdlr", bytes(4), b"pict", bytes(13)),
            full(b"pitm", struct.pack(">H", grid)),
            full(b"iloc", struct.pack(">HH", 0x4400, len(places)), *places, version=1),
            full(b"iinf", struct.pack(">H", len(entries)), *entries),
            full(b"iref", *references),
            box(
                b"iprp",
                box(b"ipco", *properties),
                full(b"ipma", struct.pack(">I", len(uses)), associations),
            ),
            box(b"idat", *descriptions),
        )

    head = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    start = len(head) + len(meta(0)) + 8
    path.write_bytes(head + meta(start) + box(b"mdat", *samples))
