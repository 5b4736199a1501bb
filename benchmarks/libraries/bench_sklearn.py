"""scikit-learn, the reference."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.libraries import Fitted, estimators
from benchmarks.problems import Problem, Start


def version() -> str:
    return f"scikit-learn {metadata.version('scikit-learn')}"


def estimator() -> Any:
    from sklearn.mixture import GaussianMixture

    return GaussianMixture


def fit(problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted:
    return estimators.fit(estimator(), problem, X, start)
