"""Holes: EM on rows that miss some features, beside the same rows whole and the other libraries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from warnings import catch_warnings, simplefilter

import numpy as np
from numpy.typing import NDArray

from benchmarks.iterations import Outcome, failures, measure, wrong
from benchmarks.libraries import OURS
from benchmarks.memory import Doing, beyond_data
from benchmarks.options import Options, progress
from benchmarks.problems import Problem, Start, count
from benchmarks.table import figure, table
from benchmarks.timing import ratio
from benchmarks.worker import Worker, in_worker
from benchmarks.workers import workers
from emgmm import GaussianMixture
from emgmm.covariances import FAMILIES
from emgmm.em import EM
from emgmm.mixture import Mixture
from emgmm.mstep import MStep
from emgmm.sources import ArraySource, Source
from emgmm.sources.sliced import SlicedSource
from emgmm.threads import one_blas_thread

TITLE = "Missing values"
OTHERS = ("tgmm", "stepmix")
LIBRARIES = (OURS[1], OURS[0], *OTHERS)
WHOLE = "whole rows"
MANY_PATTERNS = 10_000
LEGEND = """\
Milliseconds of one EM iteration from the same start, without regularization (`reg_covar=0`), as
medians over the rounds. *Whole rows* are the same rows without missing values, fitted by emgmm
without Numba. The numbers in parentheses after the times of emgmm are the ratios to the time for
whole rows. Those after the times of other libraries are the ratios to emgmm without Numba. Values
are missing completely at random, or in one column of half the rows. `!=`: the log-likelihood of the
observed values differs by more than 1e-9 nats per row. *Left out*: with so many patterns, an
iteration takes minutes. StepMix supports only diagonal covariances and starts at random; its
likelihood is not compared. *Beyond X* is the peak of the memory, as in the table of memory."""

OWN_PATTERNS = (0.1, 0.5, 0.9)  # shares of missing entries, of 40 features: a pattern to each row
OWN_LEGEND = """\
CPU time of one E-step, in microseconds per row. Complete rows are the same rows without missing
values; ratios to them are in parentheses. In the first lines, every row has a pattern of its own.
*File* is a memory-mapped file, compared with the same rows in memory. *Short runs* is a
fit of 200 rows of 21 features with `init_params="short-runs"`, in seconds."""


@dataclass(frozen=True)
class Holed(Problem):
    """A problem some of whose entries are missing completely at random."""

    share: float = 0.1

    @property
    def name(self) -> str:
        return f"{super().name}-{self.share:.0%}".replace("%", "pc")

    def holes(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Which entries."""
        return np.random.default_rng(1).random(shape) < self.share

    def make(self) -> tuple[NDArray[np.floating], Start]:
        X, start = super().make()
        X[self.holes(X.shape)] = np.nan
        return X, start

    def patterns(self) -> int:
        """How many patterns of missing features the rows have."""
        return len(np.unique(self.holes((self.n_rows, self.n_features)), axis=0))


