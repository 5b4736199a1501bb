"""`GaussianMixtureProjection`: the linear combinations of features that separate components."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
    clone,
)
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from emgmm import prediction, validation
from emgmm.base import BaseMixture, check_own, fitted_mixture
from emgmm.callbacks import CallbackMixin, Task
from emgmm.covariances import FAMILIES
from emgmm.em import EM
from emgmm.estep import EStepForBlock
from emgmm.mixture import Mixture
from emgmm.mstep import MStep
from emgmm.parameters import Interval, ValidationMixin
from emgmm.sources import Source
from emgmm.sources.block import Block
from emgmm.sources.conversion import as_parameters
from emgmm.summary import CONSTANT
from emgmm.threads import one_blas_thread
from emgmm.tolerances import EPS, negligible_underflow
from emgmm.typing import Array

# Eigenvalue above which components differ in a direction, as in R's mclust. It has no unit.
NEGLIGIBLE = np.sqrt(EPS)

# Eigenvalue of the correlations below which a linear combination of the features is constant.
COLLINEAR = 1e-12

FULL = FAMILIES["full"]


class GaussianMixtureProjection(
    CallbackMixin,
    ValidationMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    r"""Projection onto the directions in which the components of a mixture differ most.

    The directions :math:`\beta` are the eigenvectors of :math:`M \beta = l \Sigma \beta`, where
    :math:`\Sigma` is the covariance of the rows and

    .. math::

       M = 2 s M_1 \Sigma^{-1} M_1 + 2 (1 - s) M_2,

    .. math::

       M_1 = \sum_k \pi_k (\mu_k - \mu)(\mu_k - \mu)^T, \quad
       M_2 = \sum_k \pi_k (\Sigma_k - \bar\Sigma) \Sigma^{-1} (\Sigma_k - \bar\Sigma).

    :math:`\mu` and :math:`\bar\Sigma` are the weighted means of the :math:`\mu_k` and
    :math:`\Sigma_k`. These are the directions of Scrucca (2010) and of ``MclustDR`` in R's mclust;
    they do not depend on the units of the features. Coordinates have the units of normalized linear
    combinations of the features.

    Parameters
    ----------
    model : GaussianMixture or GaussianMixtureIC
        Estimator of the mixture. If it is fitted, its mixture is used as it is. Otherwise `fit`
        fits a clone of it. `clone`, and therefore a cross-validation, turns a fitted model into one
        that is not fitted, so that it is fitted again to the rows of each fold;
        ``FrozenEstimator(model)`` of scikit-learn keeps the fit.
    n_components : int, default=None
        Number of directions. None keeps all in which the components differ, those with an
        eigenvalue above 1.5e-8.
    mean_share : float, default=0.5
        Share *s* of the differences of the means, from 0 to 1; the rest is that of the differences
        of the covariances. 0.5 is the proposal of Scrucca (2010). With 1, which is the default of
        ``MclustDR``, there are at most K - 1 directions (Scrucca 2014).

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Directions, in descending order of the eigenvalues. Each has length 1. The largest
        coefficient, relative to the standard deviations of the features, is positive.
    eigenvalues_ : ndarray of shape (n_components,)
        Eigenvalues. They have no unit.
    mean_ : ndarray of shape (n_features,)
        Mean of the rows, which is projected to 0.
    covariance_ : ndarray of shape (n_features, n_features)
        Covariance of the rows, with divisor n.
    model_ : GaussianMixture or GaussianMixtureIC
        Fitted estimator of the mixture.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Names of the features, if the model was fitted to a table.

    See Also
    --------
    GaussianMixtureDisplay : Plot of a mixture, which ``features="projection"`` projects.
    sklearn.discriminant_analysis.LinearDiscriminantAnalysis : Directions that separate classes.

    Notes
    -----
    If the covariance is singular, as with a constant feature or fewer rows than features, the
    directions are orthogonal to its null space in standardized features.

    With missing values, `covariance_` and `mean_` are those expected under the mixture, and
    `transform` projects conditional expectations of the rows. Noise has no part in the directions:
    with noise, rows contribute to `mean_` and `covariance_` by their probability not to be noise.

    References
    ----------
    Scrucca (2010), Stat. Comput. 20:471, doi 10.1007/s11222-009-9138-7.
    Scrucca (2014), Adv. Data Anal. Classif. 8:147, doi 10.1007/s11634-013-0158-y.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from emgmm import GaussianMixture, GaussianMixtureProjection
    >>> X = load_iris(as_frame=True).data
    >>> model = GaussianMixture(3, covariance_type="VEV", random_state=0).fit(X)
    >>> projection = GaussianMixtureProjection(model, n_components=2).fit(X)
    >>> projection.transform(X).shape
    (150, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "model": [object],  # `fit` checks it
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "mean_share": [Interval(Real, 0.0, 1.0, closed="both")],
    }

    def __init__(
        self,
        model: BaseMixture,
        *,
        n_components: int | None = None,
        mean_share: float = 0.5,
    ) -> None:
        self.model = model
        self.n_components = n_components
        self.mean_share = mean_share

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any = None,
        y: Any = None,
        sample_weight: Any = None,
    ) -> GaussianMixtureProjection:
        """Compute the directions, and fit the model if it is not fitted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), blocks or Dask, default=None
            Rows, with NaN where a value is missing, from which the mean and the covariance are
            computed. None means those of the fitted mixture, which nearly agree with them at a
            maximum of the likelihood.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; 1 by default.

        Returns
        -------
        GaussianMixtureProjection
            The fitted projection.

        Raises
        ------
        TypeError
            If the model is not an estimator of emgmm.
        ValueError
            If the model is not fitted and X is None; if X does not have the features of the model;
            or if the components differ in fewer than `n_components` directions.
        """
        return self._observed(partial(self._fit, X, sample_weight), X, y, sample_weight, 1)

    def _fit(self, X: Any, sample_weight: Any, task: Task) -> GaussianMixtureProjection:
        model, mixture = self._fitted_model(X, sample_weight, task)
        if X is None:
            moments = moments_of(mixture)
        else:
            source = validation.source(model, X, sample_weight, reset=False)
            with one_blas_thread():
                moments = moments_of_rows(mixture, source)
        names = getattr(model, "feature_names_in_", None)
        directions, eigenvalues = separating(mixture, *moments, self.mean_share)
        n_directions = int((eigenvalues > NEGLIGIBLE).sum())
        if not n_directions:
            raise ValueError(
                f"With mean_share={self.mean_share:g}, the components of the mixture do not differ "
                "in any direction: use a mixture with more components, or another mean_share."
            )
        if n_directions < (self.n_components or 1):
            raise ValueError(
                f"n_components={self.n_components} is more than the number of directions in which "
                f"the components of the mixture differ, {n_directions}: reduce it."
            )
        kept = slice(self.n_components or n_directions)
        self.model_ = model
        self.mean_, self.covariance_ = moments
        self.components_, self.eigenvalues_ = directions[kept], eigenvalues[kept]
        self.n_features_in_ = mixture.n_features
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self

    def _fitted_model(self, X: Any, sample_weight: Any, task: Task) -> tuple[BaseMixture, Mixture]:
        """Return the model, or a clone that is fitted to X if it is not fitted, and its mixture."""
        model = self.model.estimator if isinstance(self.model, FrozenEstimator) else self.model
        check_own(model, type(self).__name__)
        try:
            return model, fitted_mixture(model)
        except NotFittedError:
            if X is None:
                raise ValueError(
                    "The model is not fitted and there is no X to fit it to: fit the model, or "
                    "call fit(X)."
                ) from None
        model = clone(model)
        with task.fit_of(model):
            model.fit(X, sample_weight=sample_weight)
        return model, fitted_mixture(model)

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def transform(self, X: Any) -> Array:
        """Project rows onto the directions.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), blocks or Dask
            Rows, with NaN where a value is missing. These are replaced by their conditional
            expectations, as by `GaussianMixture.impute`.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            Coordinates of the rows.
            For `blocks`, an iterator over one such array per block; for Dask, a Dask array.

        Raises
        ------
        NotFittedError
            If the projection is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit.
        """
        check_is_fitted(self)
        source = validation.source(self, X, reset=False)

        def project(e_step: EStepForBlock, block: Block) -> Array:
            return self.project(prediction.filled(e_step, block))

        with one_blas_thread():
            mixture = fitted_mixture(self.model_)
            return prediction.row_by_row(mixture, source, project, len(self.components_))

    def project(self, rows: Array) -> Array:
        """Return the (n, n_components) coordinates of complete (n, D) rows, without validation."""
        return (rows - self.mean_) @ self.components_.T

    def inverse_transform(self, X: Any) -> Array:
        r"""Return the rows that are expected from their coordinates.

        These are :math:`\mu + \Sigma B (B^T \Sigma B)^{-1} z` for coordinates *z*, with the
        directions as columns of *B*, the best linear prediction. `transform` maps them back to the
        same coordinates. With as many directions as features, the rows are exact.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Coordinates.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Rows.

        Raises
        ------
        NotFittedError
            If the projection is not fitted.
        ValueError
            If X does not have a column for each direction.
        """
        check_is_fitted(self)
        coordinates = as_parameters(X, "X")
        if coordinates.shape[1] != len(self.components_):
            raise ValueError(
                f"X has {coordinates.shape[1]} columns, but there are {len(self.components_)} "
                "directions: pass coordinates that transform returned."
            )
        covariances = self.components_ @ self.covariance_
        variances = (covariances * self.components_).sum(axis=1)  # coordinates are uncorrelated
        return self.mean_ + coordinates @ (covariances / variances[:, None])


