"""Detection of degenerate fits, by functions of the mixture, its statistics and objectives.

The thresholds were calibrated on simulated cases and real data (`tests/test_conditions.py` and
`tests/test_sound_fits.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from emgmm.covariances import times_counts
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics
from emgmm.tolerances import TINY, checked_afterwards
from emgmm.typing import Array

# Symmetrized divergence, in nats, below which EM at rest does not separate two components. At the
# saddle points where EM stops it is at most 0.09, and in sound fits at least 0.47.
COINCIDENT = 0.2

# Ratio of a component's variance, without the ridge, to that of the data in the same direction,
# below which the component has collapsed: its standard deviation is then below 1/3000 of theirs.
COLLAPSED = 1e-7

# If values are missing, the ridge is also part of their conditional covariances and accumulates: if
# a feature is missing in a fraction s of a component's rows and constant in the others, its
# variance becomes ridge / (1 - s). Therefore conditional covariances are subtracted too. This would
# leave no variance of a feature that a component never observed, whose variance is the initial one,
# so that only variances whose ratio to the data's is below this are examined.
SMALL = 1e-3

# Lower bound of variances in that comparison: fractions of the data's variance and of the ridge.
VARIANCE_FRACTION = 1e-12
RIDGE_FRACTION = 1e-6

# Relative rounding error of counts, which are sums of many responsibilities.
ROUNDING = 1e-9

# Smallest fraction of a covariance, before it was scaled to the common volume; that of a component
# without rows may be 0.
LEAST_FRACTION = 1e-150

# Relative size below which a gain of the objective may be rounding. In float32 the rounding of the
# parameters changes the objective by 1e-7, differently on each processor.
GAIN_ROUNDING = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-6}


@checked_afterwards
def directed_divergences(a: Mixture, b: Mixture) -> Array:
    """Return the divergences of the components of `b` from those of `a`, (K, K), in nats.

    The log-determinants are omitted, as they cancel in the sum of both directions. This sum, the
    symmetrized Kullback-Leibler divergence, does not depend on the units of the data (Kullback and
    Leibler 1951, doi 10.1214/aoms/1177729694).
    """
    structure, D, precisions_cholesky = a.family.structure, a.n_features, a.precision_cholesky_stack
    traces = structure.traces(structure.precisions(precisions_cholesky), b.covariance_stack, D)
    offsets = a.means[:, :, None].astype(np.float64) - b.means.T
    return 0.5 * (traces - D + structure.squared_norms(precisions_cholesky, offsets))


@checked_afterwards
def divergences(mixture: Mixture) -> Array:
    """Return the symmetrized divergences of all pairs of components, (K, K), in nats."""
    directed = directed_divergences(mixture, mixture)
    return directed + directed.T


@checked_afterwards
def distance(a: Mixture, b: Mixture) -> float:
    """Return the distance of two mixtures with corresponding components, in standard deviations.

    It is the square root of the weighted mean of the symmetrized divergences of the components. If
    only the means differ, by a hundredth of a standard deviation, it is 0.01.
    """
    each: Array = np.diagonal(directed_divergences(a, b) + directed_divergences(b, a))
    return math.sqrt(max(float(shares(a) @ each), 0.0))


def shares(mixture: Mixture) -> Array:
    """Return the weights of the components over their sum, (K,); equal ones if noise has all."""
    weights = mixture.weights if mixture.weights.any() else np.ones_like(mixture.weights)
    return weights / weights.sum()


def coincident(mixture: Mixture) -> list[tuple[int, ...]]:
    """Return groups of components that EM at rest cannot separate.

    The divergences between the components of a group link them by values below the threshold.
    """
    if mixture.n_components == 1:
        return []
    close = divergences(mixture) < COINCIDENT
    np.fill_diagonal(close, val=False)
    if not close.any():
        return []
    n_groups, group_of = connected_components(close, directed=False)
    groups = (np.flatnonzero(group_of == group) for group in range(n_groups))
    return [tuple(group.tolist()) for group in groups if len(group) > 1]


@checked_afterwards
def are_narrow(
    mixture: Mixture, total: Array, ridge: float, conditional: Array | None = None
) -> NDArray[np.bool_]:
    """Whether each component has almost no variance in some direction, shape (K,).

    This holds if its smallest generalized variance relative to the `total` covariance, an element
    of the family's structure, is below `COLLAPSED`. As one distant row increases the total, the
    variance must also be that small relative to the mean covariance of the components, or below the
    ridge. The ridge and the `conditional` covariances of missing values are subtracted first.
    """
    family, n_features = mixture.family, mixture.n_features
    if conditional is None and surely_wide(mixture, total, ridge):
        return np.zeros(mixture.n_components, dtype=bool)
    floor = VARIANCE_FRACTION * family.structure.diagonal(total)
    floor = family.structure.add_ridge(floor[None], RIDGE_FRACTION * ridge + TINY)[0]
    covariances = mixture.covariances.astype(np.float64, copy=False)
    empirical = family.add_ridge(covariances, -ridge)
    if conditional is not None:
        empirical = empirical - conditional
    try:
        found = family.min_variance(empirical + floor, total + floor, n_features) < COLLAPSED
    except DegenerateCovarianceError:  # the few rows that are not noise are linearly dependent
        return np.ones(mixture.n_components, dtype=bool)
    if conditional is not None:
        found = found & (family.min_variance(covariances, total + floor, n_features) < SMALL)
    if found.any():
        stacked = family.stack(empirical)
        weights = shares(mixture) if len(stacked) > 1 else np.ones(1)
        rounding = 8 * np.finfo(mixture.means.dtype).eps * family.structure.diagonal(total)
        within = np.tensordot(weights, stacked, axes=1) + floor + rounding
        identity = family.structure.add_ridge(np.zeros_like(floor)[None], 1.0)[0]
        below_ridge = family.min_variance(empirical, identity, n_features) < ridge
        try:
            relative = family.min_variance(empirical + floor, within, n_features)
        except DegenerateCovarianceError:  # the mean covariance is singular without the ridge
            return np.broadcast_to(found, mixture.n_components)
        found = found & (below_ridge | (relative < COLLAPSED))
    return np.broadcast_to(found, mixture.n_components)


@checked_afterwards
def surely_wide(mixture: Mixture, total: Array, ridge: float) -> bool:
    """Whether traces suffice to show that no component is narrow, as is the case in most fits.

    The smallest generalized variance is at least 1 / trace(precision total), and subtracting the
    ridge at most halves it if ridge trace(precision) is at most one half. One sum bounds both.
    """
    family, D = mixture.family, mixture.n_features
    precisions_cholesky = family.stack(mixture.precisions_cholesky.astype(np.float64, copy=False))
    precisions = family.structure.precisions(precisions_cholesky)
    both = family.structure.add_ridge(COLLAPSED * total[None], ridge)
    return bool(family.structure.traces(precisions, both, D).max() < 0.5)


@checked_afterwards
def are_surely_sound(
    mixture: Mixture,
    statistics: Statistics,
    sds: Array,
    ridge: float,
    n_rows: Array | int,
    least: float,
) -> NDArray[np.bool_]:
    """Whether bounds suffice to show that a component is neither collapsed nor starved, (K,).

    The components may be those of several mixtures, so that the weight of the rows, their number
    and the (K, D) standard deviations of all rows are given for each of them. The conditions are
    those of `collapsed`, with the bounds of `surely_wide`, and of `starved`.
    """
    counts = np.minimum(statistics.counts, mixture.weights * statistics.weight)
    enough = counts * (n_rows / statistics.weight) > max(1.0, least)
    return enough & (mixture.magnitudes(np.sqrt(COLLAPSED * sds**2 + ridge)) < 0.5)


def collapsed(
    mixture: Mixture, statistics: Statistics, ridge: float, n_rows: int, min_count: float
) -> list[int]:
    """Return the components that are tiny compared with the data, or have too few rows.

    Parameters
    ----------
    mixture : Mixture
        Fitted mixture.
    statistics : Statistics
        Its statistics.
    ridge : float
        Number that was added to the variances.
    n_rows : int
        Number of rows of positive weight with an observed value.
    min_count : float
        Number of rows, in units of their mean weight, that a component needs for its covariance.
    """
    few = statistics.counts * n_rows / statistics.weight < min_count - ROUNDING
    family = mixture.family
    total = statistics.total_covariance(family)
    conditional = statistics.conditional_covariances(family)
    if family.equal_volumes:  # the ridge and the conditional covariances are scaled as well
        own = statistics.scatter, statistics.counts, statistics.first_moment
        covariances, structure, D = mixture.covariance_stack, family.structure, mixture.n_features
        ridges = D * ridge / structure.variances(covariances, D).sum(axis=1)
        fractions = 1 / family.enlargement(covariances, *own) + ridges
        added = structure.add_ridge(np.zeros(mixture.covariances.shape), ridge)
        within = added if conditional is None else conditional + added
        conditional = times_counts(1 / np.maximum(fractions, LEAST_FRACTION), within) - added
    return np.flatnonzero(are_narrow(mixture, total, ridge, conditional) | few).tolist()


def starved(mixture: Mixture, statistics: Statistics, n_rows: int) -> list[int]:
    """Return the components whose count, now or in the last M-step, is below one mean weight."""
    counts = np.minimum(statistics.counts, mixture.weights * statistics.weight)
    return np.flatnonzero(counts < (1 - ROUNDING) * statistics.weight / n_rows).tolist()


def aitken(objectives: Sequence[float], dtype: Any = np.float64) -> tuple[float, float]:
    """Return the rate of plain EM and its remaining gain, from the last three objectives.

    With gains g_1, g_2 and the rate q = g_2 / g_1, the remaining gain is g_2 q / (1 - q). Both are
    nan if there are fewer objectives or the gains are within the rounding of `dtype`. The remaining
    gain is inf if q >= 1, as EM is leaving a saddle (Aitken 1926; Boehning et al. 1994, Ann. Inst.
    Statist. Math. 46:373, doi 10.1007/BF01720593).
    """
    if len(objectives) < 3:
        return math.nan, math.nan
    first, second, third = objectives[-3:]
    before, after = second - first, third - second
    if min(abs(before), abs(after)) <= GAIN_ROUNDING[np.dtype(dtype)] * max(1.0, abs(third)):
        return math.nan, math.nan
    rate = after / before
    return rate, after * rate / (1 - rate) if rate < 1 else math.inf


def gain_left(objectives: Sequence[float], dtype: Any = np.float64) -> float:
    """Return Aitken's estimate of the remaining gain, or 0 if the objective decreases.

    It may decrease under a ridge, which changes the M-step but is not part of the objective.
    """
    gain = aitken(objectives, dtype)[1]
    decreases = gain < 0 or (gain == math.inf and objectives[-1] < objectives[-2])
    return 0.0 if decreases else gain


def is_settled(objectives: Sequence[float], weight: float, allowed: float) -> bool:
    """Whether the remaining gain, in nats in total, is below `allowed` by consistent rates.

    Parameters
    ----------
    objectives : sequence of float
        Objectives of consecutive plain EM steps, per unit weight. Fewer than four are not enough,
        as a single rate may differ much from that of the slowest direction.
    weight : float
        Total weight of the rows.
    allowed : float
        Threshold of the gain.
    """
    if len(objectives) < 4:
        return False
    rate_before, _ = aitken(objectives[:-1])
    rate, gain = aitken(objectives)
    if math.isnan(gain):  # at least one of the gains is rounding
        gain = objectives[-1] - objectives[-2]
    elif not math.isnan(rate_before) and not 0.5 * (1 - rate) <= 1 - rate_before <= 2 * (1 - rate):
        return False
    return weight * abs(gain) < allowed
