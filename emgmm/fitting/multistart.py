"""Several starts of a fit, splits of coincident components, and the choice of the best run."""

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
from emgmm.fitting.loop import Ending, Rules, Run
from emgmm.fitting.progress import Reporter
from emgmm.fitting.recorder import Outcome, Recorder
from emgmm.fitting.split import splits
from emgmm.initialization import Start
from emgmm.mixture import Mixture
from emgmm.noise import Density, Noise
from emgmm.sources import Rows, Source, sample_indices
from emgmm.typing import Array

# Number of rows up to which a start uses all of them, as in scikit-learn, and size of the random
# sample that it uses otherwise. K-means on more rows would take longer than EM, and several times
# the memory of the rows.
START_FROM = 2**20
START_ROWS = 2**17

# Initial weight of noise if the start does not determine it, and weight that is only rounding.
NOISE = 0.1
NEGLIGIBLE_NOISE = 1e-6

# Relative difference up to which two objectives are equal.
SAME = 1e-12

# Number of EM steps from each split before the best of them is chosen.
TRIAL_ITERATIONS = 6


@dataclass(frozen=True, eq=False)
class Given:
    """Initial parameters that the user gave; None if the start determines them."""

    weights: Array | None = None
    means: Array | None = None
    precisions_cholesky: Array | None = None


def first_mixture(em: EM, start: Start, given: Given, random: np.random.RandomState) -> Mixture:
    """Return the initial mixture: the given parameters, and those of the start for the others."""
    weights, means, precisions_cholesky = given.weights, given.means, given.precisions_cholesky
    dtype, noise_weight = em.source.dtype, 0.0
    if weights is None or means is None or precisions_cholesky is None:
        rows = at_least(em.n_components, rows_to_start_from(em.source, random))
        assignment = start(rows, em.n_components, random)
        try:
            first = assignment.first_mixture(rows, em.m_step)
        except DegenerateCovarianceError:
            if precisions_cholesky is None:
                raise
            # These covariances will be replaced: a ridge makes them positive definite until then.
            first = assignment.first_mixture(rows, replace(em.m_step, ridge=1.0))
        noise_weight = 0.0 if first.noise is None else first.noise.weight
        weights = first.weights if weights is None else weights
        means = first.means if means is None else means
        if precisions_cholesky is None:
            first = replace(first, weights=weights.astype(dtype), means=means.astype(dtype))
    if given.weights is not None:
        noise_weight = 1.0 - float(weights.sum())
    if precisions_cholesky is not None:
        covariances = em.family.covariances(precisions_cholesky)
        first = Mixture.of(
            weights,
            means.astype(dtype),
            covariances,
            em.family,
            precisions_cholesky=precisions_cholesky,
        )
    if em.m_step.density is None:
        return first
    return with_noise(first, noise_weight, em.m_step.density)


def rows_to_start_from(source: Source, random: np.random.RandomState) -> Rows:
    """Return all rows, or a sample of many, with their numbers in the source."""
    n_rows = source.n_rows
    limit = n_rows if n_rows <= START_FROM else START_ROWS
    numbers = sample_indices(n_rows, limit, deepcopy(random) if limit < n_rows else random)
    return replace(source.sample(limit, random), numbers=numbers, total=n_rows)


def with_noise(first: Mixture, noise_weight: float, density: Density) -> Mixture:
    """Return the initial mixture with noise, whose weight is `NOISE` if the given one is 0.

    EM never increases a weight of 0.
    """
    weights = first.weights
    if noise_weight <= NEGLIGIBLE_NOISE:
        noise_weight = NOISE
        weights = weights * weights.dtype.type((1 - NOISE) / weights.sum())
    return replace(first, weights=weights, noise=Noise(noise_weight, density))


