"""Validation of the parameters of a mixture: weights, means, covariances and noise."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from emgmm.covariances import FAMILIES, Family, are_symmetric, family_of
from emgmm.exceptions import DegenerateCovarianceError, format_components
from emgmm.mixture import Mixture
from emgmm.noise import Box, Density, Function, Noise
from emgmm.sources import as_parameters
from emgmm.typing import Array
from emgmm.validation.data import is_floats
from emgmm.validation.parameters import suggestion


def family(covariance_type: Any) -> Family:
    """Return the given family, or the one with the given name."""
    named = isinstance(covariance_type, str) and covariance_type in FAMILIES
    if not named and not isinstance(covariance_type, Family):
        raise ValueError(
            f"covariance_type must be one of {sorted(FAMILIES)} or a Family, but got "
            f"{covariance_type!r}.{suggestion(covariance_type, FAMILIES)}"
        )
    return family_of(covariance_type)


def check_features(family: Family, n_features: int) -> None:
    """Check that the family supports this number of features."""
    if family.most_features is not None and n_features > family.most_features:
        raise ValueError(
            f"covariance_type={family.name!r} is for one feature, but there are {n_features}: "
            "choose a type of three letters, such as 'EII' or 'VII'."
        )


def _check_shape(value: Array, shape: tuple[int, ...], name: str) -> None:
    if value.shape != shape:
        raise ValueError(
            f"The parameter '{name}' should have the shape of {shape}, but got {value.shape}"
        )


def _array(value: Any, name: str) -> Array:
    if is_floats(value) and np.isfinite(value).all() and value.size:
        return value.copy()
    return as_parameters(value, name, ensure_2d=False, allow_nd=True)


def weights(value: Any, n_components: int, noise: float | None = 0.0) -> Array:
    """Return weights (K,) in [0, 1] that sum to 1 - `noise`; None allows any weight of noise."""
    array = _array(value, "weights")
    _check_shape(array, (n_components,), "weights")
    tolerance = 1e-6 if array.dtype == np.float32 else 1e-8
    outside = (array < 0) | (array > 1 + tolerance)
    if outside.any():
        k = int(np.argmax(outside))
        # Minimum and maximum are interchanged, as in scikit-learn, whose message code may match.
        raise ValueError(
            "The parameter 'weights' should be in the range [0, 1], but got max value "
            f"{array.min():.5f}, min value {array.max():.5f}: component {k} has {array[k]:.5f}"
        )
    rest = 1.0 - array.sum()
    if rest < -tolerance if noise is None else abs(rest - noise) > tolerance:
        wanted = "" if noise is None else f", where 1 - noise_weight is {1.0 - noise:.5f}"
        raise ValueError(
            "The parameter 'weights' should be normalized, but got sum(weights) = "
            f"{array.sum():.5f}{wanted if noise else ''}"
        )
    return array


def means(value: Any, n_components: int, n_features: int) -> Array:
    """Return means of shape (K, D)."""
    array = _array(value, "means")
    _check_shape(array, (n_components, n_features), "means")
    return array


def mean_table(value: Any) -> Array:
    """Return means (K, D) that determine both K and D."""
    return as_parameters(value, "means")


def precisions_cholesky(value: Any, family: Family, n_components: int, n_features: int) -> Array:
    """Return factors U of the precisions, precision = U U^T, as in scikit-learn."""
    name = f"{family.name} precisions_cholesky"
    array = _array(value, name)
    _check_shape(array, family.element_shape(n_components, n_features), name)
    _check_equal(array, family, name)
    stacked = family.stack(array)
    if stacked.ndim == 3:
        wanted = "upper triangular with a positive diagonal"
        below = np.tril(stacked, -1) == 0
        right = (np.diagonal(stacked, axis1=1, axis2=2) > 0) & below.all(axis=1)
    else:
        wanted, right = "positive", stacked > 0
    wrong = np.logical_not(right.reshape(len(stacked), -1).all(axis=1))
    if wrong.any():
        where = "" if family.pooled else f": that of component {np.argmax(wrong)} is not"
        raise ValueError(f"'{name}' should be {wanted}{where}")
    return array


def _number(value: Any) -> float:
    """Return a number as a float, and nan for anything else, including booleans."""
    return np.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)


def noise_component(density: Density | None, weight: Any) -> Noise | None:
    """Return the noise component of a model whose attributes a user may have set."""
    if not 0 <= _number(weight) <= 1:
        raise ValueError(f"noise_weight_ must be a number in [0, 1], but is {weight!r}")
    if density is not None:
        return Noise(float(weight), density)
    if float(weight) > 0:
        raise ValueError(f"noise_weight_ is {weight}, but the model has no noise component")
    return None


def cholesky_of_precisions(value: Any, family: Family, n_components: int, n_features: int) -> Array:
    """Return the factors U of precisions."""
    name = f"{family.name} precision"
    array = _array(value, name)
    _check_shape(array, family.element_shape(n_components, n_features), name)
    _check_equal(array, family, name)
    try:
        return family.cholesky_of_precisions(array.astype(np.float64))
    except DegenerateCovarianceError as error:
        raise ValueError(_not_definite(name, array, family, error)) from None


def covariances(value: Any, family: Family, n_components: int, n_features: int) -> Array:
    """Return positive definite covariances in the family's shape."""
    name = f"{family.name} covariance"
    array = _array(value, name)
    _check_shape(array, family.element_shape(n_components, n_features), name)
    stacked = family.stack(array)
    try:
        if stacked.ndim == 3:
            family.require_definite(are_symmetric(stacked))
        family.precisions_cholesky(array)
    except DegenerateCovarianceError as error:
        raise ValueError(_not_definite(name, array, family, error)) from None
    _check_equal(array, family, name)
    return array


