"""Marginal and conditional distributions of a mixture on some of its features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from emgmm.covariances import Structure, family_of_marginals
from emgmm.distributions.density import log_joint_of_complete
from emgmm.mixture import Mixture
from emgmm.noise import Noise
from emgmm.tolerances import negligible_underflow
from emgmm.typing import Array


def marginal(mixture: Mixture, features: Sequence[int]) -> Mixture:
    """Return the marginal distribution of some features, in their order.

    Raises
    ------
    ValueError
        If the marginal density of the noise component is not known.
    """
    features, D = list(features), mixture.n_features
    if features == list(range(D)):
        return mixture
    family = family_of_marginals(mixture.family, features, D)
    structure = family.structure
    covariances = _stored(mixture, mixture.covariances, structure)
    factors = _stored(mixture, mixture.precisions_cholesky.astype(np.float64), structure)
    return Mixture.of(
        mixture.weights,
        mixture.means[:, features],
        family.unstack(structure.select(covariances, features, D)),
        family,
        _noise(mixture, features),
        family.unstack(structure.marginal(factors, features, D)),
    )


@negligible_underflow
def conditional(mixture: Mixture, given: Sequence[int], values: Array) -> Mixture:
    """Return the distribution of the other features given the values of some, in float64.

    The noise component, if there is one, keeps its density outside its box, as in the log-joint.

    Parameters
    ----------
    mixture : Mixture
        Distribution of all features.
    given : sequence of int
        Features whose values are given; at least one is not.
    values : (len(given),)
        The values.

    Raises
    ------
    ValueError
        If the density of the noise component does not come from the volume of the data, or if all
        densities underflow even as logarithms.
    """
    given, D = list(given), mixture.n_features
    rest = [feature for feature in range(D) if feature not in given]
    if mixture.noise is not None and not mixture.noise.density.proper:
        raise ValueError(
            "The noise of this model was given as a number or a function, which has no conditional "
            "distribution: fit a model with noise='uniform' or noise=None."
        )
    log_joint = log_joint_of_complete(marginal(mixture, given), values[None])[0]
    if not np.isfinite(log_joint.max()):
        raise ValueError(
            f"The given values {values.tolist()} are so far from all components that their "
            "densities underflow even as logarithms: check their units."
        )
    weights = softmax(log_joint)
    family = family_of_marginals(mixture.family, rest, D)
    factors = _stored(mixture, mixture.precisions_cholesky.astype(np.float64), family.structure)
    factors = family.unstack(family.structure.conditional(factors, rest, D))
    return Mixture.of(
        weights[: mixture.n_components],
        _conditional_means(mixture, given, rest, values),
        family.covariances(factors),
        family,
        _noise(mixture, rest, float(weights[-1])),
        factors,
    )


def _stored(mixture: Mixture, elements: Array, structure: Structure) -> Array:
    """Return K covariances or factors of a mixture as elements of a structure."""
    own, each = mixture.family.structure, mixture.family.per_component
    elements = each(elements, mixture.n_components)
    return elements if own == structure else own.dense(elements, mixture.n_features)


def _noise(mixture: Mixture, features: list[int], weight: float | None = None) -> Noise | None:
    """Return the noise component of some features, by default with the weight that it has."""
    if mixture.noise is None:
        return None
    weight = mixture.noise.weight if weight is None else weight
    return Noise(weight, mixture.noise.density.marginal(features))


def _conditional_means(mixture: Mixture, given: list[int], rest: list[int], values: Array) -> Array:
    """Return the conditional means of the components.

    They minimize |U^T d|, where d are the deviations from the mean. The least-squares problem is
    solved by a QR decomposition, which loses fewer digits than an inverse of a covariance.
    """
    structure, D = mixture.family.structure, mixture.n_features
    means = mixture.means.astype(np.float64)
    if not structure.has_covariances:
        return means[:, rest]
    deviations = np.zeros(means.shape)
    deviations[:, given] = values - means[:, given]
    factors = mixture.each_precision_cholesky
    whitened = structure.whiten(factors, deviations[:, :, None])
    bases, roots = np.linalg.qr(structure.dense(factors, D)[:, rest].swapaxes(1, 2))
    return means[:, rest] - np.linalg.solve(roots, bases.swapaxes(1, 2) @ whitened)[:, :, 0]
