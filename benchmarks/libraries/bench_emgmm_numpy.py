"""emgmm as it is where numba is not installed.

Every library has a process to itself, so numba can be hidden from this one.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.libraries import Fitted, bench_emgmm, estimators
from benchmarks.problems import Problem, Start


def hide_numba() -> None:
    """Make it look as if it were not installed; too late once it has been imported."""
    if sys.modules.get("numba") is not None:
        raise ImportError("numba has been imported in this process already")
    sys.modules["numba"] = None  # type: ignore[assignment]


def version() -> str:
    hide_numba()
    return bench_emgmm.version()


def estimator() -> Any:
    hide_numba()
    return bench_emgmm.estimator()


def fit(problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted:
    return estimators.fit(estimator(), problem, X, start)
