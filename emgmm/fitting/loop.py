"""The loop: the only one. It asks a scheme for steps, keeps the history, and ends for a reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from emgmm.acceleration import PLAIN, SchemeState, Step
from emgmm.em import EM
from emgmm.mixture import Mixture

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

    GIVEN = "The parameters were given, no EM was run."
    STREAM = "The parameters follow a stream, one step of EM for each block: it has no end."

    @property
    def sentence(self) -> str:
        """The reason in words."""
        return self.value


class Callbacks(Protocol):
    """Whoever wants to hear of each iteration."""

    def iteration(self, number: int, change: float) -> None:
        """Called after each iteration with the change that the stopping rule saw."""


class NoCallbacks:
    """A watcher that tells nobody."""

    def iteration(self, number: int, change: float) -> None:
        pass


def no_groups(mixture: Mixture) -> bool:  # noqa: ARG001
    """Nothing is ever stuck: plain EM's rule."""
    return False


def settled_at_once(objectives: Sequence[float]) -> bool:  # noqa: ARG001
    """A change below `tol` is enough: scikit-learn's rule."""
    return True


# Plain steps of EM in a row that `settled` may be asked about, before the scheme may leap again.
LONGEST_TAIL = 4


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
    settled : callable
        Asked where `tol` is met whether that will do, with the objectives of the last steps in a
        row that were plain EM's.
    """

    tol: float
    max_iter: int
    stuck: Callable[[Mixture], bool] = no_groups
    settled: Callable[[Sequence[float]], bool] = settled_at_once


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


class Mark(NamedTuple):
    """What is kept of each mixture on the way."""

    objective: float
    passes: int
    event: str


@dataclass(frozen=True, eq=False)
class Progress:
    """A loop under way: all that it needs to go on.

    Parameters
    ----------
    position : Position
        Where the scheme stands.
    marks : list of Mark
        Of the first mixture and of each iteration; others may follow that came later.
    n_iter : int
        Iterations made.
    before : float
        The objective before the first step, for a fit that goes on; -inf for one that starts.
    passes : int
        Made by then.
    asked : bool
        Whether it was asked if a mixture at rest is stuck.
    """

    position: SchemeState
    marks: list[Mark]
    n_iter: int
    before: float
    passes: int
    asked: bool = False

    @classmethod
    def begun(cls, position: SchemeState, before: float, em: EM) -> Progress:
        """Nothing but a first step is made."""
        step = position.step
        return cls(position, [Mark(step.objective, step.passes, "start")], 0, before, em.passes)


def tail(marks: Sequence[Mark]) -> Sequence[Mark]:
    """The last few mixtures, as far back as plain steps of EM alone lie between them."""
    first = len(marks) - 1
    least = max(0, first - LONGEST_TAIL)
    while first > least and marks[first].event == PLAIN:
        first -= 1
    return marks[first:]


def no_callbacks(progress: Progress) -> None:
    """Where nobody keeps how far a loop has come."""


def run(
    em: EM,
    progress: Progress,
    *,
    rules: Rules,
    watcher: Callbacks | None = None,
    keep: Callable[[Progress], None] = no_callbacks,
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
    em : EM
        EM's map.
    progress : Progress
        Where to begin, or to go on.
    rules : Rules
        When to end.
    watcher : Watcher, optional
        Hears of each iteration.
    keep : callable
        Gets the progress after the first step and each iteration from which the loop goes on.
    """
    watcher = watcher or NoCallbacks()
    position, asked = progress.position, progress.asked
    marks = progress.marks[: progress.n_iter + 1]
    seen = [progress.before, *(mark.objective for mark in marks)]

    def ended(ending: Ending, *, converged: bool) -> Run:
        objectives, passes, events = (list(column) for column in zip(*marks, strict=True))
        return Run(position.step, objectives, passes, events, converged, ending)

    if rules.max_iter == 0:
        return ended(Ending.START_ONLY, converged=False)
    keep(progress)
    converged, resting = False, rests(seen)
    for n_iter in range(progress.n_iter + 1, rules.max_iter + 1):
        change = seen[-1] - seen[-2]  # the step before; see above
        small, last = math.fabs(change) < rules.tol, n_iter > rules.max_iter - 2
        asks = small and len(tail(marks)) <= LONGEST_TAIL
        position = position.next(em, force_plain=asks or resting or last)
        step = position.step
        seen.append(step.objective)
        marks.append(Mark(step.objective, step.passes, step.event))
        watcher.iteration(n_iter, change)
        converged = (
            small
            and by_plain_em([mark.event for mark in marks[-2:]])
            and rules.settled([mark.objective for mark in tail(marks)])
        )
        resting = rests(seen)
        came_to_rest = resting and step.event == PLAIN and not asked
        asked = resting and (asked or came_to_rest)  # once is enough while nothing moves
        if (converged or came_to_rest) and rules.stuck(step.mixture):
            return ended(Ending.COINCIDENT, converged=converged)
        if converged:
            break
        keep(Progress(position, marks, n_iter, progress.before, em.passes, asked))
    ending = Ending.CONVERGED if converged else Ending.MAX_ITER
    if seen[-1] == seen[-2]:
        ending = Ending.FIXED_POINT
    return ended(ending, converged=converged)


def by_plain_em(events: Sequence[str]) -> bool:
    """Whether no scheme but EM itself led to these mixtures."""
    return all(event in ("start", PLAIN) for event in events)
