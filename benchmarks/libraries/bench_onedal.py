"""oneDAL, Intel's library, through daal4py; full and diagonal covariances."""

from __future__ import annotations

from functools import cache
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from benchmarks.libraries import Fitted
from benchmarks.problems import Problem, Start

REQUIREMENTS = ("scikit-learn-intelex",)
STORAGE = {"full": "full", "diag": "diagonal"}


@cache
def _daal4py():
    import os

    import daal4py

    daal4py.daalinit(int(os.environ["OMP_NUM_THREADS"]))
    return daal4py


def version() -> str:
    _daal4py()
    return f"oneDAL {metadata.version('daal')}"


def fit(problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted:
    if problem.covariance_type not in STORAGE:
        raise NotImplementedError(problem.covariance_type)
    full = problem.covariance_type == "full"
    algorithm = _daal4py().em_gmm(
        nComponents=problem.n_components,
        maxIterations=problem.iterations,
        accuracyThreshold=0.0,
        fptype="double" if X.dtype == np.float64 else "float",
        covarianceStorage=STORAGE[problem.covariance_type],
    )
    covariances = list(start.covariances)
    if not full:
        covariances = [np.diag(matrix)[None].copy() for matrix in covariances]
    result = algorithm.compute(X, start.weights[None], start.means, covariances)
    found = [np.asarray(values) for values in result.covariances]
    matrices = found if full else [np.diag(values.ravel()) for values in found]
    return Fitted(np.ravel(result.weights), result.means, np.stack(matrices))
