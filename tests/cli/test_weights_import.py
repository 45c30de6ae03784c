"""`videdit weights import` and what comes after it, by the command line."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from tests.clips import write_small
from tests.models.published import (
    generator_state,
    write_encoder,
    write_generator,
    write_map,
)
from videdit.bundles import Bundle
from videdit.cli.main import main

FRAMES = 3


def videdit(*words: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the tool in a process of its own, with weights and cache in ``home``."""
    own = {"VIDEDIT_WEIGHTS": str(home), "VIDEDIT_CACHE": str(home / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "videdit", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, **own},
        timeout=300,
    )


def pictures(path: Path) -> np.ndarray:
    with av.open(str(path)) as source:
        return np.stack([f.to_ndarray(format="rgb24") for f in source.decode(video=0)])


@pytest.mark.weights
def test_published_checkpoints_edit_a_video(bundle: Bundle, example: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(bundle.folder, home / "mobile")  # the landmarker, which is fetched
    state = generator_state()
    generator = write_generator(tmp_path / "g.pt", state)
    encoder = write_encoder(tmp_path / "e4e.pt", decoder=state, kind="Encoder4Editing")
    given = (generator, encoder, write_map(tmp_path / "net_31.pth"))
    done = videdit("weights", "import", *given, "--as", "tiny", home=home)
    assert done.returncode == 0, done.stderr
    assert "net_31.pth: latent transformer Smiling, 10 rows of 32" in done.stdout
    for text in ("g.pt: StyleGAN2 generator, 64 pixels", "e4e.pt: e4e encoder", "non-commercial"):
        assert text in done.stdout
    assert "--bundle tiny --editor ganspace" in done.stdout
    clip = write_small(tmp_path / "clip.mp4", example, FRAMES)
    edit = ("--attr", "Smiling", "--alpha", "3", "--quality", "fast")
    out = tmp_path / "out.mkv"
    done = videdit("run", clip, "--bundle", "tiny", *edit, "--codec", "ffv1", "-o", out, home=home)
    assert done.returncode == 0, done.stderr
    assert f"in {FRAMES} of {FRAMES} frames" in done.stderr + done.stdout
    change = np.abs(pictures(out).astype(int) - pictures(clip))
    assert change.max((1, 2, 3)).min() > 10  # in each frame
    assert change[:, :, :30].max() <= 1  # and not beside the face
    listed = videdit("weights", "ls", home=home)
    assert "mobile: " in listed.stdout
    assert "tiny: StyleGAN2 of 64 pixels, 10 rows, e4e encoder" in listed.stdout
    verified = videdit("weights", "verify", "--bundle", "tiny", home=home)
    assert "parts of 'tiny' are good" in verified.stdout


class Evil:
    """Would leave a file if it were unpickled."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.where}",)


def test_a_malicious_pickle_is_refused_unrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIDEDIT_WEIGHTS", str(tmp_path / "home"))
    mark = tmp_path / "mark"
    for name in ("network.pkl", "e4e.pt"):
        path = tmp_path / name
        path.write_bytes(pickle.dumps({"G_ema": Evil(mark), "state_dict": {}}, 2))
        assert main(["weights", "import", str(path), "--as", "mine"]) == 5
        said = capsys.readouterr().err
        assert said.startswith(f"videdit: {name}")
        assert len(said.splitlines()) == 1
    assert not mark.exists()
    assert not (tmp_path / "home").exists()
