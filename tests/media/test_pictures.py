from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.media.test_probe import jpeg_with_orientation
from videdit.errors import StorageError, UsageError
from videdit.media.pictures import write_picture
from videdit.media.probe import probe
from videdit.media.reader import read_frames
from videdit.media.tag import Tag
from videdit.media.xmp import add_xmp, read_xmp, tagged


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_pictures(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 255, 32)
    rgb = np.stack(np.broadcast_arrays(ramp[None], ramp[:, None], 255 - ramp[None]), -1)
    rgb = rgb.astype(np.uint8)
    path = tmp_path / f"a{suffix}"
    write_picture(path, rgb)
    first = path.read_bytes()
    back = cv2.imread(str(path))[..., ::-1]
    limit = 0 if suffix in (".png", ".tif") else 16
    assert np.abs(back.astype(int) - rgb).max() <= limit
    write_picture(path, rgb)
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if suffix == ".jpg":
        assert probe(path).pix_fmt == "yuvj444p"


def test_deep_picture_with_alpha(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65536, (6, 5, 4), np.uint16)
    source = tmp_path / "source.png"
    cv2.imwrite(str(source), pixels)
    timeline = probe(source)
    frame = next(read_frames(timeline))
    result = tmp_path / "result.png"
    write_picture(result, frame.rgb, timeline)
    np.testing.assert_array_equal(cv2.imread(str(result), cv2.IMREAD_UNCHANGED), pixels)


def test_picture_refusals(tmp_path: Path) -> None:
    rgb = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(UsageError):
        write_picture(tmp_path / "a.doc", rgb)
    with pytest.raises(StorageError):
        write_picture(tmp_path / "none" / "a.png", rgb)


def test_exif_survives_and_says_upright(tmp_path: Path) -> None:
    source = tmp_path / "source.jpg"
    jpeg_with_orientation(source, 6)
    timeline = probe(source)
    rgb = next(read_frames(timeline)).rgb
    result = tmp_path / "result.jpg"
    write_picture(result, rgb, timeline)
    assert b"Exif\x00\x00" in result.read_bytes()
    again = probe(result)
    assert again.rotation == 0
    assert (again.width, again.height) == (timeline.width, timeline.height)
    assert np.abs(next(read_frames(again)).rgb.astype(int) - rgb).mean() < 3


def test_a_grey_picture_stays_one_channel(tmp_path: Path) -> None:
    source = tmp_path / "grey.png"
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    cv2.imwrite(str(source), grey)
    timeline = probe(source)
    for suffix in (".png", ".jpg", ".tif"):
        result = tmp_path / f"result{suffix}"
        assert write_picture(result, next(read_frames(timeline)).rgb, timeline) == ()
        assert cv2.imread(str(result), cv2.IMREAD_UNCHANGED).ndim == 2


def test_alpha_is_kept_where_there_is_a_place_for_it_and_else_said_to_be_lost(
    tmp_path: Path,
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)
    source = tmp_path / "source.tif"
    cv2.imwrite(str(source), pixels)
    timeline = probe(source)
    rgb = next(read_frames(timeline)).rgb
    for suffix in (".png", ".tif"):
        result = tmp_path / f"result{suffix}"
        assert write_picture(result, rgb, timeline) == ()
        np.testing.assert_array_equal(cv2.imread(str(result), cv2.IMREAD_UNCHANGED), pixels)
    assert "alpha" in write_picture(tmp_path / "result.jpg", rgb, timeline)[0]


def test_an_alpha_channel_that_hides_nothing_is_no_loss(tmp_path: Path) -> None:
    pixels = np.full((6, 5, 4), 255, np.uint8)
    source = tmp_path / "source.png"
    cv2.imwrite(str(source), pixels)
    timeline = probe(source)
    assert write_picture(tmp_path / "r.jpg", next(read_frames(timeline)).rgb, timeline) == ()


