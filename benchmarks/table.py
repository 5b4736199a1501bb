"""Tables, headings and pictures: reStructuredText that is also pleasant to read as it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def heading(text: str, line: str = "-") -> str:
    """A heading; the pages that include reports have one of '=' above."""
    return f"{text}\n{line * len(text)}"


def section(text: str) -> str:
    """A heading within a report."""
    return heading(text, "~")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A simple table: `left` columns aligned to the left, all others to the right."""
    lines = [list(head), *map(list, rows)]
    lines = [[cell or "\\" for cell in cells] for cells in lines]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join(padded).rstrip()

    rule = "  ".join("=" * width for width in widths)
    return "\n".join([rule, line(lines[0]), rule, *map(line, lines[1:]), rule])


def picture(name: str, alt: str) -> str:
    """A picture that lies beside the report."""
    return f".. image:: {name}\n   :alt: {alt}"


def figure(value: float) -> str:
    """A number to three digits, never in powers of ten; an absolute value below 0.001 is 0."""
    if abs(value) < 0.0005:
        return "0"
    if not math.isfinite(value):  # two times that noise made the same
        return str(value)
    whole = len(str(int(abs(value))))
    decimals = max(0, 3 - whole) if abs(value) >= 1 else 3
    return f"{value:.{decimals}f}"
