"""Output of `verbose`, in exactly the format of scikit-learn."""

from __future__ import annotations

from time import perf_counter


class Reporter:
    """Printer of the progress of each start to standard output; at level 0 it prints nothing."""

    def __init__(self, level: int, interval: int) -> None:
        self.level = level
        self.interval = interval
        self._start_time = self._last = perf_counter()

    def begin(self, start: int) -> None:
        """Report the beginning of a start."""
        self._start_time = self._last = perf_counter()
        if self.level:
            print(f"Initialization {start}")

    def iteration(self, number: int, change: float) -> None:
        """Report an iteration."""
        if not self.level or number % self.interval:
            return
        now = perf_counter()
        if self.level == 1:
            print(f"  Iteration {number}")
        else:
            lapse = now - self._last
            print(f"  Iteration {number}\t time lapse {lapse:.5f}s\t ll change {change:.5f}")
        self._last = now

    def failed(self) -> None:
        """Report that a start led to a singular covariance."""
        if self.level:
            print("Initialization failed.")

    def end(self, objective: float, *, converged: bool) -> None:
        """Report the end of a start."""
        result = "converged" if converged else "did not converge"
        if self.level == 1:
            print(f"Initialization {result}.")
        elif self.level >= 2:
            lapse = perf_counter() - self._start_time
            print(
                f"Initialization {result}. time lapse {lapse:.5f}s\t lower bound {objective:.5f}."
            )
