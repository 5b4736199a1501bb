"""Libraries: every module ``bench_<name>.py`` in this folder is one, under that name.

Such a module has

- ``DISTRIBUTION``, the package whose version is reported, or None;
- ``available()``, whether it can be used here;
- ``fit(problem, X, start)``, which makes ``problem.iterations`` EM iterations from the start and
  returns a `Fitted`. What it needs it imports inside, so that a missing library harms no other.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.problems import Problem, Start

REFERENCE = "sklearn"


class Fitted(NamedTuple):
    """The mixture that a library ended with; covariances are (K, D, D)."""

    weights: NDArray[np.floating]
    means: NDArray[np.floating]
    covariances: NDArray[np.floating]


class Library(Protocol):
    """What a module ``bench_<name>.py`` has."""

    DISTRIBUTION: str | None

    def available(self) -> bool: ...

    def fit(self, problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted: ...


def names() -> list[str]:
    """All libraries: the reference first, the one that does nothing last."""
    prefix = "bench_"
    found = {m.name.removeprefix(prefix) for m in iter_modules(__path__) if prefix in m.name}
    between = sorted(found - {REFERENCE, "null"})
    return [REFERENCE, *between, "null"]


def load(name: str) -> Library:
    """The library of that name."""
    return cast(Library, import_module(f"{__name__}.bench_{name}"))
