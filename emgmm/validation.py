"""Validation of what users pass: X and its weights, features, and parameters of a mixture.

Error messages begin exactly as scikit-learn's do, because code may match them. Then they describe
the problem and its remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from emgmm.covariances import FAMILIES, Family, are_symmetric, family_of
from emgmm.devices import check_supported
from emgmm.exceptions import DegenerateCovarianceError, format_components, format_features
from emgmm.mixture import Mixture
from emgmm.noise import Box, Density, Function, Noise
from emgmm.parameters import number, suggestion
from emgmm.sources import KINDS, ArraySource, Blocks, Source
from emgmm.sources.conversion import as_array, as_parameters, as_rows
from emgmm.sources.finite import is_complete
from emgmm.sources.frames import evaluated
from emgmm.sources.known import LabelRules
from emgmm.sources.weights import row_weights
from emgmm.summary import DataSummary
from emgmm.tolerances import FLOATS
from emgmm.typing import Array

# Largest entry below the diagonal of a factor, relative to the largest one of its row, that is
# attributed to rounding.
ROUNDING = 1e-10


def labelled_source(
    estimator: BaseEstimator,
    X: Any,
    sample_weight: Any,
    labels: Any,
    rules: LabelRules,
    *,
    reset: bool,
) -> Source:
    """Return a source of the rows of X, at least two for a fit, with labels of some of them."""
    opened = source(estimator, X, sample_weight, reset=reset, least=2 if reset else 1)
    if labels is not None:
        _check_same_blocks(labels, X, "labels")
        opened.attach_labels(labels, rules)
    return opened


def _check_same_blocks(value: Any, X: Any, name: str) -> None:
    if isinstance(value, Blocks) and not isinstance(X, Blocks):
        raise TypeError(f"{name} is blocks, but X is not: give both in the same blocks.")


def source(
    estimator: BaseEstimator, X: Any, sample_weight: Any = None, *, reset: bool, least: int = 1
) -> Source:
    """Return a source of the rows of X, of which there must be at least `least`."""
    _check_same_blocks(sample_weight, X, "sample_weight")
    for kind in KINDS:
        if kind.accepts(X):
            check_supported(estimator, X)
            opened = kind.of(X, sample_weight)
            _match_features(estimator, opened.n_features, opened.feature_names, reset=reset)
            return opened
    X = evaluated(X)
    array = as_rows(X, ensure_min_samples=least, estimator=estimator)
    if array is X and (reset or not hasattr(estimator, "feature_names_in_")):
        # scikit-learn would also look for names in arrays, which takes as long as an EM iteration.
        _match_features(estimator, array.shape[1], None, reset=reset)
    else:  # sets or compares the number and the names of the features
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        if not reset:
            check_width(estimator, array.shape[1])
    names = getattr(estimator, "feature_names_in_", None)
    weights = None if sample_weight is None else row_weights(sample_weight, len(array))
    opened = ArraySource(array, weights, complete=is_complete(array, names))
    opened.feature_names = names
    return opened


def _match_features(
    estimator: BaseEstimator, width: int, names: Array | None, *, reset: bool
) -> None:
    """Set the number and names of the features if `reset`, or compare them with the fitted ones."""
    if reset:
        estimator.n_features_in_ = width
        if names is not None:
            estimator.feature_names_in_ = names
        elif hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
        return
    check_width(estimator, width)
    known = getattr(estimator, "feature_names_in_", None)
    if names is not None and known is not None and list(names) != list(known):
        raise ValueError(
            "The feature names should match those that were passed during fit: expected "
            f"{list(known)}, but got {list(names)}."
        )


def check_width(estimator: BaseEstimator, width: int) -> None:
    """Check that X has the number of features that the estimator expects."""
    known = getattr(estimator, "n_features_in_", None)
    if hasattr(estimator, "means_"):  # which may have been set by hand
        means = estimator.means_
        is_table = isinstance(means, np.ndarray) and means.ndim == 2
        columns = (means if is_table else mean_table(means)).shape[1]
        if known is not None and not np.array_equal(known, columns):
            raise ValueError(
                f"means_ has {columns} columns, but n_features_in_ is {known}: set both, or fit "
                "again."
            )
        known = columns
    if known is not None and not np.array_equal(known, width):
        raise ValueError(
            f"X has {width} features, but {type(estimator).__name__} is expecting "
            f"{known} features as input."
        )


def check_some_observed(informative: float) -> None:
    """Check the number or the weight of the rows of positive weight with an observed value."""
    if not informative:
        raise ValueError(
            "X has no observed value in any row of positive weight: pass the rows that were fitted."
        )


def check_observed(summary: DataSummary, names: Array | None) -> None:
    """Check that every feature was observed in some row of positive weight."""
    never = np.flatnonzero(summary.observed <= 0)
    if len(never):
        raise ValueError(
            f"Feature {format_features((never[0],), names)}, counted from 0, is missing in every "
            "row of positive weight, so that its mean and variance cannot be estimated: drop it."
        )


def whole(X: Any) -> None:
    """Raise an error for X for which `predict` returns an iterator."""
    if isinstance(X, Blocks):
        raise TypeError(
            "fit_predict would have to hold the labels of all rows at once: call fit(X), and then "
            "predict(X), which returns an iterator of arrays, one for each of the blocks."
        )


def check_enough_rows(n_all: int, n_rows: int, weight: float, n_components: int) -> None:
    """Check that there are two rows, and one per component, where a weight of 2 is two rows."""
    if n_all < 2:
        raise ValueError(f"Found array with {n_all} sample(s) while a minimum of 2 is required.")
    if not n_rows:
        raise ValueError(
            "X has no observed value in any row of positive weight, so that there is nothing to "
            "fit: pass rows with values."
        )
    if max(n_rows, weight) < n_components:
        raise ValueError(
            f"Expected n_samples >= n_components but got n_components = {n_components}, "
            f"n_samples = {n_rows}"
        )


def check_drawable(n_rows: int, n_features: int) -> None:
    """Check that an array can hold this number of rows."""
    most = np.iinfo(np.intp).max // (8 * n_features)
    if n_rows > most:
        raise ValueError(f"{n_rows} draws are more than an array can hold, {most}: draw fewer.")


def feature_names(names: Any, n_features: int) -> NDArray[np.object_]:
    """Return names of features as an array of shape (D,)."""
    array = np.array(list(names), dtype=object)
    if array.shape != (n_features,) or not all(isinstance(name, str) for name in array):
        raise ValueError(
            f"feature_names must be {n_features} strings, one for each feature, but got {names!r}"
        )
    return array


def feature_indices(features: Any, names: Sequence[str], n_features: int) -> list[int]:
    """Return the indices of features, or of a single one, that are given by index or name."""
    if isinstance(features, str | int | np.integer):
        features = [features]
    if not isinstance(features, Iterable):
        raise TypeError(
            f"Features are a number or a name, or a sequence of these, but got {features!r}."
        )
    indices = [_feature_index(feature, names, n_features) for feature in features]
    if len(set(indices)) < len(indices):
        raise ValueError(f"features={features!r} names a feature twice: name each once.")
    return indices


def _feature_index(feature: Any, names: Sequence[str], n_features: int) -> int:
    if isinstance(feature, str):
        if feature not in names:
            known = f"its features are {list(names)}" if names else "it was fitted without names"
            raise ValueError(f"The model has no feature {feature!r}: {known}.")
        if names.count(feature) > 1:
            raise ValueError(
                f"Several features of the model have the name {feature!r}: give their numbers."
            )
        return names.index(feature)
    if not isinstance(feature, int | np.integer) or isinstance(feature, bool):
        raise TypeError(f"A feature is a number or a name, but got {feature!r}.")
    if not 0 <= feature < n_features:
        has = "1 feature, 0" if n_features == 1 else f"{n_features} features, 0 to {n_features - 1}"
        raise ValueError(
            f"There is no feature {feature}: the model has {has}; the parameter features selects "
            "those that are wanted."
        )
    return int(feature)


def given_values(values: Any, names: Sequence[Any]) -> Array:
    """Return finite numbers, one for each of the features with these names or indices."""
    numbers = np.atleast_1d(as_array(values, "values"))
    if numbers.shape != (len(names),):
        raise ValueError(
            f"There are {len(names)} features, but values has the shape {numbers.shape}: give one "
            "value for each feature."
        )
    for name, value in zip(names, numbers.tolist(), strict=True):
        if not np.isfinite(number(value)):
            raise ValueError(
                f"The value of feature {name!r} is {value!r}, but must be a finite number; leave a "
                "feature out if its value is not known."
            )
    return numbers.astype(np.float64)


# -- parameters of a mixture -----------------------------------------------------------------------
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


def _array(value: Any, shape: tuple[int, ...], name: str) -> Array:
    """Return a copy of finite numbers, float32 or float64, which must have the shape."""
    plain = type(value) is np.ndarray and value.dtype in FLOATS and value.size
    if plain and np.isfinite(value).all():
        array = value.copy()
    else:
        array = as_parameters(value, name, ensure_2d=False, allow_nd=True)
    if array.shape != shape:
        raise ValueError(
            f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}"
        )
    return array


def _of_family(value: Any, family: Family, n_components: int, n_features: int, name: str) -> Array:
    """Return an array in the family's shape, whose shared elements must be the same."""
    array = _array(value, family.element_shape(n_components, n_features), name)
    stacked = family.stack(array)
    if family.shared and (stacked != stacked[0]).any():
        raise ValueError(f"'{name}' should be the same for all components")
    return array


