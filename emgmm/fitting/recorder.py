"""A recorder: through which a fit makes its runs, so that one who keeps it can take them up again.

A fit is a fixed sequence of runs of the loop, given what each of them ended with and the state of
the random numbers. So what has ended need not be made again, only be told.
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
    """A singular covariance, as a value: what a `DegenerateCovarianceError` says."""

    components: tuple[int, ...]

    @classmethod
    def of(cls, error: DegenerateCovarianceError) -> Failure:
        return cls(error.components)

    def error(self) -> DegenerateCovarianceError:
        return DegenerateCovarianceError(self.components)


class Outcome(NamedTuple):
    """What one start came to; by default it failed."""

    objective: float = np.nan
    n_iter: int = 0
    converged: bool = False
    ending: str = ""

    @classmethod
    def of(cls, run: Run) -> Outcome:
        return cls(run.objectives[-1], run.n_iter, run.converged, run.ending.name)


def tabulated(outcomes: tuple[Outcome, ...]) -> dict[str, NDArray[Any]]:
    """Arrays of equal length, one entry for each start, in their order."""
    columns = zip(*outcomes, strict=True)
    return {name: np.array(column) for name, column in zip(Outcome._fields, columns, strict=True)}


@dataclass(frozen=True, eq=False)
class StartsSoFar:
    """What several starts have come to.

    Parameters
    ----------
    outcomes : tuple of Outcome
        Of the starts that are over.
    best : Run, optional
        The best of them.
    failure : Failure, optional
        Of the first that failed.
    """

    outcomes: tuple[Outcome, ...] = ()
    best: Run | None = None
    failure: Failure | None = None

    @property
    def number(self) -> int:
        """Starts that are over."""
        return len(self.outcomes)

    def failed(self, error: DegenerateCovarianceError) -> StartsSoFar:
        """One more start is over: it failed."""
        failure = self.failure or Failure.of(error)
        return replace(self, outcomes=(*self.outcomes, Outcome()), failure=failure)

    def ended(self, run: Run, best: Run) -> StartsSoFar:
        """One more start is over, with this run, and that is now the best."""
        return replace(self, outcomes=(*self.outcomes, Outcome.of(run)), best=best)


class Recorder:
    """Keeps nothing."""

    def reading(self, source: Source) -> Source:
        """The source as the fit is to read it."""
        return source

    def opened(
        self,
        em: EM,  # noqa: ARG002
        random: np.random.RandomState,
    ) -> tuple[StartsSoFar, np.random.RandomState]:
        """Where the fit stands, and the random numbers with which it goes on."""
        return StartsSoFar(), random

    def start(self, standing: StartsSoFar, em: EM, random: np.random.RandomState) -> None:
        """The next start begins."""

    def run(
        self,
        em: EM,
        scheme: Scheme,
        first: Callable[[], Step],
        *,
        rules: Rules,
        before: float,
        watcher: Callbacks | None = None,
    ) -> Run:
        """A run of the loop, from the step that `first` makes, drawing no random numbers.

        Raises
        ------
        DegenerateCovarianceError
            Where it meets a singular covariance.
        """
        progress = Progress.begun(scheme(first()), before, em)
        return run(em, progress, rules=rules, watcher=watcher)
