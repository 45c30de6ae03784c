"""XMP in pictures (ISO 16684-1): reading a source's packet, adding a tag to it, writing it.

A packet is XML out of a file that nobody vouches for: one with a document type, the part of XML
that can name other files or grow without bound, is not parsed.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from xml.dom import minidom  # nosec B408
from xml.parsers.expat import ExpatError

from videdit.media.tag import DIGITAL_SOURCE_TYPE, Tag

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_MM = "http://ns.adobe.com/xap/1.0/mm/"
_EVENT = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
_XMLNS = "http://www.w3.org/2000/xmlns/"

# What no longer holds: the term of before, and where a manifest that signs the source's bytes lies.
_REPLACED = ((_IPTC, "DigitalSourceType"), ("http://purl.org/dc/terms/", "provenance"))

# How the formats mark a packet (XMP specification part 3).
_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\x00"
_IN_PNG = b"XML:com.adobe.xmp\x00"
_IN_TIFF = 700

LONGEST = 1 << 20
"""Most bytes of a packet that is read."""

LONGEST_IN_JPEG = 65533 - len(_IN_JPEG)
"""Most bytes of a packet that a JPEG's segment holds."""

_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"/></x:xmpmeta>'
    '<?xpacket end="w"?>'
)


def tagged(tag: Tag, packet: bytes | None) -> bytes | None:
    """A packet with a tag in it: IPTC's digital source type, and an entry of the history.

    Args:
        packet: the source's; what it says is kept. None for a new one.

    Returns:
        None where the source's packet is damaged.
    """
    try:
        document = _parsed(_EMPTY if packet is None else packet.decode("utf-8"))
        root = document.getElementsByTagNameNS(_RDF, "RDF")[0]
        _set(root, tag)
        text = "".join(node.toxml() for node in document.childNodes)
    except (ExpatError, ValueError, IndexError, LookupError, RecursionError):
        return None
    return text.encode()


