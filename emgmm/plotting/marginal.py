"""The marginal of a mixture on some of its features: a mixture again, and its density."""

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

# Places along one axis at which a density is looked at: over all of it, and over each component, so
# that no component is too narrow to be seen.
PLACES = 96
PLACES_OF_COMPONENT = 24
MOST_PLACES = 400

# Rows drawn from a mixture to find out which densities hold which share of it.
DRAWS = 2**14


@dataclass(frozen=True, eq=False)
class Marginal:
    """A mixture of F features, in float64.

    Parameters
    ----------
    weights : (K,)
        Shares; with noise, they sum to less than one.
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
        """Projection of a mixture on some of its features: their means, and their covariances."""
        chosen = list(features)
        return cls(
            mixture.weights.astype(np.float64),
            mixture.means[:, chosen].astype(np.float64),
            mixture.dense_covariances()[:, chosen][:, :, chosen].astype(np.float64),
        )

    def on(self, *features: int) -> Marginal:
        """The marginal of this one."""
        chosen = list(features)
        return Marginal(
            self.weights, self.means[:, chosen], self.covariances[:, chosen][:, :, chosen]
        )

    @property
    def n_components(self) -> int:
        return len(self.weights)

    def places(self, feature: int, low: float, high: float) -> Array:
        """Where to look along one axis: everywhere between two ends, and closely at components."""
        means, sds = self.means[:, feature], np.sqrt(self.covariances[:, feature, feature])
        each = max(5, min(PLACES_OF_COMPONENT, (MOST_PLACES - PLACES) // self.n_components))
        near = means[:, None] + sds[:, None] * np.linspace(-4, 4, each)
        return np.unique(np.concatenate([np.linspace(low, high, PLACES), near.ravel()]))

    def curves(self, x: Array) -> Array:
        """(K, n): the weighted density of each component of a single feature."""
        variances = self.covariances[:, 0, 0]
        parts = zip(self.weights, self.means[:, 0], variances, strict=True)
        return np.stack([weight * normal(x, mean, variance) for weight, mean, variance in parts])

    def peaks(self) -> Array:
        """(K, 2): mean of each component of a single feature, and its weighted density there."""
        means = self.means[:, 0]
        return np.column_stack([means, np.diagonal(self.curves(means))])

    def log_density(self, rows: Array) -> Array:
        """(n,): log-density of rows of the same features."""
        with one_blas_thread():
            return row_by_row(self._mixture, ArraySource(rows), log_density)

    def log_levels(self, probabilities: Sequence[float], random: np.random.RandomState) -> Array:
        """Log-densities above which lie these shares of the mixture, of rows drawn from it.

        References
        ----------
        Hyndman (1996), Am. Stat. 50:120, doi 10.1080/00031305.1996.10474359.
        """
        rows, _ = self._mixture.sample(DRAWS, random)
        return np.quantile(self.log_density(rows), 1 - np.asarray(probabilities))

    @property
    def _mixture(self) -> Mixture:
        try:
            return Mixture.of(self.weights, self.means, self.covariances, FAMILIES["full"])
        except DegenerateCovarianceError as error:
            raise ValueError(
                f"The covariance of {format_components(error.components)} is singular, so that "
                "there is no density to draw: use kind='ellipses'."
            ) from None
