"""What rows say of a fitted mixture as a whole: scores and criteria, by which models compare."""

from __future__ import annotations

import math
from typing import Any

from emgmm import prediction, validation
from emgmm.diagnostics import MixtureSummary, gain_ahead, is_cheap
from emgmm.em import EM
from emgmm.exceptions import issue
from emgmm.fitting.messages import LEFT_IN_TOTAL, stopped_short
from emgmm.methods import MixtureEstimator
from emgmm.sources import ArraySource
from emgmm.statistics import Statistics
from emgmm.threads import one_blas_thread

# Relative difference below which the log-likelihood of rows is the one that was fitted.
SAME = 1e-12


def criteria(seen: Statistics, n_parameters: int, certain: float) -> dict[str, float]:
    """All figures by which models compare, from what one pass saw of the rows.

    Parameters
    ----------
    seen : Statistics
        Of the rows, under the mixture.
    n_parameters : int
        Free parameters of the mixture.
    certain : float
        Sum of the log-probabilities of the most probable components.
    """
    bic = -2 * seen.log_likelihood + n_parameters * math.log(seen.weight)
    return {
        "bic": bic,
        "aic": -2 * seen.log_likelihood + 2 * n_parameters,
        "icl": bic - 2 * certain,
        "log_likelihood": seen.log_likelihood,
        "n_parameters": n_parameters,
    }


class ComparableEstimator(MixtureEstimator):
    """An estimator whose mixture can be compared with others, on the same rows."""

    remaining_gain_: float
    reg_covar: float

    def _em(self, X: Any, sample_weight: Any) -> EM:
        """EM's map over the rows of X."""
        mixture = self._mixture()
        source = validation.source(self, X, sample_weight, reset=False)
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

        Warns
        -----
        StoppedShortWarning
            Where X is what was fitted, and EM stopped with more than half a nat left to gain.

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
        return self._criterion("aic", X, sample_weight)

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

        Warns
        -----
        StoppedShortWarning
            Where X is what was fitted, and EM stopped with more than half a nat left to gain.

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
        return self._criterion("bic", X, sample_weight)

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

        Warns
        -----
        StoppedShortWarning
            Where X is what was fitted, and EM stopped with more than half a nat left to gain.

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
        return self._criterion("icl", X, sample_weight)

    def _criterion(self, name: str, X: Any, sample_weight: Any) -> float:
        """One of the criteria; a warning is issued where EM stopped far below its maximum."""
        with one_blas_thread():
            em = self._em(X, sample_weight)
            seen, figures = self._figures(em, certain=name == "icl")
            found = stopped_short(self._left_to_gain(em, seen), LEFT_IN_TOTAL)
        issue(found)
        return figures[name]

    def _figures(self, em: EM, *, certain: bool) -> tuple[Statistics, dict[str, float]]:
        """What one more pass sees of the rows, and all criteria."""
        mixture, certainty = self._mixture(), 0.0
        seen = em.expect(mixture)
        if certain:
            function = prediction.Certainty(mixture, em.summary.n_rows)
            certainty = em.sum(function, function.form.block_rows)
        return seen, criteria(seen, mixture.n_parameters, certainty)

    def _left_to_gain(self, em: EM, seen: Statistics) -> float:
        """Nats in total that EM left to gain on these rows; nan where they were not fitted.

        A few passes look ahead where they cost next to nothing; elsewhere it is Aitken's estimate.
        """
        bound = getattr(self, "lower_bound_", math.nan)
        if not abs(seen.objective - bound) <= SAME * abs(bound):
            return math.nan
        mixture = self._mixture()
        if not isinstance(em.source, ArraySource) or not is_cheap(mixture, em.source.n_rows):
            return seen.weight * self.remaining_gain_
        density = None if mixture.noise is None else mixture.noise.density
        fitted = EM(em.source, mixture.family, mixture.n_components, self.reg_covar, noise=density)
        return gain_ahead(fitted, mixture, LEFT_IN_TOTAL)

    def summary(
        self, X: Any = None, *, sample_weight: Any = None, correlations: bool = False
    ) -> MixtureSummary:
        """The components, the likelihood, and how EM ended, to be printed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), blocks or Dask, default=None
            Rows; without them the numbers of rows, the log-likelihood and the criteria are left
            out.
        sample_weight : array-like of shape (n_samples,), default=None
            What each row counts; 1 by default.
        correlations : bool, default=False
            Whether to show the correlations within each component.

        Returns
        -------
        MixtureSummary
            Prints as text and shows as tables in a notebook; ``to_frame()`` is a DataFrame.

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
        figures: dict[str, Any] = self._about_the_fit()
        if X is not None:
            with one_blas_thread():
                em = self._em(X, sample_weight)
                found = self._figures(em, certain=True)[1]
                counts = prediction.counts(mixture, em.source)
            figures |= {name: found[name] for name in ("log_likelihood", "bic", "icl")}
            figures["counts"] = counts
        names = getattr(self, "feature_names_in_", None)
        return MixtureSummary.of(mixture, names, correlations=correlations, **figures)

    def _about_the_fit(self) -> dict[str, Any]:
        """How EM ended, where the attributes say so."""
        return {"ending": getattr(self, "ending_", None), "n_iter": getattr(self, "n_iter_", 0)}
