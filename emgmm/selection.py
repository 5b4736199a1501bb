"""Choosing: how many components, and which family, by a criterion of the fits themselves."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from numbers import Integral
from threading import Lock
from typing import Any, ClassVar

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import rankdata
from sklearn.base import _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from emgmm import door
from emgmm.criteria import ComparableEstimator
from emgmm.estimator import GaussianMixture
from emgmm.families import FAMILIES, all_for
from emgmm.mixture import Mixture
from emgmm.notices import frames_to_user
from emgmm.prediction import Certainty
from emgmm.prior import NormalInverseWishart
from emgmm.sources import Rows, Source
from emgmm.starts import Assignment, Start
from emgmm.threads import one_blas_thread
from emgmm.typing import Integers

# Of GaussianMixture's parameters, what every candidate gets; the others speak of one fit.
PASSED_ON = (
    *("tol", "reg_covar", "max_iter", "n_init", "init_params", "verbose_interval"),
    *("break_symmetry", "acceleration", "prior", "weight_concentration", "noise"),
)
CRITERIA = ("bic", "aic", "icl")


class SharedStart:
    """A start that is made once for all fits to the same rows that ask for the same.

    What a start says depends on the rows, the number of components and the random numbers; so of
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


class Candidate(GaussianMixture):
    """A fit of the grid: GaussianMixture's own, from a start that others may have made."""

    shared: Start

    def _start(self) -> Start:
        return self.shared


@dataclass(frozen=True, eq=False)
class Fit:
    """What came of a candidate: a line of `results_`, and the model unless it failed."""

    line: dict[str, Any]
    model: GaussianMixture | None = None
    said: tuple[UserWarning, ...] = ()


def fitted(candidate: Candidate, source: Source) -> Fit:
    """Fit a candidate to the rows of a source and judge it by them."""
    begun = time.perf_counter()
    line = {
        "n_components": candidate.n_components,
        "covariance_type": candidate.covariance_type,
        **dict.fromkeys((*CRITERIA, "log_likelihood", "n_parameters"), np.nan),
        **dict.fromkeys(("ending", "warnings", "failure"), ""),
    }
    try:
        with candidate._generator() as random:
            said = candidate._climb(source, random)
    except ValueError as error:
        return Fit({**line, "failure": str(error), "time": time.perf_counter() - begun})
    model = GaussianMixture(**candidate.get_params(deep=False))
    model.__dict__.update(candidate._fitted())
    mixture, stream = model._mixture(), model._stream
    log_likelihood = stream.statistics.log_likelihood * stream.weight
    free = mixture.n_parameters
    bic = -2 * log_likelihood + free * np.log(stream.weight)
    certainty = Certainty(mixture, source.likely_rows)
    certain = source.sum(certainty, certainty.form.block_rows)
    line |= {
        "bic": bic,
        "aic": -2 * log_likelihood + 2 * free,
        "icl": bic - 2 * certain,
        "log_likelihood": log_likelihood,
        "n_parameters": free,
        "ending": model.ending_.name,
        "warnings": ", ".join(dict.fromkeys(type(warning).__name__ for warning in said)),
        "time": time.perf_counter() - begun,
    }
    return Fit(line, model, tuple(said))


