"""Covariance families whose members are proportional to each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emgmm.covariances.diagonal import DIAGONAL
from emgmm.covariances.family import Family, times_counts
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.typing import Array

# Relative change of the volumes at which the iteration stops. It converges linearly to the only
# maximum, from any start.
TOLERANCE = 1e-13

# The same within EM, whose next M-step starts from these covariances.
WARM_TOLERANCE = 1e-9

MAX_ITER = 300


class Proportional(Family):
    """Covariances lambda_k C, of equal shape and orientation and variable volume: VEI and VEE.

    The updates lambda_k = tr(W_k C^-1) / (D N_k) and C = sum_k W_k / (N lambda_k) alternate until
    convergence. If C is diagonal, this is Sinkhorn's scaling of a K x D table. Only the products
    lambda_k C have a scale; it does not matter how it is divided between the factors.

    References
    ----------
    Celeux and Govaert (1995), Pattern Recognition 28:781, doi 10.1016/0031-3203(94)00125-6.
    """

    def estimate(
        self, scatter: Array, counts: Array, n_features: int, before: Array | None = None
    ) -> Array:
        if before is None:
            common, tolerance = self._common(scatter, np.ones(len(counts)), counts.sum()), TOLERANCE
        else:
            common, tolerance = before[np.argmax(counts)], WARM_TOLERANCE
        volumes: Array = np.zeros(len(counts))
        scaled, all_counts = n_features * counts, counts.sum()
        for _ in range(MAX_ITER):
            last, volumes = volumes, self._volumes(common, scatter, scaled, n_features)
            if np.logical_and.reduce(np.abs(volumes - last) <= tolerance * volumes):
                break
            positive = volumes > 0  # a component whose rows coincide does not determine C
            if np.logical_and.reduce(positive):
                common = self._common(scatter, 1.0 / volumes, all_counts)
                continue
            if not positive.any():
                raise DegenerateCovarianceError(())
            inverses = np.divide(1.0, volumes, out=np.zeros(len(counts)), where=positive)
            common = self._common(scatter, inverses, counts[positive].sum())
        return times_counts(volumes, np.repeat(common[None], len(counts), axis=0))

    def _common(self, scatter: Array, weights: Array, total: float) -> Array:
        """Return C, the weighted sum of the scatters divided by the total count."""
        flat = scatter.reshape(len(scatter), -1)
        return (weights @ flat).reshape(scatter.shape[1:]) / total

    def _volumes(self, common: Array, scatter: Array, scaled: Array, n_features: int) -> Array:
        """Return lambda_k, (K,), given C and D N_k."""
        try:
            precision_cholesky = self.structure.precisions_cholesky(common[None])
        except DegenerateCovarianceError:
            raise DegenerateCovarianceError(()) from None
        precision = self.structure.precisions(precision_cholesky)
        return self.structure.traces(precision, scatter, n_features)[0] / scaled

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return self.structure.n_monomials(n_features) + n_components - 1

    def min_count(self, n_features: int) -> int:
        # A component only has to determine its volume; the shape is that of all components.
        return DIAGONAL.min_rows(n_features)

    def has_marginals(self, features: Sequence[int], n_features: int) -> bool:
        return True
