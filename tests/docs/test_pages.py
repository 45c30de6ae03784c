"""The pages that say what the code says, say it."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.docs.texts import DOCS, ROOT
from videdit.cli.main import EXIT_CODES, available


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    """docs/pages.py."""
    spec = importlib.util.spec_from_file_location("docs_pages", DOCS / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


@pytest.mark.parametrize("name", ["cli.md", "python.md", "bundles.md"])
def test_the_committed_page_is_what_would_be_written(pages: ModuleType, name: str) -> None:
    written = (DOCS / name).read_text(encoding="utf-8")
    assert written == pages.PAGES[name](), "run `make docs-pages`"
    assert str(ROOT) not in written


def test_all_written_pages_are_tested(pages: ModuleType) -> None:
    assert set(pages.PAGES) == {"cli.md", "python.md", "bundles.md"}


def test_the_page_of_verbs_has_each_of_them_with_its_options() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    for verb in available():
        assert f"\n## {verb}\n" in text
    assert "\n### cache prune\n" in text
    run = text.split("\n## run\n")[1].split("\n## ")[0]
    assert "| `--quality` `LEVEL` | balanced" in run
    assert "Default: balanced. |" in run
    assert "| `--output`, `-o` `PATH` |" in run
    assert "| `SOURCE` |" in run
    assert "[The editors](editors.md)" in run
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning} |" in text


def test_the_page_of_the_library_has_its_names_arguments_and_defaults() -> None:
    import videdit

    text = (DOCS / "python.md").read_text(encoding="utf-8")
    for name in videdit.__all__:
        assert name.startswith("__") or f"\n## {name}\n" in text
    assert "    stop: threading.Event | None = None," in text
    assert "| `overwrite` | whether a file that is there may be replaced. |" in text
    assert "| `method` | `str`, `'refined'` if not said |" in text
    assert "| `StorageError` | 6 |" in text
