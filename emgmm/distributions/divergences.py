"""Divergences and distances between two mixtures."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import eye_array, kron, vstack

from emgmm.distributions.distribution import DRAWS, MixtureDistribution
from emgmm.mixture import LOG_2_PI
from emgmm.parameters import count
from emgmm.tolerances import negligible_underflow
from emgmm.typing import Array

# Tolerances of the linear program, the smallest that the solver allows.
LINPROG: Any = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


class MonteCarloResult(NamedTuple):
    """Estimate from random draws, and its standard error."""

    value: float
    standard_error: float


MonteCarloResult.value.__doc__ = "Estimate."
MonteCarloResult.standard_error.__doc__ = "Standard error of the estimate."


@negligible_underflow
def kl_divergence(
    p: Any, q: Any, *, n_samples: int = DRAWS, random_state: Any = None
) -> MonteCarloResult:
    """Estimate the Kullback-Leibler divergence between two mixtures, E_p [log p(X) - log q(X)].

    There is no closed form for mixtures. The estimate is the mean over draws from p. It may be
    negative if p and q are nearly the same.

    Parameters
    ----------
    p, q : GaussianMixture, GaussianMixtureIC or MixtureDistribution
        Fitted mixtures of the same features. Uniform noise is part of the distributions.
    n_samples : int, default=100000
        Number of draws.
    random_state : int, RandomState or Generator instance or None, default=None
        Seed of the draws.

    Returns
    -------
    MonteCarloResult
        ``value`` in nats, and its ``standard_error``.

    Raises
    ------
    TypeError
        If p or q is not such a mixture.
    ValueError
        If p and q have different features, or a noise that was given as a number or a function.

    References
    ----------
    Kullback and Leibler (1951), Ann. Math. Statist. 22:79, doi 10.1214/aoms/1177729694.

    Examples
    --------
    >>> from emgmm import GaussianMixture, kl_divergence
    >>> p = GaussianMixture.from_parameters([1.0], [[0.0]], covariances=[[[1.0]]])
    >>> q = GaussianMixture.from_parameters([1.0], [[1.0]], covariances=[[[1.0]]])
    >>> result = kl_divergence(p, q, random_state=0)  # exactly 1/2
    >>> abs(result.value - 0.5) < 4 * result.standard_error
    True
    """
    p, q = _distributions(p, q)
    n_draws = count(n_samples, "n_samples")
    draws = p.rvs(n_draws, random_state)
    differences = p.logpdf(draws) - q.logpdf(draws)
    error = np.std(differences) / np.sqrt(n_draws)
    return MonteCarloResult(float(np.mean(differences)), float(error))


@negligible_underflow
def l2_distance(p: Any, q: Any) -> float:
    """Compute the L2 distance between the densities of two mixtures.

    It is the square root of the integral of (p - q)^2, which is a sum over pairs of components.
    Distances below about 1e-8 times the norm of p are rounding errors.

    Parameters
    ----------
    p, q : GaussianMixture, GaussianMixtureIC or MixtureDistribution
        Fitted mixtures of the same features, without noise.

    Returns
    -------
    float
        Distance, in the unit of the square root of a density.

    Raises
    ------
    TypeError
        If p or q is not such a mixture.
    ValueError
        If p and q have different features, or if one of them has noise.

    Examples
    --------
    >>> from emgmm import GaussianMixture, l2_distance
    >>> p = GaussianMixture.from_parameters([1.0], [[0.0]], covariances=[[[1.0]]])
    >>> q = GaussianMixture.from_parameters([1.0], [[1.0]], covariances=[[[1.0]]])
    >>> round(l2_distance(p, q), 4)
    0.3533
    """
    (pi, means, covariances), (other_pi, other_means, other_covariances) = _components(
        p, q, "l2_distance"
    )
    signed = np.concatenate([pi, -other_pi])
    means = np.concatenate([means, other_means])
    covariances = np.concatenate([covariances, other_covariances])
    logs = np.empty((len(signed), len(signed)))
    for i, mean in enumerate(means):
        factors = np.linalg.cholesky(covariances[i] + covariances)
        whitened = np.linalg.solve(factors, (mean - means)[:, :, None])[:, :, 0]
        log_dets = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
        logs[i] = -0.5 * (whitened**2).sum(axis=1) - log_dets - 0.5 * means.shape[1] * LOG_2_PI
    largest = logs.max()  # the densities may be beyond the range of floating-point numbers
    square = signed @ np.exp(logs - largest) @ signed
    return float(np.sqrt(max(0.0, square)) * np.exp(0.5 * largest))


@negligible_underflow
def wasserstein_distance(p: Any, q: Any) -> float:
    """Compute the Wasserstein distance between two mixtures, transporting components to components.

    It is the square root of the smallest mean squared distance between X ~ p and Y ~ q among the
    joint distributions that are Gaussian mixtures themselves. It is a metric, and at least as large
    as the unrestricted Wasserstein distance of order 2.

    Parameters
    ----------
    p, q : GaussianMixture, GaussianMixtureIC or MixtureDistribution
        Fitted mixtures of the same features, without noise.

    Returns
    -------
    float
        Distance, in the units of the features, which should be the same for all of them.

    Raises
    ------
    TypeError
        If p or q is not such a mixture.
    ValueError
        If p and q have different features, or if one of them has noise.

    References
    ----------
    Delon and Desolneux (2020), SIAM J. Imaging Sci. 13:936, doi 10.1137/19M1301047.

    Examples
    --------
    >>> from emgmm import GaussianMixture, wasserstein_distance
    >>> p = GaussianMixture.from_parameters([1.0], [[0.0]], covariances=[[[1.0]]])
    >>> q = GaussianMixture.from_parameters([1.0], [[3.0]], covariances=[[[25.0]]])
    >>> round(wasserstein_distance(p, q), 6)  # (3 - 0)^2 + (5 - 1)^2 = 5^2
    5.0
    """
    (pi, means, covariances), (other_pi, other_means, other_covariances) = _components(
        p, q, "wasserstein_distance"
    )
    factors, other_factors = np.linalg.cholesky(covariances), np.linalg.cholesky(other_covariances)
    # The squared distance of two covariances A A^T and B B^T is the least |A - B O|^2 over the
    # orthogonal O, which loses no digits if they are nearly the same.
    left, _, right = np.linalg.svd(other_factors.swapaxes(1, 2) @ factors[:, None])
    difference = factors[:, None] - other_factors @ left @ right
    costs = ((means[:, None] - other_means) ** 2).sum(axis=2) + (difference**2).sum(axis=(2, 3))
    K, L = costs.shape
    sums: Any = vstack([kron(eye_array(K), np.ones((1, L))), kron(np.ones((1, K)), eye_array(L))])
    scale = costs.max() or 1.0
    plan = linprog(
        costs.ravel() / scale,
        A_eq=sums.tocsr()[:-1],  # the last constraint follows from the others
        b_eq=np.concatenate([pi, other_pi])[:-1],
        options=LINPROG,
    )
    if plan.x is None:
        raise ArithmeticError(f"The optimal transport plan was not found: {plan.message}")
    return float(np.sqrt(max(0.0, costs.ravel() @ plan.x)))


def _distributions(*mixtures: Any) -> list[MixtureDistribution]:
    """Return the distributions of two mixtures, which must have the same features."""
    found = []
    for name, mixture in zip("pq", mixtures, strict=True):
        if not isinstance(mixture, MixtureDistribution) and not hasattr(mixture, "distribution"):
            raise TypeError(
                f"{name} must be a fitted GaussianMixture of emgmm or its distribution, but is a "
                f"{type(mixture).__name__}: GaussianMixture.from_sklearn takes scikit-learn's."
            )
        own = mixture if isinstance(mixture, MixtureDistribution) else mixture.distribution()
        found.append(own)
    p, q = found
    if p.n_features != q.n_features:
        raise ValueError(
            f"p has {p.n_features} features, but q has {q.n_features}: take the marginal "
            "distributions of the features that they have in common."
        )
    if p.feature_names and q.feature_names and p.feature_names != q.feature_names:
        raise ValueError(
            f"The features of p are {list(p.feature_names)}, but those of q are "
            f"{list(q.feature_names)}: take the marginal distributions of common features, in one "
            "order."
        )
    return found


def _components(p: Any, q: Any, function: str) -> list[tuple[Array, Array, Array]]:
    """Return weights, means and covariance matrices of two mixtures without noise."""
    found: list[tuple[Array, Array, Array]] = []
    for name, distribution in zip("pq", _distributions(p, q), strict=True):
        mixture = distribution.mixture
        if mixture.noise is not None:
            raise ValueError(
                f"{function} is for Gaussian mixtures, but {name} has a noise component: fit a "
                "model with noise=None, or use kl_divergence."
            )
        covariances = mixture.dense_covariances().astype(np.float64)
        found.append((mixture.weights, mixture.means.astype(np.float64), covariances))
    return found
