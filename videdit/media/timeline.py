"""What a source is: its frames with exact times, and everything needed to give the same back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from videdit.media._colour import matrix_code
from videdit.media._planes import RANGE_FULL, Layout, layout_of


@dataclass(frozen=True)
class ColorTags:
    """ITU-T H.273 code points as the source states them; None where it says nothing.

    Attributes:
        range: 1 limited, 2 full.
        primaries, transfer, matrix: H.273 tables 2, 3 and 4.
    """

    range: int | None = None
    primaries: int | None = None
    transfer: int | None = None
    matrix: int | None = None


@dataclass(frozen=True)
class Hdr10:
    """Static HDR metadata.

    Attributes:
        display: of the mastering display (SMPTE ST 2086): x and y of red, green, blue and white,
            then least and greatest luminance in cd/m2; None where it is not stated.
        light: greatest light of a pixel, greatest mean of a frame, cd/m2 (CTA-861.3); None where
            it is not stated.
    """

    display: tuple[Fraction, ...] | None
    light: tuple[int, int] | None


@dataclass(frozen=True)
class OtherStream:
    """A stream of the source beside the picture: index in the file, type, codec name."""

    index: int
    type: str
    codec: str


@dataclass(frozen=True, eq=False)
class Timeline:
    """The frames of a source in presentation order. Sizes and aspect are of the upright picture.

    Attributes:
        path: the file.
        content_id: first 32 hex digits of the file's SHA-256.
        time_base: seconds per tick.
        pts: (n,) int64, ticks, never decreasing.
        durations: (n,) int64, ticks, to the next frame; the last as stored, else the median.
        keyframes: (k,) int32, frames a decoder can start from; the first is 0.
        width, height: upright size in pixels.
        rotation: degrees clockwise from the coded to the upright picture: 0, 90, 180 or 270.
        mirrored: whether the coded picture is mirrored left-right before it is rotated.
        sample_aspect: width over height of an upright pixel.
        pix_fmt: ffmpeg's name of the decoded format.
        bit_depth: bits per sample as they are held here.
        color: colour tags.
        codec: ffmpeg's name of the source's codec.
        has_alpha: whether the format has an alpha channel.
        stream_index: of the picture stream in the file.
        streams: the other streams.
        container: ffmpeg's name of the container.
        is_image: a picture: one frame without a meaningful time.
        average_rate: frames/s.
        zero_based: False where the container's clock starts anywhere (MPEG-TS).
        stored: (n,) the times that the decoder gives, where they do not rise and `pts` are made
            from them; else None.
        hdr: static HDR metadata.
        fields: which field of an interlaced source's frames is shown first, a key of
            `fields.FIELD_ORDERS`; None where frames are whole.
        unkept: things in the source that no result carries over.
    """

    path: Path
    content_id: str
    time_base: Fraction
    pts: NDArray[np.int64]
    durations: NDArray[np.int64]
    keyframes: NDArray[np.int32]
    width: int
    height: int
    rotation: int
    mirrored: bool
    sample_aspect: Fraction
    pix_fmt: str
    bit_depth: int
    color: ColorTags
    codec: str
    has_alpha: bool
    stream_index: int
    streams: tuple[OtherStream, ...]
    container: str
    is_image: bool
    average_rate: Fraction
    zero_based: bool = True
    stored: NDArray[np.int64] | None = None
    hdr: Hdr10 | None = None
    fields: str | None = None
    unkept: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def coded_size(self) -> tuple[int, int]:
        """Width and height before rotation."""
        turned = self.rotation in (90, 270)
        return (self.height, self.width) if turned else (self.width, self.height)

    @property
    def layout(self) -> Layout:
        """Layout of the coded frames' planes."""
        return layout_of(self.pix_fmt)[0]

    @property
    def full_range(self) -> bool:
        """Whether code values span the full range. Gray and RGB are full unless tagged limited."""
        if self.layout.kind == "rgb":
            return True
        if self.color.range is None:
            return self.layout.kind == "gray" or self.pix_fmt.startswith("yuvj")
        return self.color.range == RANGE_FULL

    @property
    def matrix(self) -> int:
        """H.273 matrix to compute with; guessed from the size where the source says nothing."""
        return matrix_code(self.color.matrix, self.width, self.height)

    @property
    def stored_times(self) -> NDArray[np.int64]:
        """(n,) ticks, as the decoder gives them."""
        return self.pts if self.stored is None else self.stored

    def times(self) -> NDArray[np.float64]:
        """(n,) seconds from the first frame."""
        result: NDArray[np.float64] = (self.pts - self.pts[0]) * (
            self.time_base.numerator / self.time_base.denominator
        )
        return result

    def select(self, start_s: float | None, stop_s: float | None) -> range:
        """Frames with start_s <= time < stop_s; None leaves a side open."""
        times = self.times()
        # Half a tick of tolerance: "2.002" typed for 60 NTSC frames must not miss the frame there.
        slack = 0.5 * float(self.time_base)
        first = 0 if start_s is None else int(np.searchsorted(times, start_s - slack, "left"))
        last = len(self) if stop_s is None else int(np.searchsorted(times, stop_s - slack, "left"))
        return range(first, max(first, last))

    def to_json(self) -> dict[str, Any]:
        """A plain dict that `from_json` turns back; fractions as ``n/d`` strings."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("time_base", "sample_aspect", "average_rate", "path"):
            data[name] = str(data[name])
        for name in ("pts", "durations", "keyframes"):
            data[name] = data[name].tolist()
        data["color"] = asdict(self.color)
        data["streams"] = [asdict(stream) for stream in self.streams]
        data["unkept"] = list(self.unkept)
        data["stored"] = None if self.stored is None else self.stored.tolist()
        if self.hdr is not None:
            display = self.hdr.display
            data["hdr"] = {
                "display": None if display is None else [str(value) for value in display],
                "light": None if self.hdr.light is None else list(self.hdr.light),
            }
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Timeline:
        """Inverse of `to_json`."""
        values = dict(data)
        values["path"] = Path(values["path"])
        for name in ("time_base", "sample_aspect", "average_rate"):
            values[name] = Fraction(values[name])
        values["pts"] = np.array(values["pts"], np.int64)
        values["durations"] = np.array(values["durations"], np.int64)
        values["keyframes"] = np.array(values["keyframes"], np.int32)
        values["color"] = ColorTags(**values["color"])
        values["streams"] = tuple(OtherStream(**stream) for stream in values["streams"])
        values["unkept"] = tuple(values["unkept"])
        if values["stored"] is not None:
            values["stored"] = np.array(values["stored"], np.int64)
        if values["hdr"] is not None:
            display, light = values["hdr"]["display"], values["hdr"]["light"]
            values["hdr"] = Hdr10(
                None if display is None else tuple(map(Fraction, display)),
                None if light is None else (light[0], light[1]),
            )
        return cls(**values)
