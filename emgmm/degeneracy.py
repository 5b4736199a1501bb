"""What can be wrong with a fit, as pure functions of mixture, statistics and history.

Thresholds were calibrated on planted cases and on real data (`tests/test_conditions.py`); each says
what was met on either side of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm.exceptions import DegenerateCovarianceError
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics
from emgmm.tolerances import judged_afterwards
from emgmm.typing import Array

# Symmetrised divergence, in nats, below which EM at rest does not part two components. The saddles
# that EM stops at have pairs at 1e-4 to 0.09 (iris, wine, Old Faithful, digits, random starts of
# every type); sound fits, 0.47 and more, where three components share two clusters.
COINCIDENT = 0.2

# Variance, beside the data's in the same direction, below which a component holds next to nothing
# there: a standard deviation of 1/3000 of the data's. The ridge is not counted.
COLLAPSED = 1e-7

# Where values are missing, the ridge is part of their conditional covariances too, and returns in
# each M-step: of a feature that is missing in a share s of a component's rows, and does not vary in
# the others, the variance becomes ridge / (1 - s). So conditional covariances are not counted
# either, and only variance below this, beside the data's, is looked at: a feature of which a
# component has observed nothing has the variance that its start gave it.
SMALL = 1e-3

# The floor of that comparison: these fractions of the data's variance, and of the ridge.
NOTHING = 1e-12
FRACTION = 1e-6
TINY = float(np.finfo(float).tiny)

# Masses are sums of many responsibilities.
ROUNDING = 1e-9

# Objectives are means of many logarithms: relative size of a gain below which it may be rounding.
# In float32 the parameters' own rounding moves them by 1e-7, differently on each processor.
AT_ROUNDING = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-6}


def one_way(a: Mixture, b: Mixture) -> Array:
    """(K, K): the divergence of each component of `b` from each of `a`, without log-determinants.

    Added to its mirror image it is the symmetrised Kullback-Leibler divergence, in nats, in which
    they cancel; that does not change with the units of the data (Kullback and Leibler 1951,
    doi 10.1214/aoms/1177729694).
    """
    shape, K, D = a.family.structure, a.n_components, a.n_features
    precisions_cholesky = a.each_precision_cholesky
    covariances = b.family.per_component(b.covariances.astype(np.float64, copy=False), K)
    traces = shape.traces(shape.precisions(precisions_cholesky), covariances, D)
    steps = a.means[:, :, None].astype(np.float64) - b.means.T
    return 0.5 * (traces - D + shape.squared_norms(precisions_cholesky, steps))


def divergences(mixture: Mixture) -> Array:
    """(K, K): symmetrised divergence of each pair of components, both directions added, in nats."""
    one = one_way(mixture, mixture)
    return one + one.T


def distance(a: Mixture, b: Mixture) -> float:
    """How far apart two mixtures are, component by component, in the mixture's own metric.

    The square root of the weighted mean of the components' symmetrised divergences: 0.01 is means
    that moved by a hundredth of a standard deviation.
    """
    each: Array = np.diagonal(one_way(a, b) + one_way(b, a))
    return math.sqrt(max(float(a.weights @ each) / float(a.weights.sum()), 0.0))


def has_coincident(mixture: Mixture) -> bool:
    """Whether there are components that EM at rest cannot part."""
    return bool(coincident(mixture))


def coincident(mixture: Mixture) -> list[tuple[int, ...]]:
    """Groups of components that EM at rest cannot part, linked by divergences below the limit."""
    if mixture.n_components == 1:
        return []
    close = divergences(mixture) < COINCIDENT
    np.fill_diagonal(close, val=False)
    if not close.any():
        return []
    groups: list[tuple[int, ...]] = []
    left = set(range(mixture.n_components))
    while left:
        group, frontier = set(), {min(left)}
        while frontier:
            group |= frontier
            frontier = {int(j) for i in frontier for j in np.flatnonzero(close[i])} - group
        left -= group
        if len(group) > 1:
            groups.append(tuple(sorted(group)))
    return groups


def narrow(
    mixture: Mixture, total: Array, ridge: float, conditional: Array | None = None
) -> NDArray[np.bool_]:
    """(K,): whether a component has next to no variance in some direction, its ridge taken off.

    Its smallest generalised variance, against the `total` covariance (an element of the family's
    shape), is below `COLLAPSED`. One far row stretches the total, so it must also be that small
    against the components' own mean covariance, or below the ridge. What the `conditional`
    covariances of missing values add to the covariances is taken off too.
    """
    family = mixture.family
    if conditional is None and surely_wide(mixture, total, ridge):
        return np.zeros(mixture.n_components, dtype=bool)
    floor = NOTHING * family.structure.diagonal(total)
    floor = family.structure.add_ridge(floor[None], FRACTION * ridge + TINY)[0]
    covariances = mixture.covariances.astype(np.float64, copy=False)
    empirical = family.add_ridge(covariances, -ridge)
    if conditional is not None:
        empirical = empirical - conditional
    found = family.min_variance(empirical + floor, total + floor, mixture.n_features) < COLLAPSED
    if conditional is not None:
        found = found & (
            family.min_variance(covariances, total + floor, mixture.n_features) < SMALL
        )
    if found.any():
        stacked = family.stack(empirical)
        shares = mixture.weights if len(stacked) > 1 else np.ones(1)
        rounding = 8 * np.finfo(mixture.means.dtype).eps * family.structure.diagonal(total)
        within = np.tensordot(shares / shares.sum(), stacked, axes=1) + floor + rounding
        one = family.structure.add_ridge(np.zeros_like(floor)[None], 1.0)[0]
        held = family.min_variance(empirical, one, mixture.n_features) < ridge
        try:
            beside_others = (
                family.min_variance(empirical + floor, within, mixture.n_features) < COLLAPSED
            )
        except DegenerateCovarianceError:  # without the ridge all of them together have no volume
            return np.broadcast_to(found, mixture.n_components)
        found = found & np.logical_or(held, beside_others)
    return np.broadcast_to(found, mixture.n_components)


@judged_afterwards()
def surely_wide(mixture: Mixture, total: Array, ridge: float) -> bool:
    """Whether traces alone show that no component is narrow, as they do of nearly every fit.

    The smallest generalised variance is at least 1 / trace(precision total), and taking the ridge
    off at most halves it where ridge trace(precision) is at most one half.
    """
    family, D = mixture.family, mixture.n_features
    precisions_cholesky = family.stack(mixture.precisions_cholesky.astype(np.float64, copy=False))
    precisions = family.structure.precisions(precisions_cholesky)
    if not family.structure.traces(precisions, total[None], D).max() < 0.5 / COLLAPSED:
        return False
    identity = family.structure.add_ridge(np.zeros_like(total)[None], 1.0)
    return bool(ridge * family.structure.traces(precisions, identity, D).max() < 0.5)


def collapsed(
    mixture: Mixture,
    statistics: Statistics,
    total: Array,
    ridge: float,
    n_rows: int,
    *,
    min_count: float | None = None,
) -> list[int]:
    """Components that shrank to nothing beside the data, or hold too few rows for a covariance.

    How many these are the family says, if not `min_count`; they are counted in their mean weight.
    """
    if min_count is None:
        min_count = mixture.family.min_count(mixture.n_features)
    few = statistics.counts * n_rows / statistics.weight < min_count - ROUNDING
    conditional = statistics.conditional_covariances(mixture.family)
    return np.flatnonzero(narrow(mixture, total, ridge, conditional) | few).tolist()


def starved(mixture: Mixture, statistics: Statistics, n_rows: int) -> list[int]:
    """Components whose counts, or the counts they were made of, is under one row of mean weight."""
    counts = np.minimum(statistics.counts, mixture.weights * statistics.weight)
    return np.flatnonzero(counts < (1 - ROUNDING) * statistics.weight / n_rows).tolist()


def aitken(objectives: Sequence[float], dtype: Any = np.float64) -> tuple[float, float]:
    """Rate of plain EM, and the gain that is left to where it is heading, from three objectives.

    With gains g_1, g_2 and rate q = g_2 / g_1, g_2 q / (1 - q) is left. Both are nan where there
    are fewer objectives or the gains are at the rounding of `dtype`; the gain is inf where q >= 1,
    EM leaving a saddle (Aitken 1926; Boehning et al. 1994, Ann. Inst. Statist. Math. 46:373,
    doi 10.1007/BF01720593).
    """
    if len(objectives) < 3:
        return math.nan, math.nan
    first, second, third = objectives[-3:]
    before, after = second - first, third - second
    if min(abs(before), abs(after)) <= AT_ROUNDING[np.dtype(dtype)] * max(1.0, abs(third)):
        return math.nan, math.nan
    rate = after / before
    return rate, after * rate / (1 - rate) if rate < 1 else math.inf


def gain_left(objectives: Sequence[float], dtype: Any = np.float64) -> float:
    """Aitken's estimate of the gain that is left; 0 where EM is heading for a lower objective.

    There it does under a ridge, which changes the M-step and is no part of the objective.
    """
    left = aitken(objectives, dtype)[1]
    falls = left < 0 or (left == math.inf and objectives[-1] < objectives[-2])
    return 0.0 if falls else left


def is_settled(objectives: Sequence[float], weight: float, allowed: float) -> bool:
    """Whether less than is allowed is left to gain, in nats in total, by rates that agree.

    `objectives` are those of successive plain steps of EM, per unit weight. Of fewer than four
    nothing is known: one rate alone may be far from that of the slowest direction.
    """
    if len(objectives) < 4:
        return False
    rate_before, _ = aitken(objectives[:-1])
    rate, left = aitken(objectives)
    if math.isnan(left):  # at least one of the gains is rounding
        left = objectives[-1] - objectives[-2]
    elif not math.isnan(rate_before) and not 0.5 * (1 - rate) <= 1 - rate_before <= 2 * (1 - rate):
        return False
    return weight * abs(left) < allowed
