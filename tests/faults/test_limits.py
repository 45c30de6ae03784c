"""Too little memory, wherever it ends: a clear line, and nothing lost."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import av
import pytest

from videdit.api import edit_image
from videdit.models.networks import Networks

pytestmark = [pytest.mark.weights, pytest.mark.slow, pytest.mark.usefixtures("default_cache")]


@pytest.fixture(scope="module")
def picture(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "face.png"
    with av.open(str(example)) as clip:
        next(clip.decode(video=0)).to_image().save(path)
    return path


def image(
    picture: Path, folder: Path, gigabytes: float | None = None
) -> subprocess.CompletedProcess[str]:
    def limited() -> None:
        if gigabytes is not None:
            most = int(gigabytes * 2**30)
            resource.setrlimit(resource.RLIMIT_AS, (most, most))

    return subprocess.run(
        [
            *(sys.executable, "-m", "videdit", "image", str(picture), "--attr", "Smiling"),
            *("--quality", "fast", "-o", str(folder / "out.png"), "--cache", str(folder / "cache")),
        ],
        capture_output=True,
        text=True,
        timeout=600,
        preexec_fn=limited,
    )


def test_too_little_memory(picture: Path, networks: Networks, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    how = {"quality": "fast", "cache_dir": tmp_path / "whole" / "cache"}
    result = tmp_path / "whole" / "out.png"
    edit_image(picture, result, {"Smiling": 1}, settings=how, networks=networks)
    refused = 0
    for gigabytes in (0.5, 2.9, 3.05):  # at once, before the networks, maybe on the way
        done = image(picture, tmp_path, gigabytes)
        if done.returncode == 0:
            break
        refused += 1
        assert done.returncode == 1, done.stderr
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("videdit: "), done.stderr
        assert "memory" in last, done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out.png").exists()
    assert refused >= 2
    (tmp_path / "out.png").unlink(missing_ok=True)
    assert image(picture, tmp_path).returncode == 0
    whole = (tmp_path / "whole" / "out.png").read_bytes()
    assert (tmp_path / "out.png").read_bytes() == whole
    assert {path.name for path in tmp_path.iterdir()} == {"out.png", "cache", "whole"}
