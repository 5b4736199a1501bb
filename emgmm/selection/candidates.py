"""Candidates of a choice among models: fitted, judged sound and converged or not, and ranked.

A candidate is *sound* where no component collapsed and none starved: only then does its likelihood
mean something. It has *converged* where `tol` is met and what is left to gain is negligible beside
the differences that decide a choice.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np
from scipy.stats import rankdata

from emgmm.acceleration import PLAIN
from emgmm.covariances import FAMILIES
from emgmm.criteria import criteria
from emgmm.exceptions import DegenerateCovarianceError, FailedFitError, format_components
from emgmm.fitting.fit import FitResult, fit_mixture
from emgmm.fitting.problem import Options, Problem
from emgmm.fitting.progress import Reporter
from emgmm.initialization import Assignment, Start
from emgmm.prediction import certainty, summed
from emgmm.sources import Rows, Source
from emgmm.typing import Array

CRITERIA = ("bic", "aic", "icl")

# Nats in total that may be left to gain of a candidate that has converged: a twentieth of a unit of
# the criterion.
NEGLIGIBLE = 0.025

# How many times `max_iter` the iterations of a candidate may be that is ahead unconverged.
PATIENCE = 10

# The best candidates that are fitted from each of the alternative starts too.
FINALISTS = 3

# Candidates that a summary shows, by each criterion.
SHOWN = 3


class SharedStart:
    """A start that is made once for all fits to the same rows that ask for the same.

    What a start finds depends on the rows, the number of components and the random numbers. So of
    fits that differ in their family only the first has to make it.
    """

    def __init__(self, start: Start) -> None:
        self._start = start
        self._lock = Lock()
        self._locks: dict[Any, Lock] = {}
        self._known: dict[Any, tuple[Assignment, Any]] = {}
        self._rows: dict[Any, Rows] = {}

    def __call__(self, rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
        state = random.get_state(legacy=False)
        drawn = (state["state"]["pos"], state["state"]["key"].tobytes())
        key = (n_components, *drawn)
        with self._lock:
            rows = self._rows.setdefault(drawn, rows)  # they are equal, and may keep a tree
            lock = self._locks.setdefault(key, Lock())
        with lock:
            if key not in self._known:
                assignment = self._start(rows, n_components, random)
                self._known[key] = assignment, random.get_state(legacy=False)
        assignment, after = self._known[key]
        random.set_state(after)
        return assignment


@dataclass(frozen=True, eq=False)
class Search:
    """What all candidates share.

    Parameters
    ----------
    source : Source
        The rows.
    problem : Problem
        But for the family and the number of components.
    options : Options
        How each is fitted.
    alternatives : sequence of Start
        Starts that a candidate is fitted from one by one where the fit from the start of `options`
        is not sound, and where it is among the best.
    seed : int
        Of the starts.
    verbose, verbose_interval : int
        What each fit prints.
    """

    source: Source
    problem: Problem
    options: Options
    alternatives: Sequence[Start]
    seed: int
    verbose: int = 0
    verbose_interval: int = 10

    def problem_of(self, candidate: Candidate) -> Problem:
        """The problem of one candidate."""
        family, K = FAMILIES[candidate.covariance_type], candidate.n_components
        return replace(self.problem, family=family, n_components=K)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A fitted candidate, or one that could not be fitted.

    Parameters
    ----------
    n_components : int
        K.
    covariance_type : str
        The family, as the user named it.
    result : FitResult, optional
        The fit, if there is one.
    figures : dict
        The criteria, the log-likelihood and the number of parameters; nan where there is no fit.
    seconds : float
        The time that it took.
    failure : str
        Why there is no fit.
    """

    n_components: int
    covariance_type: str
    result: FitResult | None
    figures: dict[str, float]
    seconds: float
    failure: str = ""

    @property
    def sound(self) -> bool:
        return self.result is not None and not self.result.unsound

    @property
    def converged(self) -> bool:
        return self.result is not None and self.result.run.converged

    def renamed(self, covariance_type: str) -> Candidate:
        """The same model under the name of another family, with which it coincides."""
        return replace(self, covariance_type=covariance_type)

    def line(self) -> dict[str, Any]:
        """The row of `results_`, but for the rank."""
        result = self.result
        line = {
            "n_components": self.n_components,
            "covariance_type": self.covariance_type,
            **self.figures,
            "sound": self.sound,
            "converged": self.converged,
            "n_iter": 0,
            "remaining_gain": np.nan,
            "ending": "",
            "warnings": "",
            "time": self.seconds,
            "failure": self.failure,
            "reason": self.failure,
        }
        if result is not None:
            names = dict.fromkeys(type(warning).__name__ for warning in result.warnings)
            line |= {
                "n_iter": result.run.n_iter,
                "remaining_gain": result.statistics.weight * result.remaining_gain,
                "ending": result.run.ending.name,
                "warnings": ", ".join(names),
                "reason": self.reason(),
            }
        return line

    def reason(self) -> str:
        """Why the candidate is set aside, or not to be relied on; empty where it is neither."""
        if self.result is None:
            return self.failure
        reasons = []
        for warning in self.result.unsound:
            reasons.append(f"{format_components(warning.components)} {warning.finding}")
        if not self.converged:
            reasons.append("not converged")
        return "; ".join(reasons)


def fit_candidate(search: Search, n_components: int, covariance_type: str) -> Candidate:
    """Fit and judge one candidate, from further starts where the first leads to no sound fit."""
    candidate = unfitted(n_components, covariance_type)
    for start in (search.options.start, *search.alternatives):
        candidate = better_from(search, candidate, start)
        if candidate.sound:
            break
    return candidate


