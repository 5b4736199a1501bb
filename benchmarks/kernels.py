"""Kernels: the same number of EM iterations from the same start, problems x libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from benchmarks import iterations, libraries, limit, pictures, timing
from benchmarks.iterations import Outcome
from benchmarks.libraries import OURS
from benchmarks.limit import Peak
from benchmarks.options import Options, progress
from benchmarks.problems import IN_BOTH_TYPES, PROBLEMS, QUICK, Problem
from benchmarks.table import figure, section, table
from benchmarks.worker import Worker
from benchmarks.workers import workers

TITLE = "EM iterations from the same start"
LIBRARIES = [name for name in libraries.names() if name != "pyspark"]  # it is in `cluster`
PATIENCE = 60.0  # seconds; scikit-learn takes less for all its rounds of any problem
LEGEND = f"""\
Complete EM iterations, without regularization (`reg_covar=0`). The column n contains their number,
and milliseconds are medians. In parentheses: how many times as fast as scikit-learn, as the median
over the rounds. In each round, every library runs once, in a process of its own. `!=` marks a
result without a ratio, because its log-likelihood differs from that of scikit-learn by more than
1e-9 nats per row, or 1e-4 if the library computes in float32, either always (gmmx) or in part
(pomegranate). `n/a`: the library does not support this type of covariance. A library that has taken
{PATIENCE:.0f} s for a problem does not run again; the number of its runs follows the ratio."""
ITERATION = "The time of a fit of n iterations minus that of one iteration, divided by n - 1."
LIMIT = """\
An iteration needs at least two matrix products (of K rows of parameters with the P monomials of
each row, and of the responsibilities with these) and one exponential for each row and component.
The limit is the longer of these two times, at the highest speed of NumPy's matrix product and
exponential on one core in the same rounds, divided by the number of threads. The aim is 1.5 times
the limit if D >= 16, and 3 times otherwise. *Bound by* names the longer time. In parentheses: the
multiple of the limit, and the aim."""
SINGLE = """\
The same problems in float64 and in float32, by emgmm. The log-likelihoods agree to 1e-4 nats per
row."""


def problems(quick: bool) -> list[Problem]:
    return [PROBLEMS[name] for name in (QUICK if quick else PROBLEMS)]


@dataclass(frozen=True)
class Case:
    """One problem: the libraries' turns, and the peak measured between them."""

    outcome: Outcome
    peak: Peak

    @property
    def problem(self) -> Problem:
        return self.outcome.problem


def best(peaks: Sequence[Peak]) -> Peak:
    """Of all rounds; other people's work only makes them lower."""
    return Peak(*map(max, zip(*peaks, strict=True)))


def measure(
    problem: Problem, staff: dict[str, Worker], prober: Worker, repeats: int, twins: bool = False
) -> Case:
    """All libraries on one problem, or ours in float64 and in float32."""
    who = {name: (worker, name, problem) for name, worker in staff.items()}
    if twins:
        single = replace(problem, dtype="float32")
        ours = OURS[0]
        who = {
            "float64": (staff[ours], ours, problem),
            "float32": (staff[ours], ours, single),
        }
    outcome = iterations.measure(problem, who, repeats, patience=PATIENCE)
    probes = timing.take_turns({"": lambda: prober.call(limit.peak, problem.dtype)}, repeats)
    return Case(outcome, best(probes[""].results))


def report(options: Options) -> Iterator[str]:
    """The paragraphs of the report."""
    pairs = [p for p in options.problems if p.name in IN_BOTH_TYPES]
    with workers(options.libraries, options.threads) as staff, Worker(1) as prober:
        cases = [
            measure(problem, staff, prober, options.repeats)
            for problem in progress(options.problems)
        ]
        twins = [
            measure(problem, staff, prober, options.repeats, twins=True)
            for problem in progress(pairs, "float32: ")
            if OURS[0] in staff
        ]
    outcomes = [case.outcome for case in cases]
    names = [name for name in options.libraries if name != "null"]

    def over_all(cell: Callable[[Outcome, str], str]) -> str:
        """A line for each problem, a column for each library."""
        return table(
            ["problem", "n", *names],
            (
                [outcome.problem.name, str(outcome.problem.iterations)]
                + [cell(outcome, name) for name in names]
                for outcome in outcomes
            ),
        )

    options.wrong.extend(iterations.wrong(outcomes))
    yield LEGEND
    yield section("One EM iteration, in ms")
    yield ITERATION
    yield over_all(lambda outcome, name: outcome.cell(name, "iteration"))
    yield pictures.ratios(outcomes, options.folder / "kernels.png")
    if of_ours := [name for name in OURS if name in names]:
        yield section("Comparison with the limit, in ms")
        yield LIMIT
        yield beside_limit(cases, of_ours, options.threads)
    if twins:
        yield section("float32 and float64, in ms")
        yield SINGLE
        yield in_single(twins)
    yield section("Whole fit, in ms")
    yield over_all(lambda outcome, name: outcome.cell(name, "whole"))
    yield section("Log-likelihood per row at the end")
    yield "Values of scikit-learn, and differences of the others from them."
    yield over_all(likelihood)
    if lines := iterations.failures(outcomes):
        yield section("Failures")
        yield "\n".join(lines)


def likelihood(outcome: Outcome, name: str) -> str:
    """The reference's log-likelihood per row, and the others' difference from it."""
    if outcome.failed(name):
        return outcome.cell(name, "whole")
    if name == outcome.reference:
        return f"{outcome.likelihoods[name]:.9f}"
    return f"{outcome.difference(name):+.0e}{'' if outcome.agrees(name) else ' !='}"


def beside_limit(cases: Sequence[Case], of_ours: Sequence[str], threads: int) -> str:
    """Ours as a multiple of the limit."""
    head = ["problem", "GFLOP/s", "ns per exp", "bound by", "limit", *of_ours]
    lines = []
    for case in cases:
        parts = limit.parts(case.problem, case.peak, threads)
        bound = max(parts, key=lambda part: parts[part])
        cells = []
        for name in of_ours:
            if case.outcome.failed(name):
                cells.append("failed")
                continue
            own = median(case.outcome.times(name, "iteration"))
            cells.append(
                f"{figure(1e3 * own)} ({figure(own / parts[bound])} of {limit.aim(case.problem)})"
            )
        lines.append(
            [
                case.problem.name,
                figure(case.peak.flops / 1e9),
                figure(1e9 / case.peak.exps),
                bound,
                figure(1e3 * parts[bound]),
                *cells,
            ]
        )
    return table(head, lines)


def in_single(twins: Sequence[Case]) -> str:
    """Ours in float32 beside ours in float64."""
    labels = ["float64", "float32"]
    return table(
        ["problem", *labels, "difference"],
        (
            [case.problem.name]
            + [case.outcome.cell(label, "iteration") for label in labels]
            + [likelihood(case.outcome, "float32")]
            for case in twins
        ),
    )