def _parsed(text: str) -> minidom.Document:
    """Raises: ValueError, ExpatError: it is no XML, or such as is not parsed."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("a document type")
    return minidom.parseString(text.strip())  # nosec B318


def _set(root: minidom.Element, tag: Tag) -> None:
    """Put the tag under an rdf:RDF element."""
    history: minidom.Element | None = None
    for about in _elements(root):
        for name in _REPLACED:
            if about.hasAttributeNS(*name):
                about.removeAttributeNS(*name)
        for child in _elements(about):
            if (child.namespaceURI, child.localName) in _REPLACED:
                about.removeChild(child)
            elif (child.namespaceURI, child.localName) == (_MM, "History"):
                history = next(iter(child.getElementsByTagNameNS(_RDF, "Seq")), None)
                if history is None:
                    about.removeChild(child)
    document = root.ownerDocument
    assert document is not None

    def element(space: str, name: str) -> minidom.Element:
        # Each says its own namespace, whatever prefixes the packet uses for others.
        made = document.createElementNS(space, name)
        made.setAttributeNS(_XMLNS, f"xmlns:{name.partition(':')[0]}", space)
        return made

    about = element(_RDF, "rdf:Description")
    about.setAttributeNS(_RDF, "rdf:about", _about(root))
    kind = element(_IPTC, "Iptc4xmpExt:DigitalSourceType")
    kind.appendChild(document.createTextNode(DIGITAL_SOURCE_TYPE))
    about.appendChild(kind)
    if history is None:
        outer = element(_MM, "xmpMM:History")
        history = element(_RDF, "rdf:Seq")
        outer.appendChild(history)
        about.appendChild(outer)
    event = element(_RDF, "rdf:li")
    event.setAttributeNS(_RDF, "rdf:parseType", "Resource")
    for word, value in {
        "action": "edited",
        "softwareAgent": tag.agent,
        "when": tag.time,
        "parameters": ", ".join(tag.edits),
    }.items():
        said = element(_EVENT, f"stEvt:{word}")
        said.appendChild(document.createTextNode(value))
        event.appendChild(said)
    history.appendChild(event)
    root.appendChild(about)


def _about(root: minidom.Element) -> str:
    """What a packet says it is about: all its descriptions have to say the same."""
    for node in _elements(root):
        if node.hasAttributeNS(_RDF, "about"):
            return str(node.getAttributeNS(_RDF, "about"))
    return ""


def _elements(parent: minidom.Element) -> list[minidom.Element]:
    return [node for node in parent.childNodes if isinstance(node, minidom.Element)]


def read_xmp(data: bytes) -> bytes | None:
    """The packet of a JPEG, PNG, WebP or TIFF file; None where there is none, or none that can be
    read."""
    try:
        if data[:3] == b"\xff\xd8\xff":
            found = _jpeg_packet(data)
        elif data[:8] == b"\x89PNG\r\n\x1a\n":
            found = next(_png_packets(data), None)
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            found = next((body for name, body in _riff_chunks(data) if name == b"XMP "), None)
        elif data[:4] in (b"II*\x00", b"MM\x00*"):
            found = _tiff_packet(data)
        else:
            found = None
    except (struct.error, zlib.error, ValueError):
        return None
    if found is None or len(found) > LONGEST:
        return None
    # Some writers pad it, and OpenCV lets bytes that are none of it follow.
    return found[: found.rfind(b">") + 1] or None


def upright_xmp(packet: bytes) -> bytes:
    """A packet with the orientation that it may state set to upright, as `upright_exif` does."""
    return re.sub(rb"""(tiff:Orientation(?:=["']|>))[2-8](?=["'<])""", rb"\g<1>1", packet)


def add_xmp(data: bytes, packet: bytes) -> bytes:
    """A JPEG, PNG or little-endian TIFF file without a packet, as OpenCV writes them, with one.

    Raises:
        ValueError: it is none of these, or (JPEG) the packet is longer than `LONGEST_IN_JPEG`.
    """
    if data[:3] == b"\xff\xd8\xff":
        if len(packet) > LONGEST_IN_JPEG:
            raise ValueError("a JPEG holds no packet of this length")
        at = 2
        # After JFIF's and EXIF's segments, which have to come first.
        while data[at : at + 2] in (b"\xff\xe0", b"\xff\xe1"):
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        segment = _IN_JPEG + packet
        head = b"\xff\xe1" + struct.pack(">H", 2 + len(segment))
        return data[:at] + head + segment + data[at:]
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        at = 8 + 12 + 13  # after IHDR
        chunk = b"iTXt" + _IN_PNG + b"\x00\x00\x00\x00" + packet
        return data[:at] + _png_chunk(chunk) + data[at:]
    if data[:4] == b"II*\x00":
        return _tiff_with(data, packet)
    raise ValueError("no place for a packet is known here")


def _jpeg_packet(data: bytes) -> bytes | None:
    at = 2
    # The picture's own data begins at a start of scan.
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] not in (b"\xd9", b"\xda"):
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if data[at + 1] == 0xE1 and body.startswith(_IN_JPEG):
            return body[len(_IN_JPEG) :]
        at += 2 + length
    return None


def _png_packets(data: bytes) -> Iterator[bytes]:
    at = 8
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        at += 12 + length
        if not body.startswith(_IN_PNG):
            continue
        text = body[len(_IN_PNG) :]
        if name == b"tEXt":  # as OpenCV writes it
            yield text
        elif name == b"iTXt":
            # Compressed or not, how, the language, the keyword in it; then the text.
            packed, rest = text[:1] == b"\x01", text[2:].split(b"\x00", 2)
            if len(rest) == 3:
                yield zlib.decompressobj().decompress(rest[2], LONGEST + 1) if packed else rest[2]


def _png_chunk(named: bytes) -> bytes:
    return struct.pack(">I", len(named) - 4) + named + struct.pack(">I", zlib.crc32(named))


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        yield name, data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _tiff_packet(data: bytes) -> bytes | None:
    order = "<" if data[:1] == b"I" else ">"
    (first,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, first)
    for number in range(count):
        name, kind, length, offset = struct.unpack_from(
            order + "HHII", data, first + 2 + 12 * number
        )
        if name == _IN_TIFF and kind in (1, 7) and length > 4:
            return data[offset : offset + length]
    return None


def _tiff_with(data: bytes, packet: bytes) -> bytes:
    """A TIFF file whose first directory, written anew at its end, names a packet as well."""
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    start, stop = first + 2, first + 2 + 12 * count
    entries = [data[at : at + 12] for at in range(start, stop, 12)]
    data += b"\x00" * (len(data) % 2)
    entries.append(struct.pack("<HHII", _IN_TIFF, 1, len(packet), len(data)))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry)[0])
    following = data[stop : stop + 4]
    data += packet + b"\x00" * (len(packet) % 2)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + following
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory
