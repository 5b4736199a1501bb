"""The loop: the only one. It asks a scheme for steps, keeps the history, and ends for a reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emgmm.mixture import Mixture
from emgmm.schemes import PLAIN, Step, Steps

# Relative change of the objective below which EM is at rest, whatever `tol` asks for: rounding.
REST = 1e-14


class Ending(Enum):
    """Why a fit ended; ``.name`` is stable, ``.sentence`` is for people."""

    CONVERGED = "The mean log-likelihood changed by less than tol in one iteration."
    COINCIDENT = "Some components are the same and EM cannot part them."
    FIXED_POINT = "One more iteration left the log-likelihood exactly as it was: a fixed point."
    MAX_ITER = (
        "max_iter iterations were made while the log-likelihood still changed by tol or more."
    )
    START_ONLY = "max_iter is 0: these are the parameters that the start gave, no EM was run."
    DIAGONAL_SCALE = (
        "EM ended as converged_ says, under a prior whose scale is diagonal: columns of X are "
        "collinear, or there are no more rows than columns, so that X's covariance is singular."
    )
    GIVEN = "The parameters were given, no EM was run."

    @property
    def sentence(self) -> str:
        """The reason in words."""
        return self.value


class Watcher(Protocol):
    """Whoever wants to hear of each iteration."""

    def iteration(self, number: int, change: float) -> None:
        """Called after each iteration with the change that the stopping rule saw."""


class Silence:
    """A watcher that tells nobody."""

    def iteration(self, number: int, change: float) -> None:
        pass


def nowhere(mixture: Mixture) -> bool:  # noqa: ARG001
    """Nothing is ever stuck: plain EM's rule."""
    return False


@dataclass(frozen=True)
class Rules:
    """When a loop ends.

    Parameters
    ----------
    tol : float
        The change of the objective below which it does.
    max_iter : int
        Most iterations.
    stuck : callable
        Asked at rest whether a mixture has components that EM cannot part.
    """

    tol: float
    max_iter: int
    stuck: Callable[[Mixture], bool] = nowhere


@dataclass(frozen=True)
class Run:
    """What a loop leaves behind.

    Parameters
    ----------
    step : Step
        The last mixture and its statistics.
    objectives, passes, events : list
        After t = 0, 1, .. M-steps: the objective, passes over the rows so far, and what led there.
    converged : bool
        Whether the stopping rule was met.
    ending : Ending
        Why the loop ended.
    met : list of tuple of int
        Groups of coincident components that were met on the way.
    """

    step: Step
    objectives: list[float]
    passes: list[int]
    events: list[str]
    converged: bool
    ending: Ending
    met: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def n_iter(self) -> int:
        return len(self.objectives) - 1

    def after_first(self) -> Run:
        """Without the first mixture: that of another run's end."""
        return replace(
            self, objectives=self.objectives[1:], passes=self.passes[1:], events=self.events[1:]
        )

    def then(self, other: Run, event: str) -> Run:
        """Go on with `other`, to whose first mixture `event` led."""
        return Run(
            other.step,
            self.objectives + other.objectives,
            self.passes + other.passes,
            [*self.events, event, *other.events[1:]],
            other.converged,
            other.ending,
            self.met + other.met,
        )


def history(
    objectives: list[float], passes: list[int], events: list[str]
) -> dict[str, NDArray[Any]]:
    """Arrays of equal length, one entry for each mixture on the way."""
    return {
        "objective": np.array(objectives, dtype=float),
        "passes": np.array(passes, dtype=int),
        "event": np.array(events, dtype="U16"),
    }


def last_of_plain_em(history: dict[str, NDArray[Any]]) -> list[float]:
    """Objectives at the end between which lie plain steps of EM only."""
    places = np.flatnonzero(history["event"] != PLAIN)
    return history["objective"][places[-1] if len(places) else 0 :].tolist()


def rests(objectives: Sequence[float]) -> bool:
    """Whether the last change was but rounding."""
    if len(objectives) < 2:
        return False
    return math.fabs(objectives[-1] - objectives[-2]) <= REST * math.fabs(objectives[-1])


def run(
    steps: Steps,
    *,
    rules: Rules,
    before: float,
    first: Step | None = None,
    watcher: Watcher | None = None,
) -> Run:
    """Take steps until the objective changes by less than `tol`, at most `max_iter` of them.

    The rule looks at the change from the last mixture but two to the last but one, as
    scikit-learn's does, whose bound lags one M-step: so both stop after the same iteration. The
    objective that is reported belongs to the last mixture all the same.

    Only the change of a plain step of EM can end a run, and only plain steps tell what is left to
    gain. So the scheme is asked for them where the last change was below `tol`, and for the last
    two iterations that `max_iter` leaves.

    Parameters
    ----------
    steps : generator of Step
        A scheme's, of which nothing has been taken.
    rules : Rules
        When to end.
    before : float
        The objective before the first step, for a fit that goes on; -inf for one that starts.
    first : Step, optional
        The first step, where it was made before: `steps` then begins after it.
    watcher : Watcher, optional
        Hears of each iteration.
    """
    watcher = watcher or Silence()
    seen: list[float] = [before]
    step = first or next(steps)
    seen.append(step.objective)
    passes, events = [step.passes], ["start"]

    def ended(ending: Ending, *, converged: bool) -> Run:
        return Run(step, seen[1:], passes, events, converged, ending)

    if rules.max_iter == 0:
        return ended(Ending.START_ONLY, converged=False)
    asked = False
    plainly: bool | None = None  # a generator cannot be sent anything else before its first step
    for n_iter in range(1, rules.max_iter + 1):
        step = steps.send(plainly)
        seen.append(step.objective)
        passes.append(step.passes)
        events.append(step.event)
        change = seen[-2] - seen[-3]
        watcher.iteration(n_iter, change)
        converged = bool(math.fabs(change) < rules.tol) and by_plain_em(events[-2:])
        resting = rests(seen)
        came_to_rest = resting and step.event == PLAIN and not asked
        asked = resting and (asked or came_to_rest)  # once is enough while nothing moves
        if (converged or came_to_rest) and rules.stuck(step.mixture):
            return ended(Ending.COINCIDENT, converged=converged)
        if converged:
            break
        small = math.fabs(seen[-1] - seen[-2]) < rules.tol
        plainly = small or resting or n_iter >= rules.max_iter - 2
    ending = Ending.CONVERGED if converged else Ending.MAX_ITER
    if seen[-1] == seen[-2]:
        ending = Ending.FIXED_POINT
    return ended(ending, converged=converged)


def by_plain_em(events: Sequence[str]) -> bool:
    """Whether no scheme but EM itself led to these mixtures."""
    return all(event in ("start", PLAIN) for event in events)
