"""The sufficient statistics: all that EM needs to know of the rows, and they add up.

`Statistics` is what one pass returns, `Summary` what the first look at the data returns. Blocks,
threads, files and machines differ only in who adds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from emgmm.families import Family, Shape, mass_times
from emgmm.precision import unlike
from emgmm.typing import Array


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sums over rows i, with responsibilities r_ik, about centres c_k.

    Parameters
    ----------
    centres : (K, D)
        c_k. All blocks of a pass share them, so that ``+`` is plain addition.
    mass : (K,)
        sum_i r_ik.
    drift : (K, D)
        sum_i r_ik (x_i - c_k).
    scatter : array in the family's shape
        sum_i r_ik (x_i - c_k)(x_i - c_k)^T, summed over k where the covariance is shared.
    log_likelihood : float
        sum_i log p(x_i).
    weight : float
        Total weight of the rows; their number, if each counts 1.
    unseen : float
        How much of it is of rows of which nothing was observed: no component holds them.
    noise : float
        How much of it noise holds.
    """

    centres: Array
    mass: Array
    drift: Array
    scatter: Array
    log_likelihood: float
    weight: float
    unseen: float = 0.0
    noise: float = 0.0

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            self.centres,
            self.mass + other.mass,
            self.drift + other.drift,
            self.scatter + other.scatter,
            self.log_likelihood + other.log_likelihood,
            self.weight + other.weight,
            self.unseen + other.unseen,
            self.noise + other.noise,
        )

    def times(self, factor: float) -> Statistics:
        """The same sums of rows that count `factor` times as much."""
        return Statistics(
            self.centres,
            self.mass * factor,
            self.drift * factor,
            self.scatter * factor,
            self.log_likelihood * factor,
            self.weight * factor,
            self.unseen * factor,
            self.noise * factor,
        )

    @property
    def seen(self) -> float:
        """Weight of the rows that components share."""
        return self.weight - self.unseen

    @property
    def objective(self) -> float:
        """Mean log-likelihood per unit weight."""
        return self.log_likelihood / self.weight

    @property
    def steps_to_means(self) -> Array:
        """(K, D): from the centres to each component's own mean; none where it holds nothing."""
        return self.drift / np.maximum(self.mass, np.finfo(float).tiny)[:, None]

    def about_means(self, family: Family) -> Statistics:
        """The same sums about each component's own mean: nothing drifts (parallel axes)."""
        steps = self.steps_to_means
        between = family.pool(mass_times(self.mass, family.shape.outer(steps)))
        return replace(
            self,
            centres=self.centres + steps,
            drift=np.zeros_like(self.drift),
            scatter=self.scatter - between,
        )

    def about(self, centres: Array, family: Family) -> Statistics:
        """The same sums about other (K, D) centres."""
        here = self.about_means(family)
        steps = here.centres - centres
        between = family.pool(mass_times(here.mass, family.shape.outer(steps)))
        drift = here.mass[:, None] * steps
        return replace(here, centres=centres, drift=drift, scatter=here.scatter + between)

    def total_covariance(self, family: Family) -> Array:
        """Covariance of all rows, an element of the family's shape (parallel axes)."""
        outer, weight = family.shape.outer, self.mass.sum(keepdims=True)
        inner = self.steps_to_means
        means = self.centres + inner
        steps = means - self.mass @ means / weight
        moved = mass_times(self.mass, outer(steps) - outer(inner)).sum(axis=0)
        scatter = self.scatter if family.shared else self.scatter.sum(axis=0)
        return family.shape.estimate((scatter + moved)[None], weight, steps.shape[1])[0]

    def plus(self, share: float, other: Statistics, less: Statistics) -> Statistics:
        """Self + share (other - less), for three that have the same centres."""
        return replace(
            self,
            mass=self.mass + share * (other.mass - less.mass),
            drift=self.drift + share * (other.drift - less.drift),
            scatter=self.scatter + share * (other.scatter - less.scatter),
            noise=self.noise + share * (other.noise - less.noise),
        )

    def difference(self, other: Statistics, less: Statistics) -> Array:
        """(n,): other - less as one vector, in units of these statistics."""
        sd = np.sqrt(np.abs(self.scatter).max() / self.mass.sum())
        parts = (
            (other.mass - less.mass) / self.mass.sum(),
            (other.drift - less.drift) / (self.mass.sum() * sd),
            (other.scatter - less.scatter) / np.abs(self.scatter).max(),
        )
        return np.concatenate([part.ravel() for part in parts])


def mixing(rows: Array) -> Array:
    """(B,): a . x of (D, B) rows; no two features have the same share."""
    return unlike(len(rows)) @ rows