def at_least(n_components: int, rows: Rows) -> Rows:
    """Return rows that include an informative one per component, repeated if weights allow it.

    Raises
    ------
    ValueError
        If too few rows have a positive weight and an observed value.
    """
    n_informative = len(rows.informative)
    if n_informative >= n_components:
        return rows
    if rows.weights is None or rows.weights[rows.informative].sum() < n_components:
        raise ValueError(
            f"Of the {len(rows.values)} rows that the initialization uses, only {n_informative} "
            "have a weight above 0 and an observed value, but n_components = "
            f"{n_components}: drop the other rows, or give weights_init, means_init and "
            "precisions_init."
        )
    times = -(-n_components // n_informative)
    repeated = rows.take(np.repeat(np.arange(len(rows.values)), times))
    return replace(repeated, weights=np.repeat(rows.weights / times, times))


def best_run(
    em: EM,
    scheme: Scheme,
    initial: Sequence[Callable[[np.random.RandomState], Mixture]],
    *,
    rules: Rules,
    before: float,
    reporter: Reporter,
    random: np.random.RandomState,
    recorder: Recorder,
) -> tuple[Run, tuple[Outcome, ...]]:
    """Run a scheme from each initial mixture and return the best run and all outcomes.

    The best run is the one with the highest objective. Starts that fail are ignored unless all of
    them do.

    Raises
    ------
    DegenerateCovarianceError
        If all starts fail; the error is that of the first one.
    """
    starts, random = recorder.restore(em, random)
    for initial_mixture in initial[starts.number :]:
        recorder.begin_start(starts, em, random)
        reporter.begin(starts.number)
        try:
            # The mixture is drawn even if the run is known, so that `random` advances.
            first = partial(evaluate, em, initial_mixture(random))
            ended = recorder.run(em, scheme, first, rules=rules, before=before, callbacks=reporter)
        except DegenerateCovarianceError as error:
            starts = starts.with_failure(error)
            reporter.failed()
            continue
        ended = split_coincident(em, scheme, ended, rules, random, recorder)
        reporter.end(ended.step.objective, converged=ended.converged)
        best = starts.best
        starts = starts.with_run(ended, ended if best is None or beats(ended, best) else best)
    if starts.best is None:
        assert starts.failure is not None
        raise starts.failure.error()
    return starts.best, starts.outcomes


def beats(one: Run, other: Run) -> bool:
    """Whether the objective of a run exceeds that of an earlier one by more than rounding."""
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
    """Split coincident components and continue the run, as long as the objective increases.

    Each round splits the groups of coincident components in a few ways, makes some EM steps from
    each split, and continues from the best one by the scheme. If none of them leads to a higher
    objective, the run stays as it was.
    """
    for _ in range(em.n_components):
        if ended.ending is not Ending.COINCIDENT:
            break
        groups = coincident(ended.step.mixture)
        ended = replace(ended, coincident=[*ended.coincident, *groups])
        split = best_split(em, scheme, ended, groups, rules, random, recorder)
        if split is None or not beats(split, ended):
            # The passes of the trials are counted nevertheless.
            ended = replace(ended, passes=[*ended.passes[:-1], em.passes])
            return (
                ended if ended.converged else continue_unsplit(em, scheme, ended, rules, recorder)
            )
        ended = ended.followed_by(split, "escape")
    return ended


def continue_unsplit(em: EM, scheme: Scheme, ended: Run, rules: Rules, recorder: Recorder) -> Run:
    """Continue a run that came to rest before `tol` was met, without further splits."""
    left = rules.max_iter - ended.n_iter
    if left < 1:
        return ended
    rules = replace(rules, max_iter=left, stop_if_coincident=False)
    return replace(resume(em, scheme, ended, rules, recorder), ending=Ending.COINCIDENT)


def resume(em: EM, scheme: Scheme, ended: Run, rules: Rules, recorder: Recorder) -> Run:
    """Return a run together with its continuation by a scheme under other rules."""
    before = ended.objectives[-2]
    rest = recorder.run(em, scheme, lambda: ended.step, rules=rules, before=before)
    return ended.followed_by(rest.without_first(), PLAIN)  # every scheme starts with an EM step


def best_split(
    em: EM,
    scheme: Scheme,
    ended: Run,
    groups: list[tuple[int, ...]],
    rules: Rules,
    random: np.random.RandomState,
    recorder: Recorder,
) -> Run | None:
    """Return the run from the best of a few splits; None if there is none or no iteration left."""
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
    best = replace(best, passes=[*best.passes[:-1], em.passes])  # includes those of the others
    if best.converged or best.ending is Ending.COINCIDENT or left == best.n_iter:
        return best
    rest_rules = replace(rules, max_iter=left - best.n_iter)
    try:
        return resume(em, scheme, best, rest_rules, recorder)
    except DegenerateCovarianceError:
        return None
