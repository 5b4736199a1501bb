"""Covariance families whose members are proportional to each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emgmm.covariances.diagonal import DIAGONAL
from emgmm.covariances.family import Family, times_counts
from emgmm.covariances.volumes import best_volumes
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.tolerances import EPS
from emgmm.typing import Array

# A scatter of this size compared with the largest is 0: its rows coincide.
NEGLIGIBLE = 1e-200


class Proportional(Family):
    """Covariances lambda_k C, of equal shape and orientation and variable volume: VEI and VEE.

    Only the products lambda_k C have a scale; it does not matter how it is divided between the
    factors.

    References
    ----------
    Celeux and Govaert (1995), Pattern Recognition 28:781, doi 10.1016/0031-3203(94)00125-6.
    """

    def estimate(
        self, scatter: Array, counts: Array, n_features: int, before: Array | None = None
    ) -> Array:
        sizes = self._sizes(scatter, n_features)
        positive = sizes > NEGLIGIBLE * sizes.max()
        if not positive.all():  # the rows of some components coincide
            if not positive.any():
                raise DegenerateCovarianceError(())
            covariances = np.zeros(scatter.shape)
            earlier = None if before is None else before[positive]
            covariances[positive] = self.estimate(
                scatter[positive], counts[positive], n_features, earlier
            )
            return covariances
        # The volumes of proportional covariances are proportional to their sizes.
        sizes = np.ones(len(counts)) if before is None else self._sizes(before, n_features)
        start = np.maximum(sizes, EPS * sizes.max())
        volumes, common = best_volumes(self.structure, scatter, counts, n_features, start)
        return times_counts(volumes, np.repeat(common[None], len(counts), axis=0))

    def _sizes(self, elements: Array, n_features: int) -> Array:
        """Return the traces of K elements."""
        return np.add.reduce(self.structure.variances(elements, n_features), axis=1)

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return self.structure.n_monomials(n_features) + n_components - 1

    def min_count(self, n_features: int) -> int:
        # A component only has to determine its volume; the shape is that of all components.
        return DIAGONAL.min_rows(n_features)

    def has_marginals(self, features: Sequence[int], n_features: int) -> bool:
        return True
