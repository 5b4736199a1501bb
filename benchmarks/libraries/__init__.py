"""Libraries: every module ``bench_<name>.py`` in this folder is one, under that name.

Such a module has

- ``version()``, which names what is installed here, or raises an exception that says why the
  library cannot be used;
- ``fit(problem, X, start)``, which makes ``problem.iterations`` EM iterations from the start and
  returns a `Fitted`; `NotImplementedError` says that the library knows no such mixtures;
- ``REQUIREMENTS``, if it wants an environment of its own: what pip installs there;
- ``PRECISION = "float32"``, if it computes so, in part at least, whatever it is given.

What it needs it imports inside its functions, so that a missing library harms no other.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.problems import Problem, Start

REFERENCE = "sklearn"
OURS = ("emgmm", "emgmm-numpy")


class Fitted(NamedTuple):
    """The mixture that a library ended with; covariances are (K, D, D)."""

    weights: NDArray[np.floating]
    means: NDArray[np.floating]
    covariances: NDArray[np.floating]


class Library(Protocol):
    """What a module ``bench_<name>.py`` has."""

    def version(self) -> str: ...

    def fit(self, problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted: ...


def names() -> list[str]:
    """All libraries: the reference and ours first, the one that does nothing last."""
    prefix = "bench_"
    modules = {m.name for m in iter_modules(__path__) if m.name.startswith(prefix)}
    found = {name.removeprefix(prefix).replace("_", "-") for name in modules}
    others = sorted(found - {REFERENCE, *OURS, "null"})
    return [REFERENCE, *OURS, *others, "null"]


def load(name: str) -> Library:
    """The library of that name."""
    return cast(Library, import_module(f"{__name__}.bench_{name.replace('-', '_')}"))


def requirements(name: str) -> tuple[str, ...]:
    """What pip installs into the library's own environment; nothing where it needs none."""
    return getattr(load(name), "REQUIREMENTS", ())


def precision(name: str) -> str:
    """The coarsest numbers that the library computes with, given float64."""
    return getattr(load(name), "PRECISION", "float64")


def version(name: str) -> str:
    """The library's version, here."""
    return load(name).version()
