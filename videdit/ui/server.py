"""The page's server: for this machine's own user, and nobody else.

Every address begins with a random token. What does not, what comes under another host's name, or
from another site's page, is refused before anything of the page sees it.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..errors import UsageError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_NAMES = ("127.0.0.1", "localhost", "[::1]")

_POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; object-src 'none';"
    " base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""What a browser may load for the page: nothing of another host. Gradio's own scripts are inline
and put together at run time."""

_FETCHES = re.compile(r"file[=/]\s*[a-z][a-z0-9+.-]*:|proxy=", re.IGNORECASE)

_HEADERS = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-dns-prefetch-control": "off",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_REFUSAL = "403: open the address that `videdit ui` printed; it holds the key.\n"


def calm_gradio(folder: Path) -> None:
    """Keep Gradio to itself: no telemetry, no look for newer versions, its files in one folder.
    Called before it is imported."""
    os.environ.update(
        GRADIO_ANALYTICS_ENABLED="False",
        GRADIO_TEMP_DIR=str(folder),
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_OFFLINE="1",
    )
    # What a user set for other pages of Gradio's must not open this one.
    for name in ("ALLOWED_PATHS", "BLOCKED_PATHS", "ROOT_PATH", "SHARE", "MCP_SERVER", "SSR_MODE"):
        os.environ.pop(f"GRADIO_{name}", None)


class Shelf:
    """The files that the page may give out, each under a random name; no other ever is.

    Args:
        base: path of the addresses.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._lock = threading.Lock()
        self._files: dict[str, Path] = {}

    def link(self, path: Path) -> str:
        """The address of a file, the same for the same one."""
        with self._lock:
            key = next((key for key, kept in self._files.items() if kept == path), None)
            if key is None:
                key = secrets.token_urlsafe(16)
                self._files[key] = path
        return f"{self._base}/{key}/{quote(path.name)}"

    def find(self, key: str) -> Path | None:
        """The file of that name, if there is one."""
        with self._lock:
            path = self._files.get(key)
        return path if path is not None and path.is_file() else None


class Guard:
    """Lets through what comes from this page's own user.

    Args:
        app: what it guards.
        token: the first part of every address.
        port: that is listened on.
    """

    def __init__(self, app: App, token: str, port: int) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = {f"{name}:{port}".encode() for name in _NAMES}
        if port == 80:
            self._hosts |= {name.encode() for name in _NAMES}
        self._origins = {b"http://" + host for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI calls it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http" and self._allowed(scope):
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "http":
            body = _REFUSAL.encode()
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        else:  # no WebSocket is served
            await send({"type": "websocket.close", "code": 1008})

    def _allowed(self, scope: Scope) -> bool:
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts = headers.get(b"host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return False  # another name that leads here (DNS rebinding)
        if any(origin.lower() not in self._origins for origin in headers.get(b"origin", [])):
            return False
        first, _, rest = str(scope["path"]).lstrip("/").partition("/")
        if not hmac.compare_digest(first.encode(), self._token):
            return False
        # Gradio would fetch an address of another host for the page.
        return not _FETCHES.search(rest)


def _with_headers(send: Send) -> Send:
    async def sending(event: MutableMapping[str, Any]) -> None:
        if event["type"] == "http.response.start":
            dropped = {name.encode() for name in _HEADERS}
            kept = [
                (name, value)
                for name, value in event.get("headers", [])
                if name.lower() not in dropped and not name.lower().startswith(b"access-control-")
            ]
            ours = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
            event = {**event, "headers": [*kept, *ours]}
        await send(event)

    return sending


def make_app(blocks: Any, token: str, port: int, shelf: Shelf, look: dict[str, Any]) -> App:
    """The guarded application.

    Args:
        blocks: Gradio's page.
        token, port: see :class:`Guard`.
        shelf: files that are given out besides, at ``/TOKEN/files``.
        look: more arguments of Gradio's, such as the theme.
    """
    import gradio
    from fastapi import FastAPI
    from fastapi.responses import FileResponse, PlainTextResponse

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    def give(key: str, name: str, download: int = 0) -> Any:
        path = shelf.find(key)
        if path is None:
            return PlainTextResponse("404: there is no such file\n", 404)
        kind = "attachment" if download else "inline"
        return FileResponse(path, filename=path.name, content_disposition_type=kind)

    files = f"/{token}/files/{{key}}/{{name}}"
    app.add_api_route(files, give, methods=["GET", "HEAD"], response_model=None)
    gradio.mount_gradio_app(
        app,
        blocks,
        f"/{token}",
        server_name="127.0.0.1",
        server_port=port,
        root_path=f"/{token}",
        allowed_paths=[],
        show_error=False,
        ssr_mode=False,
        run_history=False,
        footer_links=[],
        mcp_server=False,
        **look,
    )
    # Gradio looks whether a file that a request names was handed over through the page, but only
    # where it started the server itself: otherwise any file could be named.
    blocks.has_launched = True
    return Guard(app, token, port)


@contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """A socket of this machine's own on a port, a free one for 0.

    Raises:
        UsageError: the port is taken, or not for this user.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind(("127.0.0.1", port))
            made.listen(128)  # what comes before the server is up waits for it
        except OSError as error:
            raise UsageError(
                f"port {port} cannot be used ({error.strerror})",
                "Choose another with --port, or leave it out.",
            ) from error
        yield made


@contextmanager
def serving(app: App, made: socket.socket) -> Iterator[None]:
    """While inside, the application answers on the socket, in a thread of its own."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([made],), name="page", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(3)
        server.force_exit = True  # tabs that wait for news
        thread.join()
