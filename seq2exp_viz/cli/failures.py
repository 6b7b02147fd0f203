"""Failures that are nobody's fault in the program: what the system refused, in one message with what to do."""

from __future__ import annotations

import errno
import os
import select
import sys

from model_core.errors import Problem

BROKEN_PIPE = 141  # exit code of a program that wrote to a pipe without a reader (128 + SIGPIPE)
REPORT = (
    "This is a fault of seq2exp-viz, not of your input. Please report it with the lines above, the command and the "
    "version (seq2exp-viz --version)."
)
_SPACE = "free disk space or choose another folder, then run the same command again"
_OTHER_PLACE = "choose another folder, or ask for the right to it, then run the same command again"
_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _SPACE),
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), or choose another file system",
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), _OTHER_PLACE),
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.EEXIST), "give another path"),
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "correct the links at this path",
    errno.ENOENT: "check the path, and that nothing else removes files there",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "raise the limit on open files (ulimit -n), or close other programs"),
    errno.ENOMEM: "close other programs, or give the program a larger share of memory",
    **dict.fromkeys((errno.EIO, errno.ESTALE), "check the disk or the connection to it, then run the command again"),
    errno.EPIPE: "run the same command again; if it happens again, please report it",
}
_MEMORY = "close other programs, choose fewer genes or a smaller --batch-size, then run the same command again"


def system_words(error: OSError | MemoryError) -> str:
    """Return a message for what the system refused: the file where one is known, the reason, and what to do."""
    if isinstance(error, MemoryError):
        reason = f" ({error})" if str(error) else ""
        return str(Problem("memory", f"no memory left{reason}", "room for what was asked", _MEMORY))
    where = error.filename2 or error.filename or "reading or writing"
    reason = str(error.strerror or error or type(error).__name__)
    fix = _ADVICE.get(error.errno or 0, "check the file and its disk, then run the same command again")
    return f"{os.fsdecode(where) if isinstance(where, bytes) else where}: {reason[:1].lower()}{reason[1:]}; {fix}"


def output_is_unread() -> bool:
    """Return whether standard output is a pipe whose reader has ended."""
    try:
        handle = sys.stdout.fileno()
        if os.path.samestat(os.fstat(handle), os.stat(os.devnull)):  # where rich sends the rest
            return True
        asked = select.poll()
        asked.register(handle, 0)  # errors are always told
        return any(events & select.POLLERR for _, events in asked.poll(0))
    except (AttributeError, OSError, ValueError):  # no output, or a system without poll
        return True


def flush_output() -> None:
    """Write what standard output still holds; the interpreter would report a full disk at its end, without words.

    Raises
    ------
    OSError
        It cannot be written.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        error.filename = "standard output"
        raise


def discard_output() -> None:
    """Send what standard output still holds to nowhere, so that no second error is raised when the program ends."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (OSError, ValueError, AttributeError):
            sys.stdout = None  # type: ignore[assignment]  # as the interpreter has it without an output


def is_no_text(error: UnicodeEncodeError) -> bool:
    """Return whether the text that could not be written holds bytes of a name that is not UTF-8."""
    return any("\ud800" <= letter <= "\udfff" for letter in error.object[error.start : error.end])


def no_text_words(error: UnicodeEncodeError) -> str:
    """Return a message for a name that is not UTF-8 and had to be written to a file."""
    around = error.object[max(0, error.start - 40) : error.end + 20]
    return str(Problem(repr(around), "a name that is not UTF-8", "UTF-8", "rename the file or folder, and try again"))