def weights(value: Any, n_components: int, noise: float | None = 0.0) -> Array:
    """Return weights (K,) in [0, 1] that sum to 1 - `noise`; None allows any weight of noise."""
    array = _array(value, (n_components,), "weights")
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
        wanted = f", where 1 - noise_weight is {1.0 - noise:.5f}" if noise else ""
        raise ValueError(
            "The parameter 'weights' should be normalized, but got sum(weights) = "
            f"{array.sum():.5f}{wanted}"
        )
    return array


def means(value: Any, n_components: int, n_features: int) -> Array:
    """Return means of shape (K, D)."""
    return _array(value, (n_components, n_features), "means")


def mean_table(value: Any) -> Array:
    """Return means (K, D) that determine both K and D."""
    return as_parameters(value, "means")


def precisions_cholesky(value: Any, family: Family, n_components: int, n_features: int) -> Array:
    """Return factors U of the precisions, precision = U U^T, as in scikit-learn.

    Lower triangular factors, as of ``numpy.linalg.cholesky``, are converted.
    """
    name = f"{family.name} precisions_cholesky"
    array = _of_family(value, family, n_components, n_features, name)
    stacked = family.stack(array)
    if stacked.ndim == 3:
        if np.tril(stacked, -1).any() and not np.triu(stacked, 1).any():
            precisions = family.precisions(array.astype(np.float64))
            return cholesky_of_precisions(precisions, family, n_components, n_features)
        wanted = "upper triangular with a positive diagonal"
        limits = ROUNDING * np.abs(stacked).max(axis=2, keepdims=True)
        below = np.abs(np.tril(stacked, -1)) <= limits
        right = (np.diagonal(stacked, axis1=1, axis2=2) > 0) & below.all(axis=1)
        array = family.unstack(np.triu(stacked))
    else:
        wanted, right = "positive", stacked > 0
    wrong = np.logical_not(right.reshape(len(stacked), -1).all(axis=1))
    if wrong.any():
        where = "" if family.pooled else f": that of component {np.argmax(wrong)} is not"
        raise ValueError(f"'{name}' should be {wanted}{where}")
    return array


