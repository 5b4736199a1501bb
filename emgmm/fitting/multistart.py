"""Several starts of a fit, splits of coincident components, and the choice of the best run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from emgmm.acceleration import Plain, Scheme, Step, evaluate
from emgmm.constraints import Given
from emgmm.em import EM
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.fitting.labels import first_of_labels
from emgmm.fitting.loop import Ending, HistoryEntry, Progress, Report, Rules, Run, run
from emgmm.fitting.progress import Continued, Reporter
from emgmm.fitting.recorder import FinishedStarts, Recorder
from emgmm.fitting.split import splits
from emgmm.initialization import Start
from emgmm.mixture import Mixture
from emgmm.mstep import MStep
from emgmm.noise import Density, Noise
from emgmm.sources import Rows

# Number of rows up to which a start uses all of them, as in scikit-learn, and size of the random
# sample that it uses otherwise. K-means on more rows would take longer than EM, and several times
# the memory of the rows.
START_FROM = 2**20
START_ROWS = 2**17

# Initial weight of noise if the start does not determine it, and weight that is only rounding.
NOISE = 0.1
NEGLIGIBLE_NOISE = 1e-6

# Number of EM steps from each split before the best of them is chosen.
TRIAL_ITERATIONS = 6


def first_mixture(
    em: EM,
    start: Start,
    given: Given,
    random: np.random.RandomState,
    *,
    use_labels: bool = False,
) -> Mixture:
    """Return the initial mixture: the given parameters, and those of the start for the others.

    If `use_labels` is true, components with labelled rows start from these rows.
    """
    weights, means, precisions_cholesky = given.weights, given.means, given.precisions_cholesky
    constraints, m_step, noise_weight = em.m_step.constraints, em.m_step, 0.0
    if constraints.any_fixed:  # the start's numbers of the components are arbitrary
        m_step = replace(m_step, constraints=constraints.without_fixed)
    if weights is None or means is None or precisions_cholesky is None:
        ridged = precisions_cholesky is not None
        started = partial(mixture_of_start, em, m_step, start, random, ridged=ridged)
        first = first_of_labels(em, started) if use_labels else started()
        noise_weight = 0.0 if first.noise is None else first.noise.weight
        weights = first.weights if weights is None else weights
        means = first.means if means is None else means
    with np.errstate(over="ignore"):
        means = means.astype(em.source.dtype, copy=False)
    if not np.isfinite(means).all():
        raise ValueError(
            f"means_init holds a number beyond the range of {means.dtype}, the type of X: give "
            "means nearer to the rows, or X in float64."
        )
    if given.weights is not None:
        noise_weight = 1.0 - float(weights.sum())
    if precisions_cholesky is None:
        weights = weights.astype(em.source.dtype, copy=False)
        if weights is not first.weights or means is not first.means:
            first = replace(first, weights=weights, means=means)
    else:
        assert given.covariances is not None
        first = Mixture.of(weights, means, given.covariances, em.family, None, precisions_cholesky)
    if em.m_step.density is not None:
        first = with_noise(first, noise_weight, em.m_step.density)
    return constraints.applied_to(first)


def mixture_of_start(
    em: EM, m_step: MStep, start: Start, random: np.random.RandomState, *, ridged: bool
) -> Mixture:
    """Return the M-step of a start, with a ridge if that is necessary and `ridged` is true."""
    few = em.source.n_rows <= START_FROM
    sample = em.source.sample(em.source.n_rows if few else START_ROWS, random)
    rows = at_least(em.n_components, sample)
    assignment = start(rows, em.n_components, random)
    try:
        return assignment.first_mixture(rows, m_step)
    except DegenerateCovarianceError:
        if not ridged:
            raise
        # These covariances will be replaced: a ridge makes them positive definite until then.
        return assignment.first_mixture(rows, replace(m_step, ridge=1.0))


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


@dataclass(frozen=True, eq=False)
class Multistart:
    """Fit from several starts.

    Parameters
    ----------
    em : EM
        EM's map.
    scheme : Scheme
        Scheme of the runs.
    rules : Rules
        Conditions under which the run from a start ends, including its continuations.
    random : RandomState
        Random numbers of the starts and of the splits.
    recorder : Recorder
        Recorder of the runs.
    """

    em: EM
    scheme: Scheme
    rules: Rules
    random: np.random.RandomState
    recorder: Recorder

    def best(
        self,
        starts: FinishedStarts,
        initial: Sequence[Callable[[np.random.RandomState], Mixture]],
        before: float,
        reporter: Reporter,
    ) -> FinishedStarts:
        """Run the scheme from each initial mixture and return the results, of which one is best.

        The best run is the one with the highest objective. Starts that fail are ignored unless all
        of them do. The reporter may request that no further start follows.

        Raises
        ------
        DegenerateCovarianceError
            If all starts fail; the error is that of the first one.
        """
        for initial_mixture in initial[len(starts.outcomes) :]:
            self.recorder.begin_start(starts, self.em, self.random)
            reporter.begin(len(starts.outcomes), self.rules)
            try:
                # The mixture is drawn even if the run is known, so that `random` advances.
                first = partial(evaluate, self.em, initial_mixture(self.random))
                ended = self.run(self.scheme, first, self.rules, before, reporter)
            except DegenerateCovarianceError as error:
                starts = starts.with_failure(error.components)
                if reporter.failed():
                    break
                continue
            ended = self.split_coincident(ended, reporter)
            starts = starts.with_run(ended)
            if reporter.end(ended):
                break
        if starts.best is None:
            raise DegenerateCovarianceError(starts.failed or ())
        return starts

    def run(
        self,
        scheme: Scheme,
        first_step: Callable[[], Step],
        rules: Rules,
        before: float = -np.inf,
        report: Report | None = None,
    ) -> Run:
        """Run a scheme from a step that is only made if the result of the run is not known."""

        def begin() -> Progress:
            state = scheme(first_step())
            first = HistoryEntry(state.step.objective, state.step.passes, "start")
            return Progress(state, [first], 0, before, self.em.passes)

        return self.recorder.run(begin, partial(run, self.em, rules=rules, report=report))

    def split_coincident(self, ended: Run, reporter: Reporter) -> Run:
        """Split coincident components and continue the run, as long as the objective increases.

        Each round splits the groups of coincident components in a few ways, makes some EM steps
        from each split, and continues from the best one by the scheme. If none of them leads to a
        higher objective, the run stays as it was, and continues if `tol` is not met.
        """
        if ended.ending is not Ending.COINCIDENT:
            return ended
        reporter.begin_split()
        ended = self._split(ended, reporter)
        reporter.end_split(ended)
        return ended

    def _split(self, ended: Run, report: Report) -> Run:
        for _ in range(self.em.n_components):
            if ended.ending is not Ending.COINCIDENT:
                break
            groups = self.em.coincident(ended.step.mixture)
            ended = replace(ended, coincident=[*ended.coincident, *groups])
            split = self.best_split(ended, groups, report)
            if split is None or not split.beats(ended):
                ended = ended.with_passes(self.em.passes)  # includes those of the trials
                if split is not None and split.ending is Ending.STOPPED:
                    return replace(ended, ending=Ending.STOPPED)
                left = self.rules.max_iter - ended.n_iter
                if ended.converged or left < 1:
                    return ended
                rules = replace(self.rules, max_iter=left, stop_if_coincident=False)
                more = self.resume(ended, rules, report)
                if more.ending is Ending.STOPPED:
                    return more
                return replace(more, ending=Ending.COINCIDENT)
            ended = ended.followed_by(split, "escape")
        return ended

    def resume(self, ended: Run, rules: Rules, report: Report) -> Run:
        """Return a run together with its continuation by the scheme under other rules."""
        before, whole = ended.objectives[-2], Continued(report, ended.n_iter, ended.resumed)
        return ended.resumed(self.run(self.scheme, lambda: ended.step, rules, before, whole))

    def best_split(self, ended: Run, groups: list[tuple[int, ...]], report: Report) -> Run | None:
        """Return the run from the best of a few splits; None if none, or no iteration is left."""
        left = self.rules.max_iter - ended.n_iter - 1  # the split itself is an M-step
        if left < 1:
            return None
        trial_rules = replace(self.rules, max_iter=min(TRIAL_ITERATIONS, left))
        trials = []
        mixture, statistics = ended.step.mixture, ended.step.statistics
        for split in splits(self.em, mixture, statistics, groups, self.random):
            with suppress(DegenerateCovarianceError):
                trials.append(self.run(Plain, partial(evaluate, self.em, split), trial_rules))
        if not trials:
            return None
        best = max(trials, key=lambda trial: trial.step.objective).with_passes(self.em.passes)
        if best.converged or best.ending is Ending.COINCIDENT or left == best.n_iter:
            return best
        with suppress(DegenerateCovarianceError):
            joined = partial(ended.followed_by, event="escape")
            whole = Continued(report, ended.n_iter + 1, joined)
            return self.resume(best, replace(self.rules, max_iter=left - best.n_iter), whole)
        return None
