from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from videdit.cli.completion import bash, fish, values, words
from videdit.cli.main import VERBS, main


def completed(*typed: str, folder: Path | None = None) -> list[str]:
    """What bash makes of a line whose last word is unfinished."""
    line = " ".join(f"'{word}'" for word in typed)
    script = f"""{bash()}
COMP_WORDS=({line}); COMP_CWORD={len(typed) - 1}; _videdit; printf '%s\\n' "${{COMPREPLY[@]}}\""""
    words = ["bash", "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# What is typed, the last word unfinished, and the one way that it goes on.
UNIQUE = (
    (("videdit", "ru"), "run"),
    (("videdit", "run", "in.mp4", "--attr", "Smi"), "Smiling"),
    (("videdit", "run", "in.mp4", "--preset", "hap"), "happier"),
    (("videdit", "image", "in.jpg", "--editor", "ganal"), "ganalyze"),
    (("videdit", "run", "in.mp4", "--codec", "pro"), "prores"),
    (("videdit", "run", "in.mp4", "--compare", "sp"), "split"),
    (("videdit", "run", "in.mp4", "--overw"), "--overwrite"),
    (("videdit", "cache", "pr"), "prune"),
    (("videdit", "cache", "prune", "--max"), "--max-size"),
    (("videdit", "inspect", "in.mp4", "recon"), "reconstruct"),
    (("videdit", "completion", "z"), "zsh"),
)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash(tmp_path: Path) -> None:
    for typed, word in UNIQUE:
        assert completed(*typed, folder=tmp_path) == [word], typed
    assert set(VERBS) <= set(completed("videdit", ""))
    assert completed("videdit", "run", "--no-such") == []
    assert completed("videdit", "run", "in.mp4", "--attr", "=", "Smi") == ["Smiling"]
    assert completed("videdit", "cache", "ls", "--max") == []
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "mine.toml").touch()
    assert completed("videdit", "run", "cl", folder=tmp_path) == ["clip.mp4"]
    assert completed("videdit", "inspect", "cl", folder=tmp_path) == ["clip.mp4"]
    assert completed("videdit", "run", "clip.mp4", "--preset", "mi", folder=tmp_path) == [
        "mine.toml"
    ]
    assert completed("videdit", "run", "clip.mp4", "--codec", "", folder=tmp_path) == [
        *("h264", "hevc", "vp9", "prores", "ffv1", "h264_nvenc", "hevc_nvenc")
    ]


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_fish(tmp_path: Path) -> None:
    script = tmp_path / "videdit.fish"
    script.write_text(fish())
    asked = "".join(f"; complete -C '{' '.join(typed)}'; echo NEXT" for typed, _ in UNIQUE)
    env = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {script}{asked}"],
        capture_output=True,
        text=True,
        env=env,
        cwd=tmp_path,
    )
    assert done.stderr == ""
    found = [part.split() for part in done.stdout.split("NEXT\n")[:-1]]
    for (typed, word), offered in zip(UNIQUE, found, strict=True):
        # fish also offers what holds the letters elsewhere.
        assert word in offered, (typed, offered)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_zsh(tmp_path: Path) -> None:
    """A terminal in which somebody types and presses the tabulator."""
    script = tmp_path / "videdit.zsh"
    script.write_text(bash("zsh"))
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(tmp_path)
        os.execvpe(
            "zsh", ["zsh", "-f", "-i"], {**os.environ, "TERM": "dumb", "HOME": str(tmp_path)}
        )
    try:
        said = b""

        def say(text: str, until: str) -> None:
            nonlocal said
            said = b""
            os.write(terminal, text.encode())
            end = time.monotonic() + 20
            while until.encode() not in said:
                assert time.monotonic() < end, (text, said)
                if select.select([terminal], [], [], 0.2)[0]:
                    said += os.read(terminal, 4096)

        say(f"autoload -U compinit; compinit -u -D; source {script}\n", "")
        say('videdit() { print -r -- "G""OT:$*:" }; echo rea\'\'dy\n', "ready")
        for typed, word in UNIQUE:
            line = " ".join((*typed[1:-1], word))
            say(" ".join(typed) + "\t\n", f"GOT:{line}:")
    finally:
        os.close(terminal)
        os.waitpid(process, 0)


def test_every_command_and_its_options() -> None:
    table = words()
    assert {path.split()[0] for path in table} == set(VERBS)
    assert {"--attr", "-a", "--output", "-o", "--help"} <= set(table["run"])
    assert {"ls", "show", "verify", "prune"} <= set(table["cache"])
    assert {"--older-than", "--help"} <= set(table["cache prune"])
    assert {name for name in values() if name.startswith("--")} <= {
        option for after in table.values() for option in after
    }
    assert all(line.startswith("complete -c videdit -n ") for line in fish().splitlines())


def test_nothing_heavy_is_loaded_for_it() -> None:
    code = (
        "import sys\nfrom videdit.cli.main import main\nmain(['completion', 'bash'])\n"
        "print('LOADED', 'torch' in sys.modules, 'openvino' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "LOADED False False"


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
