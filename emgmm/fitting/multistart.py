"""A fit: several starts, each run to its end by the one loop, the best kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from emgmm.acceleration import PLAIN, Plain, Scheme, evaluate
from emgmm.degeneracy import coincident
from emgmm.em import EM
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.fitting.loop import Ending, Rules, Run, no_groups
from emgmm.fitting.progress import Reporter
from emgmm.fitting.recorder import Outcome, Recorder
from emgmm.fitting.split import splits
from emgmm.initialization import Start
from emgmm.mixture import Mixture
from emgmm.noise import Density, Noise
from emgmm.sources import Rows, Source, sample_indices
from emgmm.typing import Array

# Up to here a start looks at all rows, as scikit-learn's do; beyond, at a random choice of so many:
# k-means on all of them would cost more than EM, and several times their memory.
START_FROM = 2**20
START_ROWS = 2**17

# Share of noise where the start says nothing of it, and up to which a share is rounding.
NOISE = 0.1
SAID = 1e-6

# Relative difference below which two objectives are the same.
SAME = 1e-12

# EM steps from each split, before the best is chosen.
TRIAL_ITERATIONS = 6


@dataclass(frozen=True, eq=False)
class Given:
    """Parameters of theta_0 that the user gave; None where the start decides."""

    weights: Array | None = None
    means: Array | None = None
    precisions_cholesky: Array | None = None


def first_mixture(em: EM, start: Start, given: Given, random: np.random.RandomState) -> Mixture:
    """theta_0: what was given, and what the start makes of the rows for the rest."""
    weights, means, precisions_cholesky = given.weights, given.means, given.precisions_cholesky
    dtype, astray = em.source.dtype, 0.0
    if weights is None or means is None or precisions_cholesky is None:
        rows = at_least(em.n_components, rows_to_start_from(em.source, random))
        said = start(rows, em.n_components, random)
        try:
            begun = said.first_mixture(rows, em.m_step)
        except DegenerateCovarianceError:
            if precisions_cholesky is None:
                raise
            # Covariances that are about to be replaced need not be definite: a ridge makes them so.
            begun = said.first_mixture(rows, replace(em.m_step, ridge=1.0))
        astray = 0.0 if begun.noise is None else begun.noise.weight
        weights = begun.weights if weights is None else weights
        means = begun.means if means is None else means
        if precisions_cholesky is None:
            begun = replace(begun, weights=weights.astype(dtype), means=means.astype(dtype))
    if given.weights is not None:
        astray = 1.0 - float(weights.sum())
    if precisions_cholesky is not None:
        covariances = em.family.covariances(precisions_cholesky)
        begun = Mixture.of(
            weights,
            means.astype(dtype),
            covariances,
            em.family,
            precisions_cholesky=precisions_cholesky,
        )
    return begun if em.m_step.density is None else with_noise(begun, astray, em.m_step.density)


def rows_to_start_from(source: Source, random: np.random.RandomState) -> Rows:
    """All rows, or a sample of many, with their numbers in the source."""
    n_rows = source.n_rows
    limit = n_rows if n_rows <= START_FROM else START_ROWS
    numbers = sample_indices(n_rows, limit, deepcopy(random) if limit < n_rows else random)
    return replace(source.sample(limit, random), numbers=numbers, total=n_rows)


def with_noise(first: Mixture, astray: float, density: Density) -> Mixture:
    """theta_0 with a share `astray` of noise; with one of `NOISE` where nothing was said of it.

    EM would leave a component of weight 0 where it is.
    """
    weights = first.weights
    if astray <= SAID:
        astray = NOISE
        weights = weights * weights.dtype.type((1 - NOISE) / weights.sum())
    return replace(first, weights=weights, noise=Noise(astray, density))


def at_least(n_components: int, rows: Rows) -> Rows:
    """Rows of which there is one that counts for each component; repeated where weights say so.

    Raises
    ------
    ValueError
        Where too few of the rows have a weight and something observed.
    """
    counting = len(rows.informative)
    if counting >= n_components:
        return rows
    if rows.weights is None or rows.weights[rows.informative].sum() < n_components:
        raise ValueError(
            f"Of the {len(rows.values)} rows that the start looks at, only {counting} have a "
            f"weight above 0 and something observed, for n_components = {n_components}: leave rows "
            "out that do not count, or give weights_init, means_init and precisions_init."
        )
    times = -(-n_components // counting)
    repeated = rows.take(np.repeat(np.arange(len(rows.values)), times))
    return replace(repeated, weights=np.repeat(rows.weights / times, times))


def best_run(
    em: EM,
    scheme: Scheme,
    beginnings: Sequence[Callable[[np.random.RandomState], Mixture]],
    *,
    rules: Rules,
    before: float,
    reporter: Reporter,
    random: np.random.RandomState,
    recorder: Recorder,
) -> tuple[Run, tuple[Outcome, ...]]:
    """Run a scheme from each beginning and keep the run whose objective is highest.

    Beside it is said what each beginning came to.

    A beginning that fails is left out; only where all fail does the first failure surface.

    Raises
    ------
    DegenerateCovarianceError
        Where no beginning leads to an end.
    """
    standing, random = recorder.opened(em, random)
    for begin in beginnings[standing.number :]:
        recorder.start(standing, em, random)
        reporter.begin(standing.number)
        try:
            first = partial(evaluate, em, begin(random))  # draws from `random`, told or not
            ended = recorder.run(em, scheme, first, rules=rules, before=before, watcher=reporter)
        except DegenerateCovarianceError as error:
            standing = standing.failed(error)
            reporter.failed()
            continue
        ended = split_coincident(em, scheme, ended, rules, random, recorder)
        reporter.end(ended.step.objective, converged=ended.converged)
        best = standing.best
        standing = standing.ended(ended, ended if best is None or beats(ended, best) else best)
    if standing.best is None:
        assert standing.failure is not None
        raise standing.failure.error()
    return standing.best, standing.outcomes


def beats(one: Run, other: Run) -> bool:
    """Whether a run ended higher than another by more than rounding: of equals, the first stays."""
    margin = SAME * abs(other.step.objective)
    return one.step.objective > other.step.objective + margin


def split_coincident(
    em: EM,
    scheme: Scheme,
    ended: Run,
    rules: Rules,
    random: np.random.RandomState,
    recorder: Recorder,
) -> Run:
    """Go on from where EM could not part some components, as long as that gains anything.

    Each round splits the coincident groups in a few ways, makes some EM steps from each, and goes
    on from the best by the scheme. Where none beats what was there, what was there is the result.
    """
    for _ in range(em.n_components):
        if ended.ending is not Ending.COINCIDENT:
            break
        groups = coincident(ended.step.mixture)
        ended = replace(ended, met=[*ended.met, *groups])
        parted = best_split(em, scheme, ended, groups, rules, random, recorder)
        if parted is None or not beats(parted, ended):
            # What was tried cost passes all the same.
            ended = replace(ended, passes=[*ended.passes[:-1], em.passes])
            return (
                ended if ended.converged else continue_unsplit(em, scheme, ended, rules, recorder)
            )
        ended = ended.then(parted, "escape")
    return ended


def continue_unsplit(em: EM, scheme: Scheme, ended: Run, rules: Rules, recorder: Recorder) -> Run:
    """Go on as if nothing coincided, from a rest by rounding that `tol` did not ask for."""
    left = rules.max_iter - ended.n_iter
    if left < 1:
        return ended
    rules = replace(rules, max_iter=left, stuck=no_groups)
    return replace(resume(em, scheme, ended, rules, recorder), ending=Ending.COINCIDENT)


def resume(em: EM, scheme: Scheme, ended: Run, rules: Rules, recorder: Recorder) -> Run:
    """A run that has ended, and its continuation by a scheme under other rules."""
    before = ended.objectives[-2]
    rest = recorder.run(em, scheme, lambda: ended.step, rules=rules, before=before)
    return ended.then(rest.after_first(), PLAIN)  # any scheme begins with a step of EM


def best_split(
    em: EM,
    scheme: Scheme,
    ended: Run,
    groups: list[tuple[int, ...]],
    rules: Rules,
    random: np.random.RandomState,
    recorder: Recorder,
) -> Run | None:
    """The best of a few splits after EM's trial, run to its end; None where there is no room."""
    left = rules.max_iter - ended.n_iter - 1  # the split itself is an M-step
    if left < 1:
        return None
    trial_rules = replace(rules, max_iter=min(TRIAL_ITERATIONS, left))
    trials = []
    step = ended.step
    for mixture in splits(em, step.mixture, step.statistics, groups, random):
        try:
            first = partial(evaluate, em, mixture)
            trials.append(recorder.run(em, Plain, first, rules=trial_rules, before=-np.inf))
        except DegenerateCovarianceError:
            continue
    if not trials:
        return None
    best = max(trials, key=lambda trial: trial.step.objective)
    best = replace(best, passes=[*best.passes[:-1], em.passes])  # the others were passes too
    if best.converged or best.ending is Ending.COINCIDENT or left == best.n_iter:
        return best
    rest_rules = replace(rules, max_iter=left - best.n_iter)
    try:
        return resume(em, scheme, best, rest_rules, recorder)
    except DegenerateCovarianceError:
        return None
