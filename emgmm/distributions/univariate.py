"""Probabilities and quantiles of mixtures in one dimension, in logarithms."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp, ndtri_exp

from emgmm.mixture import LOG_2_PI, Mixture
from emgmm.noise import Box
from emgmm.tolerances import EPS
from emgmm.typing import Array

# Limit of the iterations for a quantile, which take about 8, or 60 if all of them are bisections.
# This many halve the largest number down to the rounding of the smallest.
MAX_ITER = 2200

# Largest difference of logarithms of tails with which the slope has four digits.
RELIABLE = 1e12

LOG_HALF = np.log(0.5)


@dataclass(frozen=True, eq=False)
class Univariate:
    """Mixture of normal distributions and, if there is noise, a uniform one.

    Parameters
    ----------
    log_weights : (K,) or (n, K)
        Logarithms of the weights. With n rows, these are mixtures for n numbers, one for each.
    means, sds : (K,) or (n, K)
        Means and standard deviations.
    log_noise : float
        Logarithm of the weight of the uniform distribution; -inf if there is none.
    low, high : float
        Ends of the uniform distribution.
    """

    log_weights: Array
    means: Array
    sds: Array
    log_noise: float = -np.inf
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def of(cls, mixture: Mixture) -> Univariate:
        """Return a mixture in one feature, with proper noise if any."""
        means, sds = mixture.means[:, 0].astype(np.float64), np.sqrt(mixture.variances[:, 0])
        if mixture.noise is None or not isinstance(mixture.noise.density, Box):
            return cls(mixture.log_weights, means, sds)
        box = mixture.noise.density
        low = float(box.centre[0] - 0.5 * box.sides[0])
        noise = mixture.noise.log_weight, low, low + float(box.sides[0])
        return cls(mixture.log_weights, means, sds, *noise)

    def _for(self, numbers: NDArray[np.bool_]) -> Univariate:
        """Return the mixtures for some of the numbers."""
        if self.means.ndim == 1:
            return self
        parts = {name: getattr(self, name)[numbers] for name in ("log_weights", "means", "sds")}
        return replace(self, **parts)

    def log_density(self, x: Array) -> Array:
        """Return the log-density at each of the numbers x."""
        z = (x[..., None] - self.means) / self.sds
        with np.errstate(over="ignore"):
            terms = self.log_weights - np.log(self.sds) - 0.5 * (z**2 + LOG_2_PI)
        log_noise = np.where((self.low <= x) & (x <= self.high), self.log_noise, -np.inf)
        return np.logaddexp(logsumexp(terms, axis=-1), log_noise - np.log(self.high - self.low))

    def log_tail(self, x: Array, sign: int) -> Array:
        """Return log P(X <= x), or log P(X >= x) if `sign` is -1, as a sum over the components."""
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            z = sign * (x[..., None] - self.means) / self.sds
            inside = x - self.low if sign > 0 else self.high - x
            components = logsumexp(self.log_weights + log_ndtr(z), axis=-1)
            log_share = np.log(np.clip(inside / (self.high - self.low), 0.0, 1.0))
            return np.logaddexp(components, self.log_noise + log_share)

    def log_probability(self, x: Array, sign: int = 1) -> Array:
        """Return the same as `log_tail`, with all its digits also where it is nearly 0."""
        log_tail = self.log_tail(x, sign)
        with np.errstate(divide="ignore"):
            complement = np.log1p(-np.exp(np.minimum(self.log_tail(x, -sign), 0.0)))
        return np.where(log_tail > LOG_HALF, complement, log_tail)

    def quantile(self, probability: Array, sign: int = 1) -> Array:
        """Return x with P(X <= x) = probability, or P(X >= x) if `sign` is -1; nan if none."""
        valid = (probability >= 0) & (probability <= 1)
        beyond = probability > 0.5  # the other tail then has more digits
        with np.errstate(divide="ignore", invalid="ignore"):
            log_tail = np.where(beyond, np.log1p(-probability), np.log(probability))
        tails = np.where(beyond, -sign, sign)
        found = np.full(probability.shape, np.nan)
        for each in (1, -1):
            own = valid & (tails == each)
            found[own] = self._for(own)._tail_quantile(log_tail[own], each)
        return found

    def _tail_quantile(self, log_probability: Array, sign: int) -> Array:
        """Return x with log_tail(x, sign) = log_probability, by safeguarded Newton steps.

        The quantile of the mixture is between the smallest and the largest quantile of a component.
        A Newton step that leaves the interval in which the root is known to be, or that is not half
        as long as the last but one, is replaced by a bisection.
        """
        ends = self.means + sign * self.sds * ndtri_exp(log_probability[..., None])
        counted = np.broadcast_to(np.isfinite(self.log_weights), ends.shape)
        low = np.min(ends, axis=-1, where=counted, initial=np.inf)
        high = np.max(ends, axis=-1, where=counted, initial=-np.inf)
        if np.isfinite(self.log_noise):
            uniform = np.exp(log_probability) * (self.high - self.low)
            uniform = self.low + uniform if sign > 0 else self.high - uniform
            low, high = np.minimum(low, uniform), np.maximum(high, uniform)
        if sign < 0:
            low, high = high, low  # the tail grows from `low` to `high`
        active = np.isfinite(low) & (low != high)
        x = np.where(active, 0.5 * low + 0.5 * high, low)
        before = last = np.where(active, high, 0.0) - np.where(active, low, 0.0)
        for _ in range(MAX_ITER):
            if not active.any():
                break
            at, a, b, own = x[active], low[active], high[active], self._for(active)
            excess = own.log_tail(at, sign) - log_probability[active]
            a, b = np.where(excess < 0, at, a), np.where(excess < 0, b, at)
            with np.errstate(all="ignore"):
                slope = np.exp(own.log_density(at) - log_probability[active] - excess)
                newton = -sign * excess / slope
            safe = (np.minimum(a, b) <= at + newton) & (at + newton <= np.maximum(a, b))
            safe &= (np.abs(newton) <= 0.5 * np.abs(before[active])) & (np.abs(excess) < RELIABLE)
            step = np.where(safe, newton, 0.5 * (a - at) + 0.5 * (b - at))
            step[excess == 0] = 0.0  # also between components, where the slope may underflow to 0
            low[active], high[active], x[active] = a, b, at + step
            before, last = last, np.where(active, 0.0, last)
            last[active] = step
            smallest = np.abs(at) + own.sds.min(axis=-1)
            active[active] = (np.abs(step) > 2 * EPS * smallest) & (excess != 0)
        return x
