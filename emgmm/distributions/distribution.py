"""`MixtureDistribution`: the distribution of a fitted mixture, with the methods of SciPy's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import log_ndtr, logsumexp
from scipy.stats import multivariate_normal
from sklearn.utils import check_random_state

from emgmm import validation
from emgmm.distributions.boxes import share_of_box
from emgmm.distributions.density import log_joint_of_complete
from emgmm.distributions.modes import modes
from emgmm.distributions.univariate import Univariate
from emgmm.mixture import Mixture
from emgmm.noise import Box
from emgmm.parameters import count, sizes
from emgmm.sources.conversion import as_numbers
from emgmm.tolerances import negligible_underflow
from emgmm.typing import Array

# Number of draws for the entropy by default.
DRAWS = 100_000

# Number of standard deviations beyond which the probability of a tail underflows.
FARTHEST = 40.0


class MixtureDistribution:
    """Distribution of a fitted Gaussian mixture, with the methods of a frozen SciPy distribution.

    ``distribution()`` of a fitted estimator returns it. In one dimension, all methods work element
    by element on numbers or arrays of any shape, as those of ``scipy.stats.norm``. In more
    dimensions, the last axis of x contains the features, as in ``scipy.stats.multivariate_normal``.

    Uniform noise is part of the distribution. Its density is 0 outside the box of the noise, so
    that the density of the distribution integrates to one. `score_samples` of the estimator uses
    the same density of noise everywhere.

    Parameters
    ----------
    mixture : emgmm.mixture.Mixture
        Mixture. Its weights are scaled so that they sum to one, noise included.
    feature_names : sequence of str, default=None
        Names of the features.

    Attributes
    ----------
    n_features : int
        Number of features, D.
    feature_names : tuple of str or None
        Names of the features.

    See Also
    --------
    kl_divergence : Kullback-Leibler divergence between two mixtures.
    l2_distance : L2 distance between the densities of two mixtures.
    wasserstein_distance : Wasserstein distance between two mixtures.

    Examples
    --------
    >>> from emgmm import GaussianMixture
    >>> model = GaussianMixture.from_parameters(
    ...     [0.25, 0.75], [[0.0], [4.0]], covariances=[1.0, 4.0], covariance_type="V"
    ... )
    >>> waiting = model.distribution()
    >>> waiting.cdf([0.0, 2.0]).round(3)
    array([0.142, 0.363])
    >>> waiting.ppf([0.25, 0.5]).round(3)
    array([0.905, 3.14 ])
    >>> waiting.mean(), waiting.var()
    (3.0, 6.25)
    """

    def __init__(self, mixture: Mixture, feature_names: Sequence[str] | None = None) -> None:
        weights, noise = mixture.weights.astype(np.float64), mixture.noise
        if noise is not None and noise.weight == 0:
            noise = None
        if noise is not None and not noise.density.proper:
            raise ValueError(
                "The noise of this model was given as a number or a function, so that the density "
                "need not integrate to one: fit a model with noise='uniform' or noise=None."
            )
        total = weights.sum() + (0.0 if noise is None else noise.weight)
        if noise is not None:
            noise = replace(noise, weight=noise.weight / total)
        self.mixture = replace(mixture, weights=weights / total, noise=noise)
        self.n_features = mixture.n_features
        self.feature_names = None if feature_names is None else tuple(map(str, feature_names))

    def __repr__(self) -> str:
        K, D = self.mixture.n_components, self.n_features
        noise = "" if self.mixture.noise is None else ", noise='uniform'"
        return f"{type(self).__name__}(n_components={K}, n_features={D}{noise})"

    @property
    def _box(self) -> Box | None:
        """Box of the uniform noise."""
        noise = self.mixture.noise
        return noise.density if noise is not None and isinstance(noise.density, Box) else None

    @cached_property
    def _univariate(self) -> Univariate:
        return Univariate.of(self.mixture)

    def _require_one_feature(self, method: str) -> None:
        if self.n_features > 1:
            raise ValueError(
                f"{method} is for one feature, but the distribution has {self.n_features}: take "
                "the marginal or the conditional distribution of one of them."
            )

    def _points(self, x: Any) -> tuple[Array, tuple[int, ...]]:
        """Return x as (n, D) rows, and the shape of results."""
        x = as_numbers(x, "x")
        if self.n_features == 1:
            return x.reshape(-1, 1), x.shape
        if not x.ndim or x.shape[-1] != self.n_features:
            raise ValueError(
                f"x has the shape {x.shape}, but its last axis must contain the {self.n_features} "
                "features of the distribution."
            )
        return x.reshape(-1, self.n_features), x.shape[:-1]

    # -- densities -------------------------------------------------------------------------------
    @negligible_underflow
    def logpdf(self, x: Any) -> Any:
        """Compute the logarithm of the density, which is accurate where the density underflows.

        Parameters
        ----------
        x : array-like
            Points, of any shape in one dimension, otherwise of shape (..., n_features).

        Returns
        -------
        float or ndarray
            Log-densities in nats; nan where x is nan.
        """
        rows, shape = self._points(x)
        finite = np.isfinite(rows).all(axis=1)
        found = np.where(np.isnan(rows).any(axis=1), np.nan, -np.inf)
        log_joint = log_joint_of_complete(self.mixture, rows[finite])
        if self._box is not None:
            log_joint[~self._box.contains(rows[finite]), -1] = -np.inf
        found[finite] = np.fmax(logsumexp(log_joint, axis=1), -np.inf)
        return found.reshape(shape)[()]

    def pdf(self, x: Any) -> Any:
        """Compute the density.

        Parameters
        ----------
        x : array-like
            Points, of any shape in one dimension, otherwise of shape (..., n_features).

        Returns
        -------
        float or ndarray
            Densities, in one over the product of the units of the features.
        """
        with np.errstate(over="ignore", under="ignore"):
            return np.exp(self.logpdf(x))

    # -- probabilities ---------------------------------------------------------------------------
    def logcdf(self, x: Any) -> Any:
        """Compute the logarithm of the distribution function.

        Parameters
        ----------
        x : array-like
            Points, of any shape in one dimension, otherwise of shape (..., n_features).

        Returns
        -------
        float or ndarray
            Log-probabilities. In one dimension, they are exact up to rounding, even where the
            probability underflows. In more dimensions, their precision is that of `cdf`.
        """
        return self._log_probability(x, 1)

    def cdf(self, x: Any) -> Any:
        """Compute the probability that every feature is at most x.

        Parameters
        ----------
        x : array-like
            Points, of any shape in one dimension, otherwise of shape (..., n_features).

        Returns
        -------
        float or ndarray
            Probabilities. They are exact up to rounding in one dimension, and for families with
            diagonal covariances. For others, SciPy's `multivariate_normal` integrates the density
            of each component numerically, with an error of about 1e-5. Those of uniform noise are
            exact too if its box is parallel to the features or there are at most 6 features;
            otherwise they are estimated with an error of about 3e-4 times its weight.

        References
        ----------
        Genz (1992), J. Comput. Graph. Stat. 1:141, doi 10.1080/10618600.1992.10477010.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0, 0.0], [4.0, 4.0]], covariances=[1.0, 1.0],
        ...     covariance_type="spherical",
        ... )
        >>> model.distribution().cdf([[2.0, 2.0], [4.0, 4.0]]).round(3)
        array([0.478, 0.625])
        """
        with np.errstate(under="ignore"):
            return np.exp(self.logcdf(x))

    def logsf(self, x: Any) -> Any:
        """Compute the logarithm of the survival function `sf`, with the precision of `logcdf`.

        Parameters
        ----------
        x : array-like
            Points, of any shape in one dimension, otherwise of shape (..., n_features).

        Returns
        -------
        float or ndarray
            Log-probabilities.
        """
        return self._log_probability(x, -1)

    def sf(self, x: Any) -> Any:
        """Compute the probability that every feature exceeds x, the survival function.

        In one dimension, this is 1 - cdf(x), without the loss of digits where it is small. In more
        dimensions, the two differ.

        Parameters
        ----------
        x : array-like
            Points, of any shape in one dimension, otherwise of shape (..., n_features).

        Returns
        -------
        float or ndarray
            Probabilities, with the precision of `cdf`.
        """
        with np.errstate(under="ignore"):
            return np.exp(self.logsf(x))

    @negligible_underflow
    def _log_probability(self, x: Any, sign: int) -> Any:
        """Return log P(X <= x) for every feature, or log P(X >= x) if `sign` is -1."""
        rows, shape = self._points(x)
        if self.n_features == 1:
            return self._univariate.log_probability(rows[:, 0], sign).reshape(shape)[()]
        mixture = self.mixture
        log_joint = np.empty((len(rows), mixture.n_densities))
        covariances = mixture.dense_covariances().astype(np.float64)
        for k, mean in enumerate(mixture.means.astype(np.float64)):
            sds = np.sqrt(np.diag(covariances[k]))
            with np.errstate(over="ignore"):
                z = sign * (rows - mean) / sds
            if mixture.family.structure.has_covariances:
                correlations = covariances[k] / sds / sds[:, None]  # whatever the units
                normal = multivariate_normal(cov=correlations, allow_singular=True)
                with np.errstate(divide="ignore"):
                    log_joint[:, k] = normal.logcdf(np.clip(z, -FARTHEST, FARTHEST))
            else:
                log_joint[:, k] = log_ndtr(z).sum(axis=1)
        log_joint[:, : mixture.n_components] += mixture.log_weights
        if mixture.noise is not None and self._box is not None:
            with np.errstate(divide="ignore"):
                log_share = np.log(share_of_box(self._box, rows, sign))
            log_joint[:, -1] = mixture.noise.log_weight + log_share
        found = np.minimum(logsumexp(log_joint, axis=1), 0.0)
        found[np.isnan(rows).any(axis=1)] = np.nan
        return found.reshape(shape)[()]

    # -- quantiles -------------------------------------------------------------------------------
    def ppf(self, q: Any) -> Any:
        """Compute quantiles: the points below which the distribution has probability q.

        Parameters
        ----------
        q : array-like
            Probabilities, between 0 and 1.

        Returns
        -------
        float or ndarray
            Quantiles, with a relative error of about 1e-15 unless the density vanishes there; nan
            where q is not a probability.

        Raises
        ------
        ValueError
            If there is more than one feature.
        """
        return self._quantiles("ppf", q, 1)

    def isf(self, q: Any) -> Any:
        """Compute upper quantiles: the points above which the distribution has probability q.

        They are those of `ppf` for 1 - q, which loses digits if q is small.

        Parameters
        ----------
        q : array-like
            Probabilities, between 0 and 1.

        Returns
        -------
        float or ndarray
            Quantiles; nan where q is not a probability.

        Raises
        ------
        ValueError
            If there is more than one feature.
        """
        return self._quantiles("isf", q, -1)

    @negligible_underflow
    def _quantiles(self, method: str, q: Any, sign: int) -> Any:
        self._require_one_feature(method)
        q = as_numbers(q, "q")
        return self._univariate.quantile(q.ravel(), sign).reshape(q.shape)[()]

    def interval(self, confidence: Any) -> tuple[Any, Any]:
        """Compute the interval with equal tails that has a given probability.

        Parameters
        ----------
        confidence : array-like
            Probability of the interval.

        Returns
        -------
        low, high : float or ndarray
            Ends of the interval, below and above which the probability is (1 - confidence) / 2.

        Raises
        ------
        ValueError
            If there is more than one feature.
        """
        self._require_one_feature("interval")
        tail = 0.5 * (1.0 - as_numbers(confidence, "confidence"))
        return self.ppf(tail), self.isf(tail)

    # -- draws and moments -----------------------------------------------------------------------
    def rvs(self, size: int | tuple[int, ...] | None = None, random_state: Any = None) -> Any:
        """Draw random points, in random order.

        Parameters
        ----------
        size : int or tuple of int, default=None
            Number of points, or the shape of an array of points; None is a single one.
        random_state : int, RandomState or Generator instance or None, default=None
            Seed of the draw; None uses NumPy's global random state.

        Returns
        -------
        float or ndarray
            Draws, of shape `size`; in more than one dimension, the features are the last axis.

        Raises
        ------
        ValueError
            If `size` is not a non-negative integer or a tuple of these, or no array is so large.
        """
        random: Any = random_state
        if not isinstance(random, np.random.Generator):
            random = check_random_state(random)
        shape = sizes(size)
        n_rows = math.prod(shape)
        validation.check_drawable(n_rows, self.n_features)
        rows, _ = self.mixture.sample(n_rows, random)
        rows = rows[random.permutation(len(rows))]  # they are grouped by component
        return rows.reshape(shape if self.n_features == 1 else (*shape, self.n_features))[()]

    def mean(self) -> Any:
        """Compute the mean.

        Returns
        -------
        float or ndarray of shape (n_features,)
            Mean, a float in one dimension.
        """
        return self._scalar(self._moments()[0])

    def cov(self) -> Array:
        """Compute the covariance matrix.

        Returns
        -------
        ndarray of shape (n_features, n_features)
            Covariances within the components plus those of their means.
        """
        return self._moments()[1]

    def var(self) -> Any:
        """Compute the variance of each feature.

        Returns
        -------
        float or ndarray of shape (n_features,)
            Variances, a float in one dimension.
        """
        return self._scalar(np.diag(self.cov()).copy())

    def std(self) -> Any:
        """Compute the standard deviation of each feature.

        Returns
        -------
        float or ndarray of shape (n_features,)
            Standard deviations, a float in one dimension.
        """
        return np.sqrt(self.var())

    def _scalar(self, values: Array) -> Any:
        return float(values[0]) if self.n_features == 1 else values

    @negligible_underflow
    def _moments(self) -> tuple[Array, Array]:
        """Return the mean and the covariance."""
        mixture, box = self.mixture, self._box
        weights, means = mixture.weights, mixture.means.astype(np.float64)
        covariances = mixture.dense_covariances().astype(np.float64)
        if mixture.noise is not None and box is not None and box.edges is not None:
            weights = np.append(weights, mixture.noise.weight)
            means = np.vstack([means, box.centre])
            covariances = np.concatenate([covariances, (box.edges.T @ box.edges)[None] / 12])
        mean = weights @ means
        deviations = means - mean
        return mean, np.tensordot(weights, covariances, 1) + (weights * deviations.T) @ deviations

    def entropy(self, n_samples: int = DRAWS, random_state: Any = None) -> float:
        """Estimate the differential entropy, -E log p(X), from draws.

        Parameters
        ----------
        n_samples : int, default=100000
            Number of draws. The standard error is that of the mean of their log-densities.
        random_state : int, RandomState or Generator instance or None, default=None
            Seed of the draws.

        Returns
        -------
        float
            Entropy in nats.
        """
        n_draws = count(n_samples, "n_samples")
        return -float(np.mean(self.logpdf(self.rvs(n_draws, random_state))))

    def modes(self) -> Array:
        """Find the modes, the local maxima of the density, highest first.

        Each mode is found by mean-shift and Newton steps, and verified by the eigenvalues of the
        Hessian matrix. Uniform noise does not move modes.

        Returns
        -------
        ndarray of shape (M, n_features)
            Modes. In more than one dimension there may be more of them than components.

        Notes
        -----
        The searches start from the means of the components, and from points between those of each
        pair on the curve that contains all stationary points of these two (Ray and Lindsay 2005).
        With one or two components, and in one dimension, the starts cover all places where a mode
        can be. With more components and dimensions, every returned point is a mode, but no known
        method guarantees that all modes are found.

        References
        ----------
        Carreira-Perpinan (2000), IEEE Trans. Pattern Anal. 22:1318, doi 10.1109/34.888716.
        Ray and Lindsay (2005), Ann. Statist. 33:2042, doi 10.1214/009053605000000417.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.4, 0.6], [[0.0], [3.0]], covariances=[1.0, 1.0], covariance_type="V"
        ... )
        >>> model.modes().round(3)
        array([[2.976],
               [0.058]])
        """
        return modes(self.mixture)
