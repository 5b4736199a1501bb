"""`GaussianMixtureOutlierDetector`: rows in regions of low density of a Gaussian mixture."""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import copy
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

from emgmm import attributes, validation
from emgmm.acceleration import Scheme
from emgmm.base import fitted_mixture
from emgmm.callbacks import Task
from emgmm.covariances import Family
from emgmm.distributions import Levels
from emgmm.estep import EStepForBlock
from emgmm.exceptions import EMWarning, issue
from emgmm.fitting.loop import Run
from emgmm.parameters import Interval, number, one_of, validated
from emgmm.prediction import row_by_row
from emgmm.prior import NormalInverseWishart
from emgmm.sources import ArraySource, Rows, Source
from emgmm.sources.block import Block
from emgmm.threads import one_blas_thread
from emgmm.typing import (
    Acceleration,
    Array,
    CovarianceType,
    InitParams,
    Integers,
    NoiseName,
    Numbers,
    PriorName,
    RandomState,
    Sampling,
)
from emgmm.wrapping import MAX_ITER, REG_COVAR, TOL, MixtureWrapper, gaussian_components


class GaussianMixtureOutlierDetector(OutlierMixin, MixtureWrapper):
    """Outlier detector: rows whose density in a Gaussian mixture is low are outliers.

    A row is compared with rows that the fitted mixture generates. Its `anomaly_score` is the
    probability that such a row has a higher density, in the features that are observed in the row.
    Therefore complete rows and rows with missing values are compared fairly, unlike by their
    densities, which have different units.

    Parameters
    ----------
    n_components : int, default=1
        Number of components, K. With one, the score is a function of the Mahalanobis distance.
    contamination : {'auto'} or float, default='auto'
        'auto' takes as outliers those rows that are outside of the region of highest density that
        has the probability `level` in the mixture. A number, above 0 and at most 0.5, is the share
        of the fitted rows that are outliers.
    level : float, default=0.99
        Probability of that region, used by ``contamination="auto"``. Of rows that the mixture
        generates, the share 1 - level are outliers.
    covariance_type : str or Family, default='full'
        Covariance family, as in `GaussianMixture`.
    tol : float, default=1e-6
        EM stops if an iteration changes the mean log-likelihood per row, in nats, by less.
    reg_covar : float, default=0.0
        Ridge added to the diagonal of every covariance in each M-step, in squared units of X. If it
        is 0 and the covariance is singular, as with fewer rows than features, a ridge of 1e-7 times
        the smallest variance of a column is used, with a warning.
    max_iter : int, default=1000
        Maximum number of iterations of EM.
    n_init, init_params, weights_init, means_init, precisions_init, random_state, verbose, \
            verbose_interval, break_symmetry, acceleration, sampling, prior, \
            weight_concentration, checkpoint, checkpoint_every
        Parameters of `GaussianMixture`.
    noise : {None, 'uniform'}, float or callable, default=None
        Noise component of the fit, as in `GaussianMixture`. It keeps outliers among the fitted rows
        from becoming a component. Scores are those of the mixture without noise.

    Attributes
    ----------
    model_ : GaussianMixture
        Fitted mixture.
    offset_ : float
        Threshold: rows with a lower `score_samples` are outliers.
    n_iter_ : int
        Number of iterations of EM.
    n_features_in_ : int
        Number of features, D.
    feature_names_in_ : ndarray of str
        Names of the features, if X has any.

    See Also
    --------
    GaussianMixture : With noise, its ``predict`` labels rows that are most probably noise by -1.
    sklearn.covariance.EllipticEnvelope : One component, estimated robustly.

    Notes
    -----
    With one component, squared Mahalanobis distances are chi-squared, and scores are exact. With
    several, they are computed from 10,000 draws of the mixture, which are always the same, and the
    threshold from 100,000. Beyond the draw with the lowest density, the logarithm of the
    probability is continued in proportion to that of the density.

    References
    ----------
    Hyndman (1996), Am. Stat. 50:120, doi 10.1080/00031305.1996.10474359 (regions of highest
    density).

    Examples
    --------
    >>> import numpy as np
    >>> from emgmm import GaussianMixtureOutlierDetector
    >>> from emgmm.datasets import old_faithful
    >>> X = old_faithful().rows
    >>> detector = GaussianMixtureOutlierDetector(2, random_state=0).fit(X)
    >>> rows = [[2.0, 55.0], [2.0, 90.0], [2.0, np.nan], [np.nan, 120.0]]
    >>> detector.anomaly_score(rows).round(2)
    array([0.11, 1.  , 0.31, 1.  ])
    >>> detector.predict(rows)
    array([ 1, -1,  1, -1])
    """

    offset_: float
    n_iter_: int

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **MixtureWrapper._parameter_constraints,
        "contamination": [one_of({"auto"}), Interval(Real, 0.0, 0.5, closed="right")],
        "level": [Interval(Real, 0.0, 1.0, closed="neither")],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        contamination: Any = "auto",
        level: float = 0.99,
        covariance_type: CovarianceType | Family = "full",
        tol: float = TOL,
        reg_covar: float = REG_COVAR,
        max_iter: int = MAX_ITER,
        n_init: int = 1,
        init_params: InitParams | Callable[..., Any] | Numbers = "kmeans",
        weights_init: Numbers | None = None,
        means_init: Numbers | None = None,
        precisions_init: Numbers | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
        verbose_interval: int = 10,
        break_symmetry: bool = True,
        acceleration: Acceleration | Scheme | None = None,
        sampling: Sampling | None = "auto",
        prior: PriorName | NormalInverseWishart | None = None,
        weight_concentration: float = 1.0,
        noise: NoiseName | float | Callable[..., Any] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: float = 60,
    ) -> None:
        super().__init__(
            n_components,
            covariance_type=covariance_type,
            tol=tol,
            reg_covar=reg_covar,
            max_iter=max_iter,
            n_init=n_init,
            init_params=init_params,
            weights_init=weights_init,
            means_init=means_init,
            precisions_init=precisions_init,
            random_state=random_state,
            verbose=verbose,
            verbose_interval=verbose_interval,
            break_symmetry=break_symmetry,
            acceleration=acceleration,
            sampling=sampling,
            prior=prior,
            weight_concentration=weight_concentration,
            noise=noise,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
        )
        self.contamination = contamination
        self.level = level

    @validated
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Estimate the mixture and the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, with NaN where a value is missing.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; 1 by default. A weight of 2 is the row twice, and 0 is no row.

        Returns
        -------
        GaussianMixtureOutlierDetector
            The estimator itself.

        Raises
        ------
        ValueError
            If X or a parameter is invalid, or if the mixture cannot be fitted.

        Warns
        -----
        ConvergenceWarning
            If EM stopped at `max_iter`.
        EMWarning
            If the fit is questionable, or if the covariance is singular and `reg_covar` is 0.
        """
        with attributes.unchanged_by_errors(self):
            source = validation.source(self, X, sample_weight, reset=True, least=2)
            rows = source.sample(source.n_rows, np.random.RandomState(0))

            def fit(task: Task) -> list[EMWarning]:
                self.model_, found = self._fitted(rows, SINGULAR, task)
                if hasattr(self, "feature_names_in_"):
                    self.model_.feature_names_in_ = self.feature_names_in_
                self.n_iter_ = self.model_.n_iter_
                self.offset_ = self._offset_for(rows)
                return found

            def so_far(run: Run) -> dict[str, Any]:
                found, other = self._attributes_of(run), copy(self)
                other.__dict__.update(found)
                return {**found, "offset_": other._offset_for(rows)}

            n_starts = self._max_starts(rows)
            found = self._observed(fit, X, y, sample_weight, n_starts, attributes=so_far)
        issue(found)
        return self

    def _offset_for(self, rows: Rows) -> float:
        """Return the threshold for the fitted mixture, given the rows of the fit."""
        levels = self._levels()
        if isinstance(self.contamination, str):
            return levels.level(self.level)
        own = ArraySource(rows.values, complete=not np.isnan(rows.values).any())
        scores = self._row_by_row(own, levels, levels.comparable)
        return _threshold(scores, rows.weights, self.contamination)

    def anomaly_score(self, X: Any) -> Array:
        """Compute the probability, in the mixture, of a higher density than that of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, with NaN where a value is missing. Densities are those of the observed features.

        Returns
        -------
        ndarray of shape (n_samples,)
            Scores between 0 and 1; those near 1 are anomalous. Scores of rows that the mixture
            generates are uniformly distributed, whatever values are missing. The score is 0.5
            where nothing is observed.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit.
        """
        levels = self._levels()

        def score(e_step: EStepForBlock, block: Block) -> Array:
            return -np.expm1(np.minimum(levels.log_probabilities(e_step, block), 0.0))

        return self._row_by_row(self._source(X), levels, score)

    def score_samples(self, X: Any) -> Array:
        """Compute the log-density of each row, or for an incomplete row a comparable one.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, with NaN where a value is missing.

        Returns
        -------
        ndarray of shape (n_samples,)
            Log-densities; lower ones are more anomalous. For a row with missing values, it is the
            log-density of a complete row with the same `anomaly_score`.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit.
        """
        levels = self._levels()
        return self._row_by_row(self._source(X), levels, levels.comparable)

    def decision_function(self, X: Any) -> Array:
        """Compute ``score_samples(X) - offset_``, which is negative for outliers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, with NaN where a value is missing.

        Returns
        -------
        ndarray of shape (n_samples,)
            Differences in nats.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit.
        """
        levels, offset = self._levels(), self._offset()

        def decision(e_step: EStepForBlock, block: Block) -> Array:
            return levels.comparable(e_step, block) - offset

        return self._row_by_row(self._source(X), levels, decision)

    def predict(self, X: Any) -> Integers:
        """Label outliers by -1 and other rows by 1.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, with NaN where a value is missing.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit.
        """
        levels, offset = self._levels(), self._offset()

        def label(e_step: EStepForBlock, block: Block) -> Integers:
            return np.where(levels.comparable(e_step, block) - offset >= 0, 1, -1)

        return self._row_by_row(self._source(X), levels, label, np.int64)

    def _levels(self) -> Levels:
        check_is_fitted(self)
        return Levels(fitted_mixture(gaussian_components(self)))

    def _offset(self) -> float:
        """Return the threshold, which users may have set."""
        check_is_fitted(self)
        offset = number(self.offset_)
        if np.isnan(offset):
            raise ValueError(f"offset_ must be a number, but is {self.offset_!r}: set it, or fit.")
        return offset

    def _source(self, X: Any) -> Source:
        return validation.source(self, X, reset=False)

    def _row_by_row(
        self, source: Source, levels: Levels, function: Any, dtype: Any = np.float64
    ) -> Any:
        with one_blas_thread():
            return row_by_row(levels.mixture, source, function, dtype=dtype)


SINGULAR = (
    "The covariance of X is singular, because a feature is a linear function of others (in some "
    "component): a ridge of 1e-7 times the smallest variance of a column was added, so that rows "
    "outside of this linear subspace are outliers. Leave such a feature out, set reg_covar, or set "
    "prior='conjugate'."
)


def _threshold(scores: Array, weights: Array | None, share: float) -> float:
    """Return the largest score below which there is at most a share of the rows, by weight."""
    order = np.argsort(scores)
    below = np.cumsum(np.ones(len(scores)) if weights is None else weights[order])
    number = np.searchsorted(below, share * below[-1] * (1 + 1e-12), side="right")
    return float(scores[order[min(number, len(order) - 1)]])
