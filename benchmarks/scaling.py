"""Scaling: how the time of an EM iteration grows with N, D and K, and shrinks with threads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import NamedTuple

import numpy as np

from benchmarks import iterations, pictures
from benchmarks.libraries import OURS, REFERENCE
from benchmarks.options import Options, progress
from benchmarks.problems import Problem
from benchmarks.table import figure, table
from benchmarks.workers import workers

TITLE = "Scaling"
LIBRARIES = (REFERENCE, *OURS, "onedal")
LEGEND = """\
Time of one EM iteration with full covariances. One of N = {N:,}, D = {D}, K = {K} and threads =
{threads} is varied. The exponent is the slope of the logarithm of the time against that of the
varied quantity, by least squares over the larger half of the points. An exponent of 1 means that
the time is proportional to the quantity, and -1 means a perfect speedup by threads."""
WHAT = ("N", "D", "K", "threads")
BASE = (200_000, 8, 8)
QUICK_BASE = (10_000, 4, 4)
RANGES = {
    "N": (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000),
    "D": (1, 2, 4, 8, 16, 32, 64),
    "K": (1, 2, 4, 8, 16, 32, 64),
}
QUICK_RANGES = {"N": (3_000, 30_000), "D": (2, 8), "K": (2, 8)}


class Point(NamedTuple):
    """One measurement: what is varied, its value, and what that comes to."""

    what: str
    value: int
    problem: Problem
    threads: int

    @property
    def name(self) -> str:
        return f"{self.what} = {self.value:,}"


@dataclass(frozen=True)
class Sweep:
    """One quantity varied, the others held."""

    what: str
    values: Sequence[int]
    base: tuple[int, int, int]

    @property
    def name(self) -> str:
        return self.what

    def points(self, threads: int) -> Iterator[Point]:
        for value in self.values:
            size = dict(zip(WHAT, (*self.base, threads), strict=True)) | {self.what: value}
            work = size["N"] * size["D"] * size["K"]
            n_iter = min(4 + 10_000_000 // work, 50)  # more where they are short
            problem = Problem(size["N"], size["D"], size["K"], "full", n_iter)
            yield Point(self.what, value, problem, size["threads"])


def problems(quick: bool) -> list[Sweep]:
    base, ranges = (QUICK_BASE, QUICK_RANGES) if quick else (BASE, RANGES)
    sweeps = [Sweep(what, values, base) for what, values in ranges.items()]
    return [*sweeps, Sweep("threads", doublings(os.cpu_count() or 1), base)]


def doublings(most: int) -> tuple[int, ...]:
    """1, 2, 4, ..., and the most."""
    below = [2**power for power in range(most.bit_length()) if 2**power < most]
    return (*below, most)


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """The slope over the larger half, two points at least."""
    half = points[-max(2, (len(points) + 1) // 2) :]
    if len(half) < 2:
        return float("nan")
    x, y = np.log(np.array(half, dtype=float)).T
    return float(np.polyfit(x, y, 1)[0])


def report(options: Options) -> Iterator[str]:
    """The paragraphs of the report."""
    curves = measured(options)
    N, D, K = options.problems[0].base
    yield LEGEND.format(N=N, D=D, K=K, threads=options.threads)
    yield table(
        ["varied", "library", "from", "to", "ms", "to ms", "exponent"],
        (
            [
                what,
                name,
                *(f"{points[end][0]:,}" for end in (0, -1)),
                *(figure(1e3 * points[end][1]) for end in (0, -1)),
                f"{exponent(points):.2f}",
            ]
            for what, lines in curves.items()
            for name, points in lines.items()
        ),
        left=2,
    )
    yield pictures.curves(
        {
            what: {f"{name}: {exponent(points):.2f}": points for name, points in lines.items()}
            for what, lines in curves.items()
        },
        "seconds for one EM iteration",
        options.folder / "scaling.png",
        "Seconds of one EM iteration over N, over D, over K and over the number of threads, on "
        "logarithmic axes, with the fitted exponent of each library.",
    )


def measured(options: Options) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """What is varied -> library -> the points of its curve."""
    names = options.libraries
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {
        sweep.what: {name: [] for name in names} for sweep in options.problems
    }
    points = [point for sweep in options.problems for point in sweep.points(options.threads)]
    by_threads = progress(sorted(points, key=lambda point: point.threads))
    for threads, group in groupby(by_threads, key=lambda point: point.threads):
        with workers(names, threads) as staff:
            for point in group:
                who = {name: (worker, name, point.problem) for name, worker in staff.items()}
                outcome = iterations.measure(point.problem, who, options.repeats)
                for name in names:
                    taken = outcome.times(name, "iteration") if outcome.agrees(name) else []
                    if taken and median(taken) > 0:  # else lost in the noise
                        curves[point.what][name].append((point.value, median(taken)))
    return {
        what: {name: line for name, line in lines.items() if line} for what, lines in curves.items()
    }
