from __future__ import annotations

import shutil
import subprocess

import pytest

from videdit.cli.completion import bash, fish, words
from videdit.cli.main import VERBS, main


def completed(*typed: str) -> list[str]:
    """What bash makes of a line whose last word is unfinished."""
    line = " ".join(f"'{word}'" for word in typed)
    script = f"""{bash()}
COMP_WORDS=({line}); COMP_CWORD={len(typed) - 1}; _videdit; printf '%s\\n' "${{COMPREPLY[@]}}\""""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash() -> None:
    assert completed("videdit", "ru") == ["run"]
    assert set(VERBS) <= set(completed("videdit", ""))
    assert completed("videdit", "run", "in.mp4", "--attr", "Smi") == ["Smiling"]
    assert completed("videdit", "run", "--overw") == ["--overwrite"]
    assert "prune" in completed("videdit", "cache", "p")
    assert completed("videdit", "run", "--no-such") == []


def test_every_verb_and_its_options() -> None:
    table = words()
    assert set(table) == set(VERBS)
    assert {"--attr", "-a", "--output", "-o", "--help"} <= set(table["run"])
    assert {"ls", "show", "verify", "prune"} <= set(table["cache"])
    lines = fish().splitlines()
    assert all(line.startswith("complete -c videdit -n ") for line in lines)
    assert any("-l attr -x -a" in line and "Smiling" in line for line in lines)


def test_shells(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert main(["completion", shell]) == 0
        assert "videdit" in capsys.readouterr().out
    assert main(["completion", "cmd"]) == 2
    assert "bash, zsh, fish" in capsys.readouterr().err


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_h_is_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "-h"]) == 0
    told = capsys.readouterr().out
    assert "Usage: videdit" in told
    assert "--install-completion" not in told
