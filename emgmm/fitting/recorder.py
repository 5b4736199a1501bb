"""The recorder of a fit, which makes its runs and may store their results.

A fit is a sequence of runs that is determined by their results and by the random numbers. Therefore
a recorder can continue an interrupted fit: it returns the stored results of finished runs instead
of repeating them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emgmm.em import EM
from emgmm.fitting.loop import Progress, Run
from emgmm.sources.block import SumsOfBits

# In place of the seed of samples that led to a singular covariance.
SAMPLES_FAILED = -1


class Outcome(NamedTuple):
    """Outcome of one start; the defaults describe a failure."""

    objective: float = np.nan
    n_iter: int = 0
    converged: bool = False
    ending: str = ""


def outcome_of(run: Run) -> Outcome:
    """Return the outcome of a start that ended with `run`."""
    return Outcome(run.step.objective, run.n_iter, run.converged, run.ending.name)


def tabulated(outcomes: tuple[Outcome, ...]) -> dict[str, NDArray[Any]]:
    """Return the outcomes as arrays of equal length, with one entry per start."""
    columns = zip(*outcomes, strict=True)
    return {name: np.array(column) for name, column in zip(Outcome._fields, columns, strict=True)}


@dataclass(frozen=True, eq=False)
class FinishedStarts:
    """Results of the finished starts of a fit.

    Parameters
    ----------
    outcomes : tuple of Outcome
        Outcome of each start.
    best : Run, optional
        Best run.
    failed : tuple of int, optional
        Components whose covariance was singular in the first start that failed.
    sample_seed : int, optional
        Seed of the samples, if the starts are run on a sample; `SAMPLES_FAILED` after that failed.
    """

    outcomes: tuple[Outcome, ...] = ()
    best: Run | None = None
    failed: tuple[int, ...] | None = None
    sample_seed: int | None = None

    def with_failure(self, components: tuple[int, ...]) -> FinishedStarts:
        """Return the results after one more start, which failed."""
        failed = components if self.failed is None else self.failed
        return replace(self, outcomes=(*self.outcomes, Outcome()), failed=failed)

    def with_run(self, run: Run) -> FinishedStarts:
        """Return the results after one more start, which ended with `run`."""
        outcome = outcome_of(run)
        best = run if self.best is None or run.beats(self.best) else self.best
        return replace(self, outcomes=(*self.outcomes, outcome), best=best)


class Recorder:
    """Recorder that stores nothing."""

    #: Function that returns sums of the bits of a block, which the first pass adds up.
    sums_of_bits: SumsOfBits | None = None

    def restore(
        self,
        em: EM,  # noqa: ARG002
        random: np.random.RandomState,
    ) -> tuple[FinishedStarts, np.random.RandomState]:
        """Return the finished starts and the generator with which the fit continues."""
        return FinishedStarts(), random

    def begin_start(self, starts: FinishedStarts, em: EM, random: np.random.RandomState) -> None:
        """Record the state of the fit before the start that follows the finished ones."""

    def run(self, begin: Callable[[], Progress], iterate: Callable[..., Run]) -> Run:
        """Return the run that `iterate` makes from `begin()`; no random numbers are drawn.

        Raises
        ------
        DegenerateCovarianceError
            If a covariance becomes singular.
        """
        return iterate(begin())
