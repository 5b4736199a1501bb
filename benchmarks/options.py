"""Options: what the command line asks of a table."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Options:
    """How a table is measured, and where its pictures go."""

    problems: Sequence[Any]  # of those the table knows; each has a name
    libraries: Sequence[str]  # of those it compares, the ones that are here
    repeats: int
    threads: int
    quick: bool
    folder: Path
    wrong: list[str] = field(default_factory=list)  # what went wrong with ours, a line each


def progress(items: Sequence[Item], label: str = "") -> Iterator[Item]:
    """One after the other; how far it is goes to the standard error."""
    for number, item in enumerate(items, start=1):
        begun = perf_counter()
        name = getattr(item, "name", item)
        print(f"[{number}/{len(items)}] {label}{name} ...", end="", file=sys.stderr, flush=True)
        yield item
        print(f" {perf_counter() - begun:.0f} s", file=sys.stderr)
