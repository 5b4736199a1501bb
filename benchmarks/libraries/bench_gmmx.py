"""gmmx, on JAX: it refuses float64, so it is fitted and judged in float32."""

from __future__ import annotations

from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from benchmarks.covariances import dense
from benchmarks.libraries import Fitted
from benchmarks.problems import Problem, Start

REQUIREMENTS = ("gmmx",)
PRECISION = "float32"


def version() -> str:
    import gmmx  # noqa: F401

    return f"gmmx {metadata.version('gmmx')} (jax {metadata.version('jax')})"


def fit(problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted:
    from gmmx import EMFitter, GaussianMixtureModelJax

    kind = problem.covariance_type
    if kind not in ("full", "diag"):
        raise NotImplementedError(kind)
    weights, means, _, covariances = (np.asarray(values, dtype=np.float32) for values in start)
    if kind == "diag":
        covariances = np.diagonal(covariances, axis1=1, axis2=2)
    begin = GaussianMixtureModelJax.from_squeezed(means, covariances, weights, kind)
    fitter = EMFitter(max_iter=problem.iterations, tol=0.0, reg_covar=problem.reg_covar)
    end = fitter.fit(np.asarray(X, dtype=np.float32), begin).gmm
    found = dense(end.covariances.values_numpy, kind, *means.shape)
    return Fitted(end.weights_numpy, end.means_numpy, found)
