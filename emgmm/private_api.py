"""The private names of scikit-learn that the package uses; no other module imports any."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import signature, unwrap
from typing import Any, NamedTuple

from sklearn.base import _fit_context as fit_context
from sklearn.cluster import _kmeans as sklearn_kmeans
from sklearn.utils._param_validation import (
    HasMethods,
    Hidden,
    Interval,
    InvalidParameterError,
    StrOptions,
    validate_parameter_constraints,
)

__all__ = [
    "HasMethods",
    "Hidden",
    "Interval",
    "InvalidParameterError",
    "KMeansParts",
    "StrOptions",
    "fit_context",
    "kmeans_parts",
    "validate_parameter_constraints",
]

# The functions of which `KMeans.fit` consists, with the arguments that they are passed.
KMEANS = {
    "_kmeans_plusplus": ("X", "n_clusters", "x_squared_norms", "sample_weight", "random_state"),
    "_kmeans_single_lloyd": ("X", "sample_weight", "centers_init", "tol", "n_threads"),
    "_openmp_effective_n_threads": (),
}


class KMeansParts(NamedTuple):
    """K-means++, a run of Lloyd's algorithm that does not limit BLAS, and its number of threads."""

    seeds: Callable[..., Any]
    run: Callable[..., Any]
    n_threads: Callable[[], int]


@cache
def kmeans_parts() -> KMeansParts | None:
    """Return the functions of which `KMeans.fit` consists, or None if this version has others."""
    try:
        found = [unwrap(getattr(sklearn_kmeans, name)) for name in KMEANS]
        for function, names in zip(found, KMEANS.values(), strict=True):
            signature(function).bind(**dict.fromkeys(names))
    except (AttributeError, TypeError, ValueError):
        return None
    return KMeansParts(*found)
