"""A certificate: what a bounded number of extra passes says of the point at which EM ended.

Passes: `POWER_STEPS` + 1 for the rate, and `MOVE_STEPS` + 1 for plain EM and for each of at most
`MOST_MOVES` moves: 74 at the most, and one more where an M-step has to look again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice

import numpy as np

from emgmm.acceleration import evaluate, plain_steps
from emgmm.degeneracy import coincident, distance
from emgmm.em import EM
from emgmm.exceptions import DegenerateCovarianceError, format_components
from emgmm.fitting.split import deviations_and_covariance, sample_rows, splits
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics
from emgmm.typing import Array

POWER_STEPS = 8
MOVE_STEPS = 4
MOST_MOVES = 12

# Size of the changes that are followed, in standard deviations, and the relative size below which
# what is new in the next one is their own curvature.
CHANGE = 1e-4
NEARLY_DEPENDENT = 1e-3

# A distance below this may be rounding: the divergences, which are squares, lose some 1e-16.
ROUNDING = 1e-7

# A step of EM shorter than this, in the mixture's own metric, is rest: a ten-thousandth of a
# standard deviation.
REST = 1e-4

# A rate of convergence above this cannot be told from 1 here: a ridge of equal likelihood.
FLAT = 0.9999

# Gain, in nats per row, above which a move has raised the likelihood and not its rounding.
RAISED = 1e-8


class Verdict(Enum):
    """What the point is at which EM ended; ``.sentence`` is for people."""

    UNTRIED = "Not certified: diagnose(X, certify=True) spends some passes on it."
    LOCAL_MAXIMUM = "A local maximum, as far as it was tried: no move raised the likelihood."
    SADDLE = "A saddle: a finite move raises the likelihood."
    MOVING = "EM is still moving: more iterations, or a smaller tol, go further."
    FLAT = "Flat: the likelihood hardly changes along some direction, or components coincide."

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        return self.value


@dataclass(frozen=True)
class Certificate:
    """The verdict, and what it rests on.

    Parameters
    ----------
    verdict : Verdict
        What the point is.
    step : float
        Length of one more EM step in the mixture's own metric (standard deviations).
    rate : float
        The largest factor by which EM's map shrinks a small change, by power iteration.
    direction : str
        The move that raised the likelihood, if one did.
    gain : float
        By how much, in nats per row.
    """

    verdict: Verdict
    step: float
    rate: float
    direction: str
    gain: float


def certify(
    em: EM, mixture: Mixture, here: Statistics, random: np.random.RandomState
) -> Certificate:
    """Spend extra passes on the point `mixture`, whose statistics are `here`."""
    try:
        step = distance(mixture, em.maximise(mixture, here))
    except DegenerateCovarianceError:  # EM goes on to a singular covariance
        return Certificate(Verdict.MOVING, math.nan, math.nan, "", 0.0)
    rate = convergence_rate(em, mixture, here)
    groups = coincident(mixture)
    if step > REST and not groups:
        return Certificate(Verdict.MOVING, step, rate, "", 0.0)
    direction, gain = best_move(em, mixture, here, groups, random)
    if gain > RAISED:
        return Certificate(Verdict.SADDLE, step, rate, direction, gain)
    verdict = Verdict.FLAT if groups or rate > FLAT else Verdict.LOCAL_MAXIMUM
    return Certificate(verdict, step, rate, "", 0.0)


def convergence_rate(em: EM, mixture: Mixture, here: Statistics) -> float:
    """The largest eigenvalue of EM's map at a point, by power iteration on the statistics.

    The map takes statistics to those of their mixture; how fast EM converges is its largest
    eigenvalue (Dempster, Laird and Rubin 1977). It is read off the changes v, Av, AAv, .. of the
    iteration by Rayleigh and Ritz, which needs far fewer of them than their last ratio does (Saad
    2011, doi 10.1137/1.9781611970739). The first change moves every mean a little, in turns up and
    down.
    """
    base = here.about_means(em.family)
    if not base.scatter.any():  # all rows of a component are the same, or all rows are noise
        return math.nan
    signs = np.where(np.arange(mixture.n_components) % 2, -1.0, 1.0)[:, None]
    sd = np.sqrt(np.diagonal(mixture.dense_covariances().astype(float), axis1=1, axis2=2))
    changed = replace(base, first_moment=base.counts[:, None] * signs * CHANGE * sd)
    before, after = [base.difference(changed, base)], []
    try:
        fixed = em.m_step.maximise(base, mixture)
        reference = em.expect(fixed).about(base.centres, em.family)
        for _ in range(POWER_STEPS):
            moved = em.m_step.maximise(changed, fixed)
            answer = em.expect(moved).about(base.centres, em.family)
            after.append(base.difference(answer, reference))
            answered = base.plus(1.0, answer, reference)
            size = distance(fixed, em.m_step.maximise(answered, fixed))
            if not size > ROUNDING:
                break
            changed = base.plus(CHANGE / size, answer, reference)
            if changed.counts.min() < 0:  # of a component that is all but empty
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
    here: Statistics,
    groups: list[tuple[int, ...]],
    random: np.random.RandomState,
) -> tuple[str, float]:
    """The move after which EM does best, and its gain over plain EM after as many steps."""
    best, most = "", 0.0
    try:
        stay = after_steps(em, mixture)
    except DegenerateCovarianceError:
        return best, most
    for direction, moved in islice(moves(em, mixture, here, groups, random), MOST_MOVES):
        try:
            gain = after_steps(em, moved) - stay
        except DegenerateCovarianceError:
            continue
        if gain > most:
            best, most = direction, gain
    return best, most


def after_steps(em: EM, mixture: Mixture) -> float:
    """The objective after some EM steps."""
    return plain_steps(em, evaluate(em, mixture), MOVE_STEPS).objective


def moves(
    em: EM,
    mixture: Mixture,
    here: Statistics,
    groups: list[tuple[int, ...]],
    random: np.random.RandomState,
) -> Iterator[tuple[str, Mixture]]:
    """Finite moves: splits of coincident groups; else shifts of components and of near pairs."""
    if groups:
        for moved in splits(em, mixture, here, groups, random):
            yield f"a split of {'; '.join(map(format_components, groups))}", moved
        return
    base = here.about_means(em.family)
    for direction, steps in shifts(base, *sample_rows(em, mixture, random)):
        try:
            moved = shifted(em, base, steps)
        except DegenerateCovarianceError:
            continue
        yield direction, moved


def shifts(
    base: Statistics, rows: Array, responsibilities: Array
) -> Iterator[tuple[str, dict[int, Array]]]:
    """Steps of each component's mean, and of it and the component that shares most of its rows."""
    for k in np.argsort(-base.counts):
        if not responsibilities[k].any():
            continue
        weights = responsibilities[k] / responsibilities[k].sum()
        step = 0.3 * widest(rows, weights)
        yield f"a shift of component {k}", {int(k): step}
        other = int(
            np.argmax(np.where(np.arange(len(base.counts)) == k, -1, responsibilities @ weights))
        )
        if other != k:
            yield f"moving components {k} and {other} apart", {int(k): step, other: -step}


def widest(rows: Array, weights: Array) -> Array:
    """(D,): one standard deviation along the first principal axis of weighted rows."""
    _, covariance = deviations_and_covariance(rows, weights)
    variances, axes = np.linalg.eigh(covariance)
    return np.sqrt(max(float(variances[-1]), 0.0)) * axes[:, -1]


def shifted(em: EM, base: Statistics, steps: dict[int, Array]) -> Mixture:
    """The mixture with some components' means moved."""
    centres = base.centres.copy()
    for k, step in steps.items():
        centres[k] += step
    return em.m_step.maximise(replace(base, centres=centres))
