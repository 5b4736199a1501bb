"""What rows say of a fitted mixture as a whole: scores and criteria, by which models compare."""

from __future__ import annotations

import math
from typing import Any

from emgmm import door, prediction
from emgmm.em import EM
from emgmm.methods import MixtureEstimator
from emgmm.statistics import Statistics
from emgmm.threads import one_blas_thread


class ComparableEstimator(MixtureEstimator):
    """An estimator whose mixture can be held against others, on the same rows."""

    def _em(self, X: Any, sample_weight: Any) -> EM:
        """EM's map over the rows of X."""
        mixture = self._mixture()
        source = door.source(self, X, sample_weight, reset=False)
        return EM(source, mixture.family, mixture.n_components, ridge=0.0)

    def _one_pass(self, X: Any, sample_weight: Any) -> Statistics:
        """What EM's next pass would see of X: the same sum, in the same order, as in `fit`."""
        with one_blas_thread():
            return self._em(X, sample_weight).expect(self._mixture())

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

        Raises
        ------
        NotFittedError
            Where there is no mixture yet.
        ValueError
            Where X has infinity in it, or not the features that were fitted, or `sample_weight` is
            not a weight, finite and not negative, for each row.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical"
        ... )
        >>> round(model.score([[0.0], [4.0]]), 3)
        -1.612
        """
        return self._one_pass(X, sample_weight).objective

    def n_parameters(self) -> int:
        """Free parameters of the fitted mixture: weights, means and covariances; 2 more of noise.

        Noise has a weight and a density, as R's mclust counts them.

        Returns
        -------
        int
            Their number.

        Raises
        ------
        NotFittedError
            Where there is no mixture yet.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical"
        ... )
        >>> model.n_parameters()  # a weight, two means, two variances
        5
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

        Raises
        ------
        NotFittedError
            Where there is no mixture yet.
        ValueError
            Where X has infinity in it, or not the features that were fitted, or `sample_weight` is
            not a weight, finite and not negative, for each row.

        References
        ----------
        Akaike (1974), IEEE Trans. Autom. Control 19:716, doi 10.1109/TAC.1974.1100705.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical"
        ... )
        >>> round(model.aic([[0.0], [1.0], [4.0], [5.0]]), 2)
        24.86
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

        Raises
        ------
        NotFittedError
            Where there is no mixture yet.
        ValueError
            Where X has infinity in it, or not the features that were fitted, or `sample_weight` is
            not a weight, finite and not negative, for each row.

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

        Raises
        ------
        NotFittedError
            Where there is no mixture yet.
        ValueError
            Where X has infinity in it, or not the features that were fitted, or `sample_weight` is
            not a weight, finite and not negative, for each row.

        References
        ----------
        Biernacki, Celeux and Govaert (2000), IEEE Trans. Pattern Anal. 22:719,
        doi 10.1109/34.865189.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical"
        ... )
        >>> round(model.icl([[0.0], [1.0], [4.0], [5.0]]), 2)
        21.83
        """
        with one_blas_thread():
            em = self._em(X, sample_weight)
            certainty = prediction.Certainty(self._mixture(), em.summary.n_rows)
            certain = em.sum(certainty, certainty.form.block_rows)
            return self._bic(em.expect(self._mixture())) - 2 * certain
