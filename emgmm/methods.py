"""What a fitted mixture can be asked, under scikit-learn's names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state

from emgmm import prediction, validation
from emgmm.constraints import check_parameters
from emgmm.estep import EStepForBlock
from emgmm.mixture import Mixture
from emgmm.sources.block import Block
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

    def _validate_params(self) -> None:
        check_parameters(self)

    @abstractmethod
    def _mixture(self) -> Mixture:
        """The fitted mixture; `NotFittedError` where there is none."""

    def _row_by_row(
        self,
        X: Any,
        function: Callable[[EStepForBlock, Block], Any],
        *shape: int,
        dtype: Any = None,
    ) -> Any:
        mixture = self._mixture()
        source = validation.source(self, X, reset=False)
        with one_blas_thread():
            return prediction.row_by_row(mixture, source, function, *shape, dtype=dtype)

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

        Raises
        ------
        NotFittedError
            Where there is no mixture yet.
        ValueError
            Where X has infinity in it, or not the features that were fitted.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical"
        ... )
        >>> model.predict([[1.0], [3.0]])
        array([0, 1])
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

        Raises
        ------
        NotFittedError
            Where there is no mixture yet.
        ValueError
            Where X has infinity in it, or not the features that were fitted.

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

        Raises
        ------
        NotFittedError
            Where there is no mixture yet.
        ValueError
            Where X has infinity in it, or not the features that were fitted.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical"
        ... )
        >>> model.predict_log_proba([[200.0]])
        array([[-792.,    0.]])
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

        Raises
        ------
        NotFittedError
            Where there is no mixture yet.
        ValueError
            Where X has infinity in it, or not the features that were fitted.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical"
        ... )
        >>> model.score_samples([[0.0], [2.0]]).round(3)
        array([-1.612, -2.919])
        """
        return self._row_by_row(X, prediction.log_density)

    def impute(self, X: Any, *, sample: bool = False, random_state: Any = None) -> Array:
        """Fill in what is missing: its expectation given what was observed, or a draw.

        For looking at, and for tools that cannot do without: `fit` needs no filling in, and one fit
        to conditional means takes the data for less scattered than they are. Noise says nothing of
        what is missing: rows are filled in as if they were no noise.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), blocks or Dask
            Rows, NaN where something is missing.
        sample : bool, default=False
            Whether to draw from the conditional distribution instead of taking its mean.
        random_state : int, RandomState instance or None, default=None
            Of the draw; None takes the constructor's.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Rows; what was observed is left as it is. Of `blocks`, an iterator of such arrays; of
            Dask, a Dask array.

        Raises
        ------
        NotFittedError
            Where there is no mixture yet.
        ValueError
            Where X has infinity in it, or not the features that were fitted.
        TypeError
            Where a draw is asked for rows whose numbers are not known, of a Dask array or blocks.

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
        source = validation.source(self, X, reset=False)
        chosen = self.random_state if random_state is None else random_state
        with one_blas_thread():
            if sample:
                return prediction.draw(mixture, source, check_random_state(chosen))
            return prediction.impute(mixture, source)

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
        TypeError
            Where `n_samples` is not an integer.
        NotFittedError
            Where there is no mixture yet.

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
        n_rows = validation.count(n_samples, "n_samples")
        chosen = self.random_state if random_state is None else random_state
        return mixture.sample(n_rows, check_random_state(chosen))