@dataclass(frozen=True, eq=False)
class Summary:
    """What the first pass saw of the rows; adds up by Chan, Golub and LeVeque's rule.

    Parameters
    ----------
    weight : float
        Total weight of the rows.
    n_rows : int
        How many of them count: have a weight above 0 and something observed.
    observed : (D,)
        Total weight of the rows in which a feature was observed.
    mean : (D,)
        Mean of what was observed.
    scatter : element of the family's shape
        sum_i (x_i - mean)(x_i - mean)^T; where rows miss some features and not others, only its
        diagonal, over what was observed.
    minimum, maximum : (D,)
        Of each feature.
    shape : Shape
        The family's.
    mixed : float
        sum_i (a . x_i)^2 with one fixed vector a: which values stand in one row, in a number.
    together : (D, D), optional
        Total weight of the rows in which two features were both observed, where some are missing.

    References
    ----------
    Chan, Golub and LeVeque (1983), The American Statistician 37:242,
    doi 10.1080/00031305.1983.10483115.
    """

    weight: float
    n_rows: int
    observed: Array
    mean: Array
    scatter: Array
    minimum: Array
    maximum: Array
    shape: Shape
    mixed: float
    together: Array | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self.together is None

    @classmethod
    def of(
        cls, rows: Array, family: Family, weights: Array | None = None, *, complete: bool = True
    ) -> Summary:
        """Summary of a (D, B) block of rows that count."""
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        n_features, n_rows = rows.shape
        shares = np.ones(n_rows) if weights is None else weights
        weight = float(shares.sum())
        if not complete:
            return cls._of_observed(rows, family.shape, shares)
        mean = rows.mean(axis=1) if weights is None else rows @ weights / (weight or 1.0)
        mixed = float(shares @ mixing(rows) ** 2)
        deviations = rows - mean[:, None]
        return cls(
            weight,
            n_rows,
            np.full(n_features, weight),
            mean,
            family.shape.weigh(deviations, shares),
            np.minimum.reduce(rows, axis=1, initial=np.inf),
            np.maximum.reduce(rows, axis=1, initial=-np.inf),
            family.shape,
            mixed,
        )

    @classmethod
    def _of_observed(cls, rows: Array, shape: Shape, shares: Array) -> Summary:
        seen = np.logical_not(np.isnan(rows))
        observed = seen @ shares
        known = np.where(seen, rows, 0.0)
        sums = known @ shares
        mean = np.divide(sums, observed, out=np.zeros(len(rows)), where=observed > 0)
        deviations = np.where(seen, rows - mean[:, None], 0.0)
        found = cls(
            float(shares.sum()),
            int(np.count_nonzero(seen.any(axis=0))),
            observed,
            mean,
            shape.weigh(deviations, shares),
            np.fmin.reduce(rows, axis=1, initial=np.inf),
            np.fmax.reduce(rows, axis=1, initial=-np.inf),
            shape,
            float(shares @ mixing(known) ** 2),
            (seen * shares) @ seen.T,
        )
        return found._without_cross_moments() if found.has_parts else found

    @property
    def has_parts(self) -> bool:
        """Whether some rows miss some features and not others: no one scatter is theirs."""
        if self.together is None:
            return False
        return bool(np.ptp(self.together) > 1e-12 * self.together.max())

    def _without_cross_moments(self) -> Summary:
        return replace(self, scatter=self.shape.diagonal(self.scatter))

    def __add__(self, other: Summary) -> Summary:
        observed = self.observed + other.observed
        share = np.divide(other.observed, observed, out=np.zeros_like(observed), where=observed > 0)
        step = other.mean - self.mean
        scatter: Array = self.scatter + other.scatter
        scatter = scatter + self.shape.outer((np.sqrt(self.observed * share) * step)[None])[0]
        together = None
        if not (self.complete and other.complete):
            together = self._together() + other._together()
        both = Summary(
            self.weight + other.weight,
            self.n_rows + other.n_rows,
            observed,
            self.mean + share * step,
            scatter,
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
            self.shape,
            self.mixed + other.mixed,
            together,
        )
        return both._without_cross_moments() if both.has_parts else both

    @property
    def seen(self) -> float:
        """Weight of the rows of which something was observed, if each feature is in one of them."""
        return float(self.observed.max())

    @property
    def whole_scatter(self) -> Array:
        """Scatter as if features were as scattered where they are missing; then a diagonal one."""
        if not self.has_parts:
            return self.scatter
        more = self.seen / np.maximum(self.observed, np.finfo(float).tiny)
        element = self.shape.diagonal(self.shape.outer(np.sqrt(more)[None])[0])
        return self.scatter * self.shape.estimate(element[None], np.ones(1), len(more))[0]

    def _together(self) -> Array:
        if self.together is not None:
            return self.together
        return np.full((len(self.mean), len(self.mean)), self.weight)

    def scatter_about(self, centre: Array) -> Array:
        """Scatter about another (D,) point: the parallel-axis theorem."""
        return self.scatter + self.weight * self.shape.outer((self.mean - centre)[None])[0]

    def reach(self, centre: Array) -> Array:
        """(D,): the largest distance of any row from `centre`, feature by feature."""
        return np.maximum(self.maximum - centre, centre - self.minimum)