def _check_equal(array: Array, family: Family, name: str) -> None:
    """Check that the elements of a shared covariance are the same for all components."""
    stacked = family.stack(array)
    if family.shared and (stacked != stacked[0]).any():
        raise ValueError(f"'{name}' should be the same for all components")


def _not_definite(name: str, array: Array, family: Family, error: DegenerateCovarianceError) -> str:
    matrix = family.stack(array).ndim == 3
    wanted = "symmetric, positive-definite" if matrix else "positive"
    where = f": that of component {error.components[0]} is not" if error.components else ""
    return f"'{name}' should be {wanted}{where}"


def mixture(
    given_weights: Any,
    given_means: Any,
    given_covariances: Any,
    precisions: Any,
    family: Family,
    noise: float | Callable[..., Any] | None = None,
    noise_weight: float = 0.0,
) -> Mixture:
    """Return the mixture with given parameters, either covariances or precisions."""
    if (given_covariances is None) == (precisions is None):
        raise ValueError("Give exactly one of covariances and precisions.")
    mean_array = mean_table(given_means)
    K, D = mean_array.shape
    check_features(family, D)
    component = given_noise(noise, noise_weight, D)
    weight_array = weights(given_weights, K, noise_weight)
    if precisions is None:
        covariance_array = covariances(given_covariances, family, K, D)
        dtype = np.result_type(weight_array, mean_array, covariance_array)
        factors = None
    else:
        factors = cholesky_of_precisions(precisions, family, K, D)
        covariance_array = family.covariances(factors)
        dtype = np.result_type(weight_array, mean_array, np.asarray(precisions))
    return assembled(
        weight_array, mean_array.astype(dtype), covariance_array, family, component, factors
    )


def assembled(
    weights: Array,
    means: Array,
    covariances: Array,
    family: Family,
    noise: Noise | None,
    precisions_cholesky: Array | None,
) -> Mixture:
    """Return the mixture with validated parameters, in the type of `means`."""
    try:
        return Mixture.of(weights, means, covariances, family, noise, precisions_cholesky)
    except DegenerateCovarianceError as error:
        advice = "" if means.dtype == np.float64 else " or use float64"
        raise ValueError(
            "The covariance or the precision of "
            f"{format_components(error.components) or 'all components'} is beyond the range of "
            f"{means.dtype}: rescale the features{advice}."
        ) from None


def given_noise(noise: Any, noise_weight: Any, n_features: int) -> Noise | None:
    """Return the noise component with a given density and weight."""
    weight = _number(noise_weight)
    if not 0 <= weight < 1:
        raise ValueError(f"noise_weight must be a number in [0, 1), but got {noise_weight!r}")
    if noise is None:
        if weight > 0:
            raise ValueError(
                f"noise_weight is {weight:g}, but noise is None: give its density, a number or a "
                "function of rows that returns log-densities."
            )
        return None
    if callable(noise):
        return Noise(weight, Function(noise))
    density = _number(noise)
    if not 0 < density < np.inf:
        raise ValueError(
            f"noise is {noise!r}, but without data to compute a volume from it must be a density "
            "above 0, or a function of rows that returns log-densities."
        )
    return Noise(weight, Box(np.ones(n_features)).of_density(density))
