"""The local web page: for people who would rather look than type."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import UsageError

REMEDY = "Install it: pip install 'videdit[ui]'."


def check_installed() -> None:
    """Refuse where what the page is made with is missing.

    Raises:
        UsageError: it is.
    """
    if find_spec("gradio") is None:
        raise UsageError("the page needs Gradio, which is not installed", REMEDY)
