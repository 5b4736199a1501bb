"""What `verbose` prints: scikit-learn's lines, word for word."""

from __future__ import annotations

from time import perf_counter


class Reporter:
    """Prints the progress of each start to standard output; at level 0 it is silent."""

    def __init__(self, level: int, interval: int) -> None:
        self.level = level
        self.interval = interval
        self._begun = self._last = perf_counter()

    def begin(self, start: int) -> None:
        """A start begins."""
        self._begun = self._last = perf_counter()
        if self.level:
            print(f"Initialization {start}")

    def iteration(self, number: int, change: float) -> None:
        """An iteration is done."""
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
        """A start met a singular covariance."""
        if self.level:
            print("Initialization failed.")

    def end(self, objective: float, *, converged: bool) -> None:
        """A start has ended."""
        word = "converged" if converged else "did not converge"
        if self.level == 1:
            print(f"Initialization {word}.")
        elif self.level >= 2:
            lapse = perf_counter() - self._begun
            print(f"Initialization {word}. time lapse {lapse:.5f}s\t lower bound {objective:.5f}.")
