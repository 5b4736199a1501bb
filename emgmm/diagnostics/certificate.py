"""The certificate of a fit, which examines by further passes whether EM ended at a local maximum.

The rate takes `POWER_STEPS` + 1 passes, and plain EM and each of at most `MOST_MOVES` moves takes
`MOVE_STEPS` + 1. These are at most 74 passes, and one more if an M-step recomputes moments.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice

import numpy as np

from emgmm.acceleration import evaluate, plain_steps
from emgmm.degeneracy import distance
from emgmm.em import EM
from emgmm.exceptions import DegenerateCovarianceError, format_components
from emgmm.fitting.split import deviations_and_covariance, sample_rows, splits
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics
from emgmm.typing import Array

POWER_STEPS = 8
MOVE_STEPS = 4
MOST_MOVES = 12

# Length of the changes in the power iteration, in standard deviations. A further direction whose
# relative length is below the second number is attributed to the curvature of EM's map.
CHANGE = 1e-4
NEARLY_DEPENDENT = 1e-3

# A distance below this may be rounding, as divergences, which are squares, have errors of 1e-16.
ROUNDING = 1e-7

# An EM step shorter than this, in standard deviations, means that EM is at rest.
REST = 1e-4

# A rate of convergence above this cannot be distinguished from 1, a ridge of equal likelihood.
FLAT = 0.9999

# Smallest gain of a move, in nats per row, that is not attributed to rounding.
MIN_GAIN = 1e-8


class Verdict(Enum):
    """Kind of the point at which EM ended; ``.sentence`` is meant to be read."""

    UNTRIED = "Not certified: diagnose(X, certify=True) makes further passes for it."
    LOCAL_MAXIMUM = "A local maximum, as far as it was tried: no move increased the likelihood."
    SADDLE = "A saddle: a finite move increases the likelihood."
    MOVING = "EM is still moving: more iterations, or a smaller tol, go further."
    FLAT = "Flat: the likelihood hardly changes along some direction, or components coincide."

    @property
    def sentence(self) -> str:
        """Description of the verdict."""
        return self.value


@dataclass(frozen=True)
class Certificate:
    """Verdict on a point, and the figures from which it follows.

    Parameters
    ----------
    verdict : Verdict
        Kind of the point.
    step : float
        Length of one more EM step in standard deviations.
    rate : float
        Largest factor by which EM's map shrinks a small change, by power iteration.
    direction : str
        Move that increased the likelihood, if there is one.
    gain : float
        Gain of this move in nats per row.
    """

    verdict: Verdict
    step: float = math.nan
    rate: float = math.nan
    direction: str = ""
    gain: float = 0.0


def certify(
    em: EM, mixture: Mixture, statistics: Statistics, random: np.random.RandomState
) -> Certificate:
    """Return the certificate of a mixture with the given statistics."""
    try:
        step = distance(mixture, em.maximise(mixture, statistics))
    except DegenerateCovarianceError:  # the next covariance is singular
        return Certificate(Verdict.MOVING)
    rate = convergence_rate(em, mixture, statistics)
    groups = em.coincident(mixture)
    if step > REST and not groups:
        return Certificate(Verdict.MOVING, step, rate)
    direction, gain = best_move(em, mixture, statistics, groups, random)
    if gain > MIN_GAIN:
        return Certificate(Verdict.SADDLE, step, rate, direction, gain)
    verdict = Verdict.FLAT if groups or rate > FLAT else Verdict.LOCAL_MAXIMUM
    return Certificate(verdict, step, rate)


def convergence_rate(em: EM, mixture: Mixture, statistics: Statistics) -> float:
    """Return the largest eigenvalue of EM's map at a point, by power iteration on statistics.

    The map takes statistics to those of their mixture, and its largest eigenvalue is EM's rate of
    convergence (Dempster, Laird and Rubin 1977). The Rayleigh-Ritz method computes it from the
    changes v, Av, AAv, .. of the iteration, far fewer of which are needed than for the ratio of the
    last two (Saad 2011, doi 10.1137/1.9781611970739). The first change moves every mean a little,
    alternately up and down.
    """
    base = statistics.about_means(em.family)
    if not base.scatter.any():  # all rows of a component are equal, or all rows are noise
        return math.nan
    signs = np.where(np.arange(mixture.n_components) % 2, -1.0, 1.0)[:, None]
    sd = np.sqrt(mixture.variances)
    changed = replace(base, first_moment=base.counts[:, None] * signs * CHANGE * sd)
    before, after = [base.difference(changed, base)], []
    try:
        fixed = em.m_step.maximise(base, mixture)
        reference = em.expect(fixed).about(base.centres, em.family)
        for _ in range(POWER_STEPS):
            moved = em.m_step.maximise(changed, fixed)
            image = em.expect(moved).about(base.centres, em.family)
            after.append(base.difference(image, reference))
            size = distance(fixed, em.m_step.maximise(base.plus(1.0, image, reference), fixed))
            if not size > ROUNDING:
                break
            changed = base.plus(CHANGE / size, image, reference)
            if changed.counts.min() < 0:  # a component is almost empty
                break
            before.append(CHANGE / size * after[-1])
    except DegenerateCovarianceError:
        if not after:
            return math.nan
    V, AV = np.stack(before[: len(after)]), np.stack(after)
    ritz = AV @ np.linalg.pinv(V, rcond=NEARLY_DEPENDENT)
    return float(np.abs(np.linalg.eigvals(ritz)).max())


def best_move(
    em: EM,
    mixture: Mixture,
    statistics: Statistics,
    groups: list[tuple[int, ...]],
    random: np.random.RandomState,
) -> tuple[str, float]:
    """Return the best move, and its gain after some EM steps compared with EM without a move."""
    best, largest = "", 0.0
    try:
        unmoved = objective_after_steps(em, mixture)
    except DegenerateCovarianceError:
        return best, largest
    for direction, moved in islice(moves(em, mixture, statistics, groups, random), MOST_MOVES):
        with suppress(DegenerateCovarianceError):
            gain = objective_after_steps(em, moved) - unmoved
            if gain > largest:
                best, largest = direction, gain
    return best, largest


def objective_after_steps(em: EM, mixture: Mixture) -> float:
    """Return the objective after `MOVE_STEPS` EM steps."""
    return plain_steps(em, evaluate(em, mixture), MOVE_STEPS).objective


def moves(
    em: EM,
    mixture: Mixture,
    statistics: Statistics,
    groups: list[tuple[int, ...]],
    random: np.random.RandomState,
) -> Iterator[tuple[str, Mixture]]:
    """Yield finite moves and their names.

    These are splits of coincident groups; if there are none, shifts of one or two components.
    """
    if groups:
        for moved in splits(em, mixture, statistics, groups, random):
            yield f"a split of {'; '.join(map(format_components, groups))}", moved
        return
    base = statistics.about_means(em.family)
    for direction, centres in shifts(base, *sample_rows(em, mixture, random)):
        with suppress(DegenerateCovarianceError):
            yield direction, em.m_step.maximise(replace(base, centres=centres))


def shifts(base: Statistics, rows: Array, responsibilities: Array) -> Iterator[tuple[str, Array]]:
    """Yield means of which one is shifted, or two whose components share many rows."""
    for k in np.argsort(-base.counts):
        if not responsibilities[k].any():
            continue
        weights = responsibilities[k] / responsibilities[k].sum()
        offset, means = 0.3 * widest_direction(rows, weights), base.centres.copy()
        means[k] += offset
        yield f"a shift of component {k}", means
        shared = responsibilities @ weights
        shared[k] = -1
        other = np.argmax(shared)
        if other != k:
            means = means.copy()
            means[other] -= offset
            yield f"moving components {k} and {other} apart", means


def widest_direction(rows: Array, weights: Array) -> Array:
    """Return the first principal axis of weighted rows, times its standard deviation, (D,)."""
    _, covariance = deviations_and_covariance(rows, weights)
    variances, axes = np.linalg.eigh(covariance)
    return np.sqrt(max(float(variances[-1]), 0.0)) * axes[:, -1]