def noise_component(density: Density | None, weight: Any) -> Noise | None:
    """Return the noise component of a model whose attributes a user may have set."""
    if not 0 <= number(weight) <= 1:
        raise ValueError(f"noise_weight_ must be a number in [0, 1], but is {weight!r}")
    if density is not None:
        return Noise(float(weight), density)
    if float(weight) > 0:
        raise ValueError(f"noise_weight_ is {weight}, but the model has no noise component")
    return None


def cholesky_of_precisions(value: Any, family: Family, n_components: int, n_features: int) -> Array:
    """Return the factors U of precisions."""
    name = f"{family.name} precision"
    array = _of_family(value, family, n_components, n_features, name)
    try:
        return family.cholesky_of_precisions(array.astype(np.float64))
    except DegenerateCovarianceError as error:
        raise ValueError(_not_definite(name, array, family, error)) from None


def covariances(value: Any, family: Family, n_components: int, n_features: int) -> Array:
    """Return positive definite covariances in the family's shape."""
    name = f"{family.name} covariance"
    array = _of_family(value, family, n_components, n_features, name)
    stacked = family.stack(array)
    try:
        if stacked.ndim == 3:
            family.require_definite(are_symmetric(stacked))
        family.precisions_cholesky(array)
    except DegenerateCovarianceError as error:
        raise ValueError(_not_definite(name, array, family, error)) from None
    return array


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
    mu = mean_table(given_means)
    K, D = mu.shape
    check_features(family, D)
    component = given_noise(noise, noise_weight, D)
    pi = weights(given_weights, K, noise_weight)
    if precisions is None:
        sigma, factors = covariances(given_covariances, family, K, D), None
    else:
        factors = cholesky_of_precisions(precisions, family, K, D)
        sigma = family.covariances(factors)
    dtype = np.result_type(pi, mu, sigma if precisions is None else np.asarray(precisions))
    return assembled(pi, mu.astype(dtype), sigma, family, component, factors)


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
    weight = number(noise_weight)
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
    density = number(noise)
    if not 0 < density < np.inf:
        raise ValueError(
            f"noise is {noise!r}, but without data to compute a volume from it must be a density "
            "above 0, or a function of rows that returns log-densities."
        )
    return Noise(weight, Box(np.ones(n_features)).of_density(density))
