"""Timing: all take turns (A B C, A B C, ...), and ratios are those of the rounds."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter, sleep
from typing import Any, Generic, TypeVar

ENOUGH = 0.1  # seconds; what is shorter is repeated, until the processor is at its full speed
PAUSE = 0.1  # seconds before a turn: threads of the one before wait busily for more, for a while

Result = TypeVar("Result")


@dataclass
class Turns(Generic[Result]):
    """What one of them measured, round by round, or why it could not."""

    results: list[Result] = field(default_factory=list)
    failure: str = ""

    def each(self, part: Callable[[Result], float]) -> list[float]:
        """One figure of every round."""
        return [part(result) for result in self.results]


def take_turns(
    takers: Mapping[str, Callable[[], Result]], repeats: int, patience: float = math.inf
) -> dict[str, Turns[Result]]:
    """Rounds of turns, after one turn of each to warm up; who fails once is out.

    Who has taken `patience` seconds has no more turns than one of the rounds.
    """
    turns = {name: Turns[Result]() for name in takers}
    spent = dict.fromkeys(takers, 0.0)
    for number in range(repeats + 1):
        for name, take in takers.items():
            if turns[name].failure or (number > 1 and spent[name] > patience):
                continue
            sleep(PAUSE)
            begun = perf_counter()
            try:
                result = take()
            except Exception as error:
                turns[name] = Turns(failure=str(error))
                continue
            spent[name] += perf_counter() - begun
            if number:
                turns[name].results.append(result)
    return turns


def seconds(function: Callable[[], object]) -> float:
    """Time that one call takes: the mean of as many as take `ENOUGH` together."""
    gc.collect()
    gc.disable()
    try:
        calls = 0
        begun = perf_counter()
        while (taken := perf_counter() - begun) < ENOUGH or not calls:
            function()
            calls += 1
        return taken / calls
    finally:
        gc.enable()


def ratio(reference: Sequence[float], other: Sequence[float]) -> float:
    """How many times as fast the other is: the median over its rounds, each for itself."""
    return median(r / o if o > 0 else math.inf for r, o in zip(reference, other, strict=False))


class Stopwatch:
    """Adds up the time inside some functions."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def timed(*args: Any, **more: Any) -> Any:
            begun = perf_counter()
            try:
                return function(*args, **more)
            finally:
                self.seconds += perf_counter() - begun

        return timed
