from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import videdit
from videdit import errors
from videdit.cli.main import EXIT_CODES, VERBS, Verb, available, main

PROBE = """
import typer
from typing import Annotated
from videdit.errors import NoFaceError

def probe(how: str, count: Annotated[int, typer.Option()] = 1) -> None:
    "Fail as asked."
    if how == "face":
        raise NoFaceError("no face\\nanywhere", "Look elsewhere.")
    if how == "bug":
        raise ZeroDivisionError("seven by zero")
    if how == "full":
        raise OSError(28, "No space left on device", "there")
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "exit":
        raise typer.Exit(4)
    print(f"fine {count}")
"""


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb `probe` that fails in the way it is told."""
    (tmp_path / "videdit_probe.py").write_text(PROBE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(VERBS, "probe", Verb("videdit_probe", "probe", "Fail as asked."))
    monkeypatch.delenv("VIDEDIT_DEBUG", raising=False)


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run-no-such-verb"]])
def test_help_loads_no_heavy_library(words: list[str]) -> None:
    code = (
        "import sys\nfrom videdit.cli.main import main\n"
        f"main({words!r})\n"
        "heavy = {'torch', 'numpy', 'cv2', 'openvino', 'scipy', 'av', 'typer', 'rich'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))"
    )
    done = python(code)
    assert done.stdout.splitlines()[-1] == "LOADED []", done.stderr


def test_the_package_is_light_and_lazy() -> None:
    done = python("import videdit, sys; print('torch' in sys.modules, 'numpy' in sys.modules)")
    assert done.stdout.split() == ["False", "False"]
    assert "edit_video" in dir(videdit)
    assert callable(videdit.load_bundle)
    with pytest.raises(AttributeError, match="no attribute 'edit_sound'"):
        videdit.edit_sound  # noqa: B018


def test_help_names_every_verb_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name, verb in available().items():
        assert re.search(rf"^  {name} +{re.escape(verb.help)}$", text, re.MULTILINE)
    for code, meaning in EXIT_CODES.items():
        assert f"  {code}  {meaning}" in text


def test_exit_codes_are_those_of_the_errors() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    codes = {c.exit_code for c in classes if issubclass(c, errors.VideditError)}
    assert codes | {0} == set(EXIT_CODES)


def test_a_verb_without_module_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERBS, "ghost", Verb("videdit.cli.ghost", "app", "Not written."))
    assert "ghost" not in available()
    assert main(["ghost"]) == 2


def test_no_words_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Usage:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["probe", "face"], 4, "videdit: no face anywhere. Look elsewhere."),
        (["probe", "bug"], 1, "videdit: internal error: ZeroDivisionError: seven by zero. "),
        (["probe", "full"], 6, "videdit: the disk is full (there). Free some space"),
        (["probe", "interrupt"], 7, "videdit: interrupted. Run the same command again"),
        (["probe"], 2, "videdit: Missing argument"),
        (["probe", "x", "--count", "many"], 2, "videdit: Invalid value for '--count'"),
        (["probe", "x", "--cont", "1"], 2, "videdit: No such option: --cont"),
        (["prob"], 2, "videdit: there is no verb 'prob'. Did you mean probe? Try"),
        (["--frobnicate"], 2, "videdit: there is no option --frobnicate. Try"),
    ],
)
@pytest.mark.usefixtures("probe")
def test_errors_are_one_line(
    words: list[str], code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == code
    written = capsys.readouterr()
    assert written.err.startswith(line)
    assert written.err.count("\n") == 1
    assert written.out == ""


@pytest.mark.usefixtures("probe")
def test_a_verb_runs_and_may_choose_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "well", "--count", "3"]) == 0
    assert capsys.readouterr().out == "fine 3\n"
    assert main(["probe", "exit"]) == 4


@pytest.mark.usefixtures("probe")
def test_debug_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--debug", "probe", "bug"], ["probe", "bug", "--debug"]):
        assert main(words) == 1
        assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("VIDEDIT_DEBUG", "1")
    assert main(["probe", "face"]) == 4
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("VIDEDIT_DEBUG", "0")
    # After `--` it is an argument like any other.
    assert main(["probe", "--", "--debug"]) == 0


def test_debug_shows_what_is_noted() -> None:
    note = "logging.getLogger('videdit.media').debug('noted')"
    for words in (["--version"], ["--debug", "--version"]):
        run = f"import logging; from videdit.cli.main import main; main({words}); {note}"
        done = python(run)
        assert ("videdit.media: noted" in done.stderr) == ("--debug" in words)


def test_python_m_and_the_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "videdit", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"videdit {videdit.__version__}\n")


@pytest.mark.skipif(os.name == "nt", reason="pipes break differently there")
def test_a_reader_that_went_away_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "videdit", "--help"], stdout=writing, stderr=subprocess.PIPE
        )
    finally:
        os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 1


def test_a_signal_after_the_end_changes_nothing() -> None:
    code = """
        import atexit, os, signal, sys
        import videdit.cli.main as cli

        atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM))
        sys.argv[1:] = ["--version"]
        cli.entry()
    """
    words = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "code"), [(["run", "in.mp4", "-a", "Smiling"], 2), (["doctor"], 2), (["--help"], 0)]
)
def test_windows_is_refused_in_one_line(words: list[str], code: int) -> None:
    """As far as that can be told elsewhere: its name, and none of the modules that it lacks."""
    done = python(
        "import sys, os\n"
        "for name in ('fcntl', 'resource', 'pwd', 'grp', 'termios'):\n"
        "    sys.modules[name] = None\n"
        "from videdit.cli.main import main\n"
        "sys.platform = 'win32'\n"
        f"code = main({words!r})\n"
        "sys.stdout.flush(); sys.stderr.flush(); os._exit(code)"
    )
    assert done.returncode == code, done.stderr
    if code:
        assert done.stderr.count("\n") == 1
        assert "WSL or Docker" in done.stderr
    said = python("import sys; sys.modules['fcntl'] = None; from videdit import edit_video")
    assert said.stderr.splitlines()[-1].startswith("ImportError: videdit needs the file locks")


def test_an_error_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that another thread writes meanwhile comes before it or after it."""
    written: list[str] = []

    class Log(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    monkeypatch.setattr(sys, "stderr", Log())
    assert main(["run", "/nowhere/at/all.mp4", "--attr", "Smiling"]) == errors.InputError.exit_code
    (line,) = (text for text in written if text)
    assert line.startswith("videdit: ")
    assert line.count("\n") == 1
    assert line.endswith("\n")
