"""Who is let in, and what is given out."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from videdit.errors import UsageError
from videdit.ui.server import Guard, Shelf, calm_gradio, listening

TOKEN, PORT = "sesame", 7861
HOST = f"127.0.0.1:{PORT}"


async def _inner(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"access-control-allow-origin", b"*"), (b"x-own", b"1")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"page"})


def ask(path: str, *headers: tuple[str, str], kind: str = "http") -> list[MutableMapping[str, Any]]:
    sent: list[MutableMapping[str, Any]] = []

    async def send(event: MutableMapping[str, Any]) -> None:
        sent.append(event)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    scope = {
        "type": kind,
        "method": "GET",
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    asyncio.run(Guard(_inner, TOKEN, PORT)(scope, receive, send))
    return sent


def status(path: str, *headers: tuple[str, str]) -> int:
    return int(ask(path, *headers)[0]["status"])


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_the_token_opens(name: str) -> None:
    assert status(f"/{TOKEN}/", ("host", f"{name}:{PORT}")) == 200
    own = ("origin", f"http://{name}:{PORT}")
    assert status(f"/{TOKEN}/gradio_api/run", ("host", f"{name}:{PORT}"), own) == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/", "", "/favicon.ico", "/sesam/", "/sesame2/", "/Sesame/", "/x/sesame/", "//", "/é/"),
        # What Gradio would fetch from another host.
        f"/{TOKEN}/gradio_api/file=https://example.org/x",
        f"/{TOKEN}/gradio_api/file=HTTP:/example.org/x",
        f"/{TOKEN}/gradio_api/proxy=https://example.org/x",
    ],
)
def test_nothing_else_does(path: str) -> None:
    sent = ask(path, ("host", HOST))
    assert sent[0]["status"] == 403
    assert b"page" not in sent[1]["body"].replace(b"videdit ui", b"")


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("host", "evil.example"),),
        (("host", f"evil.example:{PORT}"),),  # DNS rebinding
        (("host", "127.0.0.1:80"),),
        (("host", "127.0.0.1"),),
        (("host", HOST), ("host", "evil.example")),
        (("host", HOST), ("origin", "http://evil.example")),
        (("host", HOST), ("origin", "null")),
        (("host", HOST), ("origin", "http://127.0.0.1:9999")),
        (("host", HOST), ("origin", f"https://{HOST}")),
    ],
)
def test_the_token_alone_does_not(headers: tuple[tuple[str, str], ...]) -> None:
    assert status(f"/{TOKEN}/", *headers) == 403


def test_no_websocket() -> None:
    sent = ask(f"/{TOKEN}/", ("host", HOST), kind="websocket")
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_browsers_are_told_to_stay_here() -> None:
    headers = dict(ask(f"/{TOKEN}/", ("host", HOST))[0]["headers"])
    assert headers[b"x-own"] == b"1"
    assert b"access-control-allow-origin" not in headers
    assert headers[b"referrer-policy"] == b"no-referrer"
    policy = headers[b"content-security-policy"].decode()
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy


def test_a_shelf_gives_what_was_put_on_it(tmp_path: Path) -> None:
    shelf = Shelf("/t/files")
    path = tmp_path / "a clip.mp4"
    path.write_bytes(b"x")
    (tmp_path / "neighbour.mp4").write_bytes(b"y")
    link = shelf.link(path)
    _, _, _, key, name = link.split("/")
    assert name == "a%20clip.mp4"
    assert shelf.link(path) == link
    assert shelf.find(key) == path
    assert shelf.find("neighbour.mp4") is None
    path.unlink()
    assert shelf.find(key) is None


def test_a_port_that_is_taken() -> None:
    with listening(0) as first:
        address, port = first.getsockname()
        assert address == "127.0.0.1"
        with pytest.raises(UsageError, match="cannot be used"), listening(port):
            pass
    with listening(port) as again:
        assert isinstance(again, socket.socket)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Gradio's application behind the guard, with one file on the shelf."""
    pytest.importorskip("gradio")
    from fastapi.testclient import TestClient

    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_OFFLINE"):
            patch.setenv(name, "")  # and as it was before, afterwards
        patch.setenv("GRADIO_TEMP_DIR", "")
        patch.setenv("GRADIO_ALLOWED_PATHS", "/")
        calm_gradio(folder / "gradio")
        assert "GRADIO_ALLOWED_PATHS" not in os.environ
        import gradio as gr

        from videdit.ui.server import make_app

        with gr.Blocks(analytics_enabled=False) as blocks:
            file = gr.File()
            gr.Button().click(lambda path: path, file, file, api_name="echo", queue=False)
            shown = gr.Image()
            gr.Button().click(
                lambda: np.zeros((8, 8, 3), np.uint8), None, shown, api_name="draw", queue=False
            )
        shelf = Shelf(f"/{TOKEN}/files")
        result = folder / "result.mp4"
        result.write_bytes(b"0123456789")
        (folder / "neighbour.mp4").write_bytes(b"secret")
        app = make_app(blocks, TOKEN, PORT, shelf, {"max_file_size": 1000})
        made = TestClient(app, base_url=f"http://{HOST}")
        made.result = shelf.link(result)  # type: ignore[attr-defined]
        made.folder = folder  # type: ignore[attr-defined]
        yield made


