"""The fitted attributes of an estimator, and the mixture that they describe.

As in scikit-learn, users may set the attributes, and setting one does not change the others. They
are validated when they are used, and again only after one of them has changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from operator import is_
from typing import Any, Never
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from emgmm import validation
from emgmm.constraints import are_masks
from emgmm.covariances import Family
from emgmm.devices import Device, device_of, to_host
from emgmm.fitting.loop import Ending, HistoryEntry, history, last_plain_objectives
from emgmm.mixture import Mixture
from emgmm.sources.conversion import as_array
from emgmm.tolerances import FLOATS, negligible_underflow
from emgmm.typing import Array

# Attributes each of which determines the covariances, so that one of them suffices.
COVARIANCES = ("covariances_", "precisions_", "precisions_cholesky_")
ARRAYS = ("weights_", "means_", *COVARIANCES)
DESCRIBING = (*ARRAYS, "covariance_type", "noise_weight_", "_noise_density")

# Attributes that scikit-learn's class also has, those of every fitted estimator, and those of some
# of them, with their types in a file.
SHARED: dict[str, Any] = {
    **dict.fromkeys(ARRAYS, Array),
    "converged_": bool,
    "n_iter_": int,
    "lower_bound_": float,
    "lower_bounds_": list[float],
    "n_features_in_": int,
}
FITTED: dict[str, Any] = {
    **SHARED,
    "noise_weight_": float,
    "ending_": str,
    "history_": dict[str, NDArray[Any]],
    "remaining_gain_": float,
    "_noise_density": dict[str, Any] | None,
}
OPTIONAL: dict[str, Any] = {
    "feature_names_in_": NDArray[Any],
    "_stream": dict[str, Any],
    "_starts": dict[str, NDArray[Any]],
    "_masks": dict[str, NDArray[Any]],  # of the constraints in the fit
    "_waiting": Never,  # rows of an estimator that is not fitted yet
}

TYPES = {**FITTED, **OPTIONAL}

# Relative difference up to which two of them describe the same covariances.
AGREEMENT = 1e-6

# Difference of the sum of weights in float64 from one that needs no correction.
ROUNDING = 1e-9


class Description:
    """Mixture, and a copy of the attributes of an estimator that describe it.

    Parameters
    ----------
    estimator : BaseEstimator
        Estimator with the attributes.
    mixture : Mixture
        Mixture that they describe.
    """

    def __init__(self, estimator: BaseEstimator, mixture: Mixture) -> None:
        self.mixture = mixture
        self._values = [getattr(estimator, name, None) for name in DESCRIBING]
        # Other values than arrays of numbers have memory elsewhere, such as a mask, or none to
        # compare, and are validated at each use.
        self._copies = [
            (value, bytearray(array.tobytes() if _is_all_memory(array) else b""))
            for value in self._values[: len(ARRAYS)]
            if (array := _on_host(value)) is not None
        ]

    def is_current(self, estimator: BaseEstimator) -> bool:
        """Whether no attribute has been replaced, and no array modified, since then.

        Comparing the memory of arrays takes a tenth of the time of comparing their numbers.
        """
        values = [getattr(estimator, name, None) for name in DESCRIBING]
        if not all(map(is_, values, self._values)):
            return False
        return all(bytearray.__eq__(copy, _on_host(array)) is True for array, copy in self._copies)


def _on_host(value: Any) -> Any:
    """Return an array on a device as a contiguous NumPy array, and other values unchanged."""
    return value if device_of(value) is None else np.ascontiguousarray(to_host(value))


def _is_all_memory(value: Any) -> bool:
    """Whether a value consists of the bytes of an array only: of no mask, and of no objects."""
    return type(value) is np.ndarray and not value.dtype.hasobject


# Descriptions are stored separately, as attributes belong to the user.
_descriptions: WeakKeyDictionary[BaseEstimator, Description] = WeakKeyDictionary()


def adopt(
    estimator: BaseEstimator, mixture: Mixture, device: Device | None = None, **others: Any
) -> None:
    """Set the fitted attributes of an estimator from a mixture, and further ones.

    The arrays that describe the mixture are put on the device, if there is one.
    """
    for name, value in {**attributes_of(mixture, device), **others}.items():
        setattr(estimator, name, value)
    _descriptions[estimator] = Description(estimator, mixture)


def estimator_with(kind: Any, mixture: Mixture, feature_names: Any, **parameters: Any) -> Any:
    """Return a fitted estimator of some class with a mixture to which no EM led."""
    model = kind(mixture.n_components, **parameters)
    model.n_features_in_ = mixture.n_features
    if feature_names is not None:
        model.feature_names_in_ = validation.feature_names(feature_names, mixture.n_features)
    adopt(model, mixture, **without_fit())
    return model


def mixture_of(estimator: Any) -> Mixture:
    """Return the mixture that the attributes of an estimator describe.

    Raises
    ------
    NotFittedError
        If attributes are missing.
    ValueError
        If an attribute is invalid, or two of them are inconsistent.
    """
    known = _descriptions.get(estimator)
    if known is None or not known.is_current(estimator):
        check_is_fitted(estimator)
        mixture = normalized(described_by(estimator))
        known = _descriptions[estimator] = Description(estimator, mixture)
    return known.mixture


def normalized(mixture: Mixture) -> Mixture:
    """Return a mixture whose weights may have been given in float32, normalized in its own type.

    Otherwise weights that are valid in float32 would not be valid in float64.
    """
    rest = 1.0 - (0.0 if mixture.noise is None else mixture.noise.weight)
    total = float(mixture.weights.sum())
    if mixture.weights.dtype == np.float32 or abs(total - rest) <= ROUNDING:
        return mixture
    return replace(mixture, weights=mixture.weights * (rest / total))


def are_fitted(estimator: BaseEstimator) -> bool:
    """Whether the estimator has enough attributes to describe a mixture."""
    present = {name for name in ARRAYS if getattr(estimator, name, None) is not None}
    return {"weights_", "means_"} <= present and not present.isdisjoint(COVARIANCES)


def without_fit() -> dict[str, Any]:
    """Return the attributes about the fit of an estimator whose parameters were given."""
    return {
        "converged_": True,
        "n_iter_": 0,
        "lower_bound_": math.nan,
        "lower_bounds_": [],
        "ending_": Ending.GIVEN,
        "history_": history([]),
        "remaining_gain_": math.nan,
    }


def present(estimator: BaseEstimator) -> dict[str, Any]:
    """Return the fitted attributes that an estimator has."""
    return {name: value for name, value in vars(estimator).items() if name in TYPES}


def complete(estimator: BaseEstimator) -> dict[str, Any]:
    """Return all fitted attributes, also if only some of the parameters were set by hand."""
    mixture = mixture_of(estimator)
    known = {"n_features_in_": mixture.n_features, **present(estimator)}
    for name in stale(estimator):
        del known[name]
    return {**without_fit(), **known, **attributes_of(mixture)}


def stale(estimator: BaseEstimator) -> list[str]:
    """Return attributes of the last fit that do not belong to parameters that were set by hand."""
    known, found = vars(estimator), []
    with suppress(TypeError, ValueError):  # parameters that are not valid yet
        mixture = mixture_of(estimator)
        if "_stream" in known and not known["_stream"].led_to(mixture):
            found.append("_stream")
        if "_masks" in known and not are_masks(known["_masks"], mixture.n_components):
            found.append("_masks")
    return found


@contextmanager
def unchanged_by_errors(estimator: BaseEstimator) -> Iterator[None]:
    """Leave the estimator as it was before if anything is raised inside."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        estimator.__dict__.clear()
        estimator.__dict__.update(before)
        raise


