"""How the picture is encoded: the codecs on offer, and the encoding nearest to a source.

Nothing here depends on the machine: the number of encoder threads is fixed, since it changes x264's
decisions, and a GPU's encoder is taken only where it is asked for by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from videdit.errors import UsageError
from videdit.media._planes import RANGE_FULL, RANGE_LIMITED, Layout, layout_of, orient
from videdit.media.timeline import ColorTags, Hdr10, Timeline

THREADS = 1
"""Encoder threads, whatever the machine has: the bytes depend on the number."""

X264_THREADS = 4
"""Frames that x264 works on at the same time, whatever the machine has. Its bytes depend on the
number, not on who was faster."""


_CV_CPU_AVX_512F = 13  # OpenCV's number for it; its Python module has no name for the number.


def _x264_params() -> str:
    """x264's own options.

    Its AVX-512 macroblock-tree routine reads memory that nothing wrote when the picture's width in
    blocks of 16 is not a multiple of its vectors, so the same frames gave other bytes in another
    process (29 blocks did). With AVX2 the bytes are the same, on machines with and without AVX-512.
    """
    instructions = ":asm=avx2" if cv2.checkHardwareSupport(_CV_CPU_AVX_512F) else ""
    return f"open-gop=0{instructions}"


@dataclass(frozen=True)
class _Codec:
    encoder: str
    formats: tuple[str, ...]
    crf: int | None
    preset: str | None
    options: dict[str, str]
    # Whether sizes must be whole chroma blocks.
    whole_blocks: bool = False
    rgb_as: tuple[int, int] = (0, 0)
    # Whether frames may be made of fields.
    interlaced: bool = False
    # The encoder's option for constant quality, and its best value.
    quality: str = "crf"
    best: int = 0
    # Whether it is a part of NVIDIA's GPUs: not of all, and what it writes differs between them.
    on_gpu: bool = False


def _formats(*blocks: str, depths: Iterable[int] = (8,)) -> tuple[str, ...]:
    tails = ["" if depth == 8 else f"{depth}le" for depth in depths]
    return tuple(f"yuv{block}{tail}" for tail in tails for block in blocks)


def _nvenc(encoder: str, deep: tuple[str, ...], between: int) -> _Codec:
    """NVIDIA's encoder.

    Args:
        deep: formats of more than 8 bits.
        between: frames made from others before and after them, in a row.
    """
    # Each group of pictures begins with a frame that no other is needed for (IDR), as FFmpeg sets
    # the encoder up; of 0 bits a second and a quality, the quality counts.
    options = {"rc": "vbr", "b": "0", "bf": str(between), "b_ref_mode": "disabled"}
    return _Codec(
        encoder,
        (*_formats("420p", "444p"), *deep),
        16,
        "p5",
        options,
        whole_blocks=True,
        rgb_as=(1, 1),
        quality="cq",
        best=1,
        on_gpu=True,
    )


CODECS: dict[str, _Codec] = {
    "h264": _Codec(
        "libx264",
        _formats("420p", "422p", "444p", depths=(8, 10)),
        16,
        "faster",
        {"x264-params": _x264_params()},
        whole_blocks=True,
        rgb_as=(1, 1),
        interlaced=True,
    ),
    "hevc": _Codec(
        "libx265",
        _formats("420p", "422p", "444p", depths=(8, 10, 12)),
        16,
        "fast",
        {"x265-params": f"open-gop=0:pools={THREADS}:frame-threads=1:log-level=error:info=0"},
        whole_blocks=True,
        rgb_as=(1, 1),
    ),
    "vp9": _Codec(
        "libvpx-vp9",
        (*_formats("420p", "422p", "440p", "444p"), "yuva420p"),
        18,
        None,
        {"b": "0", "deadline": "good", "cpu-used": "3", "row-mt": "0"},
        rgb_as=(1, 1),
    ),
    "prores": _Codec(
        "prores_ks",
        ("yuv422p10le", "yuv444p10le", "yuva444p10le"),
        None,
        None,
        {"vendor": "apl0"},
        interlaced=True,
    ),
    "ffv1": _Codec(
        "ffv1",
        (
            *_formats("420p", "422p", "444p", depths=(8, 9, 10, 12, 14, 16)),
            *_formats("410p", "411p", "440p"),
            *_formats("440p", depths=(10, 12)),
            *(f"yuva{b}p{t}" for b in (420, 422, 444) for t in ("", "9le", "10le", "16le")),
            *("gray", "gray9le", "gray10le", "gray12le", "gray14le", "gray16le"),
            *("bgr0", "bgra"),
            *(f"gbr{a}p{t}le" for a in ("", "a") for t in (10, 12, 14, 16)),
        ),
        None,
        None,
        {"level": "3", "slicecrc": "1", "coder": "1", "context": "1"},
        interlaced=True,
    ),
    "h264_nvenc": _nvenc("h264_nvenc", (), between=2),
    # Older cards have no frames in between for HEVC.
    "hevc_nvenc": _nvenc("hevc_nvenc", ("p010le",), between=0),
}
"""The codecs on offer, by name."""


@dataclass(frozen=True)
class EncodeSpec:
    """How the picture is encoded.

    Attributes:
        codec: a key of `CODECS`.
        crf: constant quality, lower is better; None for codecs without it.
        preset: the encoder's speed preset, None where it has none.
        pix_fmt: what is encoded.
        color: tags written.
        mastering: static HDR metadata of the display, as x264 and x265 take it; "" for none.
        light: of the content's light, likewise.
        gop: greatest distance of keyframes, frames.
        fields: order of a frame's fields, a key of `FIELD_ORDERS`; None for whole frames.
        notes: what of the source's picture this encoding does not keep, for the user.
    """

    codec: str
    crf: int | None
    preset: str | None
    pix_fmt: str
    color: ColorTags
    mastering: str = ""
    light: str = ""
    gop: int = 250
    fields: str | None = None
    notes: tuple[str, ...] = ()

    @staticmethod
    def for_source(
        timeline: Timeline,
        codec: str | None = None,
        crf: int | None = None,
        suffix: str | None = None,
    ) -> EncodeSpec:
        """The encoding nearest to the source: its depth, chroma, colour tags and size.

        Args:
            codec: a key of `CODECS`; None takes VP9 for WebM, HEVC for sources deeper than 8 bits,
                else H.264.
            crf: 0 to 51 (VP9: to 63, NVENC: from 1); None takes a value that is visually near the
                source.
            suffix: of the output file (``.webm``), the source's if None.
        Raises:
            UsageError: unknown codec, or a crf out of range or for a codec without one.
        """
        source = _upright_layout(timeline)
        if codec is None:
            webm = (suffix or timeline.path.suffix).lower() == ".webm"
            codec = "vp9" if webm else "hevc" if timeline.bit_depth > 8 else "h264"
        if codec not in CODECS:
            raise UsageError(f"unknown codec {codec!r}", f"Choose one of {', '.join(CODECS)}")
        traits = CODECS[codec]
        if crf is not None:
            if traits.crf is None:
                raise UsageError(f"{codec} has no quality setting", "Leave --crf out")
            limit = 63 if codec == "vp9" else 51
            if not traits.best <= crf <= limit:
                best = f"{traits.best} (best)"
                raise UsageError(f"crf {crf} is out of range", f"Give {best} to {limit}")
        pix_fmt, notes = _choose_format(traits, codec, source, timeline.width, timeline.height)
        color = timeline.color
        target = layout_of(pix_fmt)[0]
        if target.kind != "rgb" and source.kind != "yuv":
            # RGB's tags mean nothing for YUV; gray keeps its levels.
            full = source.kind == "gray" and timeline.full_range
            color = replace(
                color, range=RANGE_FULL if full else RANGE_LIMITED, matrix=timeline.matrix
            )
        elif timeline.full_range and source.kind == "yuv":
            color = replace(color, range=RANGE_FULL)
        if codec == "prores" and color.range == RANGE_FULL:
            # ProRes has no way to say full range.
            color = replace(color, range=RANGE_LIMITED)
        mastering, light = _hdr_words(timeline.hdr)
        if (mastering or light) and codec not in ("h264", "hevc"):
            notes += (f"HDR mastering metadata ({codec} in this build has no place for it)",)
            mastering = light = ""
        fields = timeline.fields
        if fields is not None and (why := _no_fields(codec, timeline, pix_fmt)):
            notes += (f"interlacing ({why})",)
            fields = None
        return EncodeSpec(
            codec=codec,
            crf=traits.crf if crf is None else crf,
            preset=traits.preset,
            pix_fmt=pix_fmt,
            color=color,
            mastering=mastering,
            light=light,
            fields=fields,
            notes=notes,
        )

    @property
    def layout(self) -> Layout:
        """Layout of the encoded frames' planes."""
        return layout_of(self.pix_fmt)[0]

    @property
    def full_range(self) -> bool:
        """Whether the encoded code values span the full range."""
        kind = layout_of(self.pix_fmt)[0].kind
        if kind == "rgb":
            return True
        return self.color.range == RANGE_FULL or (kind == "gray" and self.color.range is None)


