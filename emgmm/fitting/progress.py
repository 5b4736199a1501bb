"""The reporter of a fit, which receives its progress and prints it in scikit-learn's format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from emgmm.fitting.loop import Report, Rules, Run


class Reporter:
    """Receiver of the progress of a fit, which prints it; at level 0 it prints nothing.

    A fit consists of starts, which consist of iterations. A method that reports the end of one of
    them returns whether its siblings that follow have to be left out, which a subclass may request.

    Parameters
    ----------
    level : int, default=0
        Level of the output, the parameter `verbose` of an estimator.
    interval : int, default=1
        Number of iterations between two printed lines.
    """

    #: Whether the mixture after each iteration is required; see `loop.Report`.
    needs_mixtures = False

    #: Whether the end of a start has requested that no further start follows.
    stopped = False

    def __init__(self, level: int = 0, interval: int = 1) -> None:
        self.level = level
        self.interval = interval
        self._start_time = self._last = perf_counter()

    def begin(self, start: int, rules: Rules) -> None:  # noqa: ARG002
        """Report the beginning of a start, the run from which ends by these rules."""
        self._start_time = self._last = perf_counter()
        if self.level:
            print(f"Initialization {start}")

    def begin_all_rows(self, rules: Rules) -> None:
        """Report that the fit of all rows begins, after starts on a sample of them."""

    def begin_iteration(self) -> None:
        """Report the beginning of an iteration; two calls in succession begin one iteration."""

    def iteration(self, number: int, change: float) -> None:
        """Report the number of an iteration, and the change to which the rule compares `tol`."""
        if not self.level or number % self.interval:
            return
        now = perf_counter()
        if self.level == 1:
            print(f"  Iteration {number}")
        else:
            lapse = now - self._last
            print(f"  Iteration {number}\t time lapse {lapse:.5f}s\t ll change {change:.5f}")
        self._last = now

    def end_iteration(self, so_far: Callable[[], Run]) -> bool:  # noqa: ARG002
        """Report the end of an iteration; see `loop.Report`."""
        return False

    def begin_split(self) -> None:
        """Report that coincident components are split, within a start."""

    def end_split(self, ended: Run) -> None:
        """Report the end of these splits and of the iterations that followed them."""

    def failed(self) -> bool:
        """Report that a start led to a singular covariance."""
        if self.level:
            print("Initialization failed.")
        return False

    def end(self, ended: Run) -> bool:
        """Report the end of a start, or of the fit of all rows."""
        result = "converged" if ended.converged else "did not converge"
        if self.level == 1:
            print(f"Initialization {result}.")
        elif self.level >= 2:
            lapse, objective = perf_counter() - self._start_time, ended.step.objective
            print(
                f"Initialization {result}. time lapse {lapse:.5f}s\t lower bound {objective:.5f}."
            )
        return False

    def close(self) -> None:
        """Report that an error ended the start."""


@dataclass(frozen=True)
class Continued:
    """Receiver of the progress of a run that continues others.

    Parameters
    ----------
    report : Report
        Receiver of the progress of the whole run.
    before : int
        Number of iterations before.
    joined : callable
        Function that returns the whole run, given the one that continues it.
    """

    report: Report
    before: int
    joined: Callable[[Run], Run]

    @property
    def needs_mixtures(self) -> bool:
        return self.report.needs_mixtures

    def begin_iteration(self) -> None:
        self.report.begin_iteration()

    def iteration(self, number: int, change: float) -> None:
        self.report.iteration(self.before + number, change)

    def end_iteration(self, so_far: Callable[[], Run]) -> bool:
        return self.report.end_iteration(lambda: self.joined(so_far()))
