"""emgmm, ours, with all that is installed for it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.libraries import Fitted, estimators
from benchmarks.problems import Problem, Start


def version() -> str:
    import emgmm

    if find_spec("numba") is None:
        return f"emgmm {emgmm.__version__} without numba"
    import numba

    return f"emgmm {emgmm.__version__} beside numba {numba.__version__}"


def estimator() -> Any:
    from emgmm import GaussianMixture

    return GaussianMixture


def fit(problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted:
    return estimators.fit(estimator(), problem, X, start)
