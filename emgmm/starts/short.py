"""Short runs of EM: many from random starts, the best few taken further, the best one kept.

References
----------
Biernacki, Celeux and Govaert (2003), Comput. Statist. Data Anal. 41:561,
doi 10.1016/S0167-9473(02)00163-9.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.cluster import kmeans_plusplus

from emgmm.diagnosis import collapsed
from emgmm.em import EM
from emgmm.families import DegenerateCovarianceError
from emgmm.maximization import MStep
from emgmm.mixture import Mixture
from emgmm.schemes import Step, plain_steps, taken
from emgmm.sources import ArraySource, Rows
from emgmm.starts.assignment import Assignment, nearest
from emgmm.starts.whitening import whitened

# Rows that the runs are made on: enough for a good guess, so that what they cost is bounded.
SHORT_ROWS = 2**13

# Runs, and steps of EM in each; how many of the best go on, and for how many steps more.
RUNS = 20
STEPS = 5
BEST = 3
MORE_STEPS = 20


class ShortRuns(Assignment):
    """EM itself says where to start; the rows are shared out by nobody else.

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
        source = ArraySource(sample.values, sample.weights, complete=sample.complete)
        em = EM.under(m_step, source, self.n_components)
        runs, failures = [], []
        for begun in self._beginnings(sample, random):
            try:
                first = taken(em, begun.first_mixture(sample, m_step))
                runs.append(plain_steps(em, first, STEPS))
            except DegenerateCovarianceError as error:
                failures.append(error)
        if not runs:
            raise failures[0]
        runs.sort(key=lambda step: rank(em, step), reverse=True)
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


def rank(em: EM, step: Step) -> tuple[bool, float]:
    """What makes one run better than another: no component that collapsed, then the objective.

    A component that shrinks onto a few rows has a likelihood as high as one likes.
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
    return not fallen, step.objective
