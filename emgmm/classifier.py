"""`GaussianMixtureClassifier`: discriminant analysis by Gaussian mixtures."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils.validation import check_is_fitted

from emgmm import attributes, validation
from emgmm.acceleration import Scheme
from emgmm.base import fitted_mixture
from emgmm.callbacks import CallbackMixin, Task
from emgmm.classes import (
    Classes,
    TrainingRows,
    check_within_reach,
    fitted_classes,
    joint_mixture,
    log_densities,
    log_posterior,
    log_sum,
)
from emgmm.covariances import FAMILIES, Family
from emgmm.em import EM
from emgmm.estimator import GaussianMixture
from emgmm.exceptions import EMWarning, FailedFitError, issue
from emgmm.fitting.progress import Reporter
from emgmm.mixture import Mixture
from emgmm.parameters import Hidden, ValidationMixin, one_of
from emgmm.prediction import certainty, summed
from emgmm.prior import NormalInverseWishart
from emgmm.ridge import RidgeMixin
from emgmm.selection.candidates import (
    CRITERIA,
    LEFT_OUT,
    Candidate,
    Search,
    families,
    figures_of,
    ranked,
)
from emgmm.selection.estimator import MAX_ITER, TOL, GaussianMixtureIC, fitted_in, search_of
from emgmm.sources import ArraySource, Rows
from emgmm.sources.known import LabelRules
from emgmm.targets import classes_of, probabilities
from emgmm.threads import one_blas_thread
from emgmm.typing import Array, Sampling

SINGULAR = (
    "The covariance of {} is singular in every candidate, because a feature is constant or a "
    "linear function of others: a ridge of 1e-7 times the smallest variance of a feature was "
    "added. Leave such a feature out, set reg_covar or prior='conjugate', or allow families with "
    "fewer parameters."
)

# Parameters that are passed to the selection of each class.
PASSED_ON = (
    *("n_components", "covariance_type", "criterion", "n_jobs", "tol", "reg_covar", "max_iter"),
    *("n_init", "init_params", "random_state", "verbose", "verbose_interval", "break_symmetry"),
    *("acceleration", "sampling", "prior", "weight_concentration"),
)


class GaussianMixtureClassifier(
    RidgeMixin, CallbackMixin, ValidationMixin, ClassifierMixin, BaseEstimator
):
    """Classifier whose classes have Gaussian mixtures as densities.

    A row belongs to the class with the largest posterior probability, by Bayes' theorem.

    Parameters
    ----------
    n_components : int or iterable of int, default=1
        Number of components of each class. If several numbers are given, the criterion selects one
        for each class. Only 1 is possible with ``components="shared"``.
    covariance_type : str, Family or iterable of these, default='full'
        Covariance family, as in `GaussianMixture`; 'all' means all families of mclust. If several
        families are given, the criterion selects one for each class, or one for all classes with
        ``components="shared"``.
    components : {'separate', 'shared'}, default='separate'
        'separate' fits a mixture to the rows of each class (MclustDA; Hastie and Tibshirani 1996).
        'shared' fits one component to each class, with one family for the covariances of all
        classes (EDDA; Bensmail and Celeux 1996): 'EEE' is linear and 'VVV' quadratic discriminant
        analysis, and 'VVI' is naive Bayes.
    criterion : {'bic', 'aic', 'icl'}, default='bic'
        Criterion of the selection. With 'separate', it is computed for each class, from its own
        mixture and number of rows. With 'shared', it is computed from the density of all rows
        without their classes, and the proportions of the classes do not count as parameters, as in
        mclust.
    priors : array-like of shape (n_classes,), default=None
        Prior probabilities of the classes, in the order of `classes_`; by default the proportions
        of the classes in y by weight, or their estimates if there are unlabelled rows.
    unlabeled : object, default=None
        Value of y of rows whose class is not known. None and NaN always have this meaning. Such
        rows take part in the fit by EM, restricted to no class. -1 is a class, unless
        ``unlabeled=-1``.
    n_jobs, tol, reg_covar, max_iter, n_init, init_params, random_state, verbose, \
            verbose_interval, break_symmetry, acceleration, sampling, prior, weight_concentration
        Parameters of `GaussianMixtureIC`, with its defaults. `init_params` is used for classes with
        more than one component. With ``reg_covar=0``, families that are singular in a class, for
        example because it has fewer rows than they need, are left out. If none is left, a ridge of
        1e-7 times the smallest variance of a feature is used, with a warning.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Classes.
    class_prior_ : ndarray of shape (n_classes,)
        Prior probabilities of the classes.
    mixtures_ : list of GaussianMixture
        Fitted mixture of each class.
    results_ : dict of ndarray
        Candidates and their figures, as in `GaussianMixtureIC`. With 'separate', it contains the
        candidates of all classes, with a column ``class``, which are fitted to the labelled rows.
        ``failure`` is the reason why a family cannot be fitted, for example to a class with fewer
        rows than it needs.
    n_iter_ : int
        Number of iterations of EM, the largest one if several mixtures were selected.
    transduction_ : ndarray of shape (n_samples,)
        Class of each row of the fit: the one in y, or the predicted one of an unlabelled row.
    n_features_in_ : int
        Number of features, D.
    feature_names_in_ : ndarray of str
        Names of the features, if X has any.

    See Also
    --------
    GaussianMixture : Mixture whose ``fit`` takes the components of some rows as labels.
    sklearn.discriminant_analysis.LinearDiscriminantAnalysis : Classes with a common covariance.

    Notes
    -----
    Constraints on the parameters and the order of components, which `GaussianMixture` has, are left
    out because a mixture here serves only as the density of its class. There is no noise component
    either: rows with a class belong to it for certain, and a class with outliers can have a further
    component for them.

    References
    ----------
    Hastie and Tibshirani (1996), J. R. Stat. Soc. B 58:155, doi 10.1111/j.2517-6161.1996.tb02073.x.
    Bensmail and Celeux (1996), J. Am. Stat. Assoc. 91:1743, doi 10.1080/01621459.1996.10476746.
    Fraley and Raftery (2002), J. Am. Stat. Assoc. 97:611, doi 10.1198/016214502760047131.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from emgmm import GaussianMixtureClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = GaussianMixtureClassifier(covariance_type="all", components="shared").fit(X, y)
    >>> model.mixtures_[0].covariances_.shape, round(model.score(X, y), 2)
    ((1, 4, 4), 0.98)
    >>> model.predict([[5.0, 3.5, 1.5, 0.2]])
    array([0])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{
            name: GaussianMixtureIC._parameter_constraints[name]
            for name in PASSED_ON
            if name != "covariance_type"
        },
        "covariance_type": [one_of({"all", *FAMILIES}), Hidden(Family), Iterable],
        "components": [one_of({"separate", "shared"})],
        "criterion": [one_of(CRITERIA)],
        "priors": ["array-like", None],
        "unlabeled": [object, "boolean"],
    }

    def __init__(
        self,
        n_components: int | Iterable[int] = 1,
        *,
        covariance_type: str | Family | Iterable[str | Family] = "full",
        components: str = "separate",
        criterion: str = "bic",
        priors: Any = None,
        unlabeled: Any = None,
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
        sampling: Sampling | None = "auto",
        prior: str | NormalInverseWishart | None = None,
        weight_concentration: float = 1.0,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.components = components
        self.criterion = criterion
        self.priors = priors
        self.unlabeled = unlabeled
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> GaussianMixtureClassifier:
        """Estimate the densities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, with NaN where a value is missing.
        y : array-like of shape (n_samples,)
            Class of each row; None, NaN or `unlabeled` if it is not known.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; 1 by default.

        Returns
        -------
        GaussianMixtureClassifier
            The estimator itself.

        Raises
        ------
        ValueError
            If X, y or a parameter is invalid, or if a class cannot be fitted.

        Warns
        -----
        EMWarning
            If the mixture of a class is questionable, or required a ridge. With unlabelled rows,
            its components are numbered consecutively through the mixtures of all classes.

        Notes
        -----
        The tasks of callbacks, set by ``set_callbacks`` with scikit-learn 1.9 or later, are the
        classes and, within these, those of `GaussianMixtureIC`.
        """
        with attributes.unchanged_by_errors(self):
            rows = self._training_rows(X, y, sample_weight)
            self.classes_ = rows.classes
            shared = self.components == "shared"
            tried = families(self.covariance_type, self.n_features_in_) if shared else rows.classes
            n_tasks = len(tried) * (1 + self._may_add_a_ridge)
            n_tasks += not shared and not rows.all_known

            def fit(task: Task) -> Classes:
                with one_blas_thread():
                    found = (self._fit_shared if shared else self._fit_separate)(rows, task)
                self.__dict__.update(self._attributes_of(found))
                self.transduction_ = rows.classes[np.maximum(rows.codes, 0)]
                unknown = rows.codes < 0
                if unknown.any():
                    log_proba = log_posterior(self._log_joint_of(rows.rows.values[unknown]))
                    self.transduction_[unknown] = rows.classes[log_proba.argmax(axis=1)]
                return found

            found = self._observed(fit, X, y, sample_weight, n_tasks)
        # One of each kind, whatever the number of classes.
        issue({type(warning): warning for warning in reversed(found.warnings)}.values())
        return self

    def _attributes_of(self, found: Classes) -> dict[str, Any]:
        """Return the fitted attributes that the mixtures of all classes determine."""
        priors = found.proportions
        if self.priors is not None:
            priors = probabilities(self.priors, len(found.mixtures))
        mixtures = [self._estimator(mixture) for mixture in found.mixtures]
        return {"mixtures_": mixtures, "class_prior_": priors, "n_iter_": found.n_iter}

    def _training_rows(self, X: Any, y: Any, sample_weight: Any) -> TrainingRows:
        """Validate the rows, their weights and their classes."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        source = validation.source(self, X, sample_weight, reset=True, least=2)
        rows = source.sample(source.n_rows, np.random.RandomState(0))
        classes, codes = classes_of(y, self.unlabeled, len(rows.values))
        training = TrainingRows(rows, classes, codes)
        empty = np.flatnonzero(training.counts <= 0)
        if len(empty):
            raise ValueError(
                f"All rows of class {classes[empty[0]]} have the weight 0: drop the class, or "
                "give one of its rows a positive weight."
            )
        return training

    # -- one component per class, one family for all ----------------------------------------------
    def _fit_shared(self, rows: TrainingRows, task: Task) -> Classes:
        if not (isinstance(self.n_components, Integral) and self.n_components == 1):
            raise ValueError(
                f"n_components is {self.n_components!r}, but components='shared' has one component "
                "for each class: set n_components=1, or components='separate'."
            )
        candidates, warnings = self._shared_candidates(rows, self.reg_covar, task), []
        ridge = self._ridge(rows.rows)
        failed = (each.result is None and each.failure != LEFT_OUT for each in candidates)
        if ridge and all(failed):
            again = self._shared_candidates(rows, ridge, task)
            if any(candidate.result is not None for candidate in again):
                candidates, warnings = again, [EMWarning(SINGULAR.format("the classes"))]
        entries = [candidate.entries() for candidate in candidates]
        self.results_ = {name: np.array([row[name] for row in entries]) for name in entries[0]}
        self.results_["rank"] = ranks = ranked(candidates, self.criterion)
        if not np.isfinite(ranks).any():
            raise ValueError(f"No family could be fitted. {candidates[0].failure}")
        result = candidates[int(np.nanargmin(ranks))].result
        assert result is not None
        sizes, found = [1] * len(rows.classes), [*result.warnings, *warnings]
        return fitted_classes(result.run, sizes, found)

    def _shared_candidates(
        self, rows: TrainingRows, reg_covar: float, task: Task
    ) -> list[Candidate]:
        """Fit all families, until a callback asks to stop."""
        sizes = [1] * len(rows.classes)
        search = replace(
            search_of(self._selection(reg_covar), rows.source(LabelRules(len(sizes)))),
            task=task,
            attributes=lambda _, __, run: self._attributes_of(fitted_classes(run, sizes)),
        )
        plain, candidates, stop = rows.source(), [], False
        for family in families(self.covariance_type, plain.n_features):
            candidate = Candidate(len(sizes), family, failure=LEFT_OUT if stop else "")
            if not stop:
                fit = partial(self._shared_candidate, search, plain, candidate)
                candidate, stop = search.observe(candidate, fit)
            candidates.append(candidate)
        return candidates

    def _shared_candidate(
        self, search: Search, plain: ArraySource, candidate: Candidate, reporter: Reporter
    ) -> Candidate:
        """Fit one component to each class, and evaluate the density of the rows without classes."""
        n_classes = candidate.n_components
        try:
            result = search.fit(candidate, search.options, reporter=reporter)
        except ValueError as error:
            reporter.close()
            return replace(candidate, failure=str(error))
        mixture = result.mixture
        seen = EM(plain, result.em.m_step, n_classes).expect(mixture)
        n_parameters = mixture.n_parameters - (n_classes - 1)
        total = summed(mixture, plain, certainty)
        return replace(
            candidate, result=result, figures=figures_of(result, seen, n_parameters, total)
        )

    # -- a mixture for each class -----------------------------------------------------------------
    def _fit_separate(self, rows: TrainingRows, task: Task) -> Classes:
        # An invalid covariance_type is an error that does not concern a single class.
        families(self.covariance_type, rows.rows.values.shape[1])
        reg_covar, singular = self.reg_covar, []
        selections, tables = [], []
        found: list[Warning] = []
        for code, name in enumerate(rows.classes):
            own = rows.rows.take(np.flatnonzero(rows.codes == code))

            def fit(reg_covar: float, own: Rows = own) -> GaussianMixtureIC:
                return fitted_in(task, self._selection(reg_covar), own.values, own.weights)

            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    selection, has_ridge = self._fitted_with_ridge(fit, rows.rows, ValueError)
                except ValueError as error:
                    raise ValueError(f"Class {name}: {error}") from None
                if has_ridge:
                    singular.append(str(name))
                    reg_covar = selection.reg_covar
            found += [each.message for each in caught if isinstance(each.message, Warning)]
            selections.append(selection)
            table = selection.results_
            tables.append({"class": np.repeat(rows.classes[[code]], len(table["bic"])), **table})
        self.results_ = {
            name: np.concatenate([table[name] for table in tables]) for name in tables[0]
        }
        proportions = rows.counts / rows.counts.sum()
        mixtures = [fitted_mixture(selection) for selection in selections]
        kind = "class" if len(singular) == 1 else "classes"
        named = f"{kind} {', '.join(singular)}"
        if singular:
            found.insert(0, EMWarning(SINGULAR.format(named)))
        if rows.all_known:
            n_iter = max(selection.best_estimator_.n_iter_ for selection in selections)
            return Classes(mixtures, proportions, n_iter, found)
        selection = self._selection(reg_covar)
        return self._refit(rows, mixtures, proportions, selection, task).with_warnings(found)

    def _refit(
        self,
        rows: TrainingRows,
        mixtures: list[Mixture],
        proportions: Array,
        selection: GaussianMixtureIC,
        task: Task,
    ) -> Classes:
        """Fit the mixtures of all classes together, by EM from those of the labelled rows."""
        sizes = [mixture.n_components for mixture in mixtures]
        joint = joint_mixture(mixtures, proportions)
        class_of = np.repeat(np.arange(len(sizes)), sizes)
        allowed = class_of == np.arange(len(sizes))[:, None]
        rules = LabelRules(len(class_of), components=allowed)
        search = search_of(selection, rows.source(rules))
        candidate = Candidate(len(class_of), joint.family)
        own = task.subtask(
            "all-classes", 1, attributes=lambda run: self._attributes_of(fitted_classes(run, sizes))
        )
        reporter = own.reporter(0, 1)
        try:
            result = search.fit(candidate, search.options, initial=joint, reporter=reporter)
        except FailedFitError as error:
            raise ValueError(
                f"The fit with unlabelled rows failed, in which the components of all classes are "
                f"numbered consecutively: {error}"
            ) from None
        own.end(lambda: result.run)
        return fitted_classes(result.run, sizes, result.warnings)

    def _selection(self, reg_covar: float) -> GaussianMixtureIC:
        """Return a selection with the parameters, except for `reg_covar`."""
        passed_on = {name: getattr(self, name) for name in PASSED_ON}
        return GaussianMixtureIC(**{**passed_on, "reg_covar": reg_covar})

    def _estimator(self, mixture: Mixture) -> GaussianMixture:
        """Return a fitted estimator of the mixture of a class."""
        model = GaussianMixture(mixture.n_components, covariance_type=mixture.family)
        if mixture.family in FAMILIES.values():
            model.set_params(covariance_type=mixture.family.name)
        attributes.adopt(model, mixture, **attributes.without_fit())
        model.n_features_in_ = mixture.n_features
        if hasattr(self, "feature_names_in_"):
            model.feature_names_in_ = self.feature_names_in_
        return model

    # -- prediction -------------------------------------------------------------------------------
    def _log_joint(self, X: Any) -> Array:
        """Return the log of the prior probability times the density of each class, (n, C)."""
        check_is_fitted(self)
        source = validation.source(self, X, reset=False)
        return self._log_joint_of(source.sample(source.n_rows, np.random.RandomState(0)).values)

    def _log_joint_of(self, rows: Array) -> Array:
        """Return the same of an array of rows."""
        n_classes = len(self.classes_)
        if len(self.mixtures_) != n_classes:
            raise ValueError(
                f"mixtures_ has {len(self.mixtures_)} entries, but there are {n_classes} classes: "
                "set one for each, or fit again."
            )
        with np.errstate(divide="ignore"):
            log_priors = np.log(probabilities(self.class_prior_, n_classes, "class_prior_"))
        columns = [log_densities(fitted_mixture(model), rows) for model in self.mixtures_]
        return np.column_stack(columns) + log_priors

    def score_samples(self, X: Any) -> Array:
        """Compute the log-density of each row, whatever its class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, with NaN where a value is missing.

        Returns
        -------
        ndarray of shape (n_samples,)
            Natural logarithms of the sum over the classes of prior probability times density.
        """
        return log_sum(self._log_joint(X))

    def decision_function(self, X: Any) -> Array:
        """Compute the logarithms of the prior probability times the density of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, with NaN where a value is missing.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) with two classes
            These logarithms; with two classes, that of the second minus that of the first.

        Raises
        ------
        ValueError
            If there are two classes and the density of a row underflows in both.
        """
        log_joint = self._log_joint(X)
        if len(self.classes_) > 2:
            return log_joint
        check_within_reach(log_joint.max(axis=1))
        return log_joint[:, 1] - log_joint[:, 0]

    def predict_log_proba(self, X: Any) -> Array:
        """Compute the logarithm of `predict_proba`, accurate where probabilities underflow.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, with NaN where a value is missing.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Logarithms of the posterior probabilities of the classes.

        Raises
        ------
        ValueError
            If a row is so far from all classes that its density underflows in each of them.
        """
        return log_posterior(self._log_joint(X))

    def predict_proba(self, X: Any) -> Array:
        """Compute the posterior probability of each class for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, with NaN where a value is missing.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities in the order of `classes_`; each row sums to one.
        """
        with np.errstate(under="ignore"):
            probabilities: Array = np.exp(self.predict_log_proba(X))
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the most probable class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, with NaN where a value is missing.

        Returns
        -------
        ndarray of shape (n_samples,)
            Classes.
        """
        codes = self.predict_log_proba(X).argmax(axis=1)
        return self.classes_[codes]

    def n_parameters(self) -> int:
        """Count the free parameters of the densities, without the proportions of the classes.

        Returns
        -------
        int
            Number of free parameters, as in R's mclust.
        """
        check_is_fitted(self)
        if "class" in self.results_:  # a mixture was selected for each class
            return sum(model.n_parameters() for model in self.mixtures_)
        return int(self.results_["n_parameters"][np.nanargmin(self.results_["rank"])])
