"""A fit: several starts, each run to its end by the one loop, the best kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from emgmm.em import EM
from emgmm.families import DegenerateCovarianceError
from emgmm.loop import Run, run
from emgmm.mixture import Mixture
from emgmm.schemes import plain
from emgmm.starts import Start
from emgmm.typing import Array
from emgmm.verbosity import Reporter

# Above this many rows a start looks at a random choice of so many: k-means on all of them would
# cost more than EM.
START_ROWS = 2**20


@dataclass(frozen=True, eq=False)
class Given:
    """Parameters of theta_0 that the user gave; None where the start decides."""

    weights: Array | None = None
    means: Array | None = None
    whiteners: Array | None = None


def first_mixture(em: EM, start: Start, given: Given, random: np.random.RandomState) -> Mixture:
    """theta_0: what was given, and what the start makes of the rows for the rest."""
    weights, means, whiteners = given.weights, given.means, given.whiteners
    dtype = em.source.dtype
    if weights is None or means is None or whiteners is None:
        rows = em.source.sample(START_ROWS, random)
        # Covariances that are about to be replaced need not be definite: any ridge makes them so.
        ridge = em.ridge if whiteners is None else 1.0
        begun = start(rows, em.n_components, random).first_mixture(rows, em.family, ridge)
        weights = begun.weights if weights is None else weights
        means = begun.means if means is None else means
        if whiteners is None:
            return replace(begun, weights=weights.astype(dtype), means=means.astype(dtype))
    return Mixture(
        weights.astype(dtype),
        means.astype(dtype),
        em.family.covariances(whiteners).astype(dtype),
        whiteners.astype(dtype),
        em.family,
    )


def best_run(
    em: EM,
    beginnings: Iterable[Callable[[], Mixture]],
    *,
    tol: float,
    max_iter: int,
    before: float,
    reporter: Reporter,
) -> Run:
    """Run EM from each beginning and keep the run whose objective is highest.

    A beginning that fails is left out; only where all fail does the first failure surface.

    Raises
    ------
    DegenerateCovarianceError
        Where no beginning leads to an end.
    """
    best: Run | None = None
    failure: DegenerateCovarianceError | None = None
    for number, begin in enumerate(beginnings):
        reporter.begin(number)
        try:
            steps = plain(em, begin())
            ended = run(steps, tol=tol, max_iter=max_iter, before=before, watcher=reporter)
        except DegenerateCovarianceError as error:
            failure = failure or error
            continue
        reporter.end(ended.step.objective, converged=ended.converged)
        if best is None or ended.step.objective > best.step.objective:
            best = ended
    if best is None:
        assert failure is not None
        raise failure
    return best
