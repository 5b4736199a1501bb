"""tgmm, on PyTorch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.covariances import dense
from benchmarks.libraries import Fitted, torches
from benchmarks.problems import Problem, Start

REQUIREMENTS = ("tgmm",)
TYPES = {"full": "full", "tied": "tied_full", "diag": "diag", "spherical": "spherical"}


def version() -> str:
    import tgmm  # noqa: F401

    return torches.version("tgmm")


def fit(problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted:
    torch = torches.on_our_threads()
    from tgmm import GaussianMixture

    kind = problem.covariance_type
    precisions = start.precisions
    inverse = np.linalg.inv(precisions) if kind in ("full", "tied") else 1 / precisions
    model = GaussianMixture(
        n_components=problem.n_components,
        n_features=problem.n_features,
        covariance_type=TYPES[kind],
        max_iter=problem.iterations,
        tol=np.finfo(float).tiny,
        reg_covar=problem.reg_covar,
        init_means=torch.tensor(start.means),
        init_weights=torch.tensor(start.weights),
        init_covariances=torch.tensor(inverse),
        device="cpu",
        missing="em" if np.isnan(X).any() else "error",
    ).fit(torch.from_numpy(X))
    found = dense(torches.array(model.covariances_), kind, *start.means.shape)
    return Fitted(torches.array(model.weights_), torches.array(model.means_), found)
