"""`videdit`: finds the verb, runs its module, turns errors into one line and an exit code.

A verb's module is imported when that verb is called, so `videdit --help` reads only the table
below: it loads neither typer nor numpy nor torch.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

from videdit import __version__
from videdit.device import calm, check_memory
from videdit.errors import Interrupted, StorageError, UsageError, VideditError, explained

if TYPE_CHECKING:
    import typer


class Verb(NamedTuple):
    """Where a verb is implemented: a typer app, or a function with typer's annotations."""

    module: str
    attribute: str
    help: str


VERBS: dict[str, Verb] = {
    "run": Verb("videdit.cli.run", "run", "Edit a video: the main job."),
    "image": Verb("videdit.cli.run", "image", "Edit a picture."),
    "batch": Verb("videdit.cli.batch", "batch", "Edit many videos and pictures."),
    "ui": Verb("videdit.cli.ui", "ui", "Look, try and run in a page of your browser."),
    "inspect": Verb("videdit.cli.inspect", "inspect", "Show what each stage left for a source."),
    "report": Verb("videdit.cli.report", "report", "Write a page about the last run of a source."),
    "cache": Verb("videdit.cli.cache", "app", "List, check or free the kept work."),
    "attributes": Verb("videdit.cli.attributes", "app", "List what can be edited, and how well."),
    "weights": Verb("videdit.cli.weights", "app", "List, fetch or verify the models' weights."),
    "train": Verb("videdit.cli.train", "app", "Train the models that ship with the tool."),
    "evaluate": Verb("videdit.cli.evaluate", "app", "Measure how good the results are."),
    "bench": Verb("videdit.cli.bench", "bench", "Measure the speed of each stage."),
    "completion": Verb("videdit.cli.completion", "completion", "Make a shell complete words."),
    "doctor": Verb("videdit.cli.doctor", "doctor", "Check what works on this machine."),
}

EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "anything else",
    2: "the command line is wrong",
    3: "the input cannot be read",
    4: "no face was found",
    5: "weights are missing or damaged",
    6: "the cache or the disk cannot be used",
    7: "interrupted; run the same command again to resume",
}

_LARGE = ("run", "image", "batch", "ui", "inspect", "report", "train", "evaluate", "bench")
"""Verbs that load networks."""

_TRACEBACK = "Add --debug for the traceback."

# typer returns this for Ctrl-C when it does not end the process itself.
_TYPER_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: the words after `videdit`; those of the process by default.

    Returns:
        The exit code, see :data:`EXIT_CODES`.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files that are not UTF-8 are printed as they are.
        sys.stdout.reconfigure(errors="surrogateescape")
    words, debug = _take_debug(list(sys.argv[1:] if arguments is None else arguments))
    if debug:
        logging.basicConfig(format="%(name)s: %(message)s")
        logging.getLogger("videdit").setLevel(logging.DEBUG)
    try:
        _end_by_interrupt()
        calm()
        _check_working_folder()
        code = _run(words)
        # A reader that went away shows itself here, not in the interpreter's last moments.
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Nobody reads any more; what is still buffered must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _report(Interrupted("interrupted", "Run the same command again to resume."), debug)
    except OSError as error:
        return _report(_os_error(error), debug)
    except Exception as error:
        return _report(explained(error, _TRACEBACK), debug)


def entry() -> NoReturn:
    """The process: what :func:`main` returns is its exit code, whatever signal comes after it."""
    try:
        code = main()
    except KeyboardInterrupt:  # in the moment in which it returned
        code = Interrupted.exit_code
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def _end_by_interrupt() -> None:
    """SIGTERM ends the process as Ctrl-C does, with its exit code: by itself it would leave what
    was begun, or, as the first process of a container, do nothing."""
    main_thread = threading.current_thread() is threading.main_thread()
    if main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def _check_working_folder() -> None:
    """Libraries end the process where the working folder is gone."""
    try:
        os.getcwd()
    except OSError as error:
        raise StorageError("the working folder no longer exists", "Go to another one.") from error


def _check_system() -> None:
    """Refuse Windows, before a verb's module is imported."""
    if importlib.util.find_spec("fcntl") is None:
        raise UsageError(
            f"videdit needs the file locks of Linux, macOS or another POSIX, not {sys.platform}",
            "On Windows, run it in WSL or Docker (README.md).",
        )


