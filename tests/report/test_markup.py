from __future__ import annotations

from videdit.report.markup import Html, joined, tag


def test_whatever_is_not_markup_is_escaped() -> None:
    hostile = "\"><script>alert('x')</script>&amp;"
    made = tag("p", hostile, tag("b", hostile), title=hostile)
    assert "<script" not in made
    assert made.count("&lt;script&gt;") == 3
    assert "&amp;amp;" in made
    assert made.startswith('<p title="&quot;&gt;')
    assert joined("<", Html("<"), [None, "&", 3], ()) == "&lt;<&amp;3"


def test_attributes() -> None:
    made = tag("input", class_="a b", aria_label="x", name="n", checked=True, hidden=False, id=None)
    assert made == '<input class="a b" aria-label="x" name="n" checked>'
    assert tag("p") == "<p></p>"
