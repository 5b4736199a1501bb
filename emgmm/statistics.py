"""The sufficient statistics of EM, which are sums over rows.

One pass over the rows returns `Statistics`. Those of blocks, chunks or files are computed
separately and then added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from emgmm.covariances import Family, times_counts
from emgmm.tolerances import TINY, checked_afterwards
from emgmm.typing import Array, Integers

# Names of the arrays with an entry for each component, whatever the family is.
BY_COMPONENT = ("centres", "counts", "first_moment")


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sums over rows i, with responsibilities r_ik, about centres c_k.

    Parameters
    ----------
    centres : (K, D)
        Centres c_k, which all blocks of a pass share, so that ``+`` is plain addition.
    counts : (K,)
        Effective numbers of rows, N_k = sum_i r_ik.
    first_moment : (K, D)
        sum_i r_ik (x_i - c_k).
    scatter : array in the family's structure
        sum_i r_ik (x_i - c_k)(x_i - c_k)^T, summed over k where the covariance is shared.
    log_likelihood : float
        sum_i log p(x_i).
    weight : float
        Total weight of the rows; their number, if all weights are 1.
    unseen : float
        Weight of the rows without any observed value, which belong to no component.
    noise : float
        Effective number of rows of the noise component.
    conditional : array in the family's structure, optional
        Part of the scatter that the conditional covariances of missing values contribute; None if
        no value is missing.
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
        sums = (_total(getattr(self, name), getattr(other, name)) for name in SUMS)
        return Statistics(self.centres, *sums)

    @checked_afterwards
    def times(self, factor: float) -> Statistics:
        """Return the statistics of rows whose weights are `factor` times as large."""
        sums = [getattr(self, name) for name in SUMS]
        scaled: list[Any] = [None if value is None else value * factor for value in sums]
        return Statistics(self.centres, *scaled)

    @property
    def seen(self) -> float:
        """Weight of the rows that are distributed over the components and noise.

        The others have no observed value, or are beyond the reach of all components. If all are
        beyond it, they count nevertheless.
        """
        if not (self.unseen or np.any(self.log_likelihood == -np.inf)):
            return self.weight
        return float(self.counts.sum() + self.noise) or self.weight - self.unseen

    @property
    def is_finite(self) -> bool:
        """Whether no row was so far from all components that a sum over the rows overflowed."""
        return bool(np.isfinite(self.log_likelihood) and np.isfinite(self.scatter).all())

    @property
    def objective(self) -> float:
        """Mean log-likelihood per unit weight."""
        return self.log_likelihood / self.weight

    @property
    def mean_offsets(self) -> Array:
        """Means of the components minus the centres, shape (K, D); 0 for an empty component."""
        return self.first_moment / np.maximum(self.counts, TINY)[:, None]

    def permuted(self, order: Integers, family: Family) -> Statistics:
        """Return the statistics with the components in another order."""
        by_component = {name: getattr(self, name)[order] for name in BY_COMPONENT}
        if not family.shared:
            by_component["scatter"] = self.scatter[order]
            if self.conditional is not None:
                by_component["conditional"] = self.conditional[order]
        return replace(self, **by_component)

    def about_means(self, family: Family) -> Statistics:
        """Return the statistics about the components' means, whose first moments are 0."""
        return self.about(self.centres + self.mean_offsets, family)

    def about(self, centres: Array, family: Family) -> Statistics:
        """Return the statistics about other (K, D) centres, by the parallel-axis theorem."""
        inner, outer = self.mean_offsets, family.structure.outer
        own = family.pool(times_counts(self.counts, outer(inner)))
        offsets = self.centres + inner - centres
        between = family.pool(times_counts(self.counts, outer(offsets)))
        first_moment = self.counts[:, None] * offsets
        scatter = self.scatter - own + between
        return replace(self, centres=centres, first_moment=first_moment, scatter=scatter)

    def total_covariance(self, family: Family) -> Array:
        """Return the covariance of all rows that are not noise, in the family's structure.

        It follows from the parallel-axis theorem, and is 0 if all rows are noise.
        """
        outer = family.structure.outer
        weight = np.maximum(self.counts.sum(keepdims=True), TINY)
        inner = self.mean_offsets
        means = self.centres + inner
        offsets = means - self.counts @ means / weight
        between = times_counts(self.counts, outer(offsets) - outer(inner)).sum(axis=0)
        scatter = self.scatter if family.shared else self.scatter.sum(axis=0)
        return family.structure.estimate((scatter + between)[None], weight, offsets.shape[1])[0]

    def conditional_covariances(self, family: Family) -> Array | None:
        """Return the mean contribution of missing values to the covariances.

        It is None if no value is missing, and has one element if the covariance is shared.
        """
        if self.conditional is None:
            return None
        counts, D = np.maximum(self.counts, TINY), self.centres.shape[1]
        if not family.shared:
            return family.structure.estimate(self.conditional, counts, D)
        return family.structure.estimate(self.conditional[None], counts.sum(keepdims=True), D)[0]

    def plus(self, factor: float, other: Statistics, less: Statistics) -> Statistics:
        """Return self + factor (other - less), for three statistics about the same centres."""
        return replace(
            self,
            counts=self.counts + factor * (other.counts - less.counts),
            first_moment=self.first_moment + factor * (other.first_moment - less.first_moment),
            scatter=self.scatter + factor * (other.scatter - less.scatter),
            noise=self.noise + factor * (other.noise - less.noise),
        )

    def difference(self, other: Statistics, less: Statistics) -> Array:
        """Return other - less as one vector, shape (n,), in units of these statistics."""
        sd = np.sqrt(np.abs(self.scatter).max() / self.counts.sum())
        parts = (
            (other.counts - less.counts) / self.counts.sum(),
            (other.first_moment - less.first_moment) / (self.counts.sum() * sd),
            (other.scatter - less.scatter) / np.abs(self.scatter).max(),
        )
        return np.concatenate([part.ravel() for part in parts])


def _total(a: Any, b: Any) -> Any:
    """Return a + b; None stands for a sum of nothing."""
    if a is None or b is None:
        return b if a is None else a
    return a + b


# Names of the sums over rows.
SUMS = tuple(field.name for field in fields(Statistics) if field.name != "centres")


def criteria(seen: Statistics, n_parameters: int, log_certainty: float) -> dict[str, float]:
    """Compute the figures by which models are compared; lower criteria are better.

    Parameters
    ----------
    seen : Statistics
        Statistics of the rows under the mixture.
    n_parameters : int
        Number of free parameters of the mixture.
    log_certainty : float
        Weighted sum of the log-probabilities of the rows' most probable components.
    """
    bic = -2 * seen.log_likelihood + n_parameters * math.log(seen.weight)
    return {
        "bic": bic,
        "aic": -2 * seen.log_likelihood + 2 * n_parameters,
        "icl": bic - 2 * log_certainty,
        "log_likelihood": seen.log_likelihood,
        "n_parameters": n_parameters,
    }
