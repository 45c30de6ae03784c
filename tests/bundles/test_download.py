"""Parts from addresses: resumed, checked, and no further than they should be."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from videdit.bundles import Bundle, fetch
from videdit.bundles.manifest import Manifest, Part
from videdit.errors import WeightsError

CONTENT = bytes(range(256)) * 20_000  # 5 MB


class Served(ThreadingHTTPServer):
    """A file at any path.

    Attributes:
        content: of the file.
        stops: bytes after which each answer breaks off; None for never.
        ranges: whether parts of it can be asked for.
        leads_to: another address, to which it sends; empty for none.
        asked: the ranges that were asked for.
    """

    content, ranges, leads_to = CONTENT, True, ""
    stops: int | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Served)
        if server.leads_to:
            self.send_response(302)
            self.send_header("Location", server.leads_to)
            self.end_headers()
            return
        asked = self.headers.get("Range", "")
        server.asked.append(asked)
        start = int(asked[6:-1]) if asked and server.ranges else 0
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            end = len(server.content)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.stops])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Served]:
    with Served() as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()


@pytest.fixture
def bundle(server: Served, tmp_path: Path) -> Bundle:
    address = f"http://127.0.0.1:{server.server_port}/net.bin"
    digest = hashlib.sha256(CONTENT).hexdigest()
    part = Part("net.bin", len(CONTENT), digest, "MIT", "a test", address=address)
    return Bundle(Manifest("small", "Small", tmp_path / "root", {"net.bin": part}), tmp_path)


def kept(bundle: Bundle) -> list[Path]:
    return sorted(bundle.folder.glob(".*.part"))


def test_a_part_is_fetched_and_checked(bundle: Bundle, server: Served) -> None:
    heard: list[tuple[str, int, int]] = []
    assert fetch(bundle, lambda *what: heard.append(what)) == ["net.bin"]
    assert bundle.path("net.bin").read_bytes() == CONTENT
    assert heard[-1] == ("net.bin", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)
    assert not kept(bundle)
    assert fetch(bundle) == []


@pytest.mark.parametrize("ranges", [True, False])
def test_it_goes_on_where_it_broke_off(bundle: Bundle, server: Served, ranges: bool) -> None:
    server.stops, server.ranges = 2_000_000, ranges
    with pytest.raises(WeightsError, match=r"of 5120000 bytes|cannot be reached"):
        fetch(bundle)
    (part,) = kept(bundle)
    have = part.stat().st_size
    assert 0 < have <= 2_000_000
    assert not bundle.location("net.bin").exists()
    server.stops = None
    fetch(bundle)
    assert server.asked == ["", f"bytes={have}-"]
    assert bundle.path("net.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("other", [CONTENT[:-1] + b"x", CONTENT + b"more" * 10**6])
def test_another_content_is_not_kept(bundle: Bundle, server: Served, other: bytes) -> None:
    server.content = other
    with pytest.raises(WeightsError, match="another content"):
        fetch(bundle)
    assert not kept(bundle)
    assert not bundle.location("net.bin").exists()


def test_it_is_led_to_no_plain_address(bundle: Bundle, server: Served) -> None:
    for address in ("http://example.org/net.bin", "file:///etc/passwd", "ftp://example.org/x"):
        server.leads_to = address
        with pytest.raises(WeightsError, match=r"leads to|not allowed"):
            fetch(bundle)


def test_nobody_answers(bundle: Bundle, server: Served) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsError, match="cannot be reached"):
        fetch(bundle)
