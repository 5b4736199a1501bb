"""Validation of X, of its weights and of its features.

Error messages begin exactly as scikit-learn's do, because code may match them. Then they describe
the problem and its remedy.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from emgmm.sources import KINDS, ArraySource, Blocks, Source, as_rows, is_complete, row_weights
from emgmm.summary import DataSummary
from emgmm.tolerances import FLOATS
from emgmm.typing import Array


def source(
    estimator: BaseEstimator, X: Any, sample_weight: Any = None, *, reset: bool, least: int = 1
) -> Source:
    """Return a source of the rows of X, of which there must be at least `least`."""
    if isinstance(sample_weight, Blocks) and not isinstance(X, Blocks):
        raise TypeError("sample_weight is blocks, but X is not: give both in the same blocks.")
    for kind in KINDS:
        if kind.accepts(X):
            opened = kind.of(X, sample_weight)
            _check_features(estimator, opened.n_features, opened.feature_names, reset=reset)
            return opened
    array = rows(estimator, X, reset=reset, least=least)
    names = getattr(estimator, "feature_names_in_", None)
    weights = None if sample_weight is None else row_weights(sample_weight, len(array))
    opened = ArraySource(array, weights, complete=is_complete(array, names))
    opened.feature_names = names
    return opened


def _check_features(
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
        columns = np.shape(estimator.means_)[-1]
        if known not in (None, columns):
            raise ValueError(
                f"means_ has {columns} columns, but n_features_in_ is {known}: set both, or fit "
                "again."
            )
        known = columns
    if known not in (None, width):
        raise ValueError(
            f"X has {width} features, but {type(estimator).__name__} is expecting "
            f"{known} features as input."
        )


def rows(estimator: BaseEstimator, X: Any, *, reset: bool, least: int = 1) -> Array:
    """Return X as an (N, D) array of floats, and set or compare its features."""
    ready = is_floats(X) and X.ndim == 2 and len(X) >= least and X.shape[1] > 0
    if ready and (reset or not hasattr(estimator, "feature_names_in_")):
        # scikit-learn would also look for names in arrays, which takes as long as an EM iteration.
        _check_features(estimator, X.shape[1], None, reset=reset)
        return X
    array = X if ready else as_rows(X, ensure_min_samples=least, estimator=estimator)
    validate_data(estimator, X, reset=reset, skip_check_array=True)  # number and names of features
    if not reset:
        check_width(estimator, array.shape[1])
    return array


def is_floats(value: Any) -> bool:
    """Whether a value is an array that scikit-learn would not convert."""
    return type(value) is np.ndarray and value.dtype in FLOATS


def check_some_observed(summary: DataSummary) -> None:
    """Check that some value was observed in a row of positive weight."""
    if not summary.n_rows:
        raise ValueError(
            "X has no observed value in any row of positive weight: pass the rows that were fitted."
        )


def check_observed(summary: DataSummary, names: Array | None) -> None:
    """Check that every feature was observed in some row of positive weight."""
    never = np.flatnonzero(summary.observed <= 0)
    if len(never):
        name = "" if names is None else f" ({names[never[0]]!r})"
        raise ValueError(
            f"Feature {never[0]}{name}, counted from 0, is missing in every row of positive "
            "weight, so that its mean and variance cannot be estimated: drop it."
        )


def count(value: Any, name: str) -> int:
    """Return a positive integer."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, but got {value!r}")
    if value < 1:
        raise ValueError(
            f"Invalid value for '{name}': {value} . The sampling requires at least one sample."
        )
    return int(value)


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
    if max(n_rows, weight) < n_components:
        raise ValueError(
            f"Expected n_samples >= n_components but got n_components = {n_components}, "
            f"n_samples = {n_rows}"
        )


def feature_names(names: Any, n_features: int) -> NDArray[np.object_]:
    """Return names of features as an array of shape (D,)."""
    array = np.array(list(names), dtype=object)
    if array.shape != (n_features,) or not all(isinstance(name, str) for name in array):
        raise ValueError(
            f"feature_names must be {n_features} strings, one for each feature, but got {names!r}"
        )
    return array
