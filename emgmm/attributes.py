"""The mixture that an estimator's attributes describe, whether they were fitted or set by hand.

Attributes are plain storage, as they are in scikit-learn: setting one of them changes no other.
So they are validated when they are used, and again only after one of them has changed.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from emgmm import validation as door
from emgmm.covariances import Family
from emgmm.mixture import Mixture
from emgmm.tolerances import FLOATS
from emgmm.typing import Array

# Each of these determines the covariances, so that one of them is enough.
COVARIANCES = ("covariances_", "precisions_", "precisions_cholesky_")
ARRAYS = ("weights_", "means_", *COVARIANCES)
OTHERS = ("covariance_type", "noise_weight_", "_noise_density")

# The relative difference up to which two of them describe the same covariances.
AGREEMENT = 1e-6


class Description:
    """A mixture, and a copy of the attributes that were found to describe it.

    Parameters
    ----------
    estimator : BaseEstimator
        Whose attributes.
    mixture : Mixture
        What they describe.
    """

    def __init__(self, estimator: BaseEstimator, mixture: Mixture) -> None:
        self.mixture = mixture
        self._others = [(name, getattr(estimator, name, None)) for name in OTHERS]
        self._arrays = []
        for name in ARRAYS:
            value = getattr(estimator, name, None)
            # What is no array has no memory to compare, and is validated at each use.
            memory = value.tobytes() if isinstance(value, np.ndarray) else b""
            self._arrays.append((name, value, bytearray(memory)))

    def is_current(self, estimator: BaseEstimator) -> bool:
        """Whether no attribute was replaced, and no array edited, since.

        Arrays are compared as memory, which takes a tenth of the time of comparing their numbers.
        """
        for name, value in self._others:
            if getattr(estimator, name, None) is not value:
                return False
        for name, value, copy in self._arrays:
            now = getattr(estimator, name, None)
            if now is not value:
                return False
            if now is not None and bytearray.__eq__(copy, now) is not True:
                return False
        return True


# Kept apart from the attributes, which are the user's.
_descriptions: WeakKeyDictionary[BaseEstimator, Description] = WeakKeyDictionary()


def adopt(estimator: BaseEstimator, mixture: Mixture) -> None:
    """Set the attributes of the estimator to the parameters of a mixture that was fitted."""
    for name, value in attributes_of(mixture).items():
        setattr(estimator, name, value)
    _descriptions[estimator] = Description(estimator, mixture)


def mixture_of(estimator: Any) -> Mixture:
    """The mixture that the attributes of an estimator describe.

    Raises
    ------
    NotFittedError
        Where too few of them are there.
    ValueError
        Where one of them is not what its name says, or two of them disagree.
    """
    known = _descriptions.get(estimator)
    if known is None or not known.is_current(estimator):
        check_is_fitted(estimator)
        known = _descriptions[estimator] = Description(estimator, described_by(estimator))
    return known.mixture


def are_fitted(estimator: BaseEstimator) -> bool:
    """Whether the estimator has enough attributes to describe a mixture."""
    present = {name for name in ARRAYS if getattr(estimator, name, None) is not None}
    return {"weights_", "means_"} <= present and not present.isdisjoint(COVARIANCES)


def attributes_of(mixture: Mixture) -> dict[str, Any]:
    """The attributes that describe a mixture."""
    noise = mixture.noise
    return {
        "weights_": mixture.weights,
        "means_": mixture.means,
        "covariances_": mixture.covariances,
        "precisions_": mixture.precisions,
        "precisions_cholesky_": mixture.precisions_cholesky,
        "noise_weight_": 0.0 if noise is None else noise.weight,
        "_noise_density": None if noise is None else noise.density,
    }


def described_by(estimator: Any) -> Mixture:
    """The mixture that the attributes describe, after all of them were validated."""
    family = door.family(estimator.covariance_type)
    means = door.mean_table(estimator.means_)
    K, D = means.shape
    door.check_features(family, D)
    share = getattr(estimator, "noise_weight_", 0.0)
    noise = door.noise_component(getattr(estimator, "_noise_density", None), share)
    weights = estimator.weights_
    if np.shape(weights) == (1, K):
        weights = np.reshape(weights, K)
    weights = door.weights(weights, K, share)
    given = _covariances_of(estimator, family, K, D)
    floats = {value.dtype for value in (weights, means, *given.values())} & {*map(np.dtype, FLOATS)}
    dtype = np.result_type(*floats)
    means = means.astype(dtype)
    if [*given] == ["covariances_"]:
        covariances = door.covariances(given["covariances_"], family, K, D)
        return door.assembled(weights, means, covariances, family, noise, None)
    if "precisions_cholesky_" in given:
        precisions_cholesky = door.precisions_cholesky(given["precisions_cholesky_"], family, K, D)
    else:
        precisions_cholesky = door.cholesky_of_precisions(given["precisions_"], family, K, D)
    exact = precisions_cholesky.astype(np.float64, copy=False)
    _check_agreement(given, exact, family, D, float(np.finfo(dtype).eps))
    covariances = given.get("covariances_", family.covariances(exact))
    return door.assembled(weights, means, covariances, family, noise, precisions_cholesky)


def _covariances_of(estimator: Any, family: Family, K: int, D: int) -> dict[str, Array]:
    """The attributes that determine the covariances, as far as they are present."""
    shape = family.element_shape(K, D)
    held = {name: getattr(estimator, name, None) for name in COVARIANCES}
    given = {name: np.asarray(value) for name, value in held.items() if value is not None}
    for name, value in given.items():
        if value.shape != shape:
            raise ValueError(
                f"{name} has the shape {value.shape}, but covariance_type={family.name!r} with "
                f"{K} components and {D} features requires {shape}: set the attributes so that "
                "they match, or fit again (with warm_start=False)."
            )
    return given


def _check_agreement(
    given: dict[str, Array],
    precisions_cholesky: Array,
    family: Family,
    n_features: int,
    unit: float,
) -> None:
    """All that is given describes the same covariances as the whiteners, which one of them gave.

    Entries are compared in units of the standard deviations, so that neither the units of the
    features nor entries near 0 matter. Rounding by the relative `unit` is no disagreement: it is
    multiplied by a covariance's condition number where the covariance is compared with its inverse,
    and by the root of that where it is compared with a factor of its inverse.
    """
    shape = family.structure
    reference = next(name for name in reversed(COVARIANCES) if name in given)
    covariances, precisions = (
        family.covariances(precisions_cholesky),
        family.precisions(precisions_cholesky),
    )
    variances = shape.variances(family.stack(covariances), n_features)
    inverses = shape.variances(family.stack(precisions), n_features)
    condition = float((variances * inverses).max())  # the largest variance inflation factor
    growth = condition if reference == "precisions_" else condition**0.5
    for name, expected, squares, rounding in (
        ("covariances_", covariances, variances, growth),
        ("precisions_", precisions, inverses, 1.0),
    ):
        if name not in given or name == reference:
            continue
        outer = shape.outer(np.sqrt(squares))
        scale = shape.estimate(outer, np.ones(len(outer)), n_features)
        difference = np.abs(family.stack(given[name]) - family.stack(expected))
        allowed = (AGREEMENT + n_features * unit * rounding) * scale
        differs = np.logical_not(difference <= allowed).reshape(len(difference), -1).any(axis=1)
        if differs.any():
            where = "" if family.pooled else f" of component {np.argmax(differs)}"
            raise ValueError(
                f"{name} and {reference} describe different covariances{where}. After setting one "
                "of covariances_, precisions_ and precisions_cholesky_, set the others to match or "
                "delete them (del model.precisions_): one of the three is enough."
            )