def _take_debug(words: list[str]) -> tuple[list[str], bool]:
    """Take `--debug` out of the words, wherever it stands before a `--`."""
    end = words.index("--") if "--" in words else len(words)
    rest = [word for word in words[:end] if word != "--debug"] + words[end:]
    asked = len(rest) != len(words)
    return rest, asked or os.environ.get("VIDEDIT_DEBUG", "") not in ("", "0")


def _run(words: list[str]) -> int:
    if not words:
        print(help_text())
        return UsageError.exit_code
    verb, *rest = words
    if verb in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if verb in ("-V", "--version"):
        print(f"videdit {__version__}")
        return 0
    _check_system()
    if verb not in available():
        raise _unknown(verb)
    if verb in _LARGE:
        check_memory()
    return _call(typer_app(VERBS[verb]), f"videdit {verb}", rest)


def available() -> dict[str, Verb]:
    """The verbs whose module is installed; nothing is imported but their packages."""
    return {name: verb for name, verb in VERBS.items() if importlib.util.find_spec(verb.module)}


def help_text() -> str:
    """What `videdit --help` prints."""
    verbs = available()
    width = max(len(name) for name in verbs)
    lines = [
        "Usage: videdit [--debug] VERB [ARGUMENTS]",
        "",
        "Edits the face of a person in a video; everything else stays the source's.",
        "",
        "Verbs (`videdit VERB --help` tells more):",
        *(f"  {name:<{width}}  {verb.help}" for name, verb in verbs.items()),
        "",
        "Options:",
        "  -h, --help     Show this and exit.",
        "  -V, --version  Show the version and exit.",
        "  --debug        Show the traceback of an error (VIDEDIT_DEBUG=1 does the same).",
        "",
        "Example:",
        "  videdit run input.mp4 --attr Smiling --alpha 1.5 -o output.mp4",
        "",
        "Exit codes:",
        *(f"  {code}  {meaning}" for code, meaning in EXIT_CODES.items()),
    ]
    return "\n".join(lines)


def _unknown(word: str) -> UsageError:
    from difflib import get_close_matches

    if word.startswith("-"):
        return UsageError(f"there is no option {word}", "Try `videdit --help`.")
    near = get_close_matches(word, available(), n=2)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return UsageError(f"there is no verb {word!r}", f"{hint}Try `videdit --help`.")


def typer_app(verb: Verb) -> typer.Typer:
    """The typer app that implements a verb."""
    import typer

    from videdit.cli.whose import OrderedCommand

    target = getattr(importlib.import_module(verb.module), verb.attribute)
    if isinstance(target, typer.Typer):
        return target
    single = typer.Typer(add_completion=False)
    single.command(cls=OrderedCommand)(target)
    return single


def _call(target: typer.Typer, name: str, words: list[str]) -> int:
    """Run a typer app; its usage errors become ours, its exit code the result."""
    import typer

    # The bases of typer's only public usage error; typer brings its own click or imports the
    # package, according to its version, so the classes are reached from here.
    usage_error: type[Exception] = typer.BadParameter.__mro__[1]
    click_error: type[Exception] = typer.BadParameter.__mro__[2]
    try:
        result: Any = target(
            args=words,
            prog_name=name,
            standalone_mode=False,
            help_option_names=["-h", "--help"],
        )
    except typer.Abort as error:
        raise VideditError("stopped at a question") from error
    except click_error as error:
        message = cast("typer.BadParameter", error).format_message()
        if type(error).__name__ == "NoArgsIsHelpError":
            print(message)
            return UsageError.exit_code
        context = getattr(error, "ctx", None)
        path = context.command_path if context else name
        hint = f"Try `{path} --help`." if isinstance(error, usage_error) else ""
        if message.endswith("?"):  # "Did you mean …?" and the hint are two sentences already
            message, hint = f"{message} {hint}".rstrip(), ""
        raise UsageError(message, hint) from error
    if result == _TYPER_INTERRUPTED:
        raise KeyboardInterrupt
    return result if isinstance(result, int) else 0


def _os_error(error: OSError) -> VideditError:
    import errno

    from videdit.files import REFUSALS

    # Others, such as a missing file, may as well be a mistake of the tool's.
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        what, remedy = REFUSALS[error.errno]
        where = f" ({error.filename})" if error.filename else ""
        return StorageError(f"{what}{where}", f"{remedy} and run it again.")
    return explained(error, _TRACEBACK)


def _report(error: VideditError, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    say_error(error)
    return error.exit_code


def say_error(error: VideditError) -> None:
    """One line, whatever the message is made of; and at once, for another thread may say something
    at this moment, as that of a signal's handler."""
    print(f"videdit: {' '.join(str(error).split())}\n", end="", file=sys.stderr)