@dataclass(frozen=True)
class OneColumn(Holed):
    """A problem that misses its first column in a share of the rows."""

    @property
    def name(self) -> str:
        return f"{super().name}-column"

    def holes(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        out = np.zeros(shape, dtype=bool)
        out[:, 0] = np.random.default_rng(1).random(shape[0]) < self.share
        return out


def problems(quick: bool) -> list[Holed]:
    """By name."""
    if quick:
        return [Holed(2_000, 4, 2, "full", 2), OneColumn(2_000, 4, 2, "full", 2, share=0.5)]
    return [
        Holed(100_000, 8, 5, "full", 4),
        OneColumn(100_000, 8, 5, "full", 4, share=0.5),
        Holed(100_000, 8, 5, "tied", 4),
        Holed(100_000, 8, 5, "diag", 4),
        Holed(100_000, 8, 5, "spherical", 4),
        Holed(100_000, 30, 5, "full", 3),
    ]


def whole(problem: Holed) -> Problem:
    """The same rows before anything was taken from them."""
    fields = {name: getattr(problem, name) for name in Problem.__dataclass_fields__}
    return Problem(**fields)


def compared(problem: Holed, names: list[str], options: Options) -> Outcome:
    """All of them take turns."""
    names = [name for name in names if name in OURS or problem.patterns() < MANY_PATTERNS]
    with workers(names, options.threads) as staff, Worker(options.threads) as other:
        who = {name: (staff[name], name, problem) for name in names}
        who[WHOLE] = (other, names[0], whole(problem))
        return measure(problem, who, options.repeats)


def line(outcome: Outcome, problem: Holed, names: list[str]) -> list[str]:
    """Of the table."""
    own, before = names[0], outcome.times(WHOLE, "iteration")
    cells = [problem.name, count(problem.patterns()), figure(1e3 * median(before))]
    for name in names:
        if name not in outcome.turns:
            cells.append("left out")
            continue
        if outcome.failed(name):
            cells.append(outcome.cell(name, "iteration"))
            continue
        taken = outcome.times(name, "iteration")
        first, second = (
            (taken, before) if name in OURS else (taken, outcome.times(own, "iteration"))
        )
        same = outcome.agrees(name) or name == "stepmix"
        sign = "" if same else " !="
        cells.append(f"{figure(1e3 * median(taken))} ({figure(ratio(first, second))}x){sign}")
    return cells


def report(options: Options) -> Iterator[str]:
    """The paragraphs of the report."""
    names = options.libraries
    lines, outcomes = [], []
    for problem in progress(options.problems):
        outcome = compared(problem, names, options)
        outcomes.append(outcome)
        used = in_worker(options.threads, partial(beyond_data, name=names[0]), _given(problem))
        lines.append([*line(outcome, problem, names), f"{used / 1e6:.1f}"])
    options.wrong.extend(wrong(outcomes))
    yield LEGEND
    yield table(["problem", "patterns", WHOLE, *names, "beyond X, MB"], lines)
    told = failures(outcomes)
    if told:
        yield "\n".join(told)
    yield OWN_LEGEND
    others = [*own_patterns(options.quick), from_file(options.quick), short_runs(options.quick)]
    yield table(["rows", "complete or in memory", "missing or from file"], others)


def e_step(source: Source, mixture: Mixture) -> float:
    """CPU seconds of an E-step per row, the least of three."""
    with one_blas_thread():
        em = EM(source, MStep(mixture.family, 0.0, source.dtype), mixture.n_components)
        taken = []
        for _ in range(3):
            begun = process_time()
            em.expect(mixture)
            taken.append(process_time() - begun)
    return min(taken) / source.n_rows


def of_start(problem: Problem) -> tuple[NDArray[np.floating], Mixture]:
    """The rows of a problem, and its start as a mixture."""
    X, start = problem.make()
    return X, Mixture.of(start.weights, start.means, start.covariances, FAMILIES["full"])


def own_patterns(quick: bool) -> Iterator[list[str]]:
    """Lines about rows each of which has a pattern of its own."""
    for share in OWN_PATTERNS[:1] if quick else OWN_PATTERNS:
        problem = Holed(500 if quick else 5_000, 40, 5, "full", 1, share=share)
        X, mixture = of_start(problem)
        complete = e_step(ArraySource(whole(problem).make()[0]), mixture)
        taken = e_step(ArraySource(X, complete=False), mixture)
        yield [problem.name, figure(1e6 * complete), _beside(taken, complete)]


def from_file(quick: bool) -> list[str]:
    """The line about rows in a memory-mapped file."""
    problem = Holed(2_000 if quick else 200_000, 8, 5, "full", 1)
    X, mixture = of_start(problem)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        np.save(path, X)
        taken = e_step(SlicedSource(np.load(path, mmap_mode="r")), mixture)
    memory = e_step(ArraySource(X, complete=False), mixture)
    return [f"{problem.name}, file", figure(1e6 * memory), _beside(taken, memory)]


def short_runs(quick: bool) -> list[str]:
    """The line about a start by short runs."""
    size = (50, 5) if quick else (200, 21)
    X, _ = Holed(*size, 5, "full", 1, share=0.1).make()
    with catch_warnings():
        simplefilter("ignore")
        begun = process_time()
        GaussianMixture(5, init_params="short-runs", random_state=0).fit(X)
    return [f"{size[0]}x{size[1]}x5, short runs, s", "", figure(process_time() - begun)]


def _beside(taken: float, other: float) -> str:
    return f"{figure(1e6 * taken)} ({figure(taken / other)}x)"


def _given(problem: Holed) -> Doing:
    return Doing("given", replace(problem, iterations=2))
