"""Families whose covariances are proportional to each other."""

from __future__ import annotations

import numpy as np

from emgmm.covariances.diagonal import DIAGONAL
from emgmm.covariances.family import Family, times_counts
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.typing import Array

# Relative change of the volumes at which they have settled, and most rounds until then. The maximum
# is the only one, and each round brings it nearer by a constant factor.
SETTLED = 1e-13

# The same where EM brings the covariances of its last step, and will go on from these.
NEARLY_SETTLED = 1e-9

ROUNDS = 300


class Proportional(Family):
    """Covariances lambda_k C, of one shape and orientation and different volumes: VEI and VEE.

    In turns, lambda_k = tr(W_k C^-1) / (D N_k) and C = sum_k W_k / (N lambda_k), until they settle.
    Where C is diagonal this is Sinkhorn's scaling of a K x D table. Neither has its own scale, only
    their product has.

    References
    ----------
    Celeux and Govaert (1995), Pattern Recognition 28:781, doi 10.1016/0031-3203(94)00125-6.
    """

    def estimate(
        self, scatter: Array, counts: Array, n_features: int, before: Array | None = None
    ) -> Array:
        if before is None:
            common = self._mean(scatter, np.ones(len(counts)), counts.sum())
        else:
            common = before[np.argmax(counts)]
        settled = SETTLED if before is None else NEARLY_SETTLED
        volumes: Array = np.zeros(len(counts))
        for _ in range(ROUNDS):
            last, volumes = volumes, self._volumes(common, scatter, counts, n_features)
            if (np.abs(volumes - last) <= settled * volumes).all():
                break
            holds = volumes > 0  # a component whose rows are all the same has no say
            if not holds.any():
                raise DegenerateCovarianceError(())
            shares = np.divide(1.0, volumes, out=np.zeros(len(counts)), where=holds)
            common = self._mean(scatter, shares, counts[holds].sum())
        return times_counts(volumes, np.repeat(common[None], len(counts), axis=0))

    def _mean(self, scatter: Array, shares: Array, total: float) -> Array:
        each = scatter.reshape(len(scatter), -1)
        return (shares @ each).reshape(scatter.shape[1:]) / total

    def _volumes(self, common: Array, scatter: Array, counts: Array, n_features: int) -> Array:
        """(K,): lambda_k, given C."""
        try:
            precision_cholesky = self.structure.precisions_cholesky(common[None])
        except DegenerateCovarianceError:
            raise DegenerateCovarianceError(()) from None
        precision = self.structure.precisions(precision_cholesky)
        return self.structure.traces(precision, scatter, n_features)[0] / (n_features * counts)

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return self.structure.n_monomials(n_features) + n_components - 1

    def min_count(self, n_features: int) -> int:
        return DIAGONAL.min_rows(n_features)  # enough for a volume; the shape is that of all
