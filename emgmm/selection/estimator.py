"""Choosing: how many components, and which family, by a criterion of the fits themselves."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import _fit_context
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from emgmm import attributes, validation
from emgmm.acceleration import Scheme, after_short_runs
from emgmm.base import BaseMixture, fitted_mixture
from emgmm.covariances import FAMILIES, Family, family_names
from emgmm.diagnostics import Diagnosis
from emgmm.estimator import GaussianMixture
from emgmm.exceptions import EMWarning, issue
from emgmm.fitting.multistart import Given
from emgmm.fitting.problem import options_of, problem_of
from emgmm.initialization import AUTO, STARTS, auto, denoised, from_sample, start_of
from emgmm.mixture import Mixture
from emgmm.prior import NormalInverseWishart
from emgmm.selection.candidates import (
    CRITERIA,
    FINALISTS,
    NEGLIGIBLE,
    Candidate,
    Search,
    SharedStart,
    best_by,
    better_from,
    distinct_families,
    fit_candidate,
    notes,
    ranked,
    run_on,
)
from emgmm.sources import Source
from emgmm.threads import one_blas_thread
from emgmm.typing import Integers
from emgmm.validation import ARRAYS, Hidden, one_of, suggestion

# Parameters of GaussianMixture that every candidate gets; the others are about a single fit.
PASSED_ON = (
    *("tol", "reg_covar", "max_iter", "n_init", "init_params", "verbose_interval"),
    *("break_symmetry", "acceleration", "prior", "weight_concentration", "noise"),
)

# The defaults by which a candidate must also have next to nothing left to gain.
TOL, MAX_ITER = 1e-6, 1000

# The candidates that have been fitted, by their number of components and family.
Fits = dict[tuple[int, str | Family], Candidate]

# Attributes of the best fit that the choice has too.
OF_THE_BEST = ("weights_", "means_", "covariances_", "lower_bound_", "remaining_gain_")


class GaussianMixtureIC(BaseMixture):
    """Gaussian mixture whose number of components and family are chosen by a criterion.

    All pairs of `n_components` and `covariance_type` are fitted to the same rows, and the best is
    kept: the one with the lowest criterion among those that are sound, which means that no
    component collapsed or starved. Neither the units of X as a whole nor `n_jobs` have an influence
    on the choice; those of single columns have none in the families that are closed under scaling.

    Parameters
    ----------
    n_components : int or iterable of int, default=range(1, 10)
        Numbers of components to try.
    covariance_type : str, Family or list of these, default='all'
        Families to try, by `GaussianMixture`'s names; 'all' is R mclust's fourteen, or E and V for
        one feature.
    criterion : {'bic', 'aic', 'icl'}, default='bic'
        What is lowest in the model that is kept. 'bic' finds as many components as the density
        needs; 'icl' fewer, those that can be told apart; 'aic' more.
    n_jobs : int, default=None
        Candidates that are fitted at the same time, on threads; None is one. One fit to many rows
        keeps all cores busy by itself, and with few rows Python takes most of the time, which
        threads do not share.
    tol : float, default=1e-6
        EM may stop when the mean log-likelihood per row (in nats) changes by less in one iteration.
        With the defaults of `tol` and `max_iter`, less than 0.025 nats in total must also be left
        to gain, by Aitken's estimate; other values alone decide when a candidate ends.
    reg_covar : float, default=0
        Added to the diagonal of every covariance, in squared units of X. A candidate that meets a
        singular covariance could not be fitted, whereas a ridge would keep it among the others with
        a likelihood that means nothing.
    max_iter : int, default=1000
        Most iterations of a candidate. One that is ahead of all others that have converged may make
        ten times as many.
    n_init : int, default=1
        Starts of each candidate; the best is kept.
    init_params : {'auto', 'kmeans', 'k-means++', 'random', 'random_from_data', 'hierarchical', \
            'whitened-kmeans', 'short-runs'} or callable, default='auto'
        Where EM starts. 'auto' makes a few steps of EM from each of several starts that do not
        depend on units: mclust's hierarchical clusters, k-means on standardized columns and k-means
        on whitened rows. It goes on from the best, and where that leads to a fit that is not sound,
        from the others too. The other names are those of `GaussianMixture`. Clusters are found once
        for all families.
    random_state : int, RandomState instance or None, default=None
        Seed of the starts, the same for every candidate, and of `sample`.
    verbose : int, default=0
        1 prints a line for each candidate, more also what `GaussianMixture` prints with one less.
    acceleration : {'anderson'} or None, default='anderson'
        How EM is accelerated; None is plain EM.
    verbose_interval, break_symmetry, prior, weight_concentration, noise
        As for `GaussianMixture`. Parameters that are about a single fit (what it starts or goes on
        from, where it is kept) are not here.

    Attributes
    ----------
    results_ : dict of ndarray
        One entry for each candidate, ready for a DataFrame. ``n_components``, ``covariance_type``,
        ``bic``, ``aic``, ``icl``, ``log_likelihood`` (summed over rows), ``n_parameters``;
        ``sound``; ``converged``; ``n_iter``; ``remaining_gain``, Aitken's estimate in nats summed
        over rows; ``ending`` (its name); ``warnings`` (the names of their classes); ``time``
        (seconds); ``failure`` (why there is no fit, else empty; figures are then nan); ``reason``
        (why the candidate is set aside, else empty) and ``rank``: 1 is the best, sound candidates
        come before the others, and those without a fit have nan. With one component, families that
        are the same model have the same values.
    best_index_ : int
        Index of the candidate that was kept.
    best_params_ : dict
        Its ``n_components`` and ``covariance_type``.
    best_estimator_ : GaussianMixture
        Its fit.
    weights_, means_, covariances_, lower_bound_, remaining_gain_
        Those of that fit.
    n_features_in_ : int
        Number of features, D.
    feature_names_in_ : ndarray of str
        Names of the features, where X has them.

    See Also
    --------
    sklearn.model_selection.GridSearchCV : Chooses by the likelihood of held-out rows.

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
        covariance_type: str | Family | Iterable[str | Family] = "all",
        criterion: str = "bic",
        n_jobs: int | None = None,
        tol: float = TOL,
        reg_covar: float = 0.0,
        max_iter: int = MAX_ITER,
        n_init: int = 1,
        init_params: Any = "auto",
        random_state: Any = None,
        verbose: int = 0,
        verbose_interval: int = 10,
        break_symmetry: bool = True,
        acceleration: str | Scheme | None = "anderson",
        prior: str | NormalInverseWishart | None = None,
        weight_concentration: float = 1.0,
        noise: str | float | Callable[..., Any] | None = None,
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
        self.prior = prior
        self.weight_concentration = weight_concentration
        self.noise = noise

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,  # noqa: ARG002
        sample_weight: Any = None,
    ) -> GaussianMixtureIC:
        """Fit every candidate and keep the best.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or blocks
            Rows: whatever `GaussianMixture` takes.
        y : Ignored
            For scikit-learn's conventions.
        sample_weight : array-like of shape (n_samples,), or blocks, default=None
            What each row counts; 1 by default.

        Returns
        -------
        GaussianMixtureIC
            The estimator itself. The warnings of the fit that is kept are issued.

        Raises
        ------
        ValueError
            Where X or a parameter will not do, or no candidate could be fitted.
        """
        with attributes.unchanged_by_errors(self):
            with one_blas_thread():
                source = validation.source(self, X, sample_weight, reset=True, least=2)
                candidates = self._fitted(self._search(source))
            found = self._keep(candidates, source.n_features)
        issue(found)
        return self

    def _search(self, source: Source) -> Search:
        """What all candidates share."""
        by_default = (self.tol, self.max_iter) == (TOL, MAX_ITER)
        several, noise = self._starts_automatically, self.noise is not None
        if several:
            starts = [auto, *map(from_sample, AUTO)]
            starts = [denoised(start) for start in starts] if noise else starts
        else:
            starts = [start_of(self.init_params, noise=noise)]
        first, *others = map(SharedStart, starts)
        options = options_of(self, first, Given())
        seed = self.random_state
        if not isinstance(seed, Integral):
            seed = check_random_state(seed).randint(np.iinfo(np.int32).max)
        return Search(
            source,
            problem_of(self, FAMILIES["full"], 1),
            replace(
                options,
                scheme=after_short_runs(options.scheme) if several else options.scheme,
                negligible=NEGLIGIBLE if by_default else math.inf,
            ),
            others,
            int(seed),
            max(0, int(self.verbose) - 1),
            self.verbose_interval,
        )

    @property
    def _starts_automatically(self) -> bool:
        return isinstance(self.init_params, str) and self.init_params == "auto"

    def _passed_on(self) -> dict[str, Any]:
        """What `GaussianMixture` gets; it does not know 'auto'."""
        parameters = {name: getattr(self, name) for name in PASSED_ON}
        if self._starts_automatically:
            parameters["init_params"] = "hierarchical"
        return parameters

    def _fitted(self, search: Search) -> list[Candidate]:
        """All candidates, in the order of `results_`."""
        D = search.source.n_features
        families = self._families(D)
        pairs = [(K, distinct_families(families, K, D)) for K in self._numbers()]
        jobs = [(K, name) for K, first in pairs for name in dict.fromkeys(first.values())]
        run = Parallel(n_jobs=self.n_jobs or 1, prefer="threads", return_as="generator")
        found: Fits = {}
        fits = run(delayed(fit_candidate)(search, *job) for job in jobs)
        for job, candidate in zip(jobs, fits, strict=True):
            found[job] = candidate
            self._report(candidate, len(found), len(jobs))
        for job in self._in_order(found)[:FINALISTS]:
            for start in search.alternatives:
                found[job] = better_from(search, found[job], start)
        if math.isfinite(search.options.negligible):
            self._run_on(search, found)
        return [found[K, one].renamed(other) for K, first in pairs for other, one in first.items()]

    def _in_order(self, found: Fits) -> list[tuple[int, str | Family]]:
        """Candidates that have a fit, the best first."""
        ranks = ranked(list(found.values()), self.criterion)
        order = np.argsort(ranks, kind="stable")[: np.count_nonzero(np.isfinite(ranks))]
        return [list(found)[i] for i in order]

    def _run_on(self, search: Search, found: Fits) -> None:
        """Give sound candidates that are ahead of all converged ones more iterations."""
        tried = set()
        while order := self._in_order(found):
            best = order[0]
            if best in tried or found[best].converged or not found[best].sound:
                return
            tried.add(best)
            found[best] = run_on(search, found[best])

    def _keep(self, candidates: list[Candidate], n_features: int) -> Sequence[UserWarning]:
        """Set the fitted attributes; what must be warned of is returned.

        Raises
        ------
        ValueError
            Where no candidate could be fitted.
        """
        ranks = ranked(candidates, self.criterion)
        if not np.isfinite(ranks).any():
            first = candidates[0]
            raise ValueError(
                f"None of the {len(candidates)} candidates could be fitted. The first, "
                f"n_components={first.n_components} with covariance_type="
                f"{first.covariance_type!r}: {first.failure}"
            )
        lines = [candidate.line() for candidate in candidates]
        self.results_ = {name: np.array([line[name] for line in lines]) for name in lines[0]}
        self.results_["rank"] = ranks
        self.best_index_ = int(np.nanargmin(ranks))
        best = candidates[self.best_index_]
        result = best.result
        assert result is not None
        self.best_params_ = {
            "n_components": best.n_components,
            "covariance_type": best.covariance_type,
        }
        model = GaussianMixture(
            best.n_components,
            covariance_type=best.covariance_type,
            random_state=self.random_state,
            **self._passed_on(),
        )
        attributes.adopt(model, result.mixture, **result.attributes())
        model.n_features_in_ = n_features
        if hasattr(self, "feature_names_in_"):
            model.feature_names_in_ = self.feature_names_in_
        self.best_estimator_ = model
        for name in OF_THE_BEST:
            setattr(self, name, getattr(model, name))
        if best.sound:
            return result.warnings
        nothing_sound = EMWarning(
            "No candidate is sound: in each of them components collapsed or starved, so that the "
            "criterion compares likelihoods that mean nothing. Set prior='conjugate', or try fewer "
            "components and families with fewer parameters."
        )
        return [*result.warnings, nothing_sound]

    def _report(self, candidate: Candidate, number: int, total: int) -> None:
        """A candidate is done."""
        if self.verbose:
            line = candidate.line()
            value = f"{self.criterion} {line[self.criterion]:.6g}, {line['ending']}"
            found = line["failure"] or value
            print(f"[{number}/{total}] {line['n_components']} {line['covariance_type']}: {found}")

    def _numbers(self) -> Iterator[int]:
        given: Any = self.n_components
        if isinstance(given, Iterator):
            raise ValueError(
                "n_components is an iterator, which only one fit can use: give a list."
            )
        numbers: list[Any] = [given] if isinstance(given, Integral) else list(given)
        whole = [k is not True and isinstance(k, Integral) and int(k) >= 1 for k in numbers]
        if not numbers or not all(whole):
            raise ValueError(
                f"n_components must be a whole number from 1 up, or some of these, but is {given!r}"
            )
        return map(int, numbers)

    def _families(self, n_features: int) -> list[str | Family]:
        given = self.covariance_type
        if isinstance(given, str) and given == "all":
            return [*family_names(n_features)]
        found = [given] if isinstance(given, str | Family) else list(given)
        unknown = [one for one in found if not isinstance(one, Family) and one not in FAMILIES]
        if unknown or not found:
            raise ValueError(
                f"covariance_type must be 'all' or names among {', '.join(sorted(FAMILIES))}, but "
                f"is {given!r}.{suggestion(unknown[0], FAMILIES) if unknown else ''}"
            )
        return found

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Integers:
        """Fit to the rows of X and label them: ``fit(X).predict(X)``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            For scikit-learn's conventions.
        sample_weight : array-like of shape (n_samples,), default=None
            What each row counts; 1 by default.

        Returns
        -------
        ndarray of shape (n_samples,)
            Each row's most probable component; -1 is noise.
        """
        validation.whole(X)
        return self.fit(X, y, sample_weight).predict(X)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "best_estimator_")

    def _mixture(self) -> Mixture:
        check_is_fitted(self)
        return fitted_mixture(self.best_estimator_)

    def _about_the_fit(self) -> dict[str, Any]:
        """How EM ended, and which candidates were nearly as good."""
        return {
            **self.best_estimator_._about_the_fit(),
            "notes": notes(self.results_, self.best_index_),
            "candidates": {name: best_by(self.results_, name) for name in ("bic", "icl")},
        }

    def diagnose(self, X: Any, *, certify: bool = False, sample_weight: Any = None) -> Diagnosis:
        """Report on the mixture that was kept; see `GaussianMixture.diagnose`."""
        self._mixture()
        return self.best_estimator_.diagnose(X, certify=certify, sample_weight=sample_weight)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model that was kept as JSON; `GaussianMixture.load` reads it."""
        self._mixture()
        self.best_estimator_.save(path)
