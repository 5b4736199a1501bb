"""What a fitted mixture can be asked, under scikit-learn's names."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from emgmm import door, prediction
from emgmm.em import EM
from emgmm.expectation import FormForBlock
from emgmm.mixture import Mixture
from emgmm.sources import ArraySource
from emgmm.statistics import Statistics
from emgmm.threads import one_blas_thread
from emgmm.typing import Array, Integers


class MixtureEstimator(DensityMixin, BaseEstimator, ABC):
    """An estimator that holds a mixture once it is fitted."""

    random_state: Any

    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        """Names of the constructor's parameters, which scikit-learn reads anew for every fit."""
        return super()._get_param_names()

    @abstractmethod
    def _mixture(self) -> Mixture:
        """The fitted mixture."""

    def _row_by_row(
        self, X: Any, function: Callable[[FormForBlock, Array], Any], *shape: int, dtype: Any = None
    ) -> Any:
        check_is_fitted(self)
        source = ArraySource(door.rows(self, X, reset=False))
        with one_blas_thread():
            return prediction.row_by_row(self._mixture(), source, function, *shape, dtype=dtype)

    def _one_pass(self, X: Any) -> Statistics:
        """What EM's next pass would see of X: the same sum, in the same order, as in `fit`."""
        check_is_fitted(self)
        rows = door.rows(self, X, reset=False)
        mixture = self._mixture()
        with one_blas_thread():
            em = EM(ArraySource(rows), mixture.family, mixture.n_components, ridge=0.0)
            return em.expect(mixture)

    def predict(self, X: Any) -> Integers:
        """Label rows with their most probable component.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Components, 0 to K - 1.
        """
        return self._row_by_row(X, prediction.labels, dtype=np.int64)

    def predict_proba(self, X: Any) -> Array:
        """Probability of each component given the row, its responsibility.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, K)
            Rows sum to one.
        """
        return self._row_by_row(X, prediction.responsibilities, self._n_fitted())

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithm of `predict_proba`, exact where the probability underflows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, K)
            Log-probabilities.
        """
        return self._row_by_row(X, prediction.log_responsibilities, self._n_fitted())

    def _n_fitted(self) -> int:
        check_is_fitted(self)
        return self._mixture().n_components

    def score_samples(self, X: Any) -> Array:
        """Log-density of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Natural logarithms of densities.
        """
        return self._row_by_row(X, prediction.log_density)

    def score(self, X: Any, y: Any = None) -> float:  # noqa: ARG002
        """Mean log-density of the rows; of the X that was fitted it is `lower_bound_`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            For scikit-learn's conventions.

        Returns
        -------
        float
            In nats per row; higher is better.
        """
        return self._one_pass(X).objective

    # -- criteria -------------------------------------------------------------------------------
    def n_parameters(self) -> int:
        """Free parameters of the fitted mixture: weights, means and covariances."""
        check_is_fitted(self)
        return self._mixture().n_parameters

    def _n_parameters(self) -> int:
        return self.n_parameters()

    def aic(self, X: Any) -> float:
        """Akaike's information criterion, -2 log L + 2 n_parameters; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        float
            The criterion.

        References
        ----------
        Akaike (1974), IEEE Trans. Autom. Control 19:716, doi 10.1109/TAC.1974.1100705.
        """
        return -2 * self._one_pass(X).log_likelihood + 2 * self.n_parameters()

    def bic(self, X: Any) -> float:
        """Bayesian information criterion, -2 log L + n_parameters log N; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        float
            The criterion.

        References
        ----------
        Schwarz (1978), Ann. Statist. 6:461, doi 10.1214/aos/1176344136.
        """
        seen = self._one_pass(X)
        return -2 * seen.log_likelihood + self.n_parameters() * math.log(seen.weight)

    def icl(self, X: Any) -> float:
        """Integrated completed likelihood, `bic` with the labels' uncertainty; lower is better.

        Twice -sum_i log max_k r_ik is added, as in R's mclust (with the opposite sign).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        float
            The criterion.

        References
        ----------
        Biernacki, Celeux and Govaert (2000), IEEE Trans. Pattern Anal. 22:719,
        doi 10.1109/34.865189.
        """
        certainty = self._row_by_row(X, prediction.certainty, dtype=np.float64)
        return self.bic(X) - 2 * float(certainty.sum())

    # -- sampling, and models that were not fitted here -----------------------------------------
    def sample(self, n_samples: int = 1, random_state: Any = None) -> tuple[Array, Integers]:
        """Draw rows from the fitted mixture.

        Parameters
        ----------
        n_samples : int, default=1
            Rows to draw.
        random_state : int, RandomState instance or None, default=None
            Of the draw; None takes the constructor's, whose integer gives the same rows each time.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Rows, grouped by component, float64.
        y : ndarray of shape (n_samples,)
            Their components.

        Raises
        ------
        ValueError
            Where `n_samples` is below 1.
        """
        check_is_fitted(self)
        n_rows = door.count(n_samples, "n_samples")
        chosen = self.random_state if random_state is None else random_state
        return self._mixture().sample(n_rows, check_random_state(chosen))
