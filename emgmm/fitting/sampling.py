"""Fits to many rows, which make most of their steps on random samples of the rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from emgmm.acceleration import (
    SAMPLE,
    Plain,
    Sampled,
    SampleEM,
    Warmup,
    after_short_runs,
    evaluate,
)
from emgmm.em import EM
from emgmm.fitting.loop import Ending, HistoryEntry, Progress, Report, Rules, Run
from emgmm.fitting.multistart import START_FROM, START_ROWS, Multistart, first_mixture
from emgmm.fitting.problem import Options
from emgmm.fitting.progress import Continued, Reporter
from emgmm.fitting.recorder import FinishedStarts
from emgmm.mixture import Mixture

# Each sample has this many times as many rows as the one before.
GROWTH = 4

# Largest fraction of the rows, and largest number of bytes, of a sample.
LARGEST_FRACTION, LARGEST_BYTES = 1 / 8, 2**28

# Smallest `max_iter` with which samples are used. A user who sets a smaller one expects plain EM.
LEAST_ITERATIONS = 10

# A sample is followed by a larger one if a gain is more than the first fraction of the gain before.
# If that is more than the second fraction for the largest sample, EM on all rows is faster.
SLOW, FUTILE = 0.1, 0.7

# Steps on samples end with a gain below this fraction of `tol`.
NEGLIGIBLE_GAIN = 0.1

# A run on the smallest sample ends if its remaining gain, in nats for the sample, is less than this
# value times the number of parameters of the means. The error of a parameter that is estimated from
# the sample costs about half a nat. The second number limits the iterations.
NEGLIGIBLE = 0.05
MOST_ITERATIONS = 1000


def profits_from_samples(em: EM, options: Options) -> bool:
    """Return whether a fit makes most of its steps on samples."""
    return (
        options.sampling
        and em.source.device is None  # samples would be processed on the host
        and em.source.n_rows > START_FROM
        and options.rules.max_iter >= LEAST_ITERATIONS
        and not (options.given.is_complete or options.start_is_given or em.source.has_labels)
    )


def max_starts(n_rows: int, n_init: int, *, sampling: bool) -> int | None:
    """Return the largest number of starts of a fit; None if it may start on samples of the rows."""
    return None if sampling and n_rows > START_FROM else n_init


class Samples:
    """Nested random samples of the rows, from the smallest to the largest one.

    The smallest sample has as many rows as a start uses. All sources of the same rows have the same
    samples, because rows are drawn by their numbers. Each sample is drawn when it is needed, by a
    pass over the rows; the same seed makes them nested.

    Parameters
    ----------
    em : EM
        EM's map for all rows.
    seed : int
        Seed of the samples.
    """

    def __init__(self, em: EM, seed: int) -> None:
        self.em, self.seed = em, seed
        source = em.source
        most = LARGEST_BYTES // (source.n_features * source.dtype.itemsize)
        most = min(most, int(source.n_rows * LARGEST_FRACTION))
        self.sizes = [START_ROWS]
        while self.sizes[-1] * GROWTH <= most:
            self.sizes.append(self.sizes[-1] * GROWTH)
        self._maps: dict[int, SampleEM] = {}

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, level: int) -> SampleEM:
        if level not in self._maps:
            random = np.random.RandomState(self.seed)
            rows = self.em.source.sample(self.sizes[level], random)
            self._maps = {level: SampleEM(self.em, rows)}
        return self._maps[level]

    def rules(self, rules: Rules) -> Rules:
        """Return the conditions under which a run on the smallest sample ends."""
        weight = self.em.summary.weight
        negligible = NEGLIGIBLE * self.em.n_components * self.em.source.n_features
        negligible *= max(1.0, self.em.source.n_rows / START_ROWS)  # as weights are scaled
        tol = min(rules.tol, 0.1 * negligible / weight)
        return replace(rules, tol=tol, max_iter=MOST_ITERATIONS, negligible=negligible)


def progress_from(em: EM, mixture: Mixture) -> Progress:
    """Return the state from which `leaps` starts, for a mixture; this takes one pass."""
    step = evaluate(em, mixture, SAMPLE)
    first = HistoryEntry(step.objective, step.passes, step.event)
    return Progress(Sampled(step), [first], 0, -np.inf, em.passes)


def leaps(
    em: EM,
    progress: Progress,
    *,
    samples: Samples,
    rules: Rules,
    report: Report,
    record: Callable[[Progress], None] | None = None,
) -> Run:
    """Make steps on samples until one of them changes the objective by much less than `tol`.

    A step that does not increase the objective is discarded, and a larger sample follows, which
    takes another pass. The last two iterations that `max_iter` allows are left for EM.
    """
    state, entries = progress.state, progress.entries[: progress.n_iter + 1]
    assert isinstance(state, Sampled)
    gain_before = math.inf
    while len(entries) < rules.max_iter - 1:
        if record is not None:
            record(Progress(state, entries, len(entries) - 1, progress.before, em.passes))
        if len(entries) > 1:
            gain_before = entries[-1].objective - entries[-2].objective
        report.begin_iteration()
        following = state.leap(em, samples[state.level])
        gain = following.step.objective - state.step.objective
        if gain > 0:
            state = following
            entries.append(HistoryEntry(state.step.objective, em.passes, SAMPLE))
            so_far = partial(Run, state.step, entries, False, Ending.STOPPED)
            report.iteration(len(entries) - 1, gain)
            if report.end_iteration(so_far):
                return so_far()
        if abs(gain) < NEGLIGIBLE_GAIN * rules.tol or len(entries) >= rules.max_iter - 1:
            break
        if 0 < gain <= SLOW * gain_before:
            continue
        if state.level + 1 < len(samples):
            state = replace(state, level=state.level + 1)
            em.passes += 1
        elif not 0 < gain <= FUTILE * gain_before:
            break
    ending = Ending.MAX_ITER if len(entries) > 1 else Ending.START_ONLY
    return Run(state.step, entries, False, ending)


def best_by_samples(
    multistart: Multistart,
    samples: Samples,
    starts: FinishedStarts,
    options: Options,
    reporter: Reporter,
) -> FinishedStarts:
    """Run each start on the smallest sample, and fit all rows from the best result.

    Parameters
    ----------
    multistart : Multistart
        Fit to all rows.
    samples : Samples
        Samples of the rows.
    starts : FinishedStarts
        Results of the starts that are finished.
    options : Options
        Options of the fit.
    reporter : Reporter
        Receiver of the progress.

    Raises
    ------
    DegenerateCovarianceError
        If a covariance of all starts becomes singular, or one of the best start for all rows.
    """
    em, rules, recorder = multistart.em, multistart.rules, multistart.recorder
    smallest, on_sample = samples[0], samples.rules(rules)
    on_starts = replace(multistart, em=smallest, scheme=Warmup, rules=on_sample)
    start = partial(first_mixture, smallest, options.start, options.given)
    starts = on_starts.best(starts, [start] * options.n_init, -np.inf, reporter)
    assert starts.best is not None
    recorder.begin_start(starts, em, multistart.random)
    reporter.begin_all_rows(rules)
    iterate = partial(leaps, em, samples=samples, rules=rules, report=reporter)
    sampled = recorder.run(partial(progress_from, em, starts.best.step.mixture), iterate)
    if sampled.ending is Ending.STOPPED:
        reporter.end(sampled)
        return replace(starts, best=sampled)
    left = replace(rules, max_iter=rules.max_iter - sampled.n_iter)
    scheme = after_short_runs(Warmup if multistart.scheme is Plain else multistart.scheme)
    whole = Continued(reporter, sampled.n_iter, sampled.resumed)
    more = multistart.run(scheme, lambda: sampled.step, left, report=whole)
    ended = replace(multistart, scheme=scheme).split_coincident(sampled.resumed(more), reporter)
    reporter.end(ended)
    return replace(starts, best=ended)