@negligible_underflow
def moments_of(mixture: Mixture) -> tuple[Array, Array]:
    """Return the mean and the covariance of a mixture without its noise."""
    weights, means = mixture.weights.astype(np.float64), mixture.means.astype(np.float64)
    shares = weights / weights.sum()
    mean = shares @ means
    within = np.tensordot(shares, mixture.dense_covariances().astype(np.float64), axes=1)
    return mean, within + between(shares, means)


@negligible_underflow
def between(shares: Array, means: Array) -> Array:
    """Return the covariance of means with (K,) probabilities."""
    offsets = means - shares @ means
    return (shares[:, None] * offsets).T @ offsets


@negligible_underflow
def moments_of_rows(mixture: Mixture, source: Source) -> tuple[Array, Array]:
    """Return the mean and the covariance of rows that are not noise.

    For missing values they are expectations under the mixture.
    """
    means, covariances = mixture.means.astype(np.float64), mixture.dense_covariances()
    dense = Mixture.of(mixture.weights, means, covariances.astype(np.float64), FULL, mixture.noise)
    em = EM(source, MStep(FULL, 0.0, source.dtype), mixture.n_components)
    validation.check_some_observed(em.summary.n_rows)
    statistics = em.expect(dense)
    if not statistics.counts.sum() > 0:
        raise ValueError(
            "No row of X can belong to a component, because its density is that of noise, or "
            "underflows, in every row: pass the rows that were fitted."
        )
    mean = statistics.counts @ (statistics.centres + statistics.mean_offsets)
    return mean / statistics.counts.sum(), statistics.total_covariance(FULL)


