"""The iteration of a fit: steps of a scheme, the stopping rule and the history."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from emgmm.acceleration import PLAIN, Plain, SchemeState, Step
from emgmm.degeneracy import gain_left, is_settled
from emgmm.em import EM
from emgmm.typing import Integers

# Relative change of the objective that is attributed to rounding: EM is then at rest, whatever
# `tol` is.
REST = 1e-14

# Relative difference up to which the objectives of two runs are equal.
SAME = 1e-12

# Largest number of consecutive plain EM steps that `is_settled` judges before the scheme may
# accelerate again.
MAX_PLAIN_STEPS = 4


class Ending(Enum):
    """Reason why a fit ended; ``.name`` is stable, ``.sentence`` is meant to be read."""

    CONVERGED = "The mean log-likelihood changed by less than tol in one iteration."
    COINCIDENT = "Some components are identical and EM cannot separate them."
    FIXED_POINT = "One more iteration left the log-likelihood exactly as it was: a fixed point."
    MAX_ITER = (
        "max_iter iterations were made while the log-likelihood still changed by tol or more."
    )
    STOPPED = "A callback asked to stop."
    START_ONLY = "max_iter is 0: these are the initial parameters, no EM was run."
    GIVEN = "The parameters were given, no EM was run."
    STREAM = "The parameters follow a stream, one step of EM for each block: it has no end."

    @property
    def sentence(self) -> str:
        """Description of the reason."""
        return self.value


@dataclass(frozen=True)
class Rules:
    """Conditions under which a run ends.

    Parameters
    ----------
    tol : float
        Threshold of the change of the objective.
    max_iter : int
        Maximum number of iterations.
    stop_if_coincident : bool, default=False
        Whether EM at rest ends if the mixture has coincident components.
    negligible : float, default=inf
        Largest remaining gain in nats, summed over the rows, with which a run may end once `tol` is
        met. By default, `tol` alone decides, as in scikit-learn.
    """

    tol: float
    max_iter: int
    stop_if_coincident: bool = False
    negligible: float = math.inf


class HistoryEntry(NamedTuple):
    """Entry of the history for one mixture."""

    objective: float
    passes: int
    event: str


def history(entries: Sequence[HistoryEntry]) -> dict[str, NDArray[Any]]:
    """Return the history as arrays of equal length, with one entry per mixture."""
    objectives, passes, events = zip(*entries, strict=True) if entries else ((), (), ())
    return {
        "objective": np.array(objectives, dtype=float),
        "passes": np.array(passes, dtype=int),
        "event": np.array(events, dtype="U16"),
    }


def last_plain_objectives(entries: Sequence[HistoryEntry]) -> list[float]:
    """Return the objectives of the last entries between which all steps were plain EM."""
    objectives = []
    for entry in reversed(entries):
        objectives.append(entry.objective)
        if entry.event != PLAIN:
            break
    return objectives[::-1]


def is_at_rest(objectives: Sequence[float]) -> bool:
    """Whether the last change of the objective is within rounding."""
    if len(objectives) < 2:
        return False
    return math.fabs(objectives[-1] - objectives[-2]) <= REST * math.fabs(objectives[-1])


@dataclass(frozen=True)
class Run:
    """Result of a run.

    Parameters
    ----------
    step : Step
        Last step, with the mixture and its statistics.
    entries : list of HistoryEntry
        Entries of the history after t = 0, 1, .. M-steps.
    converged : bool
        Whether the stopping rule was met.
    ending : Ending
        Reason why the run ended.
    coincident : list of tuple of int
        Groups of coincident components that were found in the course of the run.
    """

    step: Step
    entries: list[HistoryEntry]
    converged: bool
    ending: Ending
    coincident: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def n_iter(self) -> int:
        """Number of iterations."""
        return len(self.entries) - 1

    @property
    def objectives(self) -> list[float]:
        """Objective after t = 0, 1, .. M-steps."""
        return [entry.objective for entry in self.entries]

    @property
    def remaining_gain(self) -> float:
        """Aitken's estimate of the remaining gain of the objective, per unit weight."""
        return gain_left(last_plain_objectives(self.entries), self.step.mixture.means.dtype)

    def beats(self, other: Run) -> bool:
        """Whether the objective exceeds that of an earlier run by more than rounding."""
        return self.step.objective > other.step.objective + SAME * abs(other.step.objective)

    def permuted(self, order: Integers) -> Run:
        """Return the run with the components of its last mixture in another order."""
        last, numbers = self.step, np.argsort(order).tolist()
        mixture = last.mixture.permuted(order)
        statistics = last.statistics.permuted(order, mixture.family)
        groups = [tuple(sorted(numbers[k] for k in group)) for group in self.coincident]
        step = replace(last, mixture=mixture, statistics=statistics)
        return replace(self, step=step, coincident=groups)

    def with_passes(self, passes: int) -> Run:
        """Return the run with another number of passes at its end."""
        *others, last = self.entries
        return replace(self, entries=[*others, last._replace(passes=passes)])

    def followed_by(self, other: Run, event: str) -> Run:
        """Return the run continued by `other`, the first mixture of which is due to `event`."""
        first, *others = other.entries
        entries = [*self.entries, first._replace(event=event), *others]
        return replace(other, entries=entries, coincident=self.coincident + other.coincident)

    def resumed(self, other: Run) -> Run:
        """Return the run continued by `other`, which starts with an EM step from its mixture."""
        return self.followed_by(replace(other, entries=other.entries[1:]), PLAIN)


