"""HTML put together from pieces: whatever is not markup already is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

_VOID = frozenset({"br", "img", "input", "meta"})
"""Elements without content."""


class Html(str):
    """Text that is markup."""

    __slots__ = ()


def joined(*parts: object) -> Html:
    """Pieces one after the other; lists are laid out, None is nothing, other text is escaped."""
    made: list[str] = []
    for part in parts:
        if isinstance(part, Html):
            made.append(part)
        elif isinstance(part, str):
            made.append(html.escape(part))
        elif isinstance(part, Iterable):
            made.append(joined(*part))
        elif part is not None:
            made.append(html.escape(str(part)))
    return Html("".join(made))


def tag(name: str, /, *content: object, **attributes: object) -> Html:
    """An element.

    Args:
        name: of the element.
        content: see :func:`joined`.
        attributes: ``class_`` stands for ``class``, ``aria_label`` for ``aria-label``; True is an
            attribute without a value, None and False are none.
    """
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        written = key.rstrip("_").replace("_", "-")
        words.append(written if value is True else f'{written}="{html.escape(str(value))}"')
    opened = f"<{' '.join(words)}>"
    if name in _VOID:
        return Html(opened)
    return Html(f"{opened}{joined(*content)}</{name}>")
