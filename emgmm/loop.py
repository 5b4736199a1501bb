"""The loop: the only one. It asks a scheme for steps, keeps the history, and ends for a reason."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emgmm.schemes import Step


class Ending(Enum):
    """Why a fit ended; ``.name`` is stable, ``.sentence`` is for people."""

    CONVERGED = "The mean log-likelihood changed by less than tol in one iteration."
    FIXED_POINT = "One more iteration left the log-likelihood exactly as it was: a fixed point."
    MAX_ITER = (
        "max_iter iterations were made while the log-likelihood still changed by tol or more."
    )
    START_ONLY = "max_iter is 0: these are the parameters that the start gave, no EM was run."
    GIVEN = "The parameters were given, no EM was run."

    @property
    def sentence(self) -> str:
        """The reason in words."""
        return self.value


class Watcher(Protocol):
    """Whoever wants to hear of each iteration."""

    def iteration(self, number: int, change: float) -> None:
        """Called after each iteration with the change that the stopping rule saw."""


@dataclass(frozen=True)
class Run:
    """What a loop leaves behind.

    Parameters
    ----------
    step : Step
        The last mixture and its statistics.
    objectives, passes : list
        After t = 0, 1, .. M-steps: the objective, and passes over the rows so far.
    converged : bool
        Whether the stopping rule was met.
    ending : Ending
        Why the loop ended.
    """

    step: Step
    objectives: list[float]
    passes: list[int]
    converged: bool
    ending: Ending

    @property
    def n_iter(self) -> int:
        return len(self.objectives) - 1


def history(objectives: list[float], passes: list[int]) -> dict[str, NDArray[Any]]:
    """Arrays of equal length, one entry for each mixture on the way."""
    return {
        "objective": np.array(objectives, dtype=float),
        "passes": np.array(passes, dtype=int),
        "event": np.array(["start", *["step"] * len(objectives)][: len(objectives)], dtype="U16"),
    }


def run(
    steps: Iterator[Step], *, tol: float, max_iter: int, before: float, watcher: Watcher
) -> Run:
    """Take steps until the objective changes by less than `tol`, at most `max_iter` of them.

    The rule looks at the change from the last mixture but two to the last but one, as
    scikit-learn's does, whose bound lags one M-step: so both stop after the same iteration. The
    objective that is reported belongs to the last mixture all the same.

    Parameters
    ----------
    steps : iterator of Step
        A scheme that has been started.
    before : float
        The objective before the first step, for a fit that goes on; -inf for one that starts.
    watcher : Watcher
        Hears of each iteration.
    """
    seen, passes = [before], []
    for step in steps:
        seen.append(step.objective)
        passes.append(step.passes)
        n_iter = len(passes) - 1
        if n_iter == 0:
            if max_iter == 0:
                return Run(step, seen[1:], passes, False, Ending.START_ONLY)
            continue
        change = seen[-2] - seen[-3]
        watcher.iteration(n_iter, change)
        converged = bool(math.fabs(change) < tol)
        if converged or n_iter == max_iter:
            ending = Ending.CONVERGED if converged else Ending.MAX_ITER
            if seen[-1] == seen[-2]:
                ending = Ending.FIXED_POINT
            return Run(step, seen[1:], passes, converged, ending)
    raise AssertionError("a scheme never stops by itself")
