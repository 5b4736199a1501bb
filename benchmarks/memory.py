"""Memory: how far a fit pushes up the process's peak, X being there already."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from benchmarks import libraries
from benchmarks.problems import Problem

METHOD = """\
VmHWM of /proc/self/status (ru_maxrss where there is none), after minus before a fit of two
iterations, in a fresh process that has made X and fitted 1000 rows of it: imports do not count."""
_PROC = Path("/proc/self")


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


def beyond_data(problem: Problem, name: str) -> int:
    """Bytes that a library's fit takes at its peak, besides X."""
    X, start = problem.make()
    fit = libraries.load(name).fit
    fit(replace(problem, iterations=1), X[:1000], start)
    forget_peak()
    before = peak()
    fit(replace(problem, iterations=2), X, start)
    return peak() - before