def test_a_description_of_a_gain_map_goes_with_it(tmp_path: Path) -> None:
    pixels = np.full((6, 5, 3), 90, np.uint8)
    xmp = np.frombuffer(b'<x xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"/>', np.uint8)
    kinds, blocks = [int(cv2.IMAGE_METADATA_XMP)], [xmp]
    done, data = cv2.imencodeWithMetadata(".jpg", pixels, kinds, blocks)
    assert done
    source = tmp_path / "source.jpg"
    source.write_bytes(data.tobytes())
    timeline = probe(source)
    result = tmp_path / "result.jpg"
    write_picture(result, next(read_frames(timeline)).rgb, timeline)
    assert b"hdrgm" in source.read_bytes()
    assert b"hdrgm" not in result.read_bytes()


TAG = Tag("videdit", "0.1.0", ("Smiling=1.5",), "2026-01-02T03:04:05Z")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_an_edited_picture_says_so(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    plain, marked = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    source = tmp_path / "source.png"
    for channels in (1, 3, 4):
        cv2.imwrite(str(source), rng.integers(0, 256, (6, 5, channels), np.uint8))
        timeline = probe(source)
        rgb = next(read_frames(timeline)).rgb
        write_picture(plain, rgb, timeline)
        write_picture(marked, rgb, timeline, TAG)
        assert read_xmp(plain.read_bytes()) is None
        assert read_xmp(marked.read_bytes()) == tagged(TAG, None)
        first = marked.read_bytes()
        write_picture(marked, rgb, timeline, TAG)
        assert marked.read_bytes() == first
        shown = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (plain, marked)]
        np.testing.assert_array_equal(*shown)
        assert probe(marked).is_image


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="%s"><rdf:Description %s/></rdf:RDF>'
XMP += b"</x:xmpmeta>"
XMP = XMP % (b"http://www.w3.org/1999/02/22-rdf-syntax-ns#", b'xmlns:n="urn:n" n:mine="kept"')


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("tag", [None, TAG])
def test_xmp_of_the_source_survives(tmp_path: Path, suffix: str, tag: Tag | None) -> None:
    source = tmp_path / "source.jpg"
    jpeg_with_orientation(source, 6)
    source.write_bytes(add_xmp(source.read_bytes(), XMP))
    timeline = probe(source)
    result = tmp_path / f"result{suffix}"
    lost = write_picture(result, next(read_frames(timeline)).rgb, timeline, tag)
    packet = read_xmp(result.read_bytes())
    assert packet is not None
    assert b'n:mine="kept"' in packet
    assert (b"Smiling=1.5" in packet) == (tag is not None)
    assert lost == (("EXIF (not written to .tif files)",) if suffix == ".tif" else ())


def test_xmp_that_cannot_be_kept_gives_way_to_the_tag_and_is_told(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    damaged, long = b"<damaged>", XMP.replace(b"kept", b"k" * 65000)
    for packet, suffix, said in (
        (damaged, ".png", "XMP (damaged)"),
        (damaged, ".webp", "XMP (damaged)"),
        (long, ".jpg", "XMP (too long for a .jpg file)"),
    ):
        source = tmp_path / "source.png"
        source.write_bytes(add_xmp(cv2.imencode(".png", pixels)[1].tobytes(), packet))
        timeline = probe(source)
        result = tmp_path / f"result{suffix}"
        lost = write_picture(result, next(read_frames(timeline)).rgb, timeline, TAG)
        assert lost == (said,)
        assert read_xmp(result.read_bytes()) == tagged(TAG, None)


def test_a_bmp_holds_no_tag_and_the_run_says_so(tmp_path: Path) -> None:
    (lost,) = write_picture(tmp_path / "a.bmp", np.zeros((4, 4, 3), np.uint8), None, TAG)
    assert "edited" in lost
    assert write_picture(tmp_path / "a.bmp", np.zeros((4, 4, 3), np.uint8)) == ()
