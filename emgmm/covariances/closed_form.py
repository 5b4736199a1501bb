"""Covariance families whose M-step has a closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from emgmm.covariances.family import Family, times_counts
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.tolerances import EPS
from emgmm.typing import Array

# A scatter is considered singular if its covariance, relative to the variances of all components
# together, has lost this fraction of its digits. Its determinant would be that of rounding errors.
SINGULAR = 0.1


class Unconstrained(Family):
    """Each covariance, or the shared one, is a scatter divided by its count."""

    @property
    def independent(self) -> bool:  # type: ignore[override]
        return not self.shared

    def estimate(
        self, scatter: Array, counts: Array, n_features: int, before: Array | None = None
    ) -> Array:
        if not self.shared:
            return self.structure.estimate(scatter, counts, n_features)
        one = self.structure.estimate(scatter[None], counts.sum(keepdims=True), n_features)
        return one[0] if self.single else np.repeat(one, len(counts), axis=0)

    def estimate_each(self, scatters: Array, counts: Array, n_features: int) -> Array:
        if self.shared or type(self).estimate is not Unconstrained.estimate:
            return super().estimate_each(scatters, counts, n_features)
        flat = scatters.reshape(-1, *scatters.shape[2:])
        each = np.concatenate([counts] * len(scatters))
        found = self.structure.estimate(flat, each, n_features)
        return found.reshape(scatters.shape)

    def stacked(self, n_components: int) -> Family | None:
        if type(self).estimate is not Unconstrained.estimate:
            return None
        return SharedWithin(self, n_components) if self.shared else self

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return (1 if self.shared else n_components) * self.structure.n_monomials(n_features)

    def has_marginals(self, features: Sequence[int], n_features: int) -> bool:
        return True


class SharedWithin(Unconstrained):
    """Covariances of several mixtures, each shared by the components of one mixture.

    Scatters are pooled within each mixture; a covariance is repeated for each component.
    """

    def __init__(self, family: Family, n_components: int) -> None:
        super().__init__(family.name, family.structure)
        self.n_components = n_components

    def pool(self, elements: Array) -> Array:
        return elements.reshape(-1, self.n_components, *elements.shape[1:]).sum(axis=1)

    def estimate(
        self, scatter: Array, counts: Array, n_features: int, before: Array | None = None
    ) -> Array:
        counts = counts.reshape(-1, self.n_components).sum(axis=1)
        each = self.structure.estimate(scatter, counts, n_features)
        return np.repeat(each, self.n_components, axis=0)


class Univariate(Unconstrained):
    """Variances of a single feature."""

    most_features = 1


class EqualVolumes(Family):
    """Covariances of equal volume |Sigma_k|^(1/D) and variable shape: EVI and EVV.

    Sigma_k = lambda W_k / |W_k|^(1/D) with lambda = sum_k |W_k|^(1/D) / N. A singular scatter has
    no volume to scale by; the likelihood then has no maximum, whatever the other scatters are.
    """

    equal_volumes = True

    def estimate(
        self, scatter: Array, counts: Array, n_features: int, before: Array | None = None
    ) -> Array:
        return self._scaled(scatter[None], counts, n_features)[0]

    def estimate_each(self, scatters: Array, counts: Array, n_features: int) -> Array:
        try:
            return self._scaled(scatters, counts, n_features)
        except DegenerateCovarianceError:  # the error has to name components of one problem
            return super().estimate_each(scatters, counts, n_features)

    def _scaled(self, scatters: Array, counts: Array, n_features: int) -> Array:
        structure, (C, K), total = self.structure, scatters.shape[:2], counts.sum()
        flat, each = scatters.reshape(C * K, *scatters.shape[2:]), np.concatenate([counts] * C)
        factors = self.precisions_cholesky(structure.estimate(flat, each, n_features))
        variances = structure.variances(flat, n_features).reshape(C, K, n_features)
        reach = np.repeat(np.sqrt(np.add.reduce(variances, axis=1) / total), K, axis=0)
        self.require_definite(EPS * structure.magnitude(factors, reach) <= SINGULAR)
        log_dets = structure.log_det(factors, n_features)
        log_volumes = (np.log(each) - 2 * log_dets / n_features).reshape(C, K)
        log_volume = np.logaddexp.reduce(log_volumes, axis=1, keepdims=True) - math.log(total)
        scales = np.exp(log_volume - log_volumes).ravel()
        return times_counts(scales, flat).reshape(scatters.shape)

    def has_marginals(self, features: Sequence[int], n_features: int) -> bool:
        return len(features) == n_features  # fewer features have volumes of their own

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * self.structure.n_monomials(n_features) - (n_components - 1)
