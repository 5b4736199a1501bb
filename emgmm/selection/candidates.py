"""Candidates of a model selection: their fits, their soundness and convergence, and their ranks.

A candidate is *sound* if no component collapsed or starved; otherwise its likelihood is not
meaningful. It has *converged* if `tol` is met and the remaining gain is negligible compared with
the differences between candidates that matter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
from scipy.stats import rankdata

from emgmm.callbacks import Task
from emgmm.covariances import FAMILIES, Family, family_names, family_of
from emgmm.devices import Device
from emgmm.exceptions import DegenerateCovarianceError, FailedFitError, format_components
from emgmm.fitting.fit import FitResult, fit_mixture
from emgmm.fitting.loop import Ending, Run
from emgmm.fitting.problem import Options, Problem
from emgmm.fitting.progress import Reporter
from emgmm.fitting.sampling import max_starts
from emgmm.initialization import Assignment, Start
from emgmm.parameters import suggestion
from emgmm.prediction import certainty, summed
from emgmm.sources import Rows, Source
from emgmm.statistics import Statistics, criteria
from emgmm.typing import Array

CRITERIA = ("bic", "aic", "icl")

# Largest remaining gain of a converged candidate in nats in total, a twentieth of a unit of the
# criterion.
NEGLIGIBLE = 0.025

# Maximum number of iterations, in multiples of `max_iter`, of the best candidate if it has not
# converged.
MAX_ITER_FACTOR = 10

# Number of the best candidates that are also fitted from each of the alternative starts.
FINALISTS = 3

# Number of candidates that a summary shows for each criterion.
SHOWN = 3

# Failure of a candidate that a callback left out.
LEFT_OUT = "A callback asked to stop before this candidate was fitted."

# Entries of `results_` for a candidate without a fit.
WITHOUT_FIT: dict[str, Any] = dict.fromkeys((*CRITERIA, "log_likelihood", "n_parameters"), np.nan)
WITHOUT_FIT |= {"sound": False, "converged": False, "n_iter": 0}
WITHOUT_FIT |= {"remaining_gain": np.nan, "ending": "", "warnings": ""}


class SharedStart:
    """Start whose results are shared by all fits to the same rows.

    The result of a start depends on the rows, the number of components and the random numbers, but
    not on the family.
    """

    def __init__(self, start: Start) -> None:
        self._start = start
        self._lock = Lock()
        self._locks: dict[Any, Lock] = {}
        self._results: dict[Any, tuple[Assignment, Any]] = {}
        self._rows: dict[Any, Rows] = {}

    def __call__(self, rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
        state = random.get_state(legacy=False)
        position = (state["state"]["pos"], state["state"]["key"].tobytes())
        key = (n_components, *position)
        with self._lock:
            # Equal rows, whose tree may be cached, unless few rows were repeated for some K.
            rows = self._rows.setdefault((position, len(rows.values)), rows)
            lock = self._locks.setdefault(key, Lock())
        with lock:
            if key not in self._results:
                assignment = self._start(rows, n_components, random)
                self._results[key] = assignment, random.get_state(legacy=False)
        assignment, after = self._results[key]
        random.set_state(after)
        return assignment


# Function of a candidate, the device of the rows and a run of the candidate's fit that returns the
# attributes of an estimator that would select the candidate after this run.
CandidateAttributes = Callable[["Candidate", Device | None, Run], dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Search:
    """Rows and settings that all candidates share.

    Parameters
    ----------
    source : Source
        Rows.
    problem : Problem
        Problem, in which the family and the number of components are replaced.
    options : Options
        Options of each fit.
    alternatives : sequence of Start
        Further starts, for candidates whose fit from the start of `options` is not sound, and for
        the best candidates.
    seed : int
        Seed of the starts.
    verbose, verbose_interval : int
        Level and interval of the output of each fit.
    task : Task, optional
        Task to which the tasks of the candidates belong.
    attributes : callable, optional
        Attributes of the estimator that would select the fit of a candidate.
    """

    source: Source
    problem: Problem
    options: Options
    alternatives: Sequence[Start]
    seed: int
    verbose: int = 0
    verbose_interval: int = 10
    task: Task = field(default_factory=Task)
    attributes: CandidateAttributes | None = None

    def observe(
        self,
        candidate: Candidate,
        fit: Callable[[Reporter], Candidate],
        *,
        number: int | None = None,
        verbose: int = 0,
    ) -> tuple[Candidate, bool]:
        """Return what `fit` makes of a candidate, and whether others have to be left out.

        Parameters
        ----------
        candidate : Candidate
            Candidate.
        fit : callable
            Function of the reporter of its fits that returns the candidate with their result.
        number : int, optional
            Number of the task, if those of the candidates are not sequential.
        verbose : int, default=0
            Level of the output.
        """
        sampling, of_candidate = self.options.sampling, None
        n_starts = max_starts(self.source.n_rows_hint, self.options.n_init, sampling=sampling)
        if n_starts is not None:
            n_starts *= 1 + len(self.alternatives)
        if self.attributes is not None:
            of_candidate = partial(self.attributes, candidate, self.source.device)
        task = self.task.subtask("candidate", n_starts, number=number, attributes=of_candidate)
        candidate = fit(task.reporter(verbose, self.verbose_interval))
        result = candidate.result
        return candidate, task.end(None if result is None else lambda: result.run)

    def fit(self, candidate: Candidate, options: Options, **others: Any) -> FitResult:
        """Fit a candidate; the arguments are those of `fit_mixture`.

        Raises
        ------
        FailedFitError
            If the fit leads to a singular covariance.
        ValueError
            If the rows cannot be fitted.
        """
        family, K = family_of(candidate.covariance_type), candidate.n_components
        problem = replace(self.problem, family=family, n_components=K)
        source, random = self.source, np.random.RandomState(self.seed)
        try:
            return fit_mixture(source, problem, options, random, **others)
        except DegenerateCovarianceError as error:
            ridge = problem.ridge if problem.prior is None else None
            raise FailedFitError(error, ridge, source.dtype, source.feature_names) from None


@dataclass(frozen=True, eq=False)
class Candidate:
    """Candidate that was fitted or could not be fitted.

    Parameters
    ----------
    n_components : int
        Number of components, K.
    covariance_type : str or Family
        Family, or its name, as the user gave it.
    result : FitResult, optional
        Result of the fit.
    figures : dict
        Entries of `results_` that describe the fit.
    seconds : float
        Time of the fit.
    failure : str
        Reason why there is no fit.
    """

    n_components: int
    covariance_type: str | Family
    result: FitResult | None = None
    figures: dict[str, Any] = field(default_factory=WITHOUT_FIT.copy)
    seconds: float = 0.0
    failure: str = ""

    @property
    def sound(self) -> bool:
        """Whether there is a fit in which no component collapsed or starved."""
        return self.result is not None and not self.result.unsound

    @property
    def converged(self) -> bool:
        """Whether there is a fit that met the stopping rule."""
        return self.result is not None and self.result.run.converged

    @property
    def stopped(self) -> bool:
        """Whether there is a fit that a callback stopped."""
        return self.result is not None and self.result.run.ending is Ending.STOPPED

    def entries(self) -> dict[str, Any]:
        """Return the entries of `results_` for the candidate, without the rank."""
        return {
            "n_components": self.n_components,
            "covariance_type": family_of(self.covariance_type).name,
            **self.figures,
            "time": self.seconds,
            "failure": self.failure,
            "reason": self.reason(),
        }

    def reason(self) -> str:
        """Return the reason why the candidate is excluded or not reliable, or ""."""
        if self.result is None:
            return self.failure
        unsound = self.result.unsound
        reasons = [f"{format_components(each.components)} {each.finding}" for each in unsound]
        if self.stopped:
            reasons.append("stopped by a callback")
        elif not self.converged:
            reasons.append("not converged")
        return "; ".join(reasons)


def fit_candidate(
    search: Search, number: int, n_components: int, covariance_type: str | Family
) -> tuple[Candidate, bool]:
    """Fit a candidate, from further starts if the first one does not lead to a sound fit.

    Whether a callback asked to leave out the other candidates is also returned.
    """

    def fit(reporter: Reporter) -> Candidate:
        candidate = first
        for start in (search.options.start, *search.alternatives):
            candidate = better_from(search, candidate, start, reporter)
            if candidate.sound or reporter.stopped:
                break
        return candidate

    first = Candidate(n_components, covariance_type)
    return search.observe(first, fit, number=number, verbose=search.verbose)


def better_from(
    search: Search, candidate: Candidate, start: Start, reporter: Reporter
) -> Candidate:
    """Fit a candidate from a start, and return it with the better of this and its former fit."""
    begin = time.perf_counter()
    options = replace(search.options, start=start)
    try:
        result = search.fit(candidate, options, reporter=reporter)
    except ValueError as error:
        reporter.close()
        if candidate.result is None:
            candidate = replace(candidate, failure=candidate.failure or str(error))
    else:
        if candidate.result is None or _better(result, candidate.result):
            candidate = with_result(search, candidate, result)
    return replace(candidate, seconds=candidate.seconds + time.perf_counter() - begin)


def with_more_iterations(search: Search, candidate: Candidate, reporter: Reporter) -> Candidate:
    """Continue the fit of a candidate that has not converged."""
    result = candidate.result
    assert result is not None
    begin = time.perf_counter()
    rules = search.options.rules
    rules = replace(rules, max_iter=(MAX_ITER_FACTOR - 1) * rules.max_iter)
    options, before = replace(search.options, rules=rules), result.run.objectives[-2]
    try:
        further = {"initial": result.mixture, "before": before, "reporter": reporter}
        more = search.fit(candidate, options, **further)
    except FailedFitError as error:  # the likelihood is unbounded there
        return replace(candidate, result=None, figures=WITHOUT_FIT, failure=str(error))
    result = replace(more, run=result.run.resumed(more.run), outcomes=result.outcomes)
    candidate = with_result(search, candidate, result)
    return replace(candidate, seconds=candidate.seconds + time.perf_counter() - begin)


def with_result(search: Search, candidate: Candidate, result: FitResult) -> Candidate:
    """Return a candidate with a fit and its figures.

    The certainty of the labels, which ICL requires, takes one pass.
    """
    total = summed(result.mixture, search.source, certainty)
    figures = figures_of(result, result.statistics, result.n_parameters, total)
    return replace(candidate, result=result, figures=figures, failure="")


def figures_of(
    result: FitResult, seen: Statistics, n_parameters: int, log_certainty: float
) -> dict[str, Any]:
    """Return the entries of `results_` about a fit; the arguments are those of `criteria`."""
    names = dict.fromkeys(type(warning).__name__ for warning in result.warnings)
    return {
        **criteria(seen, n_parameters, log_certainty),
        "sound": not result.unsound,
        "converged": result.run.converged,
        "n_iter": result.run.n_iter,
        "remaining_gain": result.statistics.weight * result.run.remaining_gain,
        "ending": result.run.ending.name,
        "warnings": ", ".join(names),
    }


def _better(one: FitResult, other: FitResult) -> bool:
    """Whether only the first fit is sound, or else whether its objective is clearly higher."""
    if bool(one.unsound) != bool(other.unsound):
        return bool(other.unsound)
    gain = one.statistics.weight * (one.run.objectives[-1] - other.run.objectives[-1])
    return gain > NEGLIGIBLE


def families(given: Any, n_features: int) -> list[str | Family]:
    """Return the families that a `covariance_type` names, 'all' or several of them."""
    if isinstance(given, str) and given == "all":
        return [*family_names(n_features)]
    found = [given] if isinstance(given, str | Family) else list(given)
    known = [isinstance(one, Family) or (isinstance(one, str) and one in FAMILIES) for one in found]
    unknown = [one for one, is_known in zip(found, known, strict=True) if not is_known]
    if unknown or not found:
        raise ValueError(
            f"covariance_type must be 'all' or names among {', '.join(sorted(FAMILIES))}, but "
            f"got {given!r}.{suggestion(unknown[0], FAMILIES) if unknown else ''}"
        )
    return found


def distinct_families(
    given: Sequence[str | Family], n_components: int, n_features: int
) -> dict[str | Family, str | Family]:
    """Return for each family the first one that is the same model.

    With one component, families of the same structure have the same covariances, unless they
    restrict these further.
    """
    if n_components > 1:
        return {each: each for each in given}
    first: dict[Any, str | Family] = {}
    found = {}
    for each in given:
        family = family_of(each)
        free = family.n_covariance_parameters(1, n_features)
        restricts = free < family.structure.n_monomials(n_features)
        found[each] = first.setdefault(each if restricts else family.structure, each)
    return found


def ranked(candidates: Sequence[Candidate], criterion: str) -> Array:
    """Return ranks from 1, (n,): sound candidates come first, those without a fit have nan."""
    values = np.array([candidate.figures[criterion] for candidate in candidates])
    sound = np.array([candidate.sound for candidate in candidates])
    ranks = np.full(len(candidates), np.nan)
    before = 0
    for group in (sound, np.isfinite(values) & ~sound):
        ranks[group] = before + rankdata(values[group], method="min")
        before += int(np.count_nonzero(group))
    return ranks


def best_by(results: Mapping[str, Any], criterion: str) -> list[tuple[int, str, float, float]]:
    """Return the best candidates by a criterion.

    They are tuples of the number of components, the family, the criterion and its difference from
    the best. Candidates that are not sound are excluded unless all are, and so are repetitions of
    the same model.
    """
    values, sound = results[criterion], results["sound"]
    eligible = np.flatnonzero(np.isfinite(values) & (sound | ~sound.any()))
    order = eligible[np.argsort(values[eligible], kind="stable")].tolist()
    distinct: dict[tuple[int, float], int] = {}
    for i in order:
        distinct.setdefault((int(results["n_components"][i]), float(values[i])), i)
    least = values[order[0]]
    return [
        (K, str(results["covariance_type"][i]), value, value - float(least))
        for (K, value), i in list(distinct.items())[:SHOWN]
    ]


def notes(results: Mapping[str, Any], best: int) -> tuple[str, ...]:
    """Return remarks on the selected candidate."""
    remarks = []
    left_out = results["failure"] == LEFT_OUT
    if left_out.any():
        remarks.append(
            f"A callback stopped the search: {np.count_nonzero(~left_out)} of {len(left_out)} "
            "candidates were fitted."
        )
    K = results["n_components"]
    if K[best] == K.max() > 1:
        remarks.append(
            "The number of components is the largest that was tried: more may be better."
        )
    if not results["sound"][best]:
        remarks.append(f"No candidate is sound. This one: {results['reason'][best]}.")
    return tuple(remarks)
