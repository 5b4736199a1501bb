"""`BaseMixture`: the methods of every estimator that holds a fitted mixture."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state

from emgmm import attributes, prediction, validation
from emgmm.callbacks import CallbackMixin
from emgmm.constraints import FREE, Constraints
from emgmm.devices import check_same_device, device_of
from emgmm.diagnostics import MixtureSummary, gain_ahead, is_cheap
from emgmm.em import EM
from emgmm.exceptions import issue
from emgmm.fitting.messages import MAX_GAIN_IN_TOTAL, stopped_short
from emgmm.mixture import Mixture
from emgmm.mstep import MStep
from emgmm.parameters import ValidationMixin, count, number
from emgmm.sources import ArraySource
from emgmm.statistics import Statistics, criteria
from emgmm.threads import one_blas_thread, one_blas_thread_for
from emgmm.typing import Array, Integers, RandomState

# Relative difference below which the log-likelihood of rows is the one that was fitted.
SAME = 1e-12


class BaseMixture(CallbackMixin, ValidationMixin, DensityMixin, BaseEstimator, ABC):
    """An estimator that holds a mixture once it is fitted."""

    _own_fit: Callable[..., Any]
    random_state: RandomState
    reg_covar: float
    weights_: Array
    means_: Array
    covariances_: Array
    lower_bound_: float
    remaining_gain_: float
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.array_api_support = True
        return tags

    def __sklearn_array_api_convert__(self, converter: Callable[[Any], Any]) -> Self:
        """Return a copy whose mixture is on another device, for scikit-learn."""
        moved = copy(self)
        for name, value in vars(self).items():
            if name in attributes.ARRAYS and value is not None:
                setattr(moved, name, converter(value))
            elif isinstance(value, BaseMixture):
                setattr(moved, name, value.__sklearn_array_api_convert__(converter))
        return moved

    @abstractmethod
    def _mixture(self) -> Mixture:
        """Return the fitted mixture, or raise `NotFittedError`."""

    def _constraints(self) -> Constraints:
        """Return the constraints on the parameters of the fitted mixture."""
        return FREE

    def _row_by_row(
        self,
        X: Any,
        function: Callable[..., Any],
        *shape: int,
        method: str,
        dtype: Any = None,
        mixture: Mixture | None = None,
    ) -> Any:
        mixture = self._mixture() if mixture is None else mixture
        check_same_device(self, X, method)
        source = validation.source(self, X, reset=False)
        with one_blas_thread_for(source.n_rows_hint * mixture.means.size * mixture.n_features):
            return prediction.row_by_row(mixture, source, function, *shape, dtype=dtype)

    def _of_densities(self, X: Any, function: Callable[..., Any], method: str) -> Any:
        mixture = self._mixture()
        return self._row_by_row(X, function, mixture.n_densities, method=method, mixture=mixture)

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Integers:
        """Fit to the rows of X and predict their components: ``fit(X).predict(X)``.

        As in scikit-learn, this does not call a `fit` that a subclass overrides, so that such a
        `fit` can call this method.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; 1 by default. A weight of 2 is the row twice, and 0 is no row.

        Returns
        -------
        ndarray of shape (n_samples,)
            Most probable component of each row; -1 means noise.

        Raises
        ------
        TypeError
            If X is `blocks`: call ``fit``, and then ``predict``, which returns an iterator.
        """
        return self._fit_predict(X, y, sample_weight)

    def _fit_predict(self, X: Any, *others: Any) -> Integers:
        validation.whole(X)
        self._own_fit(X, *others)
        return self._row_by_row(X, prediction.labels, method="fit_predict", dtype=np.int64)

    def predict(self, X: Any) -> Integers:
        """Predict the most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or blocks
            Rows, with NaN where a value is missing.

        Returns
        -------
        ndarray of shape (n_samples,)
            Components, 0 to K - 1; -1 means noise.
            For `blocks`, an iterator over one such array per block.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical"
        ... )
        >>> model.predict([[1.0], [3.0]])
        array([0, 1])
        """
        return self._row_by_row(X, prediction.labels, method="predict", dtype=np.int64)

    def predict_proba(self, X: Any) -> Array:
        """Compute the responsibility of each component for each row; noise is the last column.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or blocks
            Rows, with NaN where a value is missing.

        Returns
        -------
        ndarray of shape (n_samples, K), or (n_samples, K + 1) with noise
            Probabilities; each row sums to one.
            For `blocks`, an iterator over one such array per block.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical"
        ... )
        >>> model.predict_proba([[2.0], [0.0]]).round(3)
        array([[0.5, 0.5],
               [1. , 0. ]])
        """
        return self._of_densities(X, prediction.responsibilities, "predict_proba")

    def predict_log_proba(self, X: Any) -> Array:
        """Compute the logarithm of `predict_proba`, which is exact where probabilities underflow.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or blocks
            Rows, with NaN where a value is missing.

        Returns
        -------
        ndarray of shape (n_samples, K), or (n_samples, K + 1) with noise
            Log-probabilities.
            For `blocks`, an iterator over one such array per block.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit.
        """
        return self._of_densities(X, prediction.log_responsibilities, "predict_log_proba")

    def component_log_prob(self, X: Any, *, weighted: bool = False) -> Array:
        """Compute the log-density of each component for each row; noise is the last column.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), blocks or Dask
            Rows, with NaN where a value is missing; the density is that of the observed values.
        weighted : bool, default=False
            Whether to add the logarithms of the weights. `score_samples` is then the log-sum-exp
            over the components, and `predict` the component with the largest value.

        Returns
        -------
        ndarray of shape (n_samples, K), or (n_samples, K + 1) with noise
            Log-densities log N(x; mu_k, Sigma_k), plus log pi_k if `weighted`.
            For `blocks`, an iterator over one such array per block; for Dask, a Dask array.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical"
        ... )
        >>> model.component_log_prob([[0.0], [2.0]]).round(3)
        array([[-0.919, -8.919],
               [-2.919, -2.919]])
        """
        mixture = self._mixture() if weighted else self._mixture().without_weights
        K, method = mixture.n_densities, "component_log_prob"
        return self._row_by_row(X, prediction.log_joint, K, method=method, mixture=mixture)

    def score_samples(self, X: Any) -> Array:
        """Compute the log-density of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or blocks
            Rows, with NaN where a value is missing.

        Returns
        -------
        ndarray of shape (n_samples,)
            Natural logarithms of the density.
            For `blocks`, an iterator over one such array per block.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical"
        ... )
        >>> model.score_samples([[0.0], [2.0]]).round(3)
        array([-1.612, -2.919])
        """
        return self._row_by_row(X, prediction.log_density, method="score_samples")

    def impute(self, X: Any, *, sample: bool = False, random_state: RandomState = None) -> Array:
        """Fill in missing values by their conditional expectation, or by a draw.

        Imputed values are meant for inspection and for tools that require complete rows. `fit`
        does not need them: a fit to conditional means underestimates the covariances. The noise
        component is ignored, as it carries no information about missing values.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), blocks or Dask
            Rows, with NaN where a value is missing.
        sample : bool, default=False
            Whether to draw from the conditional distribution instead of taking its mean.
        random_state : int, RandomState instance or None, default=None
            Seed of the draw; None uses the constructor's.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Rows in which observed values are unchanged. For `blocks`, an iterator over such arrays;
            for Dask, a Dask array.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit.
        TypeError
            If a draw is requested for a Dask array or blocks of unknown length.

        References
        ----------
        Ghahramani and Jordan (1994), Advances in Neural Information Processing Systems 6:120.

        Examples
        --------
        >>> import numpy as np
        >>> from emgmm import GaussianMixture
        >>> X = np.array([[0.0, 0.1], [1.0, 0.9], [2.0, 2.1], [3.0, 2.9], [4.0, np.nan]])
        >>> GaussianMixture(reg_covar=0).fit(X).impute(X)[-1].round(1)
        array([4. , 3.9])
        """
        mixture = self._mixture()
        check_same_device(self, X, "impute")
        source = validation.source(self, X, reset=False)
        chosen = self.random_state if random_state is None else random_state
        with one_blas_thread():
            if sample:
                return prediction.draw(mixture, source, check_random_state(chosen))
            return prediction.impute(mixture, source)

    def sample(
        self, n_samples: int = 1, random_state: RandomState = None
    ) -> tuple[Array, Integers]:
        """Draw random rows from the fitted mixture.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Seed of the draw; None uses the constructor's, so that an integer there gives the same
            rows at every call.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Rows in float64, grouped by component.
        y : ndarray of shape (n_samples,)
            Component of each row; -1 means noise.

        Raises
        ------
        ValueError
            If `n_samples` is below 1, or if a row of noise must be drawn that has no distribution,
            as it was given as a constant density or a function.
        TypeError
            If `n_samples` is not an integer.
        NotFittedError
            If the estimator is not fitted.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical"
        ... )
        >>> X, y = model.sample(5, random_state=0)
        >>> X.shape, y
        ((5, 1), array([0, 0, 0, 1, 1]))
        """
        mixture = self._mixture()
        n_rows = count(n_samples, "n_samples")
        validation.check_drawable(n_rows, mixture.n_features)
        chosen = self.random_state if random_state is None else random_state
        rows, labels = mixture.sample(n_rows, check_random_state(chosen))
        device = device_of(self.means_)
        if device is None:
            return rows, labels
        return device.from_host(rows), device.from_host(labels)

    def _em(self, X: Any, sample_weight: Any, method: str) -> EM:
        """Return EM's map over the rows of X."""
        mixture = self._mixture()
        check_same_device(self, X, method)
        source = validation.source(self, X, sample_weight, reset=False)
        return EM(source, MStep(mixture.family, 0.0, source.dtype), mixture.n_components)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:  # noqa: ARG002
        """Compute the mean log-density of the rows.

        For the fitted X it equals `lower_bound_`, unless there is a prior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), blocks or Dask
            Rows.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; 1 by default.

        Returns
        -------
        float
            Mean log-density in nats per row; higher is better.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit, or if `sample_weight`
            is not one finite, non-negative weight per row.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical"
        ... )
        >>> round(model.score([[0.0], [4.0]]), 3)
        -1.612
        """
        with one_blas_thread():  # the same sum, in the same order, as in `fit`
            return self._em(X, sample_weight, "score").expect(self._mixture()).objective

    def n_parameters(self) -> int:
        """Count the free parameters: weights, means and covariances, and 2 for noise.

        Noise counts for its weight and its density, as in R's mclust. Parameters that `fixed` or
        `equal_weights` determine are not free.

        Returns
        -------
        int
            Number of free parameters.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical"
        ... )
        >>> model.n_parameters()  # a weight, two means, two variances
        5
        """
        return self._constraints().n_parameters(self._mixture())

    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Compute Akaike's information criterion, -2 log L + 2 n_parameters; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), blocks or Dask
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; 1 by default.

        Returns
        -------
        float
            The criterion.

        Warns
        -----
        StoppedShortWarning
            If X is the fitted data and EM stopped more than half a nat below the maximum that it
            was approaching.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit, or if `sample_weight`
            is not one finite, non-negative weight per row.

        References
        ----------
        Akaike (1974), IEEE Trans. Autom. Control 19:716, doi 10.1109/TAC.1974.1100705.
        """
        return self._criterion("aic", X, sample_weight)

    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Compute the Bayesian information criterion, -2 log L + n_parameters log n.

        Lower is better. n is the number of rows, or the sum of their weights. The latter is right
        if a weight is a number of identical rows, but not if it expresses how reliable a row is.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), blocks or Dask
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; 1 by default.

        Returns
        -------
        float
            The criterion.

        Warns
        -----
        StoppedShortWarning
            If X is the fitted data and EM stopped more than half a nat below the maximum that it
            was approaching.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit, or if `sample_weight`
            is not one finite, non-negative weight per row.

        References
        ----------
        Schwarz (1978), Ann. Statist. 6:461, doi 10.1214/aos/1176344136.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical"
        ... )
        >>> round(model.bic([[0.0], [1.0], [4.0], [5.0]]), 2)
        21.79
        """
        return self._criterion("bic", X, sample_weight)

    def icl(self, X: Any, sample_weight: Any = None) -> float:
        """Compute the integrated completed likelihood; lower is better.

        It is `bic` plus the penalty -2 sum_i w_i log max_k r_ik for uncertain labels, which is the
        definition of R's mclust with the opposite sign.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), blocks or Dask
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; 1 by default.

        Returns
        -------
        float
            The criterion.

        Warns
        -----
        StoppedShortWarning
            If X is the fitted data and EM stopped more than half a nat below the maximum that it
            was approaching.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit, or if `sample_weight`
            is not one finite, non-negative weight per row.

        References
        ----------
        Biernacki, Celeux and Govaert (2000), IEEE Trans. Pattern Anal. 22:719,
        doi 10.1109/34.865189.
        """
        return self._criterion("icl", X, sample_weight)

    def _criterion(self, name: str, X: Any, sample_weight: Any) -> float:
        """Compute one of the criteria, and warn if EM stopped far below its maximum."""
        with one_blas_thread():
            em = self._em(X, sample_weight, name)
            seen, figures = self._figures(em, certainty=name == "icl")
            found = stopped_short(self._left_to_gain(em, seen), MAX_GAIN_IN_TOTAL)
        issue(found)
        return figures[name]

    def _figures(self, em: EM, *, certainty: bool) -> tuple[Statistics, dict[str, float]]:
        """Return the statistics of one more pass, and all criteria."""
        mixture, total = self._mixture(), 0.0
        seen = em.expect(mixture)
        if certainty:
            total = prediction.summed(mixture, em.source, prediction.certainty, em.summary.n_rows)
        return seen, criteria(seen, self.n_parameters(), total)

    def _left_to_gain(self, em: EM, seen: Statistics) -> float:
        """Estimate the nats in total that EM left to gain; nan for rows that were not fitted.

        The estimate comes from a few more passes where these are cheap, otherwise from Aitken's
        formula.
        """
        bound = number(getattr(self, "lower_bound_", math.nan))
        if not abs(seen.objective - bound) <= SAME * abs(bound):
            return math.nan
        mixture = self._mixture()
        if not isinstance(em.source, ArraySource) or not is_cheap(mixture, em.source.n_rows):
            return seen.weight * self.remaining_gain_
        density = None if mixture.noise is None else mixture.noise.density
        em.m_step = replace(
            em.m_step, ridge=self.reg_covar, density=density, constraints=self._constraints()
        )
        return gain_ahead(em, mixture, MAX_GAIN_IN_TOTAL)

    def summary(
        self, X: Any = None, *, sample_weight: Any = None, correlations: bool = False
    ) -> MixtureSummary:
        """Summarize the components, the likelihood and the end of EM.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), blocks or Dask, default=None
            Rows; the numbers of rows, the log-likelihood and the criteria require them.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; 1 by default.
        correlations : bool, default=False
            Whether to include the correlations within each component.

        Returns
        -------
        MixtureSummary
            Summary that prints as text, is shown as tables in a notebook, and has ``to_frame()``.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit, or if `sample_weight`
            is not one finite, non-negative weight per row.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.25, 0.75], [[0.0], [4.0]], covariances=[1.0, 4.0], covariance_type="V"
        ... )
        >>> model.summary()
        Gaussian mixture of 2 components in 1 feature: V (variable variance)
        <BLANKLINE>
        Means, with standard deviations in parentheses:
          component            0            1
          weight          0.2500       0.7500
          x0         0.00 (1.00)  4.00 (2.00)
        <BLANKLINE>
        5 free parameters.
        <BLANKLINE>
        The parameters were given, no EM was run.
        """
        mixture = self._mixture()
        figures = self._about_the_fit()
        if X is not None:
            with one_blas_thread():
                em = self._em(X, sample_weight, "summary")
                found = self._figures(em, certainty=True)[1]
                figures["counts"] = prediction.summed(mixture, em.source, prediction.label_counts)
            figures |= {name: found[name] for name in ("log_likelihood", "bic", "icl")}
        names = getattr(self, "feature_names_in_", None)
        return MixtureSummary.of(
            mixture, names, self.n_parameters(), correlations=correlations, **figures
        )

    def _about_the_fit(self) -> dict[str, Any]:
        """Return the figures of a summary that do not depend on rows."""
        return {"ending": getattr(self, "ending_", None), "n_iter": getattr(self, "n_iter_", 0)}


def check_own(model: Any, caller: str) -> None:
    """Raise a `TypeError` that names the caller unless the model is an estimator of emgmm."""
    if not isinstance(model, BaseMixture):
        raise TypeError(
            f"{caller} requires a GaussianMixture of emgmm, but got a {type(model).__name__}: "
            "GaussianMixture.from_sklearn takes scikit-learn's."
        )


def fitted_mixture(model: BaseMixture) -> Mixture:
    """Return the mixture of a fitted estimator, or raise `NotFittedError`."""
    return model._mixture()
