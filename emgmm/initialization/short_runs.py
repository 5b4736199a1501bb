"""Short runs of EM: several beginnings are taken a few steps, and the best is kept.

References
----------
Biernacki, Celeux and Govaert (2003), Comput. Statist. Data Anal. 41:561,
doi 10.1016/S0167-9473(02)00163-9.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from sklearn.cluster import kmeans_plusplus

from emgmm.acceleration import Step, evaluate, plain_steps
from emgmm.degeneracy import collapsed
from emgmm.em import EM
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.initialization.assignment import Assignment, nearest
from emgmm.initialization.whitening import whitened
from emgmm.mixture import Mixture
from emgmm.mstep import MStep
from emgmm.sources import ArraySource, Rows
from emgmm.typing import Integers

# Rows that the runs are made on: enough for a good guess, so that what they cost is bounded.
SHORT_ROWS = 2**13

# Of 'short-runs': runs, and steps of EM in each; how many of the best go on, for how many more.
RUNS = 20
STEPS = 5
BEST = 3
MORE_STEPS = 20

# Of the best of several starts: steps of EM from each.
COMPARED_AFTER = 6


class ShortRuns(Assignment):
    """The best of many short runs of EM from random rows.

    Parameters
    ----------
    n_components : int
        K.
    seed : int
        Of the choice of the rows that runs are made on, and of those that they begin at.
    """

    def __init__(self, n_components: int, seed: int) -> None:
        self.n_components = n_components
        self.seed = seed

    def first_mixture(self, rows: Rows, m_step: MStep) -> Mixture:
        """The mixture at which the best run ended.

        Raises
        ------
        DegenerateCovarianceError
            The first run's, where every run meets a covariance that is not positive definite.
        """
        random = np.random.RandomState(self.seed)
        sample = rows.take(rows.chosen(SHORT_ROWS, random))
        em = map_under(m_step, sample, self.n_components)
        runs = ranked(em, sample, self._beginnings(sample, random), STEPS)
        ended = [runs[0]]
        for step in runs[:BEST]:
            try:
                ended.append(plain_steps(em, step, MORE_STEPS))
            except DegenerateCovarianceError:
                continue
        return max(ended, key=lambda step: rank(em, step)).mixture

    def _beginnings(self, sample: Rows, random: np.random.RandomState) -> Iterator[Assignment]:
        """Rows drawn as k-means++ draws its seeds, and to each of them those that are nearest.

        Distances are those of whitened rows.
        """
        points = whitened(sample)
        for _ in range(RUNS):
            seeds, _ = kmeans_plusplus(
                points, self.n_components, sample_weight=sample.counts, random_state=random
            )
            yield nearest(points, seeds)


class BestOf(Assignment):
    """The best of several assignments after a few steps of EM from each.

    Parameters
    ----------
    numbers : (n,)
        The rows that the assignments are about.
    assignments : sequence of Assignment
        Of equals the first is kept.
    """

    def __init__(self, numbers: Integers, assignments: Sequence[Assignment]) -> None:
        self.numbers = numbers
        self.assignments = assignments
        self.n_components = assignments[0].n_components

    def first_mixture(self, rows: Rows, m_step: MStep) -> Mixture:
        """The mixture at which the best run ended.

        Raises
        ------
        DegenerateCovarianceError
            The first run's, where every run meets a covariance that is not positive definite.
        """
        sample = rows.take(self.numbers)
        em = map_under(m_step, sample, self.n_components)
        return ranked(em, sample, self.assignments, COMPARED_AFTER)[0].mixture


def map_under(m_step: MStep, sample: Rows, n_components: int) -> EM:
    """EM's map over a sample of the rows, from which noise is cleaned before."""
    source = ArraySource(sample.values, sample.weights, complete=sample.complete)
    return EM.under(replace(m_step, density=None), source, n_components)


def ranked(em: EM, sample: Rows, begun: Iterable[Assignment], n_steps: int) -> list[Step]:
    """Where so many steps of EM lead from each assignment, the best first.

    Raises
    ------
    DegenerateCovarianceError
        The first one's, where every run meets a covariance that is not positive definite.
    """
    runs, failures = [], []
    for assignment in begun:
        try:
            first = evaluate(em, assignment.first_mixture(sample, em.m_step))
            runs.append(plain_steps(em, first, n_steps))
        except DegenerateCovarianceError as error:
            failures.append(error)
    if not runs:
        raise failures[0]
    return sorted(runs, key=lambda step: rank(em, step), reverse=True)


def rank(em: EM, step: Step) -> tuple[bool, float]:
    """What makes one run better than another: no component that collapsed, then the objective.

    A component that shrinks onto a few rows has a likelihood as high as one likes. Objectives that
    differ by rounding are the same, so that of equals the first is the best.
    """
    statistics, m_step = step.statistics, em.m_step
    fallen = collapsed(
        step.mixture,
        statistics,
        statistics.total_covariance(em.family),
        em.ridge,
        em.summary.n_rows,
        least_mass=m_step.least_mass(em.source.n_features),
    )
    return not fallen, round(step.objective, 9)