def _no_fields(codec: str, timeline: Timeline, pix_fmt: str) -> str | None:
    """Why a codec cannot keep the source's fields; None if it can."""
    if not CODECS[codec].interlaced:
        able = [name for name, traits in CODECS.items() if traits.interlaced]
        return f"{codec} in this build has none; {', '.join(able)} keep it"
    if timeline.rotation:
        return "the picture is turned upright, and fields are rows"
    block = 2 << max(timeline.layout.sub_h, layout_of(pix_fmt)[0].sub_h)
    if timeline.height % block:
        return f"a height that {block} does not divide has no two fields alike"
    return None


def _hdr_words(hdr: Hdr10 | None) -> tuple[str, str]:
    """Static HDR metadata as x264 and x265 take it: chromaticities in units of 1/50000, luminances
    of 1/10000 cd/m2."""
    if hdr is None:
        return "", ""
    mastering = ""
    if hdr.display is not None:
        red, green, blue, white = (
            "({},{})".format(*(round(value * 50000) for value in hdr.display[i : i + 2]))
            for i in (0, 2, 4, 6)
        )
        least, most = (round(value * 10000) for value in hdr.display[8:])
        mastering = f"G{green}B{blue}R{red}WP{white}L({most},{least})"
    light = "" if hdr.light is None else f"{hdr.light[0]},{hdr.light[1]}"
    return mastering, light


