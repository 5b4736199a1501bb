"""`GaussianMixtureIC`: selection of the number of components and the family by a criterion."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from numbers import Integral
from typing import Any, ClassVar, Literal, Self

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from emgmm import attributes, validation
from emgmm.acceleration import Scheme, after_short_runs
from emgmm.base import BaseMixture, fitted_mixture
from emgmm.callbacks import Task
from emgmm.constraints import Constraints, Given
from emgmm.covariances import FAMILIES, Family
from emgmm.devices import Device
from emgmm.diagnostics import Diagnosis
from emgmm.distributional import DistributionMixin
from emgmm.estimator import GaussianMixture, attributes_of_fit
from emgmm.exceptions import EMWarning, issue
from emgmm.fitting.loop import Run
from emgmm.fitting.problem import options_of, problem_of
from emgmm.initialization import STARTS, starts_of
from emgmm.mixture import Mixture
from emgmm.parameters import ARRAYS, Hidden, one_of, validated
from emgmm.prior import NormalInverseWishart
from emgmm.selection.candidates import (
    CRITERIA,
    FINALISTS,
    LEFT_OUT,
    NEGLIGIBLE,
    Candidate,
    CandidateAttributes,
    Search,
    SharedStart,
    best_by,
    better_from,
    distinct_families,
    families,
    fit_candidate,
    notes,
    ranked,
    with_more_iterations,
)
from emgmm.selection.shared import shared
from emgmm.sources import Source
from emgmm.threads import one_blas_thread
from emgmm.typing import (
    Acceleration,
    Array,
    CovarianceType,
    Criterion,
    InitParams,
    NoiseName,
    Numbers,
    Order,
    PriorName,
    RandomState,
    Sampling,
)

# Parameters of GaussianMixture that are passed to every candidate; others concern a single fit.
PASSED_ON = (
    *("tol", "reg_covar", "max_iter", "n_init", "init_params", "verbose_interval"),
    *("break_symmetry", "acceleration", "sampling", "prior", "weight_concentration", "noise"),
    *("equal_weights", "order"),
)

# Defaults with which a candidate must also have a negligible remaining gain.
TOL, MAX_ITER = 1e-6, 1000

# Largest number of numbers of components, whose fits take days even to a small table.
MAX_NUMBERS = 10_000

# Candidates that have been fitted, by their number of components and family.
Job = tuple[int, str | Family]
Fits = dict[Job, Candidate]

# Warnings of a fit, and the function that calls it with its task, given the number of subtasks.
Found = Sequence[UserWarning]
Observe = Callable[[Callable[[Task], Found], int], Found]


class GaussianMixtureIC(DistributionMixin, BaseMixture):
    """Gaussian mixture whose number of components and family are selected by a criterion.

    All pairs of `n_components` and `covariance_type` are fitted to the same rows. The one with the
    lowest criterion is kept among those that are sound, that is, in which no component collapsed or
    starved. The selection depends neither on `n_jobs` nor on a common scale of all columns of X,
    and for families that are closed under scaling it does not depend on the scale of any column.

    Parameters
    ----------
    n_components : int or iterable of int, default=range(1, 10)
        Numbers of components to try.
    covariance_type : str, Family or list of these, default='all'
        Families to try, or their names in `GaussianMixture`. 'all' means the fourteen of R's
        mclust, or E and V for one feature.
    criterion : {'bic', 'aic', 'icl'}, default='bic'
        Criterion to minimize. 'bic' selects as many components as the density needs, 'icl' fewer,
        which are well separated, and 'aic' more.
    n_jobs : int, default=None
        Number of threads, each of which fits one candidate at a time; None means one. A single fit
        to many rows already uses all cores, and a fit to few rows is dominated by Python code,
        which threads do not run in parallel.
    tol : float, default=1e-6
        EM may stop when the mean log-likelihood per row (in nats) changes by less in one iteration.
        With the default `tol` and `max_iter`, the remaining gain by Aitken's estimate must also be
        below 0.025 nats in total.
    reg_covar : float, default=0
        Number that is added to the diagonal of every covariance, in squared units of X. With 0, a
        candidate fails if a covariance becomes singular. With a ridge, it would be compared with
        the others by a likelihood that is not meaningful.
    max_iter : int, default=1000
        Maximum number of iterations of a candidate. If the best candidate has not converged, it may
        make ten times as many.
    n_init : int, default=1
        Number of initializations of each candidate; the best is kept.
    init_params : {'auto', 'kmeans', 'k-means++', 'random', 'random_from_data', 'hierarchical', \
            'whitened-kmeans', 'short-runs'}, callable or array-like, default='auto'
        Initialization. 'auto' makes a few EM steps from each of several starts that do not depend
        on units: mclust's hierarchical clusters, k-means on standardized columns and k-means on
        whitened rows. It continues from the best one and, if that does not lead to a sound fit,
        from the others too. The other values are those of `GaussianMixture`; an array of
        responsibilities or means matches one number of components only. Clusters are computed once
        for all families.
    random_state : int, RandomState instance or None, default=None
        Seed of the initialization, which is the same for every candidate, and default seed of
        `sample`.
    verbose : int, default=0
        Level of the output. 1 prints a line for each candidate; with n > 1, each fit also prints
        the output of `GaussianMixture` at level n - 1.
    acceleration : {'anderson'}, None or callable, default='anderson'
        Acceleration of EM; None means plain EM.
    verbose_interval, break_symmetry, sampling, prior, weight_concentration, noise, \
            equal_weights, order
        Parameters of `GaussianMixture`. Those that concern a single fit, such as initial or fixed
        parameters and checkpoints, are not available.

    Attributes
    ----------
    results_ : dict of ndarray
        Columns of a table with one entry for each candidate, from which a DataFrame can be made.
        ``n_components``, ``covariance_type``, ``bic``, ``aic``, ``icl``, ``log_likelihood`` (summed
        over rows), ``n_parameters``; ``sound``; ``converged``; ``n_iter``; ``remaining_gain``
        (Aitken's estimate in nats, summed over rows); ``ending`` (its name); ``warnings`` (the
        names of their classes); ``time`` (seconds); ``failure`` (the reason why there is no fit, or
        empty; the numbers are then nan); ``reason`` (the reason why the candidate is excluded, or
        empty) and ``rank`` (1 is the best; sound candidates come before the others, and those
        without a fit have nan). With one component, families that are the same model have the same
        values.
    best_index_ : int
        Index of the selected candidate.
    best_params_ : dict
        ``n_components`` and ``covariance_type`` of the selected candidate.
    best_estimator_ : GaussianMixture
        Fitted estimator of the selected candidate.
    weights_, means_, covariances_, precisions_, precisions_cholesky_, noise_weight_, \
            lower_bound_, remaining_gain_
        Attributes of that estimator. Those that are set by hand become attributes of it.
    n_features_in_ : int
        Number of features, D.
    feature_names_in_ : ndarray of str
        Names of the features, if X has any.

    See Also
    --------
    sklearn.model_selection.GridSearchCV : Selection by the likelihood of held-out rows.

    References
    ----------
    Schwarz (1978), Ann. Statist. 6:461, doi 10.1214/aos/1176344136.
    Fraley and Raftery (2002), J. Am. Stat. Assoc. 97:611, doi 10.1198/016214502760047131.

    Examples
    --------
    >>> from emgmm import GaussianMixtureIC
    >>> from emgmm.datasets import old_faithful
    >>> X = old_faithful().rows
    >>> chosen = GaussianMixtureIC(range(1, 5), random_state=0).fit(X)
    >>> chosen.best_params_
    {'n_components': 3, 'covariance_type': 'EEE'}
    >>> round(float(chosen.results_["bic"][chosen.best_index_]), 1)
    2314.3
    """

    results_: dict[str, NDArray[Any]]
    best_index_: int
    best_params_: dict[str, Any]
    best_estimator_: GaussianMixture
    weights_: Array = shared()
    means_: Array = shared()
    covariances_: Array = shared()
    precisions_: Array = shared()
    precisions_cholesky_: Array = shared()
    noise_weight_: float = shared()
    lower_bound_: float = shared()
    remaining_gain_: float = shared()

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Integral, Iterable],
        "covariance_type": [one_of({"all", *FAMILIES}), Hidden(Family), Iterable],
        "criterion": [one_of(CRITERIA)],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        **{name: GaussianMixture._parameter_constraints[name] for name in PASSED_ON},
        "init_params": [one_of({"auto", *STARTS}), callable, *ARRAYS],
    }

    def __init__(
        self,
        n_components: int | Iterable[int] = range(1, 10),
        *,
        covariance_type: Literal["all"]
        | CovarianceType
        | Family
        | Iterable[CovarianceType | Family] = "all",
        criterion: Criterion = "bic",
        n_jobs: int | None = None,
        tol: float = TOL,
        reg_covar: float = 0.0,
        max_iter: int = MAX_ITER,
        n_init: int = 1,
        init_params: Literal["auto"] | InitParams | Callable[..., Any] | Numbers = "auto",
        random_state: RandomState = None,
        verbose: int = 0,
        verbose_interval: int = 10,
        break_symmetry: bool = True,
        acceleration: Acceleration | Scheme | None = "anderson",
        sampling: Sampling | None = "auto",
        prior: PriorName | NormalInverseWishart | None = None,
        weight_concentration: float = 1.0,
        noise: NoiseName | float | Callable[..., Any] | None = None,
        equal_weights: bool = False,
        order: Order | None = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.criterion = criterion
        self.n_jobs = n_jobs
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.random_state = random_state
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.break_symmetry = break_symmetry
        self.acceleration = acceleration
        self.sampling = sampling
        self.prior = prior
        self.weight_concentration = weight_concentration
        self.noise = noise
        self.equal_weights = equal_weights
        self.order = order

    @validated
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit every candidate and keep the best.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or blocks
            Rows, in any of the forms that `GaussianMixture` accepts.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), or blocks, default=None
            Weight of each row; 1 by default.

        Returns
        -------
        GaussianMixtureIC
            The estimator itself.

        Raises
        ------
        ValueError
            If X or a parameter is invalid, or if no candidate could be fitted.

        Warns
        -----
        ConvergenceWarning
            If EM stopped at `max_iter` in the selected fit.
        EMWarning
            If the selected fit is questionable, or if no candidate is sound.
        UnobservedPairWarning
            If two features were never observed in the same row.

        Notes
        -----
        The tasks of callbacks, set by ``set_callbacks`` with scikit-learn 1.9 or later, are the
        candidates and, within these, the starts and the iterations. If one of them asks to stop at
        the end of a candidate, the remaining ones are not fitted.
        """

        def observe(fit: Callable[[Task], Found], n_tasks: int) -> Found:
            return self._observed(fit, X, y, sample_weight, n_tasks, sequential=False)

        return self._fit_rows(X, sample_weight, observe, self._attributes_of)

    _own_fit = fit  # of `fit_predict`, whatever a subclass's `fit` is

    def _fit_rows(
        self,
        X: Any,
        sample_weight: Any,
        observe: Observe,
        so_far: CandidateAttributes | None,
    ) -> Self:
        """Fit to the rows of X within a task that `observe` begins and ends.

        `so_far` is the function `attributes` of the search.
        """
        with attributes.unchanged_by_errors(self), one_blas_thread():
            source = validation.source(self, X, sample_weight, reset=True, least=2)
            search, D = self._search(source), source.n_features
            given = families(self.covariance_type, D)
            pairs = [(K, distinct_families(given, K, D)) for K in self._numbers()]
            jobs = [(K, name) for K, first in pairs for name in dict.fromkeys(first.values())]

            def fit(task: Task) -> Found:
                own = replace(search, task=task, attributes=so_far)
                fits = self._fitted(own, jobs)
                candidates = [
                    replace(fits[K, one], covariance_type=other)
                    for K, first in pairs
                    for other, one in first.items()
                ]
                return self._keep(candidates)

            found = observe(fit, len(jobs) + 1)  # one for refinements
        issue(found)
        return self

    def _search(self, source: Source) -> Search:
        """Return the rows and settings that all candidates share."""
        starts = starts_of(self.init_params, noise=self.noise is not None)
        first, *others = map(SharedStart, starts)
        model = GaussianMixture(**self._passed_on())
        options = options_of(model, first, Given())
        if self._starts_automatically:
            options = replace(options, scheme=after_short_runs(options.scheme))
        if (self.tol, self.max_iter) == (TOL, MAX_ITER):
            options = replace(options, rules=replace(options.rules, negligible=NEGLIGIBLE))
        seed = self.random_state
        if not isinstance(seed, Integral):
            seed = check_random_state(seed).randint(np.iinfo(np.int32).max)
        verbose, interval = max(0, int(self.verbose) - 1), self.verbose_interval
        return Search(
            source, problem_of(model, Given()), options, others, int(seed), verbose, interval
        )

    @property
    def _starts_automatically(self) -> bool:
        return isinstance(self.init_params, str) and self.init_params == "auto"

    def _passed_on(self) -> dict[str, Any]:
        """Return parameters for `GaussianMixture`, which does not have 'auto'."""
        parameters = {name: getattr(self, name) for name in PASSED_ON}
        if self._starts_automatically:
            parameters["init_params"] = "hierarchical"
        return parameters

    def _fitted(self, search: Search, jobs: Sequence[Job]) -> Fits:
        """Return all candidates."""
        # Candidates share the results of the starts.
        run = Parallel(n_jobs=self.n_jobs or 1, require="sharedmem", return_as="generator")
        found: Fits = {}
        fits = run(delayed(fit_candidate)(search, i, *job) for i, job in enumerate(jobs))
        with closing(fits):
            for job, (candidate, stop) in zip(jobs, fits, strict=True):
                found[job] = candidate
                self._report(candidate, len(found), len(jobs))
                if stop:
                    return {job: found.get(job, Candidate(*job, failure=LEFT_OUT)) for job in jobs}
        task = search.task.subtask("refine", None, number=len(jobs))
        self._refine(replace(search, task=task), found)
        task.end()
        return found

    def _refine(self, search: Search, found: Fits) -> None:
        """Fit the best candidates from the alternative starts, and continue the best of all."""
        for job in self._in_order(found)[:FINALISTS]:
            for start in search.alternatives:
                fit = partial(better_from, search, found[job], start)
                found[job], stop = search.observe(found[job], fit, verbose=search.verbose)
                if stop:
                    return
        if math.isfinite(search.options.rules.negligible):
            self._continue_best(search, found)

    def _in_order(self, found: Fits) -> list[Job]:
        """Return the keys of the candidates with a fit, the best first."""
        ranks = ranked(list(found.values()), self.criterion)
        order = np.argsort(ranks, kind="stable")[: np.count_nonzero(np.isfinite(ranks))]
        return [list(found)[i] for i in order]

    def _continue_best(self, search: Search, found: Fits) -> None:
        """Continue the best candidate, while it is sound and has not converged, once each."""
        tried = set()
        while order := self._in_order(found):
            best = order[0]
            candidate = found[best]
            ended = candidate.converged or candidate.stopped
            if best in tried or ended or not candidate.sound:
                return
            tried.add(best)
            fit = partial(with_more_iterations, search, candidate)
            found[best], stop = search.observe(candidate, fit)
            if stop:
                return

    def _keep(self, candidates: list[Candidate]) -> Found:
        """Set the fitted attributes, and return the warnings.

        Raises
        ------
        ValueError
            If no candidate could be fitted.
        """
        ranks = ranked(candidates, self.criterion)
        if not np.isfinite(ranks).any():
            first = candidates[0]
            raise ValueError(
                f"None of the {len(candidates)} candidates could be fitted. The first, "
                f"n_components={first.n_components} with covariance_type="
                f"{first.covariance_type!r}: {first.failure}"
            )
        rows = [candidate.entries() for candidate in candidates]
        self.results_ = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        self.results_["rank"] = ranks
        self.best_index_ = int(np.nanargmin(ranks))
        best = candidates[self.best_index_]
        result = best.result
        assert result is not None
        model = self._model(best)
        attributes.adopt(model, result.mixture, result.em.source.device, **result.attributes())
        self.__dict__.update(_selected(best, model))
        if best.sound:
            return result.warnings
        nothing_sound = EMWarning(
            "No candidate is sound: in each of them components collapsed or starved, so that the "
            "criterion compares likelihoods that are not meaningful. Set prior='conjugate', or try "
            "fewer components and families with fewer parameters."
        )
        return [*result.warnings, nothing_sound]

    def _model(self, candidate: Candidate) -> GaussianMixture:
        """Return an estimator of the mixture of a candidate, which is not fitted."""
        own = {**_parameters(candidate), "random_state": self.random_state}
        model = GaussianMixture(**own, **self._passed_on())
        model.n_features_in_ = self.n_features_in_
        if hasattr(self, "feature_names_in_"):
            model.feature_names_in_ = self.feature_names_in_
        return model

    def _attributes_of(
        self, candidate: Candidate, device: Device | None, run: Run
    ) -> dict[str, Any]:
        """Return the fitted attributes as if a candidate had been selected after a run."""
        model = self._model(candidate)
        model.__dict__.update(attributes_of_fit(model, run, device))
        return _selected(candidate, model)

    def _report(self, candidate: Candidate, number: int, total: int) -> None:
        """Print the result of a candidate if `verbose` requires it."""
        if self.verbose:
            entries = candidate.entries()
            value = f"{self.criterion} {entries[self.criterion]:.6g}, {entries['ending']}"
            name = f"{entries['n_components']} {entries['covariance_type']}"
            print(f"[{number}/{total}] {name}: {entries['failure'] or value}")

    def _numbers(self) -> Iterator[int]:
        given: Any = self.n_components
        if isinstance(given, Iterator):
            raise ValueError(
                "n_components is an iterator, which only one fit can use: pass a list."
            )
        numbers = [given] if isinstance(given, Integral) else list(islice(given, MAX_NUMBERS + 1))
        if len(numbers) > MAX_NUMBERS:
            raise ValueError(
                f"n_components has more than {MAX_NUMBERS} numbers, each of which would be fitted: "
                "pass fewer, such as range(1, 10)."
            )
        whole = [k is not True and isinstance(k, Integral) and int(k) >= 1 for k in numbers]
        if not numbers or not all(whole):
            raise ValueError(
                f"n_components must be a positive integer or a list of them, but got {given!r}"
            )
        return map(int, numbers)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "best_estimator_")

    def _mixture(self) -> Mixture:
        check_is_fitted(self)
        return fitted_mixture(self.best_estimator_)

    def _derived(self, mixture: Mixture, features: list[int]) -> GaussianMixture:
        return self.best_estimator_._derived(mixture, features)

    def _constraints(self) -> Constraints:
        return self.best_estimator_._constraints()

    def _about_the_fit(self) -> dict[str, Any]:
        """Return how EM ended, remarks, and the best candidates."""
        return {
            **self.best_estimator_._about_the_fit(),
            "notes": notes(self.results_, self.best_index_),
            "candidates": {name: best_by(self.results_, name) for name in ("bic", "icl")},
        }

    def diagnose(self, X: Any, *, certify: bool = False, sample_weight: Any = None) -> Diagnosis:
        """Examine the selected mixture; see `GaussianMixture.diagnose`."""
        self._mixture()
        return self.best_estimator_.diagnose(X, certify=certify, sample_weight=sample_weight)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the selected model as JSON; `GaussianMixture.load` reads it."""
        self._mixture()
        self.best_estimator_.save(path)


def _parameters(candidate: Candidate) -> dict[str, Any]:
    names = ("n_components", "covariance_type")
    return {name: getattr(candidate, name) for name in names}


def _selected(best: Candidate, model: GaussianMixture) -> dict[str, Any]:
    """Return the attributes of a selection with the fitted model of its best candidate."""
    return {"best_params_": _parameters(best), "best_estimator_": model}


def fitted_in(
    task: Task, selection: GaussianMixtureIC, X: Any, sample_weight: Any
) -> GaussianMixtureIC:
    """Select a mixture for rows within a task of another estimator, and return the selection."""

    def observe(fit: Callable[[Task], Found], n_tasks: int) -> Found:
        own = task.subtask("class", n_tasks, sequential=False)
        try:
            found = fit(own)
        except ValueError:  # another fit may follow
            own.end()
            raise
        own.end()
        return found

    return selection._fit_rows(X, sample_weight, observe, None)


def search_of(selection: GaussianMixtureIC, source: Source) -> Search:
    """Return the rows and settings that all candidates of a selection share."""
    return selection._search(source)
