"""Text on the terminal, in lines of at most 100 columns, and errors that end a command."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn, TextIO

from emgmm.storage.files import reason

WIDTH = 100

# Number of characters at either end of a long name that are printed.
END = 30

USAGE, FAILED, INTERRUPTED = 2, 1, 130

# Signals that end a process, and what is added to their numbers in its exit status.
SIGNALS = ("SIGTERM", "SIGHUP")
SIGNALLED = 128


class CommandError(Exception):
    """A command cannot be executed.

    Parameters
    ----------
    sentence : str
        Description of the problem and of its remedy.
    status : int, default=2
        Exit status: 2 if the command line or the data are not valid; 1 if a fit failed, a file
        could not be written or a package is missing.
    """

    def __init__(self, sentence: str, status: int = USAGE) -> None:
        super().__init__(sentence)
        self.status = status


def imported(purpose: str, package: str, *submodules: str) -> Any:
    """Import an optional package and some of its submodules."""
    try:
        for name in submodules:
            import_module(f"{package}.{name}")
        return import_module(package)
    except ImportError:
        sentence = f"{purpose} needs {package}: pip install {package}"
    except Exception as error:  # for example, if its settings are not valid
        sentence = f"{purpose} needs {package}, which cannot be imported: {error}"
    raise CommandError(sentence, FAILED)


def wrap(text: str, indent: str = "  ") -> str:
    """Break a text between words into lines of at most `WIDTH`, all but the first indented."""
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def counted(number: int, noun: str) -> str:
    """Return a number and a noun, such as ``1 row`` or ``2 rows``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Replace characters that are not printable by escape sequences."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def abbreviate(name: str) -> str:
    """Return the name of a column without its middle if it is long, and two quotes if empty."""
    name = printable(name)
    return f"{name[:END]}...{name[-END:]}" if len(name) > 2 * END + 3 else name or "''"


def join_names(names: Iterable[str]) -> str:
    """Return the names of columns with commas between them."""
    return ", ".join(map(abbreviate, names))


def write_text(text: str, stream: str = "stdout", end: str = "\n") -> None:
    """Write a text to a stream of `sys`, without control characters.

    If the stream is closed, or the program that reads it has ended, the command continues without
    it.
    """
    file: TextIO | None = getattr(sys, stream)
    if file is None:
        return
    text = "\n".join(map(printable, text.split("\n")))
    encoding = file.encoding or "utf-8"
    try:
        if text or end:  # even writing nothing fails if there is no space
            print(text.encode(encoding, "backslashreplace").decode(encoding), file=file, end=end)
        file.flush()
    except OSError as error:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, file.fileno())
        os.close(null)
        if stream == "stdout" and not isinstance(error, BrokenPipeError):
            raise CommandError(f"the report cannot be written: {reason(error)}", FAILED) from None


@contextmanager
def signals_handled() -> Iterator[None]:
    """Let signals that end the process raise SystemExit, so that temporary files are removed.

    A signal that is ignored, or has another handler, is left alone.
    """
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    is_main = threading.current_thread() is threading.main_thread()  # others have no signals
    handled = [n for n in numbers if is_main and signal.getsignal(n) is signal.SIG_DFL]
    try:
        for number in handled:
            signal.signal(number, _exit)
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


def _exit(number: int, frame: Any) -> NoReturn:  # noqa: ARG001
    sys.exit(SIGNALLED + number)


def note(text: str) -> None:
    """Write a note to standard error."""
    write_text(wrap(f"note: {text}"), "stderr")
