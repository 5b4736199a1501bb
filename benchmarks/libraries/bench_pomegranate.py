"""pomegranate, on PyTorch; full and diagonal covariances.

Given float64 it still keeps some sums in float32, so it may end 1e-8 nats per row elsewhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.covariances import dense
from benchmarks.libraries import Fitted, torches
from benchmarks.problems import Problem, Start

REQUIREMENTS = ("pomegranate",)
PRECISION = "float32"


def version() -> str:
    import pomegranate.gmm  # noqa: F401

    return torches.version("pomegranate")


def fit(problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted:
    torch = torches.on_our_threads()
    from pomegranate.distributions import Normal
    from pomegranate.gmm import GeneralMixtureModel

    kind = problem.covariance_type
    if kind not in ("full", "diag"):
        raise NotImplementedError(kind)
    covariances = start.covariances
    if kind == "diag":
        covariances = np.diagonal(covariances, axis1=1, axis2=2)
    components = [
        Normal(torch.tensor(mean), torch.tensor(covariance), covariance_type=kind)
        for mean, covariance in zip(start.means, covariances, strict=True)
    ]
    model = GeneralMixtureModel(
        components,
        priors=torch.tensor(start.weights),
        max_iter=problem.iterations,
        tol=-np.inf,
        check_data=False,
    ).fit(torch.from_numpy(X))
    found = np.stack([torches.array(component.covs) for component in components])
    return Fitted(
        torches.array(model.priors),
        np.stack([torches.array(component.means) for component in components]),
        dense(found, kind, *start.means.shape),
    )
