"""Writing text for a person: lines of at most 100 columns, to a reader that may stop reading."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable
from typing import TextIO

WIDTH = 100


def wrapped(text: str, indent: str = "") -> str:
    """Break a text into lines of at most `WIDTH`, all but the first indented; words stay whole."""
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def together(names: Iterable[str]) -> str:
    """Names of columns with commas between them; an empty name is shown as two quotes."""
    return ", ".join(name or "''" for name in names)


def say(text: str, stream: TextIO | None = None, end: str = "\n") -> None:
    """Write a text to standard output, or to another stream."""
    stream = sys.stdout if stream is None else stream
    try:
        print(text, file=stream, end=end, flush=True)
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
