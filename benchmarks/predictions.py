"""Predictions: what a fitted mixture says of rows, scikit-learn's and ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache, partial
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import libraries, timing
from benchmarks.libraries import OURS, REFERENCE, estimators
from benchmarks.options import Options, progress
from benchmarks.problems import PROBLEMS, QUICK, Problem, made
from benchmarks.table import figure, section, table
from benchmarks.timing import Turns, ratio, seconds
from benchmarks.workers import workers

TITLE = "Predictions"
LIBRARIES = (REFERENCE, *OURS)
METHODS = ("predict", "predict_proba", "score_samples")
ACCURACY = 1e-8
LEGEND = f"""\
Predictions for all rows of the fit, after two EM iterations from the same start. Milliseconds are
medians, and ratios are medians over the rounds. `!=`: a label differs, or a value differs by more
than {ACCURACY:.0e}."""


def problems(quick: bool) -> list[Problem]:
    return [replace(PROBLEMS[name], iterations=2) for name in (QUICK if quick else PROBLEMS)]


@lru_cache(maxsize=1)
def model(name: str, problem: Problem) -> Any:
    """The library's estimator, fitted; kept until another is asked for in this process."""
    X, start = made(problem)
    return estimators.from_start(libraries.load(name).estimator(), problem, start).fit(X)


def take(name: str, problem: Problem, method: str) -> float:
    """Seconds of one turn."""
    X, call = made(problem)[0], getattr(model(name, problem), method)
    return seconds(lambda: call(X))


def outcome(name: str, problem: Problem, method: str) -> NDArray[Any]:
    """What it says."""
    return getattr(model(name, problem), method)(made(problem)[0])


def report(options: Options) -> Iterator[str]:
    """The paragraphs of the report."""
    names = options.libraries
    lines: dict[str, list[list[str]]] = {method: [] for method in METHODS}
    with workers(names, options.threads) as staff:
        for problem in progress(options.problems):
            for method in METHODS:
                turns = timing.take_turns(
                    {
                        name: partial(worker.call, take, name, problem, method)
                        for name, worker in staff.items()
                    },
                    options.repeats,
                )
                said = {
                    name: worker.call(outcome, name, problem, method)
                    for name, worker in staff.items()
                    if not turns[name].failure
                }
                line = [problem.name, *cells(turns, said)]
                if any(cell.endswith(("failed", "!=")) for cell in line):
                    options.wrong.append(f"{method}: {', '.join(line)}")
                lines[method].append(line)
    yield LEGEND
    for method in METHODS:
        yield section(f"{method}, in ms")
        yield table(["problem", *names], lines[method])


def cells(turns: dict[str, Turns[float]], said: dict[str, NDArray[Any]]) -> Iterator[str]:
    """One line of the table, but for its name."""
    reference = turns[REFERENCE].results
    for name, turn in turns.items():
        if turn.failure:
            yield "failed"
            continue
        taken = figure(1e3 * median(turn.results))
        if name == REFERENCE:
            yield taken
        elif np.allclose(said[name], said[REFERENCE], rtol=0, atol=ACCURACY):
            yield f"{taken} ({figure(ratio(reference, turn.results))}x)"
        else:
            yield f"{taken} !="