def check_same_model(estimator: Any, n_features: int, caller: str, otherwise: str) -> None:
    """Check that the parameters request a model of the kind from which `caller` continues."""
    mixture = mixture_of(estimator)
    for name, was, now in (
        ("n_components", mixture.n_components, estimator.n_components),
        ("the number of features", mixture.n_features, n_features),
        ("whether there is noise", mixture.noise is not None, estimator.noise is not None),
    ):
        if was != now:
            raise ValueError(
                f"{caller} continues from the last fit, but {name} was {was!r} then and is {now!r} "
                f"now; {otherwise} to start anew."
            )


def attributes_of(mixture: Mixture, device: Device | None = None) -> dict[str, Any]:
    """Return the attributes that describe a mixture, with arrays on the device if there is one."""
    noise = mixture.noise
    arrays = {name: getattr(mixture, name.removesuffix("_")) for name in ARRAYS}
    if device is not None:
        arrays = {name: device.from_host(value) for name, value in arrays.items()}
    return {
        **arrays,
        "noise_weight_": 0.0 if noise is None else noise.weight,
        "_noise_density": None if noise is None else noise.density,
    }


@negligible_underflow
def described_by(estimator: Any) -> Mixture:
    """Validate all attributes of an estimator and return the mixture that they describe."""
    family = validation.family(estimator.covariance_type)
    means = validation.mean_table(estimator.means_)
    K, D = means.shape
    validation.check_features(family, D)
    noise_weight = getattr(estimator, "noise_weight_", 0.0)
    noise = validation.noise_component(getattr(estimator, "_noise_density", None), noise_weight)
    weights = estimator.weights_
    if np.shape(weights) == (1, K):
        weights = np.reshape(weights, K)
    weights = validation.weights(weights, K, noise_weight)
    given = _covariances_of(estimator, family, K, D)
    floats = {value.dtype for value in (weights, means, *given.values())} & {*map(np.dtype, FLOATS)}
    dtype = np.result_type(*floats)
    means = means.astype(dtype)
    if [*given] == ["covariances_"]:
        covariances = validation.covariances(given["covariances_"], family, K, D)
        return validation.assembled(weights, means, covariances, family, noise, None)
    if "precisions_cholesky_" in given:
        factors = validation.precisions_cholesky(given["precisions_cholesky_"], family, K, D)
    else:
        factors = validation.cholesky_of_precisions(given["precisions_"], family, K, D)
    as_float64 = factors.astype(np.float64, copy=False)
    _check_agreement(given, as_float64, family, D, float(np.finfo(dtype).eps))
    covariances = given.get("covariances_", family.covariances(as_float64))
    return validation.assembled(weights, means, covariances, family, noise, factors)


