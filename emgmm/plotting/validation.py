"""What a picture was asked of: the model, the features, the levels; checked before it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from emgmm.base import BaseMixture
from emgmm.drawing import needs_matplotlib

KINDS = ("ellipses", "density")

# Features in a grid of pairs, beyond which its panels are too small to read.
MOST_FEATURES = 6


def check_model(model: Any, display: str) -> None:
    """The model is one of ours, fitted, and can be drawn here."""
    needs_matplotlib(f"{display}.from_estimator")
    if not isinstance(model, BaseMixture):
        raise TypeError(
            f"{display} draws a fitted GaussianMixture of emgmm, but got a "
            f"{type(model).__name__}: GaussianMixture.from_sklearn takes scikit-learn's."
        )
    check_is_fitted(model)


def chosen(features: Any, names: Sequence[str], n_features: int) -> list[int]:
    """Numbers of the features that were asked for, by number or name; None is all.

    Raises
    ------
    ValueError
        Where there is no such feature, or there are too many of them.
    """
    if features is None:
        features = range(n_features)
    elif isinstance(features, str | int | np.integer):
        features = [features]
    numbers = [_number(feature, names, n_features) for feature in features]
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"features={features!r} names a feature twice: name each once.")
    if not 1 <= len(numbers) <= MOST_FEATURES:
        raise ValueError(
            f"A picture is of 1 to {MOST_FEATURES} features, but got {len(numbers)}: name those to "
            "draw in features."
        )
    return numbers


def _number(feature: Any, names: Sequence[str], n_features: int) -> int:
    if isinstance(feature, str):
        if feature not in names:
            known = f"its features are {list(names)}" if names else "it was fitted without names"
            raise ValueError(f"The model knows no feature {feature!r}: {known}.")
        return names.index(feature)
    if not isinstance(feature, int | np.integer) or isinstance(feature, bool):
        raise TypeError(f"A feature is a number or a name, but got {feature!r}.")
    if not 0 <= feature < n_features:
        has = "1 feature, 0" if n_features == 1 else f"{n_features} features, 0 to {n_features - 1}"
        raise ValueError(
            f"There is no feature {feature}: the model has {has}; features says which to draw."
        )
    return int(feature)


def check_levels(kind: str, sds: Any, probabilities: Any) -> None:
    """Where ellipses and contours are to be drawn makes sense."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {list(KINDS)}, but got {kind!r}.")
    if np.ndim(sds) != 1 or not len(sds) or not all(0 < sd < np.inf for sd in sds):
        raise ValueError(f"sds must be a sequence of numbers above 0, but got {sds!r}.")
    if probabilities is None:
        return
    shares = probabilities
    if np.ndim(shares) != 1 or not len(shares) or not all(0 < share < 1 for share in shares):
        raise ValueError(
            f"probabilities must be a sequence of numbers between 0 and 1, but got {shares!r}."
        )
