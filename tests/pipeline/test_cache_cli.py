"""`videdit cache`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from videdit.cli.cache import app, parse_age, parse_size, size_text
from videdit.errors import StorageError, UsageError
from videdit.media.source import content_id
from videdit.pipeline.stage import Chunk
from videdit.pipeline.store import Store


def _call(runs: Any, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--cache", str(runs.cache)])


def test_ls(runs: Any) -> None:
    assert f"nothing in {runs.cache}" in _call(runs, "ls").stdout
    runs()
    lines = _call(runs, "ls").stdout.splitlines()
    assert lines[0].split() == ["SOURCE", "NAME", "SIZE", "LAST", "USED", "STAGES"]
    words = lines[1].split()
    assert words[:2] == [content_id(runs.source)[:12], "clip.mp4"]
    assert set(words[-4:]) == {"numbers", "walk", "doubled", "joined"}
    assert lines[-1].endswith(f" in {runs.cache}")


@pytest.mark.parametrize("by", ["id", "beginning", "file"])
def test_show(runs: Any, by: str) -> None:
    runs()
    source_id = content_id(runs.source)
    word = {"id": source_id, "beginning": source_id[:5], "file": str(runs.source)}[by]
    lines = _call(runs, "show", word).stdout.splitlines()
    assert lines[0] == str(runs.source)
    assert sorted(line.split()[0] for line in lines[4:]) == ["doubled", "joined", "numbers", "walk"]
    assert all(line.split()[2:4] == ["1", "complete"] for line in lines[4:])


def test_show_says_where_only_parts_were_asked_for(runs: Any) -> None:
    with Store(runs.cache) as store:
        for plan in ("0-4", "4-8"):
            artifact = store.open("s1", "codes", "k1", {"version": 1}, plan)
            with artifact.commit(Chunk(plan, 0, 4)):
                pass
            artifact.finish([Chunk(plan, 0, 4)])
    (line,) = _call(runs, "show", "s1").stdout.splitlines()[4:]
    assert line.split()[:5] == ["codes", "k1", "1", "2", "parts"]


def test_what_is_not_there(runs: Any, tmp_path: Path) -> None:
    runs()
    (tmp_path / "other.mp4").write_bytes(b"other")
    for word in ("zzz", str(tmp_path / "other.mp4"), ""):
        result = _call(runs, "show", word)
        assert isinstance(result.exception, UsageError)
        assert "cache ls" in result.exception.remedy


def test_verify_and_repair(runs: Any) -> None:
    first = runs()
    assert "everything is whole" in _call(runs, "verify").stdout
    chunk = runs.folder("walk") / "0000004"
    os.truncate(chunk / "data.npy", 10)
    result = _call(runs, "verify")
    assert isinstance(result.exception, StorageError)
    assert result.exception.exit_code == 6
    assert "/walk/" in result.stdout
    assert "chunk 0000004: data.npy has 10 bytes instead of" in result.stdout
    assert chunk.exists()
    result = _call(runs, "verify", str(runs.source), "--repair")
    assert result.exit_code == 0
    assert "took out what is damaged (1)" in result.stdout
    assert not chunk.exists()
    assert runs(face="all") != first
    assert runs.made["walk"] == ["0000004"]
    assert "everything is whole" in _call(runs, "verify").stdout


def test_prune(runs: Any) -> None:
    runs()
    walk = runs.folder("walk")
    then = time.time() - 40 * 86400
    os.utime(walk / ".used", (then, then))
    result = _call(runs, "prune", "--older-than", "30d", "--dry-run")
    assert "/walk/" in result.stdout
    assert "would free" in result.stdout
    assert walk.exists()
    result = _call(runs, "prune", "--older-than", "30d")
    assert "freed" in result.stdout
    assert not walk.exists()
    assert runs.folder("numbers").exists()
    _call(runs, "prune", "--max-size", "0")
    assert list(runs.cache.iterdir()) == []
    assert isinstance(_call(runs, "prune").exception, UsageError)


def test_sizes_and_ages() -> None:
    assert parse_size("0") == 0
    assert parse_size("5GB") == 5_000_000_000
    assert parse_size("1.5 GiB") == 1_610_612_736
    assert parse_size("500m") == 500_000_000
    assert parse_age("30d") == 30 * 86400
    assert parse_age("1.5h") == 5400
    for bad in ("", "GB", "-1GB", "5XB", "5 G B"):
        with pytest.raises(UsageError):
            parse_size(bad)
    for bad in ("30", "d", "5y", "-1d"):
        with pytest.raises(UsageError):
            parse_age(bad)
    assert [size_text(n) for n in (0, 999, 1000, 99_400, 99_600, 1_400_000_000, 5 * 10**13)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "99.4 kB",
        "100 kB",
        "1.4 GB",
        "50.0 TB",
    ]


def test_nothing_heavy_is_imported() -> None:
    heavy = "{'torch', 'numpy', 'rich', 'av', 'cv2', 'openvino'}"
    code = f"import sys, videdit.cli.cache; print(*({heavy} & set(sys.modules)))"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split() in ([], ["rich"])  # typer itself may bring rich