class GaussianMixtureIC(ComparableEstimator):
    """Gaussian mixture whose number of components and family are chosen by a criterion.

    All pairs of `n_components` and `covariance_type` are fitted to the same rows, each as
    `GaussianMixture` with the same seed would be; fits with as many components share one start.
    The one with the lowest criterion is kept, and predicts.

    Parameters
    ----------
    n_components : int or iterable of int, default=range(1, 10)
        Numbers of components to try.
    covariance_type : str or list of str, default='all'
        Families to try, by `GaussianMixture`'s names; 'all' is R mclust's fourteen, or E and V for
        one feature.
    criterion : {'bic', 'aic', 'icl'}, default='bic'
        What is lowest in the model that is kept. 'bic' finds as many components as the density
        needs; 'icl' fewer, those that can be told apart; 'aic' more.
    n_jobs : int, default=None
        Candidates under way at the same time, on threads; None is one. The results do not depend on
        it. One fit to many rows keeps all cores busy by itself; with few rows Python is what takes
        the time, which threads do not share.
    tol, reg_covar, max_iter, n_init, init_params : default as for `GaussianMixture`
        Of every candidate; a callable `init_params` is called once for each number of components
        and start.
    random_state : int, RandomState instance or None, default=None
        Of the starts, the same for every candidate, and of `sample`.
    verbose : int, default=0
        1 prints a line for each candidate, more also what `GaussianMixture` prints with one less.
    verbose_interval, break_symmetry, acceleration, prior : default as for `GaussianMixture`
        Of every candidate.
    weight_concentration, noise : default as for `GaussianMixture`
        Of every candidate. Parameters that speak of one fit (what it starts from, goes on from, or
        is kept in) are not here.

    Attributes
    ----------
    results_ : dict of ndarray
        One entry for each candidate: ``n_components``, ``covariance_type``, ``bic``, ``aic``,
        ``icl``, ``log_likelihood`` (the sum over rows), ``n_parameters``, ``ending`` (its name),
        ``warnings`` (the names of their classes), ``time`` (seconds), ``failure`` (why there is no
        fit, else empty; figures are then nan) and ``rank`` (1 is the best). Ready for a DataFrame.
    best_index_ : int
        Of the candidate that was kept.
    best_params_ : dict
        Its ``n_components`` and ``covariance_type``.
    best_estimator_ : GaussianMixture
        Its fit.
    n_features_in_ : int
        Number of features, D.
    feature_names_in_ : ndarray of str
        Names of the features, where X has them.

    See Also
    --------
    GaussianMixture : One candidate.
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
    >>> chosen = GaussianMixtureIC(range(1, 5), tol=1e-6, max_iter=1000, random_state=0).fit(X)
    >>> chosen.best_params_
    {'n_components': 3, 'covariance_type': 'EEE'}
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Integral, Iterable],
        "covariance_type": [StrOptions({"all", *FAMILIES}), Iterable],
        "criterion": [StrOptions(set(CRITERIA))],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        **{name: GaussianMixture._parameter_constraints[name] for name in PASSED_ON},
    }

    def __init__(
        self,
        n_components: int | Iterable[int] = range(1, 10),
        *,
        covariance_type: str | Iterable[str] = "all",
        criterion: str = "bic",
        n_jobs: int | None = None,
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str | Callable[..., Any] = "kmeans",
        random_state: Any = None,
        verbose: int = 0,
        verbose_interval: int = 10,
        break_symmetry: bool = True,
        acceleration: str | None = None,
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
        names = dict(vars(self))
        try:
            with one_blas_thread():
                source = door.source(self, X, sample_weight, reset=True, least=2)
                source.feature_names = getattr(self, "feature_names_in_", None)
                best, lines = self._best_of(source, self._candidates(source.n_features))
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(names)
            raise
        model = best.model
        assert model is not None
        self.results_ = {name: np.array([line[name] for line in lines]) for name in lines[0]}
        criterion = self.results_[self.criterion]
        self.results_["rank"] = rankdata(criterion, method="min", nan_policy="omit")
        self.best_index_ = lines.index(best.line)
        self.best_params_ = {name: best.line[name] for name in ("n_components", "covariance_type")}
        self.best_estimator_ = model
        for warning in best.said:
            warnings.warn(warning, stacklevel=frames_to_user())
        return self

    def _best_of(
        self, source: Source, candidates: list[Candidate]
    ) -> tuple[Fit, list[dict[str, Any]]]:
        """The best fit, of equals the first, and what came of all."""
        best: Fit | None = None
        lines = []
        jobs = (delayed(fitted)(candidate, source) for candidate in candidates)
        run = Parallel(n_jobs=self.n_jobs or 1, prefer="threads", return_as="generator")
        for number, one in enumerate(run(jobs), start=1):
            lines.append(one.line)
            self._heard(one.line, number, len(candidates))
            value = one.line[self.criterion]
            if one.model is not None and (best is None or value < best.line[self.criterion]):
                best = one
        if best is None:
            first = lines[0]
            raise ValueError(
                f"None of the {len(lines)} candidates could be fitted. The first, n_components="
                f"{first['n_components']} with covariance_type={first['covariance_type']!r}: "
                f"{first['failure']}"
            )
        return best, lines

    def _heard(self, line: dict[str, Any], number: int, total: int) -> None:
        """A candidate is done."""
        if not self.verbose:
            return
        said = line["failure"] or f"{self.criterion} {line[self.criterion]:.6g}, {line['ending']}"
        print(f"[{number}/{total}] {line['n_components']} {line['covariance_type']}: {said}")

    def _candidates(self, n_features: int) -> list[Candidate]:
        seed = self.random_state
        if not isinstance(seed, Integral):
            seed = check_random_state(seed).randint(np.iinfo(np.int32).max)
        passed: dict[str, Any] = {name: getattr(self, name) for name in PASSED_ON}
        passed |= {"random_state": seed, "verbose": max(0, int(self.verbose) - 1)}
        shared = SharedStart(GaussianMixture(**passed)._start())
        found = []
        for n_components in self._numbers():
            for name in self._families(n_features):
                candidate = Candidate(n_components, covariance_type=name, **passed)
                candidate.shared = shared
                candidate.n_features_in_ = n_features
                if hasattr(self, "feature_names_in_"):
                    candidate.feature_names_in_ = self.feature_names_in_
                found.append(candidate)
        return found

    def _numbers(self) -> Iterator[int]:
        given: Any = self.n_components
        numbers: list[Any] = [given] if isinstance(given, Integral) else list(given)
        if not numbers or not all(isinstance(k, Integral) and int(k) >= 1 for k in numbers):
            raise ValueError(
                f"n_components must be a whole number from 1 up, or some of these, but is {given!r}"
            )
        return map(int, numbers)

    def _families(self, n_features: int) -> list[str]:
        given = self.covariance_type
        if given == "all":
            return all_for(n_features)
        names = [given] if isinstance(given, str) else list(given)
        unknown = [name for name in names if name not in FAMILIES]
        if unknown or not names:
            raise ValueError(
                f"covariance_type must be 'all' or names among {', '.join(FAMILIES)}, but is "
                f"{given!r}"
            )
        return names

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
        door.whole(X)
        return self.fit(X, y, sample_weight).predict(X)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "best_estimator_")

    def _mixture(self) -> Mixture:
        check_is_fitted(self)
        return self.best_estimator_._mixture()