def better_from(search: Search, candidate: Candidate, start: Start) -> Candidate:
    """The fit of a candidate from a start, if that is better than the one it has."""
    begun = time.perf_counter()
    found, failure = None, candidate.failure
    try:
        found = fit_mixture(
            search.source,
            search.problem_of(candidate),
            replace(search.options, start=start),
            np.random.RandomState(search.seed),
            reporter=Reporter(search.verbose, search.verbose_interval),
        )
    except DegenerateCovarianceError as error:
        failure = failure or failed(search, error)
    except ValueError as error:
        failure = failure or str(error)
    seconds = candidate.seconds + time.perf_counter() - begun
    if candidate.result is not None and (found is None or not _better(found, candidate.result)):
        return replace(candidate, seconds=seconds)
    if found is None:
        return replace(candidate, seconds=seconds, failure=failure)
    figures = figures_of(search.source, found)
    return replace(candidate, result=found, figures=figures, seconds=seconds, failure="")


def unfitted(n_components: int, covariance_type: str, failure: str = "") -> Candidate:
    """A candidate that was not fitted yet, or could not be."""
    nothing = dict.fromkeys((*CRITERIA, "log_likelihood", "n_parameters"), np.nan)
    return Candidate(n_components, covariance_type, None, nothing, 0.0, failure)


def failed(search: Search, error: DegenerateCovarianceError) -> str:
    """What a fit that met a singular covariance says of it."""
    ridge = search.problem.ridge if search.problem.prior is None else None
    source = search.source
    return str(FailedFitError(error, ridge, source.dtype, source.feature_names))


def run_on(search: Search, candidate: Candidate) -> Candidate:
    """A candidate that has not converged, after up to nine times as many iterations more."""
    result = candidate.result
    assert result is not None
    begun = time.perf_counter()
    options = replace(search.options, max_iter=(PATIENCE - 1) * search.options.max_iter)
    try:
        more = fit_mixture(
            search.source,
            search.problem_of(candidate),
            options,
            np.random.RandomState(search.seed),
            initial=result.mixture,
            before=result.run.objectives[-2],
        )
    except DegenerateCovarianceError as error:  # the likelihood has no maximum there
        lost = unfitted(candidate.n_components, candidate.covariance_type, failed(search, error))
        return replace(lost, seconds=candidate.seconds)
    run = result.run.followed_by(more.run.without_first(), PLAIN)
    found = replace(more, run=run, outcomes=result.outcomes)
    seconds = candidate.seconds + time.perf_counter() - begun
    return replace(
        candidate, result=found, figures=figures_of(search.source, found), seconds=seconds
    )


def _better(one: FitResult, other: FitResult) -> bool:
    """Whether a fit is sound where another is not, or higher by more than is negligible."""
    if bool(one.unsound) != bool(other.unsound):
        return bool(other.unsound)
    gain = one.statistics.weight * (one.run.objectives[-1] - other.run.objectives[-1])
    return gain > NEGLIGIBLE


def figures_of(source: Source, result: FitResult) -> dict[str, float]:
    """Return the criteria of a fit, which take one pass for the certainty of the labels."""
    total = summed(result.mixture, source, certainty)
    return criteria(result.statistics, result.mixture.n_parameters, total)


def distinct_families(names: Sequence[str], n_components: int) -> dict[str, str]:
    """Each name, and the first among them whose family is the same model.

    With one component, families of one shape have the same covariances.
    """
    if n_components > 1:
        return {name: name for name in names}
    first: dict[Any, str] = {}
    return {name: first.setdefault(FAMILIES[name].structure, name) for name in names}


def ranked(candidates: Sequence[Candidate], criterion: str) -> Array:
    """(n,): ranks from 1, of sound candidates before the others; nan of those without a fit."""
    values = np.array([candidate.figures[criterion] for candidate in candidates])
    sound = np.array([candidate.sound for candidate in candidates])
    ranks = np.full(len(candidates), np.nan)
    before = 0
    for group in (sound, np.isfinite(values) & ~sound):
        ranks[group] = before + rankdata(values[group], method="min")
        before += int(np.count_nonzero(group))
    return ranks


def best_by(results: Mapping[str, Any], criterion: str) -> list[tuple[int, str, float, float]]:
    """The best candidates by a criterion: components, family, value, difference to the best.

    Sound ones, where there are any; of those that are the same model the first.
    """
    values, sound = results[criterion], results["sound"]
    able = np.flatnonzero(np.isfinite(values) & (sound | ~sound.any()))
    order = able[np.argsort(values[able], kind="stable")].tolist()
    distinct: dict[tuple[int, float], int] = {}
    for i in order:
        distinct.setdefault((int(results["n_components"][i]), float(values[i])), i)
    least = values[order[0]]
    return [
        (K, str(results["covariance_type"][i]), value, value - float(least))
        for (K, value), i in list(distinct.items())[:SHOWN]
    ]


def notes(results: Mapping[str, Any], best: int) -> tuple[str, ...]:
    """What should be known of a choice."""
    found = []
    K = results["n_components"]
    if K[best] == K.max() > 1:
        found.append(
            "The number of components is the largest that was asked for: more may be better."
        )
    if not results["sound"][best]:
        found.append(f"No candidate is sound. Of this one: {results['reason'][best]}.")
    return tuple(found)
