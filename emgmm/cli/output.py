"""Writing text for a person: lines of at most 100 columns, to a reader that may stop reading."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable
from typing import TextIO

WIDTH = 100

# Characters at either end that are shown of a long name.
LONGEST = 30


def wrapped(text: str, indent: str = "") -> str:
    """Break a text into lines of at most `WIDTH`, all but the first indented; words stay whole."""
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def printable(text: str) -> str:
    """A text in which escapes stand for characters that control a terminal or cannot be shown."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown(name: str) -> str:
    """The name of a column as it is printed: two quotes if empty, without the middle if long."""
    name = printable(name)
    return f"{name[:LONGEST]}...{name[-LONGEST:]}" if len(name) > 2 * LONGEST + 3 else name or "''"


def together(names: Iterable[str]) -> str:
    """Names of columns with commas between them."""
    return ", ".join(map(shown, names))


def say(text: str, stream: TextIO | None = None, end: str = "\n") -> None:
    """Write a text to standard output, or to another stream; only lines control the terminal."""
    stream = sys.stdout if stream is None else stream
    text = "\n".join(map(printable, text.split("\n")))
    encoding = stream.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, end=end)
        stream.flush()
    except BrokenPipeError:  # nobody reads on; files that were asked for are written all the same
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def note(text: str) -> None:
    """Say on standard error what was done differently from what was asked."""
    say(wrapped(f"note: {text}", "  "), sys.stderr)


def flush() -> None:
    """Write what others, such as argparse, left in the buffer of standard output."""
    say("", end="")
