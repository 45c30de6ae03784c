"""All of the page put together, from its first address to its end."""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from ..batch.work import Worker
from ..bundles.manifest import DEFAULT_BUNDLE
from ..device import check_device
from ..errors import Interrupted
from ..media.output import check_folder
from . import check_installed
from .jobs import RunQueue
from .offer import make_offer
from .server import Shelf, calm_gradio, listening, make_app, serving
from .session import Session
from .state import USUAL


def serve(
    source: Path | None = None,
    *,
    port: int = 0,
    output: Path | None = None,
    cache: Path | None = None,
    device: str = "auto",
    bundle: str = DEFAULT_BUNDLE,
    editor: str = USUAL,
    ready: Callable[[str], None],
    stop: threading.Event | None = None,
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        source: a video or a picture that each new tab begins with.
        port: to listen on; a free one for 0.
        output: folder of the results.
        cache: folder of the kept work.
        device: where networks run.
        bundle, editor: that are edited with, as ``videdit run`` takes them.
        ready: told the address, with its token, when it answers.
        stop: set it in another thread to end it as Ctrl-C does.

    Raises:
        Interrupted: a run was going when it ended.
        VideditError: the source, the port or the folder cannot be used, or the bundle has no such
            editor.
    """
    check_installed()
    check_device(device, "auto")
    if output is not None:
        check_folder(output)
    offer = make_offer(bundle, editor)
    stop = stop or threading.Event()
    token = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="videdit-ui-") as name, listening(port) as made:
        folder = Path(name)
        calm_gradio(folder / "gradio")
        from .page import CSS, MOST_UPLOADED, Page, theme

        session = Session(folder, offer, cache, device)
        opened = None if source is None else session.open(source.absolute())
        where = made.getsockname()[1]
        shelf = Shelf(f"/{token}/files")
        runs = RunQueue(Worker(cache))
        tries = RunQueue(Worker(folder / "tries", overwrite=True))
        page = Page(session, runs, tries, shelf, opened, output)
        look = {"theme": theme(), "css": CSS, "max_file_size": MOST_UPLOADED}
        app = make_app(page.build(), token, where, shelf, look)
        cut = False
        try:
            with serving(app, made):
                ready(f"http://127.0.0.1:{where}/{token}/")
                while not stop.wait(0.5):
                    pass
        except KeyboardInterrupt:
            pass
        finally:
            tries.close()
            try:
                cut = runs.close()
            except KeyboardInterrupt:
                cut = runs.close()
            session.close()
        if cut:
            raise Interrupted("a run was going", "The same run again goes on where it stopped.")