def _upright_layout(timeline: Timeline) -> Layout:
    width, height = timeline.coded_size
    layout = timeline.layout
    # Zero-stride arrays: only shapes matter here.
    planes = [
        np.broadcast_to(
            np.zeros((), layout.dtype),
            (-(-height >> layout.sub_h), -(-width >> layout.sub_w))
            if layout.kind == "yuv" and number in (1, 2)
            else (height, width),
        )
        for number in range(layout.colour_planes + layout.alpha)
    ]
    return orient(layout, planes, timeline.rotation, timeline.mirrored)[0]


def _choose_format(
    traits: _Codec, codec: str, source: Layout, width: int, height: int
) -> tuple[str, tuple[str, ...]]:
    """The codec's format that keeps most of the source, and what it does not keep."""
    same_kind = any(layout_of(f)[0].kind == source.kind for f in traits.formats)
    wanted = source
    if source.kind == "rgb" and not same_kind:
        wanted = replace(source, kind="yuv", sub_w=traits.rgb_as[0], sub_h=traits.rgb_as[1])
    elif source.kind == "gray" and not same_kind:
        wanted = replace(source, kind="yuv", sub_w=1, sub_h=1)

    def loss(pix_fmt: str) -> tuple[int, ...] | None:
        layout = layout_of(pix_fmt)[0]
        if layout.kind != wanted.kind or (layout.alpha and not wanted.alpha):
            return None
        if traits.whole_blocks and (width % (1 << layout.sub_w) or height % (1 << layout.sub_h)):
            return None
        coarser = max(0, layout.sub_w - wanted.sub_w) + max(0, layout.sub_h - wanted.sub_h)
        finer = max(0, wanted.sub_w - layout.sub_w) + max(0, wanted.sub_h - layout.sub_h)
        return (
            wanted.alpha and not layout.alpha,
            max(0, wanted.depth - layout.depth),
            coarser,
            max(0, layout.depth - wanted.depth),
            finer,
        )

    ranked = [(lost, f) for f in traits.formats if (lost := loss(f)) is not None]
    lost, pix_fmt = min(ranked)
    target = layout_of(pix_fmt)[0]
    notes = []
    if lost[0]:
        notes.append(f"alpha channel ({codec} in this build has none for it)")
    if lost[1]:
        notes.append(f"{source.depth}-bit samples, written with {target.depth} bits")
    colour_loss = lost[2] or (source.kind == "rgb" and target.kind == "yuv" and target.sub_w)
    if colour_loss:
        notes.append(
            "colour at full resolution, written as 4:2:0"
            if target.sub_h
            else "colour at full resolution, written as 4:2:2"
        )
    if (
        traits.whole_blocks
        and lost[4]
        and wanted.sub_w + wanted.sub_h
        and (width % 2 or height % 2)
    ):
        finer = "4:2:2" if target.sub_w else "4:4:4"
        notes.append(
            f"4:2:0 colour: {codec} writes odd sizes as {finer}, which some players refuse"
        )
    return pix_fmt, tuple(notes)
