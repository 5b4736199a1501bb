"""The sufficient statistics: all that EM needs to know of the rows, and they add up.

`Statistics` is what one pass returns. Blocks, threads, files and machines differ only in who adds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from emgmm.covariances import Family, times_counts
from emgmm.typing import Array


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sums over rows i, with responsibilities r_ik, about centres c_k.

    Parameters
    ----------
    centres : (K, D)
        c_k. All blocks of a pass share them, so that ``+`` is plain addition.
    counts : (K,)
        sum_i r_ik.
    first_moment : (K, D)
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
    conditional : array in the family's shape, optional
        How much of the scatter is the conditional covariances of what is missing; None where
        nothing is.
    """

    centres: Array
    counts: Array
    first_moment: Array
    scatter: Array
    log_likelihood: float
    weight: float
    unseen: float = 0.0
    noise: float = 0.0
    conditional: Array | None = None

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            self.centres,
            self.counts + other.counts,
            self.first_moment + other.first_moment,
            self.scatter + other.scatter,
            self.log_likelihood + other.log_likelihood,
            self.weight + other.weight,
            self.unseen + other.unseen,
            self.noise + other.noise,
            other.conditional
            if self.conditional is None
            else self.conditional + (0.0 if other.conditional is None else other.conditional),
        )

    def times(self, factor: float) -> Statistics:
        """The same sums of rows that count `factor` times as much."""
        return Statistics(
            self.centres,
            self.counts * factor,
            self.first_moment * factor,
            self.scatter * factor,
            self.log_likelihood * factor,
            self.weight * factor,
            self.unseen * factor,
            self.noise * factor,
            None if self.conditional is None else self.conditional * factor,
        )

    @property
    def seen(self) -> float:
        """Weight of the rows of which something was observed, which components and noise share."""
        return float(self.counts.sum() + self.noise) if self.unseen else self.weight

    @property
    def is_finite(self) -> bool:
        """Whether no row was so far from all components that a sum over the rows overflowed."""
        return bool(np.isfinite(self.log_likelihood) and np.isfinite(self.scatter).all())

    @property
    def objective(self) -> float:
        """Mean log-likelihood per unit weight."""
        return self.log_likelihood / self.weight

    @property
    def steps_to_means(self) -> Array:
        """(K, D): from the centres to each component's own mean; none where it holds nothing."""
        return self.first_moment / np.maximum(self.counts, np.finfo(float).tiny)[:, None]

    def about_means(self, family: Family) -> Statistics:
        """The same sums about each component's own mean: nothing drifts (parallel axes)."""
        steps = self.steps_to_means
        between = family.pool(times_counts(self.counts, family.structure.outer(steps)))
        return replace(
            self,
            centres=self.centres + steps,
            first_moment=np.zeros_like(self.first_moment),
            scatter=self.scatter - between,
        )

    def about(self, centres: Array, family: Family) -> Statistics:
        """The same sums about other (K, D) centres."""
        here = self.about_means(family)
        steps = here.centres - centres
        between = family.pool(times_counts(here.counts, family.structure.outer(steps)))
        first_moment = here.counts[:, None] * steps
        return replace(
            here, centres=centres, first_moment=first_moment, scatter=here.scatter + between
        )

    def total_covariance(self, family: Family) -> Array:
        """Covariance of all rows that are not noise, an element of the family's shape.

        By the parallel-axis theorem; 0 where all rows are noise.
        """
        outer = family.structure.outer
        weight = np.maximum(self.counts.sum(keepdims=True), np.finfo(float).tiny)
        inner = self.steps_to_means
        means = self.centres + inner
        steps = means - self.counts @ means / weight
        moved = times_counts(self.counts, outer(steps) - outer(inner)).sum(axis=0)
        scatter = self.scatter if family.shared else self.scatter.sum(axis=0)
        return family.structure.estimate((scatter + moved)[None], weight, steps.shape[1])[0]

    def conditional_covariances(self, family: Family) -> Array | None:
        """What the conditional covariances of what is missing add to the covariances, in the mean.

        None where nothing is missing. A shared covariance has one element.
        """
        if self.conditional is None:
            return None
        counts = np.maximum(self.counts, np.finfo(float).tiny)
        if family.shared:
            stack, counts = self.conditional[None], counts.sum(keepdims=True)
        else:
            stack = self.conditional
        found = family.structure.estimate(stack, counts, self.centres.shape[1])
        return found[0] if family.shared else found

    def plus(self, share: float, other: Statistics, less: Statistics) -> Statistics:
        """Self + share (other - less), for three that have the same centres."""
        return replace(
            self,
            counts=self.counts + share * (other.counts - less.counts),
            first_moment=self.first_moment + share * (other.first_moment - less.first_moment),
            scatter=self.scatter + share * (other.scatter - less.scatter),
            noise=self.noise + share * (other.noise - less.noise),
        )

    def difference(self, other: Statistics, less: Statistics) -> Array:
        """(n,): other - less as one vector, in units of these statistics."""
        sd = np.sqrt(np.abs(self.scatter).max() / self.counts.sum())
        parts = (
            (other.counts - less.counts) / self.counts.sum(),
            (other.first_moment - less.first_moment) / (self.counts.sum() * sd),
            (other.scatter - less.scatter) / np.abs(self.scatter).max(),
        )
        return np.concatenate([part.ravel() for part in parts])
