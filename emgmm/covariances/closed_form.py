"""Families whose M-step is a formula."""

from __future__ import annotations

import numpy as np

from emgmm.covariances.family import Family, times_counts
from emgmm.tolerances import EPS
from emgmm.typing import Array

# A scatter is singular where its covariance, against the variances of all components together, has
# lost this much of its digits. Its volume is then that of rounding.
SINGULAR = 0.1

TINY = float(np.finfo(float).tiny)


class Unconstrained(Family):
    """Each covariance, or the shared one, is its scatter divided by its counts."""

    def estimate(
        self,
        scatter: Array,
        counts: Array,
        n_features: int,
        before: Array | None = None,
    ) -> Array:
        if not self.shared:
            return self.structure.estimate(scatter, counts, n_features)
        one = self.structure.estimate(scatter[None], counts.sum(keepdims=True), n_features)
        return one[0] if self.single else np.repeat(one, len(counts), axis=0)

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        # An element has as many free entries as monomials go with it.
        return (1 if self.shared else n_components) * self.structure.n_monomials(n_features)


class Univariate(Unconstrained):
    """Variances, of one feature only."""

    most_features = 1


class EqualVolumes(Family):
    """Covariances of one volume |Sigma_k|^(1/D), each of its own shape: EVI and EVV.

    Sigma_k = lambda W_k / |W_k|^(1/D) with lambda = sum_k |W_k|^(1/D) / N. One singular scatter has
    no volume to be scaled by, so that there is no maximum, whatever the others are.
    """

    def estimate(
        self,
        scatter: Array,
        counts: Array,
        n_features: int,
        before: Array | None = None,
    ) -> Array:
        shape = self.structure
        precisions_cholesky = self.precisions_cholesky(shape.estimate(scatter, counts, n_features))
        together = shape.variances(scatter, n_features).sum(axis=0) / counts.sum()
        reach = np.broadcast_to(np.sqrt(together), (len(counts), n_features))
        errors = EPS * shape.magnitude(precisions_cholesky, reach)
        self.raise_degenerate(np.logical_not(errors <= SINGULAR))
        log_volumes = (
            np.log(counts) - 2 * shape.log_det(precisions_cholesky, n_features) / n_features
        )
        log_volume = np.logaddexp.reduce(log_volumes) - np.log(counts.sum())
        return times_counts(np.exp(log_volume - log_volumes), scatter)

    def enlargement(
        self, covariances: Array, scatter: Array, counts: Array, steps: Array
    ) -> Array | float:
        # One volume for all: a scatter that is small in every direction is scaled up.
        D = steps.shape[1]
        counts = np.maximum(counts, TINY)
        own = (self.structure.variances(scatter, D) / counts[:, None] - steps**2).sum(axis=1)
        enlarged: Array = self.structure.variances(covariances, D).sum(axis=1) / np.maximum(
            own, TINY
        )
        return enlarged

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * self.structure.n_monomials(n_features) - (n_components - 1)
