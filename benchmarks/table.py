"""Tables: Markdown that is also pleasant to read as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table: `left` columns aligned to the left, all others to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * width if number < left else "-" * (width - 1) + ":"
        for number, width in enumerate(widths)
    ]
    return "\n".join([line(lines[0]), line(rule), *map(line, lines[1:])])


def figure(value: float) -> str:
    """A number to three digits, never in powers of ten; an absolute value below 0.001 is 0."""
    if abs(value) < 0.0005:
        return "0"
    whole = len(str(int(abs(value))))
    decimals = max(0, 3 - whole) if abs(value) >= 1 else 3
    return f"{value:.{decimals}f}"
