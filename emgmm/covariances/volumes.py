"""The volumes of proportional covariances lambda_k C, which maximize the likelihood.

They solve lambda_k = tr(W_k C^-1) / (D N_k), where C = sum_k W_k / (N lambda_k) and W_k is the
scatter of the N_k rows of a component. Repeated substitution converges linearly to the only
solution, from any start; if C is diagonal, it is Sinkhorn's scaling of a K x D table. In the
logarithms of the volumes, minus the log-likelihood is convex, so that Newton's method needs few
steps near the solution.
"""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np

from emgmm.covariances.structure import Structure
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.tolerances import TINY
from emgmm.typing import Array

# Largest relative residual of the equations from which Newton's steps are made, largest of these
# steps, and largest residual before the last step, whose residual is the square. A residual below
# ROUNDING that does not decrease consists of rounding errors.
NEAR = 0.5
LAST = 1e-7
ROUNDING = 1e-6

MAX_ITER = 300

# Smallest variance of a scatter in units of C, relative to its mean variance, that is not 0.
SINGULAR = 1e-9


def best_volumes(
    structure: Structure, scatter: Array, counts: Array, n_features: int, volumes: Array
) -> tuple[Array, Array]:
    """Return lambda_k, (K,), and the element C.

    Parameters
    ----------
    structure : Structure
        Structure of the covariances.
    scatter : (K,) elements
        Scatters about the means, none of which is negligible compared with the others.
    counts : (K,)
        Counts.
    n_features : int
        Number of features, D.
    volumes : (K,)
        Volumes from which the iteration starts, up to a common factor.

    Raises
    ------
    DegenerateCovarianceError
        If C is not positive definite, or a volume vanishes, or if the iteration does not end as a
        scatter is singular: the likelihood may then be bounded but have no maximum.
    """
    total, last, common = counts.sum(), math.inf, scatter[0]
    shares = n_features * counts / total
    flat = scatter.reshape(len(scatter), -1)
    for _ in range(MAX_ITER):
        parts = (flat.T / (total * volumes)).T.reshape(scatter.shape)
        common = np.add.reduce(parts, axis=0)
        if last <= LAST:
            break
        try:
            factor = structure.precisions_cholesky(common[None])[0]
        except DegenerateCovarianceError:
            raise DegenerateCovarianceError(()) from None
        mutual = structure.mutual_traces(parts, factor, n_features)
        traces = np.add.reduce(mutual, axis=1)  # as the whitened parts sum to the identity
        ratios = traces / shares
        error = np.maximum.reduce(np.abs(ratios - 1))
        if last <= error <= ROUNDING:
            break
        if not np.minimum.reduce(ratios * volumes) > TINY:  # the likelihood is unbounded
            raise DegenerateCovarianceError(())
        steps = np.log(ratios)
        if error < min(last, NEAR):
            # The sum of the logarithms does not matter; 1 / K makes the matrix regular, unless some
            # components have no direction in common.
            hessian = np.diag(traces) - mutual + 1 / len(counts)
            with suppress(np.linalg.LinAlgError):
                newton = np.linalg.solve(hessian, traces - shares)
                steps = newton if np.maximum.reduce(np.abs(newton)) <= NEAR else steps
        volumes, last = volumes * np.exp(steps), error
    else:
        least = structure.min_variance(parts, factor, n_features)
        if (n_features * least <= SINGULAR * traces).any():
            raise DegenerateCovarianceError(())
    return volumes, common
