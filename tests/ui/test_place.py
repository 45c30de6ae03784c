"""Where the page's library may be known."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "videdit"


def test_gradio_is_known_to_the_page_and_its_server_alone() -> None:
    known = {
        path.relative_to(FOLDER).as_posix()
        for path in FOLDER.rglob("*.py")
        if re.search(r"^\s*(import|from) (gradio|fastapi|uvicorn)", path.read_text(), re.MULTILINE)
    }
    assert known == {"ui/page.py", "ui/server.py"}