def _covariances_of(estimator: Any, family: Family, K: int, D: int) -> dict[str, Array]:
    """Return those attributes that determine the covariances and are present."""
    shape = family.element_shape(K, D)
    values = {name: getattr(estimator, name, None) for name in COVARIANCES}
    given = {name: as_array(value, name) for name, value in values.items() if value is not None}
    for name, value in given.items():
        if value.shape != shape:
            raise ValueError(
                f"{name} has the shape {value.shape}, but covariance_type={family.name!r} with "
                f"{K} components and {D} features requires {shape}: set the attributes so that "
                "they match, or fit again (with warm_start=False)."
            )
    return given


def _check_agreement(
    given: dict[str, Array], factors: Array, family: Family, n_features: int, unit: float
) -> None:
    """Check that the given attributes describe the covariances with these factors of precisions.

    Entries are compared in units of the standard deviations, so that the result depends neither on
    the units of the features nor on entries near 0. Differences due to rounding by the relative
    `unit` are allowed: they grow by the condition number of a covariance if it is compared with its
    inverse, and by the root of that number if it is compared with a factor of its inverse.
    """
    structure = family.structure
    reference = next(name for name in reversed(COVARIANCES) if name in given)
    covariances, precisions = family.covariances(factors), family.precisions(factors)
    variances = structure.variances(family.stack(covariances), n_features)
    inverses = structure.variances(family.stack(precisions), n_features)
    condition = float((variances * inverses).max())  # largest variance inflation factor
    growth = condition if reference == "precisions_" else condition**0.5
    for name, expected, squares, rounding in (
        ("covariances_", covariances, variances, growth),
        ("precisions_", precisions, inverses, 1.0),
    ):
        if name not in given or name == reference:
            continue
        outer = structure.outer(np.sqrt(squares))
        scale = structure.estimate(outer, np.ones(len(outer)), n_features)
        difference = np.abs(family.stack(given[name]) - family.stack(expected))
        allowed = (AGREEMENT + n_features * unit * rounding) * scale
        differs = np.logical_not(difference <= allowed).reshape(len(difference), -1).any(axis=1)
        if differs.any():
            where = "" if family.pooled else f" of component {np.argmax(differs)}"
            raise ValueError(
                f"{name} and {reference} describe different covariances{where}. After setting one "
                "of covariances_, precisions_ and precisions_cholesky_, set the others to match or "
                "delete them (del model.precisions_): one of the three suffices."
            )


def trailing_plain_objectives(history: dict[str, NDArray[Any]]) -> list[float]:
    """Return the objectives at the end of a history between which all steps were plain EM."""
    columns = (history[name].tolist() for name in ("objective", "passes", "event"))
    return last_plain_objectives([HistoryEntry(*entry) for entry in zip(*columns, strict=True)])