@negligible_underflow
def separating(
    mixture: Mixture, mean: Array, covariance: Array, mean_share: float
) -> tuple[Array, Array]:
    """Return the directions in rows, (r, D), and their eigenvalues in descending order.

    r is the rank of the covariance.
    """
    rounded = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
    sds = np.where(rounded > CONSTANT * np.abs(mean), rounded, np.inf)
    variances, axes = np.linalg.eigh(covariance / np.outer(sds, sds))
    varies = variances > COLLINEAR
    whiten = axes[:, varies] / np.sqrt(variances[varies]) / sds[:, None]
    weights, means = mixture.weights.astype(np.float64), mixture.means.astype(np.float64)
    shares = weights / weights.sum()
    with np.errstate(over="ignore", invalid="ignore"):
        of_means = between(shares, means @ whiten)
        covariances = whiten.T @ mixture.dense_covariances().astype(np.float64) @ whiten
        deviations = covariances - np.tensordot(shares, covariances, axes=1)
        kernel = 2 * mean_share * of_means @ of_means
        kernel += 2 * (1 - mean_share) * np.tensordot(shares, deviations @ deviations, axes=1)
    if not np.isfinite(kernel).all():
        raise ValueError(
            "The covariances of the components, in units of those of X, are too large for a "
            "projection: pass the rows that were fitted, and rescale columns whose variance is far "
            "below reg_covar."
        )
    eigenvalues, vectors = np.linalg.eigh(kernel)
    directions = (whiten @ vectors[:, ::-1]).T
    coefficients = directions * rounded
    largest = np.take_along_axis(coefficients, np.abs(coefficients).argmax(axis=1)[:, None], 1)
    directions *= np.sign(largest) / np.linalg.norm(directions, axis=1, keepdims=True)
    return directions, eigenvalues[::-1]
