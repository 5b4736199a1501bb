"""Conditionals: what observed features say of the missing ones, for patterns of missing features.

With o the observed and m the missing features of a pattern, a component of mean mu and precision P
has, of rows that miss m,

- the conditional mean of x_m - mu_m: -P_mm^-1 P_mo (x_o - mu_o), the gain times x_o - mu_o;
- the conditional covariance, the rest: P_mm^-1;
- the marginal log-density: log N(x_o, x_m) at the conditional mean x_m, plus
  log(2 pi) |m| / 2 - log |P_mm| / 2; elsewhere, at a distance d from it, d P_mm d / 2 more.

So only matrices of the size of m are factorised, and a row that has been completed by its
conditional mean is like any other.

References
----------
Ghahramani and Jordan (1994), Advances in Neural Information Processing Systems 6:120.
Little and Rubin (2019), Statistical Analysis with Missing Data, 3rd ed., ch. 11,
doi 10.1002/9781119482260.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from emgmm.typing import Array

LOG_2_PI = float(np.log(2 * np.pi))

Spans = Iterable[tuple[int, slice]]


class Conditional(ABC):
    """Q patterns under K components.

    Rows come with those of one pattern side by side: `spans` says which columns pattern q has.

    Parameters
    ----------
    missing : (Q, D) of bool
        The patterns.
    constants : (Q, K)
        Marginal log-density of a row less its density at the conditional mean.
    """

    def __init__(self, missing: NDArray[np.bool_], constants: Array) -> None:
        self.missing = missing
        self.constants = constants

    @abstractmethod
    def complete(self, k: int, deviations: Array, spans: Spans) -> None:
        """Write conditional means into (D, n) deviations from mu_k, 0 where one is missing."""

    @abstractmethod
    def marginalise(self, joint: Array, steps: Array, rows: Array, spans: Spans) -> None:
        """Make marginals of a (K, n) log-joint, in place.

        The (D, n) rows are about a centre, and 0 where something is missing; from there, `steps`
        (K, D) lead to the means.
        """

    @abstractmethod
    def shifts(
        self, responsibilities: Array, steps: Array, rows: Array, spans: Spans
    ) -> tuple[Array, Array]:
        """(K, D) and K elements: what completing the rows of `marginalise` adds to their sums.

        To sums of r x and of r x x^T, but for the rest.
        """

    @abstractmethod
    def rest(self, mass: Array) -> Array:
        """K elements: the conditional covariances times the (Q, K) masses, summed over patterns."""

    @abstractmethod
    def draw(self, q: int, k: int, noise: Array) -> Array:
        """(D, n): standard normal noise as draws of pattern q's rest, 0 where observed."""


