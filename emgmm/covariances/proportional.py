"""Covariance families whose members are proportional to each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emgmm.covariances.diagonal import DIAGONAL
from emgmm.covariances.family import Family, times_counts
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.typing import Array

# Largest relative residual of the equations for the volumes at the end of the iteration. A residual
# below ROUNDING that no longer decreases consists of rounding errors.
TOLERANCE = 1e-13
ROUNDING = 1e-6

# Largest relative residual from which Newton's steps are made.
NEAR = 0.5

MAX_ITER = 300


class Proportional(Family):
    """Covariances lambda_k C, of equal shape and orientation and variable volume: VEI and VEE.

    The volumes solve lambda_k = tr(W_k C^-1) / (D N_k) with C = sum_k W_k / (N lambda_k). Repeated
    substitution converges linearly to the only solution, from any start; if C is diagonal, it is
    Sinkhorn's scaling of a K x D table. The logarithms of the volumes minimize a convex function,
    so that Newton's steps are made near the solution. Only the products lambda_k C have a scale; it
    does not matter how it is divided between the factors.

    References
    ----------
    Celeux and Govaert (1995), Pattern Recognition 28:781, doi 10.1016/0031-3203(94)00125-6.
    """

    def estimate(
        self, scatter: Array, counts: Array, n_features: int, before: Array | None = None
    ) -> Array:
        has_volume = np.add.reduce(self.structure.variances(scatter, n_features), axis=1) > 0
        if not np.logical_and.reduce(has_volume):
            return self._estimate_of(has_volume, scatter, counts, n_features, before)
        total, shares = counts.sum(), n_features * counts / counts.sum()
        common = scatter.sum(axis=0) / total if before is None else before[np.argmax(counts)]
        volumes = self._traces(common, scatter, n_features) / (n_features * counts)
        last = math.inf
        for _ in range(MAX_ITER):
            parts = times_counts(1.0 / (total * volumes), scatter)
            common = np.add.reduce(parts, axis=0)
            mutual = self.structure.mutual_traces(parts, self._factor(common), n_features)
            traces = np.add.reduce(mutual, axis=1)  # as the whitened parts sum to the identity
            residuals = traces / shares - 1
            error = np.maximum.reduce(np.abs(residuals))
            if error <= TOLERANCE or last <= error <= ROUNDING:
                break
            steps = np.log1p(residuals)
            if error < min(last, NEAR):
                # The sum of the logarithms does not matter; 1 / K makes the matrix regular.
                hessian = np.diag(traces) - mutual + 1 / len(counts)
                steps = np.linalg.solve(hessian, traces - shares)
            volumes *= np.exp(steps)
            last = error
        return times_counts(volumes, np.repeat(common[None], len(counts), axis=0))

    def _estimate_of(
        self,
        chosen: NDArray[np.bool_],
        scatter: Array,
        counts: Array,
        n_features: int,
        before: Array | None,
    ) -> Array:
        """Return the estimate of some components; the rows of each other one coincide."""
        if not chosen.any():
            raise DegenerateCovarianceError(())
        covariances = np.zeros(scatter.shape)
        earlier = None if before is None else before[chosen]
        covariances[chosen] = self.estimate(scatter[chosen], counts[chosen], n_features, earlier)
        return covariances

    def _factor(self, common: Array) -> Array:
        """Return U of C."""
        try:
            return self.structure.precisions_cholesky(common[None])[0]
        except DegenerateCovarianceError:
            raise DegenerateCovarianceError(()) from None

    def _traces(self, common: Array, scatter: Array, n_features: int) -> Array:
        """Return tr(W_k C^-1), (K,)."""
        precision = self.structure.precisions(self._factor(common)[None])
        return self.structure.traces(precision, scatter, n_features)[0]

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return self.structure.n_monomials(n_features) + n_components - 1

    def min_count(self, n_features: int) -> int:
        # A component only has to determine its volume; the shape is that of all components.
        return DIAGONAL.min_rows(n_features)

    def has_marginals(self, features: Sequence[int], n_features: int) -> bool:
        return True
