"""The library that does nothing: its time is the harness's own, and its result must be refused."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.libraries import Fitted
from benchmarks.problems import Problem, Start


def version() -> str:
    return "null"


def fit(problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted:  # noqa: ARG001
    return Fitted(start.weights, start.means, start.covariances)
