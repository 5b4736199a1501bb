"""Memory: how far a fit or a prediction pushes up the process's peak, beside X and its result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import environments, libraries, machine, pictures
from benchmarks.libraries import OURS, REFERENCE, estimators
from benchmarks.options import Options, progress
from benchmarks.problems import Problem
from benchmarks.table import table
from benchmarks.worker import Worker

TITLE = "Memory"
LIBRARIES = (REFERENCE, *OURS)
AIM = 64
LEGEND = f"""\
Increase of the peak memory of the process in MB (1e6 bytes), without the memory of the results:
VmHWM of /proc/self/status, or ru_maxrss if it is not available, after the call minus before it. The
process is new, has made X, and has done the same with 2000 rows of X, so that imports are not
included. D = 4, K = 64, full covariances. *given*: two EM iterations from a given start; *default*:
two iterations from k-means, the default start. The aim is less than {AIM} MB for every N."""
DOINGS = ("given", "default", "predict", "predict_proba", "score_samples")
SIZES = (200_000, 1_000_000, 5_000_000)
QUICK_SIZES = (20_000, 100_000)
NEEDED = 6.4  # doubles per row and component that scikit-learn's fit takes beyond X, at its peak
_PROC = Path("/proc/self")


@dataclass(frozen=True)
class Doing:
    """What is done, with how many rows."""

    what: str
    problem: Problem

    @property
    def name(self) -> str:
        return f"{self.what}-{self.problem.name}"


def problems(quick: bool) -> list[Doing]:
    doings, sizes = (DOINGS[:1], QUICK_SIZES) if quick else (DOINGS, SIZES)
    return [Doing(what, Problem(N, 4, 64, "full", 2)) for what in doings for N in sizes]


def peak() -> int:
    """The most bytes of memory that this process has had."""
    with suppress(OSError):
        for line in (_PROC / "status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    import resource
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak() -> None:
    """Set the peak back to what is in use now, where the system can."""
    with suppress(OSError):
        (_PROC / "clear_refs").write_text("5")


def beyond_data(doing: Doing, name: str) -> int:
    """Bytes that it takes at its peak, besides X and what it returns."""
    problem = doing.problem
    X, start = problem.make()
    cls = libraries.load(name).estimator()
    few = X[:2000]

    def call(rows: Any) -> int:
        model = estimators.from_start(cls, problem, start)
        if doing.what == "default":
            model = cls(problem.n_components, max_iter=problem.iterations, random_state=0)
        if doing.what in ("given", "default"):
            model.fit(rows)
            return 0
        model.fit(few)
        return getattr(model, doing.what)(rows).nbytes

    call(few)
    forget_peak()
    before = peak()
    returned = call(X)
    return peak() - before - returned


def report(options: Options) -> Iterator[str]:
    """The paragraphs of the report."""
    names = options.libraries
    bytes_: dict[str, dict[str, int | None]] = {}
    for doing in progress(options.problems):
        bytes_[doing.name] = {name: measured(doing, name, options.threads) for name in names}
    yield LEGEND
    yield table(
        ["", "N", "X", *names],
        (
            [doing.what, f"{doing.problem.n_rows:,}", megabytes(doing.problem.n_bytes)]
            + [megabytes(bytes_[doing.name][name]) for name in names]
            for doing in options.problems
        ),
    )
    if any(value is None for line in bytes_.values() for value in line.values()):
        yield (
            "`too large`: not run here, because scikit-learn's fit would take about "
            f"{NEEDED} N K doubles beyond X, more than half of this machine's free memory."
        )
    yield drawn(options, names, bytes_)


def measured(doing: Doing, name: str, threads: int) -> int | None:
    """The bytes, in a fresh process; None where they would be too many for the machine."""
    problem = doing.problem
    if name == REFERENCE:
        needed = NEEDED * 8 * problem.n_rows * problem.n_components
        if needed > machine.memory() / 2:
            return None
    with Worker(threads, environments.python_of(name)) as worker:
        return worker.call(beyond_data, doing, name)


def megabytes(number: int | None) -> str:
    return "too large" if number is None else f"{number / 1e6:.1f}"


def drawn(options: Options, names: list[str], bytes_: dict[str, dict[str, int | None]]) -> str:
    """Peaks over N, a panel for each doing."""
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for doing in options.problems:
        lines = panels.setdefault(f"{doing.what}: N", {name: [] for name in names})
        for name in names:
            value = bytes_[doing.name][name]
            if value is not None:
                lines[name].append((doing.problem.n_rows, max(value / 1e6, 0.1)))
    return pictures.curves(
        panels,
        "peak beyond X, MB",
        options.folder / "memory.png",
        "Peak memory beyond the data over the number of rows, for fits and predictions.",
    )
