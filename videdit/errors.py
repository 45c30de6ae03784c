"""Every error the tool raises on purpose, one class per exit code.

An error says what is wrong, where, and what to do about it. The command line prints
``videdit: <message>. <remedy>`` on one line and exits with the class's ``exit_code``; the codes are
part of the tool's interface and never change.
"""

from __future__ import annotations


class VideditError(Exception):
    """Base of all deliberate errors.

    Args:
        message: what is wrong and where, without a final full stop.
        remedy: what the user can do, a sentence; empty where nothing can be done.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        text = self.message.rstrip(".")
        return f"{text}. {self.remedy}" if self.remedy else text


class UsageError(VideditError):
    """The request itself is wrong: an unknown attribute, an alpha that is no number."""

    exit_code = 2


class InputError(VideditError):
    """The source cannot be read as a video or picture."""

    exit_code = 3


class NoFaceError(VideditError):
    """No usable face was found in the stretch to edit."""

    exit_code = 4


class WeightsError(VideditError):
    """Weights are missing, damaged, or do not belong together."""

    exit_code = 5


class StorageError(VideditError):
    """The cache or the output cannot be written or read: disk full, no permission, damaged."""

    exit_code = 6


class Interrupted(VideditError):
    """The run was stopped by a signal; running the same command again resumes it."""

    exit_code = 7


def error_of(exit_code: int, message: str, remedy: str = "") -> VideditError:
    """The error that another process told of."""
    kinds = {kind.exit_code: kind for kind in VideditError.__subclasses__()}
    return kinds.get(exit_code, VideditError)(message, remedy)


def explained(error: Exception, remedy: str, where: str = "") -> VideditError:
    """What to tell of an error: a lack of memory as such, an error of ours as it is, any other as a
    fault of the tool.

    Args:
        remedy: of a fault of the tool.
        where: the input that it came up with, if there are several.
    """
    shortage = out_of_memory(error)
    if shortage is not None:
        return shortage
    if isinstance(error, VideditError):
        return error
    text = f"internal error: {type(error).__name__}: {error}".rstrip(": ")
    return VideditError(f"{where}: {text}" if where else text, remedy)


_SHORTAGE = ("bad_alloc", "can't alloc", "cannot alloc", "failed to map segment", "out of memory")
"""What libraries say that ran out of memory without raising MemoryError."""


def out_of_memory(error: BaseException) -> VideditError | None:
    """An error that says so, where memory was what ``error``, or what it came from, ran out of."""
    cause: BaseException | None = error
    while cause is not None:
        said = str(cause).lower()
        if isinstance(cause, MemoryError) or any(text in said for text in _SHORTAGE):
            return VideditError(
                "there is not enough memory",
                "Nothing is lost: close other programs or raise the limit (ulimit -v, a"
                " container's), and run the same command again.",
            )
        cause = cause.__cause__ or cause.__context__
    return None
