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

from emgmm import door, prediction
from emgmm.block import Block
from emgmm.em import EM
from emgmm.expectation import FormForBlock
from emgmm.mixture import Mixture
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @abstractmethod
    def _mixture(self) -> Mixture:
        """The fitted mixture; `NotFittedError` where there is none."""

    def _row_by_row(
        self, X: Any, function: Callable[[FormForBlock, Block], Any], *shape: int, dtype: Any = None
    ) -> Any:
        mixture = self._mixture()
        source = door.source(self, X, reset=False)
        with one_blas_thread():
            return prediction.row_by_row(mixture, source, function, *shape, dtype=dtype)

    def _em(self, X: Any, sample_weight: Any) -> EM:
        """EM's map over the rows of X."""
        mixture = self._mixture()
        source = door.source(self, X, sample_weight, reset=False)
        return EM(source, mixture.family, mixture.n_components, ridge=0.0)

    def _one_pass(self, X: Any, sample_weight: Any) -> Statistics:
        """What EM's next pass would see of X: the same sum, in the same order, as in `fit`."""
        with one_blas_thread():
            return self._em(X, sample_weight).expect(self._mixture())

    def predict(self, X: Any) -> Integers:
        """Label rows with their most probable component.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or blocks
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Components, 0 to K - 1; -1 is noise.
            Of `blocks`, an iterator of such arrays, one for each block.
        """
        return self._row_by_row(X, prediction.labels, dtype=np.int64)

    def predict_proba(self, X: Any) -> Array:
        """Probability of each component given the row, its responsibility; noise comes last.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or blocks
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, K), or (n_samples, K + 1) with noise
            Rows sum to one.
            Of `blocks`, an iterator of such arrays, one for each block.
        """
        return self._row_by_row(X, prediction.responsibilities, self._n_lines())

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithm of `predict_proba`, exact where the probability underflows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or blocks
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, K), or (n_samples, K + 1) with noise
            Log-probabilities.
            Of `blocks`, an iterator of such arrays, one for each block.
        """
        return self._row_by_row(X, prediction.log_responsibilities, self._n_lines())

    def _n_lines(self) -> int:
        return self._mixture().n_lines

    def score_samples(self, X: Any) -> Array:
        """Log-density of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or blocks
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Natural logarithms of densities.
            Of `blocks`, an iterator of such arrays, one for each block.
        """
        return self._row_by_row(X, prediction.log_density)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:  # noqa: ARG002
        """Mean log-density of the rows; of the X that was fitted, without a prior, `lower_bound_`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), blocks or Dask
            Rows.
        y : Ignored
            For scikit-learn's conventions.
        sample_weight : array-like of shape (n_samples,), default=None
            What each row counts; 1 by default.

        Returns
        -------
        float
            In nats per row; higher is better.
        """
        return self._one_pass(X, sample_weight).objective

    def impute(self, X: Any, *, sample: bool = False, random_state: Any = None) -> Array:
        """Fill in what is missing: its expectation given what was observed, or a draw.

        For looking at, and for tools that cannot do without: `fit` needs no filling in, and one fit
        to conditional means takes the data for less scattered than they are. Noise says nothing of
        what is missing: rows are filled in as if they were no noise.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, NaN where something is missing.
        sample : bool, default=False
            Whether to draw from the conditional distribution instead of taking its mean.
        random_state : int, RandomState instance or None, default=None
            Of the draw; None takes the constructor's.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Rows; what was observed is left as it is.

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
        source = door.source(self, X, reset=False)
        chosen = self.random_state if random_state is None else random_state
        with one_blas_thread():
            if sample:
                return prediction.draw(mixture, source, check_random_state(chosen))
            return prediction.impute(mixture, source)

    # -- criteria -------------------------------------------------------------------------------
    def n_parameters(self) -> int:
        """Free parameters of the fitted mixture: weights, means and covariances; 2 more of noise.

        Noise has a weight and a density, as R's mclust counts them.
        """
        return self._mixture().n_parameters

    def _n_parameters(self) -> int:
        return self.n_parameters()

    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Akaike's information criterion, -2 log L + 2 n_parameters; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), blocks or Dask
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            What each row counts; 1 by default.

        Returns
        -------
        float
            The criterion.

        References
        ----------
        Akaike (1974), IEEE Trans. Autom. Control 19:716, doi 10.1109/TAC.1974.1100705.
        """
        seen = self._one_pass(X, sample_weight)
        return -2 * seen.log_likelihood + 2 * self.n_parameters()

    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Bayesian information criterion, -2 log L + n_parameters log n; lower is better.

        n is the number of rows, or the sum of their weights: right where a weight says how many
        rows stand behind one, too large or too small where it says how much one is believed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), blocks or Dask
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            What each row counts; 1 by default.

        Returns
        -------
        float
            The criterion.

        References
        ----------
        Schwarz (1978), Ann. Statist. 6:461, doi 10.1214/aos/1176344136.
        """
        return self._bic(self._one_pass(X, sample_weight))

    def _bic(self, seen: Statistics) -> float:
        return -2 * seen.log_likelihood + self.n_parameters() * math.log(seen.weight)

    def icl(self, X: Any, sample_weight: Any = None) -> float:
        """Integrated completed likelihood, `bic` with the labels' uncertainty; lower is better.

        Twice -sum_i w_i log max_k r_ik is added, as in R's mclust (with the opposite sign).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), blocks or Dask
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            What each row counts; 1 by default.

        Returns
        -------
        float
            The criterion.

        References
        ----------
        Biernacki, Celeux and Govaert (2000), IEEE Trans. Pattern Anal. 22:719,
        doi 10.1109/34.865189.
        """
        with one_blas_thread():
            em = self._em(X, sample_weight)
            certainty = prediction.Certainty(self._mixture(), em.summary.n_rows)
            certain = em.sum(certainty, certainty.form.block_rows)
            return self._bic(em.expect(self._mixture())) - 2 * certain

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
            Their components; -1 is noise.

        Raises
        ------
        ValueError
            Where `n_samples` is below 1, or a row of noise is to be drawn whose place is not known:
            that of a given density or function.
        """
        mixture = self._mixture()
        n_rows = door.count(n_samples, "n_samples")
        chosen = self.random_state if random_state is None else random_state
        return mixture.sample(n_rows, check_random_state(chosen))