class Coupled(Conditional):
    """Features that are correlated within a component."""

    def __init__(self, precisions: Array, missing: NDArray[np.bool_]) -> None:
        Q, K = len(missing), len(precisions)
        super().__init__(missing, np.zeros((Q, K)))
        self.lines = [np.flatnonzero(pattern) for pattern in missing]
        self.gains: list[Array] = [np.empty(0)] * Q
        self.factors: list[Array] = [np.empty(0)] * Q
        self.rests: list[Array] = [np.empty(0)] * Q
        self._known: dict[int, Array] = {}  # log-joint and sums ask for the same
        counts = missing.sum(axis=1)
        for size in np.unique(counts):
            which = np.flatnonzero(counts == size)
            lines = np.nonzero(missing[which])[1].reshape(len(which), size)
            across = np.swapaxes(precisions[:, lines], 0, 1)  # (patterns, K, m, D)
            own = np.take_along_axis(across, lines[:, None, None, :], axis=3)
            factors = np.linalg.cholesky(own)
            inverses = np.linalg.inv(factors)
            rests = np.swapaxes(inverses, -1, -2) @ inverses
            gains = -rests @ np.where(missing[which, None, None, :], 0.0, across)
            logs = np.log(np.diagonal(factors, axis1=-2, axis2=-1)).sum(axis=-1)
            self.constants[which] = 0.5 * size * LOG_2_PI - logs
            for i, q in enumerate(which):
                self.gains[q], self.factors[q], self.rests[q] = gains[i], factors[i], rests[i]

    def complete(self, k: int, deviations: Array, spans: Spans) -> None:
        for q, span in spans:
            deviations[self.lines[q], span] = self.gains[q][k] @ deviations[:, span]

    def marginalise(self, joint: Array, steps: Array, rows: Array, spans: Spans) -> None:
        for q, span in spans:
            if len(self.lines[q]):
                away = np.swapaxes(self.factors[q], -1, -2) @ self._away(q, steps, rows[:, span])
                joint[:, span] += 0.5 * np.einsum("kmn,kmn->kn", away, away)
                joint[:, span] += self.constants[q][:, None]

    def _away(self, q: int, steps: Array, rows: Array) -> Array:
        """(K, m, n): from the centre to the conditional means."""
        if q not in self._known:
            self._known[q] = self._from_centre(q, steps, rows)
        return self._known[q]

    def _from_centre(self, q: int, steps: Array, rows: Array) -> Array:
        gain = self.gains[q]
        K, m, D = gain.shape
        start = steps[:, self.lines[q]] - (gain @ steps[:, :, None])[:, :, 0]
        away = (gain.reshape(K * m, D) @ rows).reshape(K, m, -1)
        away += start[:, :, None]
        return away

    def shifts(
        self, responsibilities: Array, steps: Array, rows: Array, spans: Spans
    ) -> tuple[Array, Array]:
        K, D = steps.shape
        drift, half = np.zeros((K, D)), np.zeros((K, D, D))
        for q, span in spans:
            lines = self.lines[q]
            if not len(lines):
                continue
            away = self._away(q, steps, rows[:, span])
            held = responsibilities[:, None, span] * away
            drift[:, lines] += held.sum(axis=2)
            half[:, lines] += (held.reshape(-1, held.shape[2]) @ rows[:, span].T).reshape(K, -1, D)
            half[:, lines[:, None], lines] += 0.5 * held @ np.swapaxes(away, 1, 2)
        return drift, half + np.swapaxes(half, 1, 2)

    def rest(self, mass: Array) -> Array:
        K, D = mass.shape[1], self.missing.shape[1]
        total = np.zeros((K, D, D))
        for lines, each, rests in zip(self.lines, mass, self.rests, strict=True):
            total[:, lines[:, None], lines] += each[:, None, None] * rests
        return total

    def draw(self, q: int, k: int, noise: Array) -> Array:
        draws = np.zeros(noise.shape)
        lines = self.lines[q]
        draws[lines] = np.linalg.solve(self.factors[q][k].T, noise[lines])
        return draws


class Uncoupled(Conditional):
    """Features that are independent within a component: what is missing has its mean.

    Parameters
    ----------
    variances : (K, D)
        Of every feature.
    """

    def __init__(self, variances: Array, missing: NDArray[np.bool_]) -> None:
        super().__init__(missing, 0.5 * missing @ (LOG_2_PI + np.log(variances)).T)
        self.variances = variances

    def squares(self, each: Array) -> Array:
        """(K, D) sums of squares as K elements of the shape."""
        return each

    def complete(self, k: int, deviations: Array, spans: Spans) -> None:
        pass

    def marginalise(self, joint: Array, steps: Array, rows: Array, spans: Spans) -> None:
        constants = self.constants + 0.5 * self.missing @ (steps**2 / self.variances).T
        for q, span in spans:
            joint[:, span] += constants[q][:, None]

    def shifts(
        self,
        responsibilities: Array,
        steps: Array,
        rows: Array,
        spans: Spans,
    ) -> tuple[Array, Array]:
        mass = np.zeros(steps.shape)
        for q, span in spans:
            mass += np.outer(responsibilities[:, span].sum(axis=1), self.missing[q])
        return mass * steps, self.squares(mass * steps**2)

    def rest(self, mass: Array) -> Array:
        return self.squares((mass.T @ self.missing) * self.variances)

    def draw(self, q: int, k: int, noise: Array) -> Array:
        return noise * (self.missing[q] * np.sqrt(self.variances[k]))[:, None]


class Pooled(Uncoupled):
    """Features that are independent and of the same variance."""

    def squares(self, each: Array) -> Array:
        return each.sum(axis=1)
