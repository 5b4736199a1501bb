"""Initialization by short runs of EM from several starts, of which the best is kept.

References
----------
Biernacki, Celeux and Govaert (2003), Comput. Statist. Data Anal. 41:561,
doi 10.1016/S0167-9473(02)00163-9.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.cluster import kmeans_plusplus

from emgmm.acceleration import Step, evaluate, plain_steps
from emgmm.em import EM
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.initialization.assignment import Assignment, nearest_means
from emgmm.initialization.whitening import whitened
from emgmm.mixture import Mixture
from emgmm.mstep import MStep
from emgmm.sources import ArraySource, Rows
from emgmm.typing import Integers

# Largest number of rows that short runs use, which bounds their cost.
SHORT_ROWS = 2**13

# For 'short-runs': number of runs and of EM steps in each; number of the best runs that are
# continued, and of the further EM steps.
RUNS = 20
STEPS = 5
BEST = 3
MORE_STEPS = 20

# For the best of several assignments: number of EM steps from each.
COMPARED_AFTER = 6


@dataclass(frozen=True, eq=False)
class ShortRuns(Assignment):
    """The best of many short runs of EM from random rows.

    Parameters
    ----------
    n_components : int
        Number of components, K.
    seed : int
        Seed for the choice of the sample and of the initial rows of each run.
    """

    n_components: int
    seed: int

    def first_mixture(self, rows: Rows, m_step: MStep) -> Mixture:
        """Return the mixture at which the best run ended.

        Raises
        ------
        DegenerateCovarianceError
            If every run meets a covariance that is not positive definite; the error is the first
            run's.
        """
        random = np.random.RandomState(self.seed)
        sample = rows.take(rows.choose(SHORT_ROWS, random))
        em = em_on_sample(m_step, sample, self.n_components)
        runs = rank_runs(em, sample, self._assignments(sample, random), STEPS)
        ended = [runs[0]]
        for step in runs[:BEST]:
            try:
                ended.append(plain_steps(em, step, MORE_STEPS))
            except DegenerateCovarianceError:
                continue
        return max(ended, key=lambda step: sort_key(em, step)).mixture

    def _assignments(self, sample: Rows, random: np.random.RandomState) -> Iterator[Assignment]:
        """Yield assignments of the rows to the nearest of K rows chosen by k-means++.

        Distances are those of whitened rows.
        """
        points = whitened(sample)
        for _ in range(RUNS):
            seeds, _ = kmeans_plusplus(
                points, self.n_components, sample_weight=sample.counts, random_state=random
            )
            yield nearest_means(points, seeds)


@dataclass(frozen=True, eq=False)
class BestOf(Assignment):
    """The best of several assignments after a few steps of EM from each.

    Parameters
    ----------
    numbers : (n,)
        Numbers of the rows to which the assignments refer.
    assignments : sequence of Assignment
        Assignments to compare; the first of several equally good ones is kept.
    n_components : int
        Number of components, K.
    """

    numbers: Integers
    assignments: Sequence[Assignment]
    n_components: int

    def first_mixture(self, rows: Rows, m_step: MStep) -> Mixture:
        """Return the mixture at which the best run ended.

        Raises
        ------
        DegenerateCovarianceError
            If every run meets a covariance that is not positive definite; the error is the first
            run's.
        """
        sample = rows.take(self.numbers)
        em = em_on_sample(m_step, sample, self.n_components)
        return rank_runs(em, sample, self.assignments, COMPARED_AFTER)[0].mixture


def em_on_sample(m_step: MStep, sample: Rows, n_components: int) -> EM:
    """Return EM's map for a sample of the rows, without a noise component."""
    source = ArraySource(sample.values, sample.weights, complete=sample.complete)
    return EM(source, replace(m_step, density=None), n_components)


def rank_runs(em: EM, sample: Rows, assignments: Iterable[Assignment], n_steps: int) -> list[Step]:
    """Return the steps that `n_steps` steps of EM reach from each assignment, the best first.

    Raises
    ------
    DegenerateCovarianceError
        If every run meets a covariance that is not positive definite; the error is the first run's.
    """
    runs, failures = [], []
    for assignment in assignments:
        try:
            first = evaluate(em, assignment.first_mixture(sample, em.m_step))
            runs.append(plain_steps(em, first, n_steps))
        except DegenerateCovarianceError as error:
            failures.append(error)
    if not runs:
        raise failures[0]
    return sorted(runs, key=lambda step: sort_key(em, step), reverse=True)


def sort_key(em: EM, step: Step) -> tuple[bool, float]:
    """Return the key by which runs are compared: whether no component collapsed, and the objective.

    The likelihood of a component that collapses onto a few rows is unbounded. The objective is
    rounded, so that the first of several equally good runs is the best.
    """
    return not em.collapsed(step.mixture, step.statistics), round(step.objective, 9)
