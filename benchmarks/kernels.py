"""Kernels: the same number of EM iterations from the same start, problems x libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks import memory, timing
from benchmarks.libraries import REFERENCE
from benchmarks.problems import Problem
from benchmarks.table import figure, table
from benchmarks.timing import Timing
from benchmarks.worker import in_worker

LEGEND = """\
n counts EM iterations; milliseconds are medians. In brackets: how many times as fast as
scikit-learn, as the median over the rounds; in each round every library takes its turn. `!=` marks
a result that disagrees: its log-likelihood is not scikit-learn's (to 1e-9 per row in float64, 1e-4
in float32), and it gets no ratio. `null` does nothing: its time is the harness's own, and it must
disagree."""
PER_ITERATION = """## One EM iteration, in ms

The fit of n iterations less the fit of one, divided by n - 1."""


@dataclass(frozen=True)
class Outcome:
    """All libraries on one problem."""

    problem: Problem
    timings: dict[str, Timing]
    memory: dict[str, int]

    def difference(self, name: str) -> float:
        """Log-likelihood per row, less the reference's."""
        return self.timings[name].log_likelihood - self.timings[REFERENCE].log_likelihood

    def agrees(self, name: str) -> bool:
        """Whether a library ended where the reference did."""
        return abs(self.difference(name)) <= self.problem.tolerance

    def time(self, name: str, seconds: Callable[[Timing], list[float]]) -> str:
        """Milliseconds, and the ratio to the reference."""
        own, reference = self.timings[name], self.timings[REFERENCE]
        taken = figure(1e3 * median(seconds(own)))
        if name == REFERENCE:
            return taken
        if not self.agrees(name):
            return f"{taken} {'!=':>7}"
        ratio = f"({figure(timing.ratio(seconds(reference), seconds(own)))}x)"
        return f"{taken} {ratio:>7}"

    def megabytes(self, name: str) -> str:
        return f"{self.memory[name] / 1e6:.1f}"

    def result(self, name: str) -> str:
        """The reference's log-likelihood per row, and the others' difference from it."""
        if name == REFERENCE:
            return f"{self.timings[name].log_likelihood:.9f}"
        return f"{self.difference(name):+.0e}{'' if self.agrees(name) else ' !='}"


def measure(problem: Problem, names: Sequence[str], repeats: int, threads: int) -> Outcome:
    """Time and memory of the libraries on one problem."""
    timings = in_worker(threads, timing.measure, problem, names, repeats)
    sound = [name for name in names if not timings[name].failure]
    peaks = {name: in_worker(threads, memory.beyond_data, problem, name) for name in sound}
    return Outcome(problem, timings, peaks)


def report(outcomes: Sequence[Outcome], names: Sequence[str]) -> Iterable[str]:
    """The paragraphs of the report, in Markdown."""

    def over_all(
        cell: Callable[[Outcome, str], str],
        title: str = "n",
        beside: Callable[[Problem], str] = lambda problem: str(problem.iterations),
    ) -> str:
        """A line for each problem, a column for each library."""
        rows = []
        for outcome in outcomes:
            cells = (
                "failed" if outcome.timings[name].failure else cell(outcome, name) for name in names
            )
            rows.append([outcome.problem.name, beside(outcome.problem), *cells])
        return table(["problem", title, *names], rows)

    yield LEGEND
    yield PER_ITERATION
    yield over_all(lambda outcome, name: outcome.time(name, lambda t: t.iteration))
    yield "## Whole fit, in ms"
    yield over_all(lambda outcome, name: outcome.time(name, lambda t: t.whole))
    yield f"## Peak memory beyond X, in MB\n\n{memory.METHOD}"
    yield over_all(Outcome.megabytes, "X", lambda problem: f"{problem.n_bytes / 1e6:.1f}")
    yield "## Log-likelihood per row at the end\n\nscikit-learn's, and the others less this."
    yield over_all(Outcome.result)
    failures = [
        f"- {outcome.problem.name}, {name}: {timing_.failure}"
        for outcome in outcomes
        for name, timing_ in outcome.timings.items()
        if timing_.failure
    ]
    if failures:
        yield "## Failures"
        yield "\n".join(failures)
