"""`Mixture`: the weights, means and covariances of a Gaussian mixture, and its densities."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from emgmm.covariances import Family, Structure
from emgmm.noise import Noise
from emgmm.threads import cached_property
from emgmm.tolerances import checked_afterwards, negligible_underflow
from emgmm.typing import Array, Integers

LOG_2_PI = math.log(2 * math.pi)

# Distance whose square, and sums of such squares, do not overflow in float64.
LARGEST = 1e150


@dataclass(frozen=True, eq=False)
class Mixture:
    """Gaussian mixture.

    Parameters
    ----------
    weights : (K,)
        Weights of the components.
    means : (K, D)
        Means.
    covariances : array in the family's shape
        Covariances.
    precisions_cholesky : array in the family's shape
        Factors U with precision = U U^T, scikit-learn's ``precisions_cholesky_``, from which
        densities are computed.
    family : Family
        Family of the covariances.
    noise : Noise, optional
        Noise component, which is not Gaussian. It comes last in every array over components.
    """

    weights: Array
    means: Array
    covariances: Array
    precisions_cholesky: Array
    family: Family
    noise: Noise | None = None

    @classmethod
    def of(
        cls,
        weights: Array,
        means: Array,
        covariances: Array,
        family: Family,
        noise: Noise | None = None,
        precisions_cholesky: Array | None = None,
    ) -> Mixture:
        """Return a mixture whose arrays have the type of `means`.

        Covariances are factorized in float64, unless `precisions_cholesky` is given.

        Raises
        ------
        DegenerateCovarianceError
            If a covariance is not positive definite, or it or its inverse is out of the range of
            the type. The error names the components.
        """
        dtype = means.dtype
        if precisions_cholesky is None:
            precisions_cholesky = family.precisions_cholesky(covariances)
        family.check_invertible(precisions_cholesky, dtype, means.shape[1])
        if covariances.dtype != dtype:
            with np.errstate(over="ignore"):
                covariances = covariances.astype(dtype)
        family.check_finite(covariances)
        weights = weights.astype(dtype, copy=False)
        precisions_cholesky = precisions_cholesky.astype(dtype, copy=False)
        return cls(weights, means, covariances, precisions_cholesky, family, noise)

    @cached_property
    def cache(self) -> dict[Any, Any]:
        """Values that depend on the mixture, which other modules keep for their next call."""
        return {}

    @property
    def log_weights(self) -> Array:
        """Logarithms of the weights, in float64; -inf for a weight of 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.weights, dtype=np.float64)

    @property
    def without_weights(self) -> Mixture:
        """Mixture whose log-joint is the log-density of each component: all weights are 1."""
        noise = None if self.noise is None else replace(self.noise, weight=1.0)
        return replace(self, weights=np.ones_like(self.weights), noise=noise)

    @property
    def n_components(self) -> int:
        """Number of Gaussian components, K."""
        return self.means.shape[0]

    @property
    def n_densities(self) -> int:
        """Number of densities: those of the components, and that of noise if there is any."""
        return self.n_components + (self.noise is not None)

    @property
    def n_features(self) -> int:
        """Number of features, D."""
        return self.means.shape[1]

    @cached_property
    def precision_cholesky_stack(self) -> Array:
        """Factors of the precisions with a leading component axis, in float64."""
        return self.family.stack(self.precisions_cholesky.astype(np.float64, copy=False))

    @property
    def each_precision_cholesky(self) -> Array:
        """Factors of the precisions, one per component, in float64."""
        precisions_cholesky = self.precisions_cholesky.astype(np.float64, copy=False)
        return self.family.per_component(precisions_cholesky, self.n_components)

    @property
    def quadratic_structure(self) -> Structure | None:
        """Structure of the quadratic terms; None if they are the same for all densities."""
        return None if self.family.shared and self.noise is None else self.family.structure

    @cached_property
    def size(self) -> tuple[int, int]:
        """Number of densities, and of features (1, x, monomials) in which they are linear."""
        D, structure = self.n_features, self.quadratic_structure
        return self.n_densities, 1 + D + (0 if structure is None else structure.n_monomials(D))

    @cached_property
    def covariance_stack(self) -> Array:
        """Covariances with a leading component axis, in float64."""
        return self.family.stack(self.covariances.astype(np.float64, copy=False))

    @property
    def variances(self) -> Array:
        """Variances of the features with a leading component axis, in float64."""
        return self.family.structure.variances(self.covariance_stack, self.n_features)

    @property
    def precisions(self) -> Array:
        """Inverses of the covariances."""
        return self.family.precisions(self.precisions_cholesky)

    @property
    def centre(self) -> Array:
        """Mean of the whole mixture, (D,)."""
        weights = _positive(self.weights)
        return weights @ self.means / weights.sum()

    @property
    def precision_weighted_mean(self) -> Array:
        """Precision-weighted mean of the means, (D,).

        It minimizes the weighted sum of the squared Mahalanobis distances from the components.
        """
        structure, centre = self.family.structure, self.centre
        precisions = structure.precisions(self.each_precision_cholesky)
        weighted_offsets = structure.apply(precisions, self.means - centre)
        weights = _positive(self.weights)
        total = np.tensordot(weights, precisions, axes=1)
        return centre + structure.solve(total, weights @ weighted_offsets)

    @property
    def n_parameters(self) -> int:
        """Number of free parameters; noise counts for its weight and its density."""
        free = self.family.n_covariance_parameters(self.n_components, self.n_features)
        free += 0 if self.noise is None else 2
        return self.n_components - 1 + self.n_components * self.n_features + free

    @checked_afterwards
    def magnitudes(self, reach: Array) -> Array:
        """Return a bound of the terms of each quadratic form for vectors within the (K, D) `reach`.

        The bound times the unit of rounding is a first-order bound of the error of a log-joint.
        """
        return self.family.structure.magnitude(self.precision_cholesky_stack, reach)

    def magnitude(self, reach: Array) -> float:
        """Return the largest of the `magnitudes`."""
        return float(np.maximum.reduce(self.magnitudes(reach)))

    def is_within(self, reach: Array, limit: float) -> bool:
        """Whether no magnitude within `reach` exceeds a limit."""
        bound = self.family.structure.magnitude_bound(self.precision_cholesky_stack, reach)
        return bound <= limit or self.magnitude(reach) <= limit

    def magnitude_near(self, sds: float, offsets: Array | float = 0.0) -> float:
        """Return the `magnitude` within `sds` standard deviations plus (K, D) offsets."""
        return self.magnitude(offsets + sds * np.sqrt(self.variances))

    def extent(self) -> float:
        """Return a distance from the origin within which no square of a row overflows."""
        steepest = self.n_features * float(np.abs(self.precisions_cholesky).max())
        return LARGEST / steepest - float(np.abs(self.means).max())

    @cached_property
    def log_peaks(self) -> Array:
        """Log-joint of each component at its own mean, (K,)."""
        half_log_det = self.family.structure.log_det(self.precision_cholesky_stack, self.n_features)
        return self.log_weights + half_log_det - 0.5 * self.n_features * LOG_2_PI

    def log_joint(self, rows: Array) -> Array:
        """Return log pi_k + log N(x; mu_k, Sigma_k), shape (N, K); with noise, (N, K + 1).

        This is the definition to which every E-step is compared. NaN marks missing values: the
        density is then the marginal one of the observed values. `scipy.special.logsumexp` over the
        last axis is the log-density of the mixture, and subtracting it from the log-joint gives the
        logarithm of the responsibilities.

        Parameters
        ----------
        rows : ndarray of shape (N, D)
            Rows.
        """
        rows = np.asarray(rows, dtype=np.float64)
        log_joint = np.empty((len(rows), self.n_densities))
        patterns, pattern_of_row = np.unique(np.isnan(rows), axis=0, return_inverse=True)
        log_weights = self.log_weights
        for k, covariance in enumerate(self.dense_covariances().astype(np.float64)):
            deviations = rows - self.means[k]
            for number, missing in enumerate(patterns):
                own, observed = pattern_of_row.ravel() == number, np.logical_not(missing)
                if missing.all():  # the density of nothing is 1
                    log_joint[own, k] = log_weights[k]
                    continue
                factor = np.linalg.cholesky(covariance[np.ix_(observed, observed)])
                whitened = solve_triangular(factor, deviations[np.ix_(own, observed)].T, lower=True)
                log_norm = np.log(np.diag(factor)).sum() + 0.5 * observed.sum() * LOG_2_PI
                squares = np.einsum("jn,jn->n", whitened, whitened)
                log_joint[own, k] = log_weights[k] - log_norm - 0.5 * squares
        if self.noise is not None:
            log_joint[:, -1] = self.noise.log_joint(rows.T)
        return log_joint

    def dense_covariances(self) -> Array:
        """Return the covariances as matrices, shape (K, D, D)."""
        return self.family.dense(self.covariances, self.n_components, self.n_features)

    def permuted(self, order: Integers) -> Mixture:
        """Return the mixture with its components in another order."""
        return replace(
            self,
            weights=self.weights[order],
            means=self.means[order],
            covariances=self.family.permuted(self.covariances, order),
            precisions_cholesky=self.family.permuted(self.precisions_cholesky, order),
        )

    @negligible_underflow
    def sample(self, n_rows: int, random: np.random.RandomState) -> tuple[Array, Integers]:
        """Draw rows, grouped by component.

        Returns
        -------
        rows : (n, D)
            Rows.
        components : (n,)
            Component of each row; -1 means noise.
        """
        weights = self.weights.astype(np.float64)
        if self.noise is not None:
            weights = np.append(weights, self.noise.weight)
        counts = random.multinomial(n_rows, weights / weights.sum())
        components = np.repeat(np.arange(len(weights)), counts)
        rows = random.standard_normal((n_rows, self.n_features))
        precisions_cholesky = self.each_precision_cholesky
        stop = np.cumsum(counts)
        for k, start in enumerate((stop - counts)[: self.n_components]):
            own = rows[start : stop[k]]
            own[:] = self.means[k] + self.family.structure.colour(precisions_cholesky[k], own.T).T
        is_noise = components == self.n_components
        if self.noise is not None and is_noise.any():
            rows[is_noise] = self.noise.density.sample(int(is_noise.sum()), random)
            components[is_noise] = -1
        return rows, components


def _positive(weights: Array) -> Array:
    """Return weights in float64; equal ones if all are 0, because noise has taken all rows."""
    return weights.astype(np.float64) + (not weights.any())
