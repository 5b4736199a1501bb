"""The sufficient statistics: all that EM needs to know of the rows, and they add up.

`Statistics` is what one pass returns, `Summary` what the first look at the data returns. Blocks,
threads, files and machines differ only in who adds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from emgmm.families import Family, Shape, mass_times
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
        Total weight of the rows: their number.
    """

    centres: Array
    mass: Array
    drift: Array
    scatter: Array
    log_likelihood: float
    weight: float

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            self.centres,
            self.mass + other.mass,
            self.drift + other.drift,
            self.scatter + other.scatter,
            self.log_likelihood + other.log_likelihood,
            self.weight + other.weight,
        )

    @property
    def objective(self) -> float:
        """Mean log-likelihood per unit weight."""
        return self.log_likelihood / self.weight

    def about_means(self, family: Family) -> Statistics:
        """The same sums about each component's own mean: nothing drifts (parallel axes)."""
        mass = np.maximum(self.mass, np.finfo(float).tiny)
        delta = self.drift / mass[:, None]
        between = family.pool(mass_times(mass, family.shape.outer(delta)))
        return replace(
            self,
            centres=self.centres + delta,
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

    def plus(self, share: float, other: Statistics, less: Statistics) -> Statistics:
        """Self + share (other - less), for three that have the same centres."""
        return replace(
            self,
            mass=self.mass + share * (other.mass - less.mass),
            drift=self.drift + share * (other.drift - less.drift),
            scatter=self.scatter + share * (other.scatter - less.scatter),
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


@dataclass(frozen=True, eq=False)
class Summary:
    """What the first pass saw of the rows; adds up by Chan, Golub and LeVeque's rule.

    Parameters
    ----------
    weight : float
        Total weight: the number of rows.
    mean : (D,)
        Mean.
    scatter : element of the family's shape
        sum_i (x_i - mean)(x_i - mean)^T.
    minimum, maximum : (D,)
        Of each feature.

    References
    ----------
    Chan, Golub and LeVeque (1983), The American Statistician 37:242,
    doi 10.1080/00031305.1983.10483115.
    """

    weight: float
    mean: Array
    scatter: Array
    minimum: Array
    maximum: Array
    shape: Shape

    @classmethod
    def of(cls, rows: Array, family: Family) -> Summary:
        """Summary of a (D, B) block."""
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        mean = rows.mean(axis=1)
        deviations = rows - mean[:, None]
        n_rows = rows.shape[1]
        return cls(
            float(n_rows),
            mean,
            family.shape.weigh(deviations, np.ones(n_rows)),
            rows.min(axis=1),
            rows.max(axis=1),
            family.shape,
        )

    def __add__(self, other: Summary) -> Summary:
        weight = self.weight + other.weight
        share = other.weight / weight
        step = other.mean - self.mean
        between = self.shape.outer(step[None])[0]
        return Summary(
            weight,
            self.mean + share * step,
            self.scatter + other.scatter + self.weight * share * between,
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
            self.shape,
        )

    def scatter_about(self, centre: Array) -> Array:
        """Scatter about another (D,) point: the parallel-axis theorem."""
        return self.scatter + self.weight * self.shape.outer((self.mean - centre)[None])[0]

    def reach(self, centre: Array) -> Array:
        """(D,): the largest distance of any row from `centre`, feature by feature."""
        return np.maximum(self.maximum - centre, centre - self.minimum)
