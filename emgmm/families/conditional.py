"""Conditionals: what observed features say of the missing ones, for patterns of missing features.

Everything is embedded in all D features: what belongs to a missing one is 0, so that rows whose
missing entries are set to their centre can be used as they are. With o the observed and m the
missing features of a pattern q, a component k has

========================  ==========================================================
`whiteners`, `precisions`  of the marginal covariance Sigma_oo
`half_log_det`             -log |Sigma_oo| / 2
gain B                     E[x | x_o] = mu + B (x - mu): the identity in the lines o,
                           Sigma_mo Sigma_oo^-1 in the lines m
rest C                     Cov[x | x_o]: Sigma_mm - Sigma_mo Sigma_oo^-1 Sigma_om in m
========================  ==========================================================

References
----------
Ghahramani and Jordan (1994), Advances in Neural Information Processing Systems 6:120.
Little and Rubin (2019), Statistical Analysis with Missing Data, 3rd ed., ch. 11,
doi 10.1002/9781119482260.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emgmm.typing import Array


class Moments(NamedTuple):
    """Sums over rows about K centres, for Q patterns or for all together.

    Parameters
    ----------
    mass : (Q, K) or (K,)
    drift : (Q, K, D) or (K, D)
    scatter : (Q, K) or (K,) elements of a shape
    """

    mass: Array
    drift: Array
    scatter: Array


class Conditional(ABC):
    """Q patterns under K components.

    Parameters
    ----------
    observed : (Q, D) of bool
        Which features each pattern has.
    whiteners, precisions : (Q, K) elements of the shape
        Of the marginal covariances.
    half_log_det : (Q, K)
        Half the log-determinants of the marginal precisions.
    """

    def __init__(
        self,
        observed: NDArray[np.bool_],
        whiteners: Array,
        precisions: Array,
        half_log_det: Array,
    ) -> None:
        self.observed = observed
        self.whiteners = whiteners
        self.precisions = precisions
        self.half_log_det = half_log_det

    @abstractmethod
    def completed(self, seen: Moments, steps: Array) -> Moments:
        """Expected moments of whole rows, summed over patterns.

        Parameters
        ----------
        seen : Moments
            Of each pattern, about K centres, missing entries set to the centre.
        steps : (K, D)
            From each centre to its component's mean.
        """

    @abstractmethod
    def expected(self, q: int, k: int, deviations: Array) -> Array:
        """E[x | x_o] - mu_k of pattern q for (D, B) deviations from mu_k, 0 where missing."""

    @abstractmethod
    def drawn(self, q: int, k: int, noise: Array) -> Array:
        """(D, B) standard normal noise as draws of covariance C, of pattern q and component k."""


class Coupled(Conditional):
    """Features that are correlated within a component: gain and rest are matrices."""

    def __init__(self, covariances: Array, observed: NDArray[np.bool_]) -> None:
        both = observed[:, None, :, None] & observed[:, None, None, :]
        alone = np.eye(observed.shape[1]) * np.logical_not(observed)[:, None, :, None]
        factors = np.linalg.cholesky(np.where(both, covariances, alone))
        whiteners = np.swapaxes(np.linalg.inv(factors), -1, -2)
        precisions = np.where(both, whiteners @ np.swapaxes(whiteners, -1, -2), 0.0)
        diagonals = np.diagonal(factors, axis1=-2, axis2=-1)
        super().__init__(observed, whiteners, precisions, -np.log(diagonals).sum(axis=-1))
        identity = np.eye(observed.shape[1])
        self.gain = np.where(observed[:, None, :, None], identity, covariances @ precisions)
        missing = np.logical_not(observed)
        neither = missing[:, None, :, None] & missing[:, None, None, :]
        rest = covariances - self.gain @ covariances
        self.rest = np.where(neither, 0.5 * (rest + np.swapaxes(rest, -1, -2)), 0.0)

    def completed(self, seen: Moments, steps: Array) -> Moments:
        turned = np.swapaxes(self.gain, -1, -2)
        offset = steps - (self.gain @ steps[:, :, None])[..., 0]
        moved = (self.gain @ seen.drift[..., None])[..., 0]
        mass = seen.mass[..., None]
        cross = (moved + 0.5 * mass * offset)[..., :, None] * offset[..., None, :]
        scatter = self.gain @ seen.scatter @ turned + cross + np.swapaxes(cross, -1, -2)
        scatter += mass[..., None] * self.rest
        return Moments(
            seen.mass.sum(axis=0), (moved + mass * offset).sum(axis=0), scatter.sum(axis=0)
        )

    def expected(self, q: int, k: int, deviations: Array) -> Array:
        return self.gain[q, k] @ deviations

    def drawn(self, q: int, k: int, noise: Array) -> Array:
        missing = np.flatnonzero(~self.observed[q])
        draws = np.zeros(noise.shape)
        # The rest is singular where features follow from others; eigenvalues can be 0.
        values, axes = np.linalg.eigh(self.rest[q, k][np.ix_(missing, missing)])
        draws[missing] = (axes * np.sqrt(np.maximum(values, 0.0))) @ noise[missing]
        return draws


class Uncoupled(Conditional):
    """Features that are independent within a component: what is missing has its mean.

    Parameters
    ----------
    variances : (K, D)
        Of every feature.
    """

    def __init__(
        self,
        observed: NDArray[np.bool_],
        whiteners: Array,
        variances: Array,
    ) -> None:
        half_log_det = -0.5 * np.log(variances) @ observed.T
        super().__init__(observed, whiteners, whiteners**2, half_log_det.T)
        self.variances = variances
        self.missing = np.logical_not(observed).astype(float)

    def completed(self, seen: Moments, steps: Array) -> Moments:
        missing_mass = seen.mass.T @ self.missing
        drift = seen.drift.sum(axis=0) + missing_mass * steps
        squares = self.squares(missing_mass * (steps**2 + self.variances))
        return Moments(seen.mass.sum(axis=0), drift, seen.scatter.sum(axis=0) + squares)

    def squares(self, each: Array) -> Array:
        """(K, D) sums of squares as K elements of the shape."""
        return each

    def expected(self, q: int, k: int, deviations: Array) -> Array:
        return deviations

    def drawn(self, q: int, k: int, noise: Array) -> Array:
        return noise * (self.missing[q] * np.sqrt(self.variances[k]))[:, None]


class Pooled(Uncoupled):
    """Features that are independent and of the same variance."""

    def squares(self, each: Array) -> Array:
        return each.sum(axis=1)
