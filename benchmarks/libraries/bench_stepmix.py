"""StepMix, which knows missing values in diagonal covariances."""

from __future__ import annotations

from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from benchmarks.covariances import dense
from benchmarks.libraries import Fitted
from benchmarks.problems import Problem, Start

REQUIREMENTS = ("stepmix",)
MEASUREMENTS = {"diag": "gaussian_diag_nan", "spherical": "gaussian_spherical_nan"}


def version() -> str:
    import stepmix  # noqa: F401

    return f"StepMix {metadata.version('stepmix')}"


def fit(problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted:
    """From a random start of its own: it takes none."""
    from stepmix.stepmix import StepMix

    if problem.covariance_type not in MEASUREMENTS:
        raise NotImplementedError("its missing values are for diagonal covariances")
    model = StepMix(
        problem.n_components,
        measurement=MEASUREMENTS[problem.covariance_type],
        max_iter=problem.iterations,
        abs_tol=0.0,
        random_state=0,
        progress_bar=0,
    ).fit(X)
    found = model.get_parameters()
    covariances = np.asarray(found["measurement"]["covariances"])
    if covariances.ndim == 1:
        covariances = np.repeat(covariances[:, None], X.shape[1], axis=1)
    return Fitted(
        np.asarray(found["weights"]),
        np.asarray(found["measurement"]["means"]),
        dense(covariances, "diag", *start.means.shape),
    )