@dataclass(frozen=True, eq=False)
class Progress:
    """State of an unfinished run, from which it can continue.

    Parameters
    ----------
    state : SchemeState
        State of the scheme.
    entries : list of HistoryEntry
        Entries of the initial mixture and of each iteration; later entries may follow, as the list
        is shared with the run.
    n_iter : int
        Number of iterations.
    before : float
        Objective before the initial mixture if the fit continues another one, -inf otherwise.
    passes : int
        Number of passes.
    checked : bool
        Whether the mixture at rest has been checked for coincident components.
    """

    state: SchemeState
    entries: list[HistoryEntry]
    n_iter: int
    before: float
    passes: int
    checked: bool = False


class Report(Protocol):
    """Receiver of the progress of a run."""

    @property
    def needs_mixtures(self) -> bool:
        """Whether the mixture after each iteration is required.

        Otherwise, several iterations may be made between `begin_iteration` and `end_iteration`.
        """

    def begin_iteration(self) -> None:
        """Report the beginning of an iteration; two calls in succession begin one iteration."""

    def iteration(self, number: int, change: float) -> None:
        """Report the number of an iteration, and the change to which the rule compares `tol`."""

    def end_iteration(self, so_far: Callable[[], Run]) -> bool:
        """Report the end of an iteration, and return whether the run has to stop.

        Parameters
        ----------
        so_far : callable
            Function that returns the run as if it had stopped here. It is valid during the call.
        """


def run(
    em: EM,
    progress: Progress,
    *,
    rules: Rules,
    report: Report | None = None,
    record: Callable[[Progress], None] | None = None,
) -> Run:
    """Iterate until the objective changes by less than `tol`, at most `max_iter` times.

    The rule considers the change between the two mixtures before the last one, like scikit-learn's,
    whose bound lags one M-step behind, so that both stop after the same iteration. The objective
    that is reported is nevertheless that of the last mixture.

    Only the change of a plain EM step can end a run, and the remaining gain can be estimated from
    plain steps only. Therefore the scheme is forced to make plain steps if the last change was
    below `tol`, and in the last two iterations that `max_iter` allows.

    Parameters
    ----------
    em : EM
        EM's map.
    progress : Progress
        State from which the run starts or continues.
    rules : Rules
        Conditions under which the run ends.
    report : Report, optional
        Receiver of the progress, which may stop the run.
    record : callable, optional
        Function of the progress, called before the first iteration and after each one that is not
        the last.
    """
    state, checked, came_to_rest = progress.state, progress.checked, False
    entries = progress.entries[: progress.n_iter + 1]
    objectives = [progress.before, *(entry.objective for entry in entries)]
    each_matters = record is not None or (report is not None and report.needs_mixtures)

    def last_objectives() -> list[float]:
        return last_plain_objectives(entries[-MAX_PLAIN_STEPS - 1 :])

    def ends(objective: float, passes: int, event: str = PLAIN) -> bool:
        """Add a step to the history; return whether the rules have to be applied after it."""
        nonlocal came_to_rest, checked
        if report is not None:
            report.iteration(len(entries), objectives[-1] - objectives[-2])
        objectives.append(objective)
        entries.append(HistoryEntry(objective, passes, event))
        at_rest = is_at_rest(objectives)
        came_to_rest = at_rest and event == PLAIN and not checked
        checked = at_rest and (checked or came_to_rest)  # one check suffices until EM moves again
        change = objectives[-1] - objectives[-2]
        return each_matters or math.fabs(change) < rules.tol or came_to_rest

    def ended(converged: bool, ending: Ending) -> Run:
        return Run(state.step.completed(), entries, converged, ending)

    if rules.max_iter == 0:
        return ended(False, Ending.START_ONLY)
    if record is not None:
        record(progress)
    converged = False
    while len(entries) <= rules.max_iter:
        left = rules.max_iter + 1 - len(entries)
        is_small = math.fabs(objectives[-1] - objectives[-2]) < rules.tol  # of the preceding step
        if report is not None:
            report.begin_iteration()
        if type(state) is Plain:
            state = state.ahead(em, 1 if is_small else left, ends)
        else:
            may_end = is_small and len(last_objectives()) <= MAX_PLAIN_STEPS
            state = state.next(em, force_plain=may_end or is_at_rest(objectives) or left <= 2)
            ends(state.step.objective, state.step.passes, state.step.event)
        so_far = partial(ended, False, Ending.STOPPED)
        stopped = report is not None and report.end_iteration(so_far)
        converged = (
            is_small
            and all(entry.event in ("start", PLAIN) for entry in entries[-2:])
            and (
                rules.negligible == math.inf
                or is_settled(last_objectives(), em.summary.weight, rules.negligible)
            )
        )
        if stopped:
            return ended(converged, Ending.STOPPED)
        stops = rules.stop_if_coincident and (converged or came_to_rest)
        if stops and em.coincident(state.step.mixture):
            return ended(converged, Ending.COINCIDENT)
        if converged:
            break
        if record is not None:
            record(Progress(state, entries, len(entries) - 1, progress.before, em.passes, checked))
    ending = Ending.CONVERGED if converged else Ending.MAX_ITER
    if objectives[-1] == objectives[-2]:
        ending = Ending.FIXED_POINT
    return ended(converged, ending)
