"""Grid: small and large, four types, both dtypes, raw data: are we slower than scikit-learn?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks import iterations, longform
from benchmarks.agreement import log_likelihood
from benchmarks.defaults import TYPES, loaded
from benchmarks.iterations import Outcome
from benchmarks.libraries import OURS, REFERENCE
from benchmarks.options import Options, progress
from benchmarks.problems import SEED, Problem, Start, made
from benchmarks.table import figure, section, table
from benchmarks.workers import workers

TITLE = "Whole fits of many sizes"
LIBRARIES = (REFERENCE, *OURS)
# Rows up to which a fit takes a few milliseconds, and how many times as many rounds it then gets:
# a processor that is shared has moments at half its speed, longer than such a fit.
SHORT = 2000
ROUNDS = 5

LEGEND = f"""\
Whole fits with a given number of EM iterations from the same start, and `reg_covar=1e-6`. Ratios
are medians over the rounds; fits of at most {SHORT} rows are repeated {ROUNDS} times as often.
`raw`: the data sets of scikit-learn without standardization, with rows as means of the start;
`outlier`: one row is 1e6 standard deviations away. `!=`: the log-likelihoods differ by more than
1e-9 nats per row (1e-4 in float32). The speed is listed nevertheless, and EM in extended precision
shows which result is correct."""
JUDGED = "Differences of the log-likelihood from that of EM in extended precision, in nats per row."
REG_COVAR = 1e-6

SHAPES = (
    (100, 1, 1),
    (100, 2, 2),
    (100, 8, 4),
    (1_000, 1, 4),
    (1_000, 16, 8),
    (1_000, 64, 2),
    (10_000, 2, 64),
    (10_000, 32, 16),
    (10_000, 128, 4),
    (100_000, 1, 16),
    (100_000, 8, 2),
    (100_000, 4, 64),
    (1_000_000, 1, 2),
    (1_000_000, 4, 8),
)
DTYPES = ("float64", "float32")
RAW = {
    "iris": (150, 4, 3),
    "wine": (178, 13, 3),
    "breast_cancer": (569, 30, 3),
    "digits": (1797, 64, 10),
}


@dataclass(frozen=True)
class RawProblem(Problem):
    """A data set as it is."""

    data: str = ""

    @property
    def size(self) -> str:
        return f"{self.data}-raw"

    def make(self) -> tuple[NDArray[np.floating], Start]:
        X = loaded(self.data).astype(self.dtype)
        chosen = np.random.default_rng(SEED).choice(len(X), self.n_components, replace=False)
        return X, self.start(X[chosen], X.var(axis=0, dtype=np.float64) + REG_COVAR)


@dataclass(frozen=True)
class OutlierProblem(Problem):
    """Clusters, and one row far from all."""

    @property
    def size(self) -> str:
        return f"{super().size}-outlier"

    def make(self) -> tuple[NDArray[np.floating], Start]:
        X, start = super().make()
        X[0] = 1e6
        return X, start


def n_iterations(n_rows: int) -> int:
    """More where they are short: the whole grid takes some ten minutes."""
    return 10 if n_rows <= 10_000 else 2 if n_rows <= 100_000 else 1


def _cells() -> Iterator[Problem]:
    for dtype in DTYPES:
        for kind in TYPES:
            for N, D, K in SHAPES:
                yield Problem(N, D, K, kind, n_iterations(N), dtype, REG_COVAR)
            for data, shape in RAW.items():
                yield RawProblem(*shape, kind, 10, dtype, REG_COVAR, data)
            yield OutlierProblem(10_000, 4, 3, kind, 10, dtype, REG_COVAR)


CELLS = {problem.name: problem for problem in _cells()}
QUICK = ("100x1x1-full", "1000x64x2-diag-f32", "1e4x2x64-tied", "breast_cancer-raw-full")


def problems(quick: bool) -> list[Problem]:
    return [CELLS[name] for name in (QUICK if quick else CELLS)]


def report(options: Options) -> Iterator[str]:
    """The paragraphs of the report."""
    names = options.libraries
    outcomes = []
    with workers(names, options.threads) as staff:
        for problem in progress(options.problems):
            who = {name: (worker, name, problem) for name, worker in staff.items()}
            rounds = options.repeats * (ROUNDS if problem.n_rows <= SHORT else 1)
            outcomes.append(iterations.measure(problem, who, rounds, iterations.take_whole))
    judged = [
        (o, log_likelihood(longform.fit(o.problem, *made(o.problem)), made(o.problem)[0]))
        for o in outcomes
        if sound(o, names) and not all(o.agrees(name) for name in names)
    ]
    options.wrong.extend(wrong(judged, names))
    options.wrong.extend(iterations.wrong([o for o in outcomes if not sound(o, names)]))
    yield LEGEND
    for name in names[1:]:
        yield section(f"{name}: the worst cells")
        yield from worst(name, outcomes)
    if judged:
        yield section("Cells with different log-likelihoods")
        yield JUDGED
        yield table(
            ["problem", *names],
            (
                [o.problem.name, *(f"{o.likelihoods[name] - truth:+.0e}" for name in names)]
                for o, truth in judged
            ),
        )
    if lines := iterations.failures(outcomes):
        yield section("Cells that scikit-learn or emgmm cannot fit")
        yield "\n".join(lines)
    yield section("All cells, in ms")
    yield table(
        ["problem", "n", *names],
        (
            [outcome.problem.name, str(outcome.problem.iterations)]
            + [cell(outcome, name) for name in names]
            for outcome in outcomes
        ),
    )


def sound(outcome: Outcome, names: Sequence[str]) -> bool:
    """Whether all of them ended."""
    return not any(outcome.failed(name) for name in names)


def wrong(judged: Sequence[tuple[Outcome, float]], names: Sequence[str]) -> Iterator[str]:
    """One line for each of ours that is not where EM ends."""
    for outcome, truth in judged:
        for name in names:
            error = abs(outcome.likelihoods[name] - truth)
            if name in OURS and not error <= outcome.tolerances[name]:  # NaN is wrong too
                yield f"{outcome.problem.name}, {name}: another likelihood"


def cell(outcome: Outcome, name: str) -> str:
    """As elsewhere, but with the ratio even where the results differ."""
    shown = outcome.cell(name, "whole")
    if sound(outcome, [name, outcome.reference]) and shown.endswith("!="):
        return f"{shown} ({figure(outcome.ratio(name, 'whole'))}x)"
    return shown


def worst(name: str, outcomes: Sequence[Outcome], most: int = 10) -> Iterator[str]:
    """The cells with the lowest ratios, and the lowest of all in words."""
    both = [o for o in outcomes if sound(o, [name, o.reference])]
    ranked = sorted(both, key=lambda outcome: outcome.ratio(name, "whole"))
    slower = sum(outcome.ratio(name, "whole") < 1 for outcome in ranked)
    apart = sum(not outcome.agrees(name) for outcome in ranked)
    if ranked:
        lowest = ranked[0]
        yield (
            f"The worst of {len(ranked)} cells is {lowest.problem.name}: "
            f"{figure(lowest.ratio(name, 'whole'))} times as fast as scikit-learn. Slower than "
            f"scikit-learn: {slower} cells. Another log-likelihood: {apart} cells."
        )
        yield table(
            ["problem", "sklearn ms", f"{name} ms"],
            ([o.problem.name, cell(o, REFERENCE), cell(o, name)] for o in ranked[:most]),
        )
