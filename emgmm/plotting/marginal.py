"""Marginal distribution of a mixture on some of its features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emgmm.covariances import FAMILIES
from emgmm.drawing import normal
from emgmm.exceptions import DegenerateCovarianceError, format_components
from emgmm.mixture import Mixture
from emgmm.prediction import log_density, row_by_row
from emgmm.sources import ArraySource
from emgmm.threads import one_blas_thread
from emgmm.typing import Array

# Number of points along an axis at which densities are evaluated: over the whole axis, and around
# each component, so that the grid resolves narrow components; and the largest total.
POINTS = 96
POINTS_PER_COMPONENT = 24
MAX_POINTS = 400

# Number of rows that are drawn from a mixture to estimate quantiles of its density.
DRAWS = 2**14


@dataclass(frozen=True, eq=False)
class Marginal:
    """Gaussian mixture of F features with dense covariances, in float64.

    Parameters
    ----------
    weights : (K,)
        Weights; with noise, they sum to less than one.
    means : (K, F)
        Means.
    covariances : (K, F, F)
        Covariances.
    """

    weights: Array
    means: Array
    covariances: Array

    @classmethod
    def of(cls, mixture: Mixture, features: Sequence[int]) -> Marginal:
        """Return the marginal of a mixture on some of its features."""
        arrays = (mixture.weights, mixture.means, mixture.dense_covariances())
        return cls(*(array.astype(np.float64) for array in arrays)).on(*features)

    def on(self, *features: int) -> Marginal:
        """Return the marginal of this mixture on some of its features."""
        covariances = self.covariances[:, features][:, :, features]
        return Marginal(self.weights, self.means[:, features], covariances)

    def along(self, directions: Array, origin: Array) -> Marginal:
        """Return the distribution of coordinates along (F, D) directions from a (D,) origin."""
        covariances = directions @ self.covariances @ directions.T
        return Marginal(self.weights, (self.means - origin) @ directions.T, covariances)

    def grid(self, feature: int, low: float, high: float) -> Array:
        """Return points between two ends of an axis, with more of them near the components."""
        means, sds = self.means[:, feature], np.sqrt(self.covariances[:, feature, feature])
        each = max(5, min(POINTS_PER_COMPONENT, (MAX_POINTS - POINTS) // len(means)))
        near = means[:, None] + sds[:, None] * np.linspace(-4, 4, each)
        return np.unique(np.concatenate([np.linspace(low, high, POINTS), near.ravel()]))

    def curves(self, x: Array) -> Array:
        """Return (K, n) weighted densities of the components of a univariate mixture."""
        return self.weights[:, None] * normal(x, self.means, self.covariances[:, 0])

    def peaks(self) -> Array:
        """Return (K, 2) means of a univariate mixture and the weighted densities there."""
        means = self.means[:, 0]
        return np.column_stack([means, np.diagonal(self.curves(means))])

    def log_density(self, rows: Array) -> Array:
        """Return (n,) log-densities of rows of the same features."""
        with one_blas_thread():
            return row_by_row(self._mixture, ArraySource(rows), log_density)

    def log_levels(self, probabilities: Sequence[float], random: np.random.RandomState) -> Array:
        """Estimate the log-densities that bound the densest regions with these probabilities.

        They are in ascending order.

        References
        ----------
        Hyndman (1996), Am. Stat. 50:120, doi 10.1080/00031305.1996.10474359.
        """
        rows, _ = self._mixture.sample(DRAWS, random)
        return np.quantile(self.log_density(rows), 1 - np.flip(np.unique(probabilities)))

    @property
    def _mixture(self) -> Mixture:
        try:
            return Mixture.of(self.weights, self.means, self.covariances, FAMILIES["full"])
        except DegenerateCovarianceError as error:
            raise ValueError(
                f"The covariance of {format_components(error.components)} is singular, so that "
                "there is no density to draw: use kind='ellipses'."
            ) from None
