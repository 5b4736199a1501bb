"""A journal: through which a fit makes its runs, so that one who keeps it can take them up again.

A fit is a fixed sequence of runs of the loop, given what each of them ended with and the state of
the random numbers. So what has ended need not be made again, only be told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from emgmm.em import EM
from emgmm.families import DegenerateCovarianceError
from emgmm.loop import Progress, Rules, Run, Watcher, run
from emgmm.schemes import Scheme, Step


@dataclass(frozen=True)
class Failure:
    """A singular covariance, as a value: what a `DegenerateCovarianceError` says."""

    components: tuple[int, ...]
    ridge_helps: bool

    @classmethod
    def of(cls, error: DegenerateCovarianceError) -> Failure:
        return cls(error.components, error.ridge_helps)

    def error(self) -> DegenerateCovarianceError:
        return DegenerateCovarianceError(self.components, ridge_helps=self.ridge_helps)


@dataclass(frozen=True, eq=False)
class Standing:
    """What several starts have come to.

    Parameters
    ----------
    number : int
        Starts that are over.
    best : Run, optional
        The best of them.
    failure : Failure, optional
        Of the first that failed.
    """

    number: int = 0
    best: Run | None = None
    failure: Failure | None = None

    def failed(self, error: DegenerateCovarianceError) -> Standing:
        """One more start is over: it failed."""
        failure = self.failure or Failure.of(error)
        return replace(self, number=self.number + 1, failure=failure)

    def ended(self, best: Run) -> Standing:
        """One more start is over, and this is now the best."""
        return replace(self, number=self.number + 1, best=best)


class Journal:
    """Keeps nothing."""

    def opened(
        self,
        em: EM,  # noqa: ARG002
        random: np.random.RandomState,
    ) -> tuple[Standing, np.random.RandomState]:
        """Where the fit stands, and the random numbers with which it goes on."""
        return Standing(), random

    def start(self, standing: Standing, em: EM, random: np.random.RandomState) -> None:
        """The next start begins."""

    def run(
        self,
        em: EM,
        scheme: Scheme,
        first: Callable[[], Step],
        *,
        rules: Rules,
        before: float,
        watcher: Watcher | None = None,
    ) -> Run:
        """A run of the loop, from the step that `first` makes, drawing no random numbers.

        Raises
        ------
        DegenerateCovarianceError
            Where it meets a singular covariance.
        """
        progress = Progress.begun(scheme(first()), before, em)
        return run(em, progress, rules=rules, watcher=watcher)
