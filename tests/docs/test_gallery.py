"""What the gallery's script makes is shown, all of it, and nothing else."""

from __future__ import annotations

import re
import runpy
from typing import Any

import cv2
import pytest

from tests.docs.texts import DOCS, ROOT

_LARGEST = 2e6  # bytes of all pictures


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "examples" / "gallery.py"), run_name="loaded")


@pytest.mark.parametrize(("page", "pairs"), [("gallery.md", "GALLERY"), ("limits.md", "LIMITS")])
def test_each_pair_is_shown_under_its_edits(script: dict[str, Any], page: str, pairs: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    shown = re.findall(r"^!\[[^\]]*\]\(gallery/([^)]+)\)\n((?:`[^`]+` ?)+)", text, re.M)
    made = [(pair.file, pair.words) for pair in script[pairs]]
    assert sorted((file, edits.replace("`", "").strip()) for file, edits in shown) == sorted(made)


def test_the_folder_holds_what_is_made(script: dict[str, Any]) -> None:
    files = {path.name: path for path in (DOCS / "gallery").iterdir()}
    pairs = {pair.file for pair in script["GALLERY"] + script["LIMITS"]}
    assert set(files) == pairs | {script["FILM"]}
    assert sum(path.stat().st_size for path in files.values()) < _LARGEST
    for name in pairs:
        picture = cv2.imread(str(files[name]))
        assert picture is not None
        assert picture.shape == (script["SIDE"], 2 * script["SIDE"], 3)
        assert picture.std() > 10


def test_the_film_moves(script: dict[str, Any]) -> None:
    film = cv2.Animation()
    done, film = cv2.imreadanimation(str(DOCS / "gallery" / script["FILM"]))
    assert done
    assert len(film.frames) == 50
    middle = film.frames[25].astype(int)
    width = middle.shape[1] // 2
    assert abs(middle[:, :width] - middle[:, width:]).max() > 60  # the smile
    assert abs(film.frames[0].astype(int) - middle).max() > 100  # the walk
