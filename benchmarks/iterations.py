"""Iterations: what a worker does when it is its turn to make EM iterations from a given start."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import NamedTuple

from benchmarks import libraries, timing
from benchmarks.agreement import TOLERANCE, log_likelihood, tolerance
from benchmarks.libraries import OURS, Fitted
from benchmarks.problems import Problem, made
from benchmarks.table import figure
from benchmarks.timing import Turns, seconds
from benchmarks.worker import Worker, WorkerError


class Turn(NamedTuple):
    """One turn of a library at a problem: seconds."""

    whole: float
    iteration: float


def take(name: str, problem: Problem) -> Turn:
    """Fit with one iteration, and with all."""
    X, start = made(problem)
    fit = libraries.load(name).fit
    first = seconds(partial(fit, replace(problem, iterations=1), X, start))
    whole = seconds(partial(fit, problem, X, start))
    return Turn(whole, (whole - first) / max(problem.iterations - 1, 1))


def take_whole(name: str, problem: Problem) -> Turn:
    """Fit with all iterations only: half the time, and what one takes is not known."""
    X, start = made(problem)
    return Turn(seconds(partial(libraries.load(name).fit, problem, X, start)), math.nan)


def fitted(name: str, problem: Problem) -> Fitted:
    """Where a library ends."""
    X, start = made(problem)
    return libraries.load(name).fit(problem, X, start)


@dataclass(frozen=True)
class Outcome:
    """All those who took part in one problem; the first of them is what the others are beside."""

    problem: Problem
    turns: Mapping[str, Turns[Turn]]
    likelihoods: Mapping[str, float]  # per row, at the end
    tolerances: Mapping[str, float]

    @property
    def reference(self) -> str:
        return next(iter(self.turns))

    def failed(self, name: str) -> bool:
        return bool(self.turns[name].failure)

    def difference(self, name: str) -> float:
        """Log-likelihood per row, less the reference's."""
        if self.failed(name) or self.failed(self.reference):
            return math.nan
        return self.likelihoods[name] - self.likelihoods[self.reference]

    def agrees(self, name: str) -> bool:
        """Whether it ended where the reference did."""
        return abs(self.difference(name)) <= self.tolerances.get(name, 0.0)

    def times(self, name: str, part: str) -> list[float]:
        """Seconds of each round, whole or per iteration."""
        return self.turns[name].each(lambda turn: getattr(turn, part))

    def ratio(self, name: str, part: str) -> float:
        """How many times as fast as the reference."""
        return timing.ratio(self.times(self.reference, part), self.times(name, part))

    def cell(self, name: str, part: str) -> str:
        """Milliseconds, and the ratio to the reference; its rounds, if they are fewer."""
        if self.failed(name):
            known = self.turns[name].failure.startswith("NotImplementedError")
            return "n/a" if known else "failed"
        taken = figure(1e3 * median(self.times(name, part)))
        if name == self.reference:
            return taken
        if not self.agrees(name):
            return f"{taken} !="
        rounds = len(self.times(name, part))
        few = f"; {rounds}" if rounds < len(self.times(self.reference, part)) else ""
        return f"{taken} ({figure(self.ratio(name, part))}x{few})"


def measure(
    problem: Problem,
    who: Mapping[str, tuple[Worker, str, Problem]],
    repeats: int,
    take: Callable[[str, Problem], Turn] = take,
    patience: float = math.inf,
) -> Outcome:
    """Let workers take turns at a problem; each may have its own library and version of it."""
    turns = timing.take_turns(
        {
            label: partial(worker.call, take, name, own)
            for label, (worker, name, own) in who.items()
        },
        repeats,
        patience,
    )
    ends: dict[str, Fitted] = {}
    likelihoods: dict[str, float] = {}
    for label, (worker, name, own) in who.items():
        if turns[label].failure:
            continue
        try:
            ends[label] = worker.call(fitted, name, own)
        except WorkerError as error:
            turns[label].failure = str(error)
            continue
        likelihoods[label] = log_likelihood(ends[label], made(own)[0])
    first = next(iter(who))
    tolerances = {
        label: max(
            tolerance(end, ends.get(first, end)), TOLERANCE[libraries.precision(who[label][1])]
        )
        for label, end in ends.items()
    }
    return Outcome(problem, turns, likelihoods, tolerances)


def failures(outcomes: Sequence[Outcome]) -> list[str]:
    """One line for each that could not take part."""
    return [
        f"- {outcome.problem.name}, {name}: {turns.failure}"
        for outcome in outcomes
        for name, turns in outcome.turns.items()
        if turns.failure and not turns.failure.startswith("NotImplementedError")
    ]


def wrong(outcomes: Sequence[Outcome]) -> list[str]:
    """One line for each of ours that failed or ended elsewhere, where the reference did not."""
    return [
        f"{outcome.problem.name}, {name}: {outcome.turns[name].failure or 'another likelihood'}"
        for outcome in outcomes
        for name in OURS
        if name in outcome.turns
        and not outcome.failed(outcome.reference)
        and not outcome.agrees(name)
    ]