def test_the_page_asks_no_other_host(client: Any) -> None:
    page = client.get(f"/{TOKEN}/")
    assert page.status_code == 200
    for tag in ("<script", "<link", "<img", "<iframe"):
        for part in page.text.split(tag)[1:]:
            head = part.split(">")[0]
            assert "://" not in head, head
    config = client.get(f"/{TOKEN}/config").json()
    assert config["analytics_enabled"] is False
    assert config["root"] == f"http://{HOST}/{TOKEN}"


def test_a_result_is_given_and_downloaded_in_parts(client: Any) -> None:
    whole = client.get(client.result)
    assert whole.content == b"0123456789"
    assert whole.headers["content-disposition"].startswith("inline")
    part = client.get(client.result, headers={"range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    saved = client.get(client.result, params={"download": 1})
    assert saved.headers["content-disposition"].startswith("attachment")
    assert client.get(client.result.replace(TOKEN, "other")).status_code == 403


@pytest.mark.parametrize("target", ["/etc/passwd", "neighbour", "cwd"])
def test_no_other_file_is(client: Any, target: str) -> None:
    neighbour = client.folder / "neighbour.mp4"
    path = {"neighbour": str(neighbour), "cwd": str(Path("pyproject.toml").absolute())}.get(
        target, target
    )
    for address in (
        f"/{TOKEN}/gradio_api/file={path}",
        f"/{TOKEN}/gradio_api/file/{path}",
        f"/{TOKEN}/file={path}",
        f"{client.result.rsplit('/', 1)[0]}/..%2F..%2Fneighbour.mp4",
        f"/{TOKEN}/files/..%2F{path}/x",
        f"/{TOKEN}/static/..%2F..%2F..%2F..%2F..%2F..%2F{path}",
        f"/{TOKEN}/gradio_api/file={client.folder}/gradio/../neighbour.mp4",
    ):
        answer = client.get(address)
        assert answer.status_code >= 400, address
        assert b"secret" not in answer.content
        assert b"root:" not in answer.content


def test_nor_handed_over_as_if_it_had_come_through_the_page(client: Any) -> None:
    data = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    answer = client.post(f"/{TOKEN}/gradio_api/run/echo", json={"data": [data]})
    assert answer.status_code >= 400
    assert "root:" not in answer.text


def test_what_the_page_shows_is_given(client: Any) -> None:
    answer = client.post(f"/{TOKEN}/gradio_api/run/draw", json={"data": []}).json()
    address = answer["data"][0]["url"]
    assert address.startswith(f"http://{HOST}/{TOKEN}/")
    assert client.get(address).headers["content-type"] == "image/webp"


def test_a_file_that_is_too_large_is_refused(client: Any) -> None:
    address = f"/{TOKEN}/gradio_api/upload"
    assert client.post(address, files={"files": ("a.mp4", b"x" * 900)}).status_code == 200
    assert client.post(address, files={"files": ("a.mp4", b"x" * 2000)}).status_code == 413
