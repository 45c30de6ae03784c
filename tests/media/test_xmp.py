from __future__ import annotations

import struct
import xml.dom.minidom
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from videdit.media.tag import DIGITAL_SOURCE_TYPE, Tag
from videdit.media.xmp import LONGEST, LONGEST_IN_JPEG, add_xmp, read_xmp, tagged, upright_xmp

TAG = Tag("videdit", "0.1.0", ("Smiling=1.5", "<&=1"), "2026-01-02T03:04:05Z")
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
EVENT = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"

SOURCE = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">
<rdf:Description rdf:about="this" xmlns:dc="http://purl.org/dc/elements/1.1/"
  xmlns:a="{IPTC}" xmlns:t="http://purl.org/dc/terms/" t:provenance="https://example.org/m"
  a:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
  xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"
  xmlns:mm="http://ns.adobe.com/xap/1.0/mm/" xmlns:e="{EVENT}">
 <dc:creator><rdf:Seq><rdf:li>Jürgen</rdf:li></rdf:Seq></dc:creator>
 <mm:History><rdf:Seq><rdf:li e:action="created"/></rdf:Seq></mm:History>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


def picture(suffix: str, colour: bool = True) -> bytes:
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    if colour:
        pixels = np.stack([pixels] * 3, -1)
    return bytes(cv2.imencode(suffix, pixels)[1].tobytes())


def said(packet: bytes) -> tuple[list[str], list[dict[str, str]]]:
    """Digital source types, and the events of all histories."""
    root = xml.dom.minidom.parseString(packet.strip())
    kinds = [n.firstChild.data for n in root.getElementsByTagNameNS(IPTC, "DigitalSourceType")]
    events = []
    for history in root.getElementsByTagNameNS("http://ns.adobe.com/xap/1.0/mm/", "History"):
        for event in history.getElementsByTagNameNS(RDF, "li"):
            values = dict(event.attributes.items())
            values |= {n.localName: n.firstChild.data for n in event.childNodes if n.localName}
            events.append(values)
    return kinds, events


def test_a_new_packet_says_everything() -> None:
    packet = tagged(TAG, None)
    assert packet is not None
    kinds, (event,) = said(packet)
    assert kinds == [DIGITAL_SOURCE_TYPE]
    assert event["action"] == "edited"
    assert event["softwareAgent"] == "videdit 0.1.0"
    assert event["when"] == TAG.time
    assert event["parameters"] == "Smiling=1.5, <&=1"


def test_what_the_source_says_stays_but_for_what_no_longer_holds() -> None:
    packet = tagged(TAG, SOURCE)
    assert packet is not None
    kinds, events = said(packet)
    assert kinds == [DIGITAL_SOURCE_TYPE]
    assert b"digitalCapture" not in packet
    assert b"example.org" not in packet
    assert "Jürgen".encode() in packet
    assert packet.count(b'rdf:about="this"') == 2
    assert [event.get("e:action") or event["action"] for event in events] == ["created", "edited"]
    # Edited once more, it says so once more.
    again = tagged(TAG, packet)
    assert again is not None
    kinds, events = said(again)
    assert (kinds, len(events)) == ([DIGITAL_SOURCE_TYPE], 3)


BOMB = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]>"
FILE = "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>"


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\xff\xfe\x00",
        b"<x/>",
        b"<x>",
        SOURCE[:-40],
        f"{BOMB}<x xmlns:r='{RDF}'><r:RDF>&b;</r:RDF></x>".encode(),
        f"{FILE}<x xmlns:r='{RDF}'><r:RDF>&a;</r:RDF></x>".encode(),
        (b"<a>" * 50_000) + f"<r:RDF xmlns:r='{RDF}'/>".encode() + (b"</a>" * 50_000),
        f"<?xml version='1.0' encoding='utf-7'?><r:RDF xmlns:r='{RDF}'>".encode(),
    ],
)
def test_damaged_and_hostile_packets_are_none(packet: bytes) -> None:
    assert tagged(TAG, packet) is None


def test_an_upright_picture_says_so() -> None:
    assert b'tiff:Orientation="6"' in SOURCE
    assert b'tiff:Orientation="1"' in upright_xmp(SOURCE)
    assert upright_xmp(b"<tiff:Orientation>8</tiff:Orientation>") == (
        b"<tiff:Orientation>1</tiff:Orientation>"
    )


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("colour", [False, True])
def test_written_packets_are_read_and_pictures_stay_whole(suffix: str, colour: bool) -> None:
    before = picture(suffix, colour)
    assert read_xmp(before) is None
    after = add_xmp(before, SOURCE)
    assert read_xmp(after) == SOURCE
    shown = [cv2.imdecode(np.frombuffer(d, np.uint8), -1) for d in (before, after)]
    assert shown[1] is not None
    np.testing.assert_array_equal(*shown)


def test_other_programs_read_it_in_png_and_tiff(tmp_path: Path) -> None:
    from PIL import Image

    for suffix in (".png", ".tif", ".jpg"):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(add_xmp(picture(suffix), SOURCE))
        with Image.open(path) as opened:
            opened.load()
            if suffix == ".tif":
                found = opened.tag_v2[700]
            else:
                found = opened.info.get("xmp") or opened.info["XML:com.adobe.xmp"].encode()
        assert bytes(found) == SOURCE


def test_packets_of_webp_and_of_other_writers_of_png_are_read() -> None:
    kind, block = int(cv2.IMAGE_METADATA_XMP), np.frombuffer(SOURCE, np.uint8)
    pixels = np.zeros((4, 4, 3), np.uint8)
    for suffix in (".webp", ".png"):
        done, data = cv2.imencodeWithMetadata(suffix, pixels, [kind], [block])
        assert done
        assert read_xmp(data.tobytes()) == SOURCE
    head, rest = picture(".png")[:33], picture(".png")[33:]

    def packed(content: bytes) -> bytes:
        chunk = b"iTXtXML:com.adobe.xmp\x00\x01\x00en\x00\x00" + zlib.compress(content)
        return (
            head
            + struct.pack(">I", len(chunk) - 4)
            + chunk
            + struct.pack(">I", zlib.crc32(chunk))
            + rest
        )

    assert read_xmp(packed(SOURCE)) == SOURCE
    # What unpacks to more than anyone describes a picture with is left alone.
    assert read_xmp(packed(bytes(50 * LONGEST))) is None


def test_no_packet_is_made_of_damage() -> None:
    for suffix in (".jpg", ".png", ".tif"):
        whole = add_xmp(picture(suffix), SOURCE)
        for length in range(0, len(whole), 7):
            found = read_xmp(whole[:length])
            assert found is None or SOURCE.startswith(found)
    endless = b"II*\x00\xff\xff\xff\xff" + bytes(100)
    assert read_xmp(endless) is None


def test_a_jpeg_has_no_room_for_more_than_a_segment() -> None:
    jpeg = picture(".jpg")
    packet = b">" * LONGEST_IN_JPEG
    assert read_xmp(add_xmp(jpeg, packet)) == packet
    with pytest.raises(ValueError, match="length"):
        add_xmp(jpeg, packet + b">")
    with pytest.raises(ValueError, match="no place"):
        add_xmp(picture(".bmp"), SOURCE)
