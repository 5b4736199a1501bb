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

from emgmm.acceleration import Scheme, Step
from emgmm.em import EM
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.fitting.loop import Callbacks, Progress, Rules, Run, run
from emgmm.sources import Source


@dataclass(frozen=True)
class Failure:
    """Components of a `DegenerateCovarianceError`, as a value that can be stored."""

    components: tuple[int, ...]

    @classmethod
    def of(cls, error: DegenerateCovarianceError) -> Failure:
        """Return the failure that an error describes."""
        return cls(error.components)

    def error(self) -> DegenerateCovarianceError:
        """Return the error."""
        return DegenerateCovarianceError(self.components)


class Outcome(NamedTuple):
    """Outcome of one start; the defaults describe a failure."""

    objective: float = np.nan
    n_iter: int = 0
    converged: bool = False
    ending: str = ""

    @classmethod
    def of(cls, run: Run) -> Outcome:
        """Return the outcome of a start that ended with a run."""
        return cls(run.objectives[-1], run.n_iter, run.converged, run.ending.name)


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
    failure : Failure, optional
        First failure.
    """

    outcomes: tuple[Outcome, ...] = ()
    best: Run | None = None
    failure: Failure | None = None

    @property
    def number(self) -> int:
        """Number of finished starts."""
        return len(self.outcomes)

    def with_failure(self, error: DegenerateCovarianceError) -> FinishedStarts:
        """Return the results after one more start, which failed."""
        failure = self.failure or Failure.of(error)
        return replace(self, outcomes=(*self.outcomes, Outcome()), failure=failure)

    def with_run(self, run: Run, best: Run) -> FinishedStarts:
        """Return the results after one more start, which ended with `run`."""
        return replace(self, outcomes=(*self.outcomes, Outcome.of(run)), best=best)


class Recorder:
    """Recorder that stores nothing."""

    def wrap_source(self, source: Source) -> Source:
        """Return the source from which the fit reads its rows."""
        return source

    def restore(
        self,
        em: EM,  # noqa: ARG002
        random: np.random.RandomState,
    ) -> tuple[FinishedStarts, np.random.RandomState]:
        """Return the finished starts and the generator with which the fit continues."""
        return FinishedStarts(), random

    def begin_start(self, starts: FinishedStarts, em: EM, random: np.random.RandomState) -> None:
        """Record the state of the fit before the start that follows the finished ones."""

    def run(
        self,
        em: EM,
        scheme: Scheme,
        first_step: Callable[[], Step],
        *,
        rules: Rules,
        before: float,
        callbacks: Callbacks | None = None,
    ) -> Run:
        """Run a scheme from the step that `first_step` makes; no random numbers are drawn.

        Raises
        ------
        DegenerateCovarianceError
            If a covariance becomes singular.
        """
        progress = Progress.initial(scheme(first_step()), before, em)
        return run(em, progress, rules=rules, callbacks=callbacks)
