"""Validation of the arguments of displays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from emgmm import validation
from emgmm.base import check_own
from emgmm.drawing import needs_matplotlib

KINDS = ("ellipses", "density")

# Largest number of features in a grid, whose panels would otherwise be too small.
MAX_FEATURES = 6


def check_model(model: Any, display: str) -> None:
    """Check that the model is a fitted estimator of emgmm and that matplotlib is installed."""
    needs_matplotlib(f"{display}.from_estimator")
    check_own(model, display)
    check_is_fitted(model)


def feature_indices(features: Any, names: Sequence[str], n_features: int) -> list[int]:
    """Return the indices of features that are given by index or name; None stands for all.

    Raises
    ------
    TypeError
        If a feature is neither an index nor a name.
    ValueError
        If there is no such feature, if one is given twice, or if there are too many.
    """
    features = range(n_features) if features is None else features
    indices = validation.feature_indices(features, names, n_features)
    if not 1 <= len(indices) <= MAX_FEATURES:
        raise ValueError(
            f"A display shows 1 to {MAX_FEATURES} features, but got {len(indices)}: name those to "
            "draw in the parameter features."
        )
    return indices


def check_levels(kind: str, sds: Any, probabilities: Any) -> None:
    """Check the kind, the Mahalanobis radii and the probabilities of a display."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {list(KINDS)}, but got {kind!r}.")
    checked = [("sds", sds, np.inf, "numbers above 0")]
    if probabilities is not None:
        checked.append(("probabilities", probabilities, 1, "numbers between 0 and 1"))
    for name, values, limit, wanted in checked:
        if np.ndim(values) != 1 or not len(values) or not all(0 < v < limit for v in values):
            raise ValueError(f"{name} must be a sequence of {wanted}, but got {values!r}.")
