"""Count the lines of code of the package: without docstrings, comments and blank lines.

Run from the checkout's root: ``python -m tests.lines`` prints them for each entry of the package,
and for the modules that one reads to understand EM here.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "emgmm"

# The modules of `docs/reference/architecture.rst`, in the order in which it reads them.
TOUR = (
    *("mixture", "statistics", "covariances/", "estep/", "mstep", "em"),
    *("sources/source", "sources/array", "fitting/fit", "fitting/loop"),
)
# What serves missing values, devices, labels, many fits, the compiler, and parts of single steps.
NOT_ON_TOUR = (
    *(
        "estep/missing",
        "estep/device",
        "estep/device_blocks",
        "estep/compiled/",
        "estep/constrained",
        "estep/stacked",
    ),
    *("covariances/conditional", "covariances/grouped", "covariances/natural"),
    *("covariances/rotations", "covariances/volumes"),
)

SPACE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(text):
    """Number of lines with code in a module's text."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SPACE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                lines.difference_update(range(value.lineno, value.end_lineno + 1))
    return len(lines)


def counted(package=PACKAGE):
    """Lines of code of each module, by its path without the suffix."""
    paths = sorted(package.rglob("*.py"))
    return {
        str(path.relative_to(package).with_suffix("")): code_lines(path.read_text())
        for path in paths
    }


def is_on_tour(name):
    """Whether a module is among those that one reads to understand EM."""
    return name.startswith(TOUR) and not name.startswith(NOT_ON_TOUR)


def main():
    lines = counted(Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE)
    entries = Counter()
    for name, number in lines.items():
        entries[name.partition("/")[0]] += number
    for entry, number in entries.most_common():
        print(f"{number:6d}  {entry}")
    tour = {name: number for name, number in lines.items() if is_on_tour(name)}
    print(f"{sum(tour.values()):6d}  to understand EM, in {len(tour)} modules")
    print(f"{sum(lines.values()):6d}  in all, in {len(lines)} modules")


if __name__ == "__main__":
    main()
