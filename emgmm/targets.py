"""Validation of the classes of rows, and of the probabilities of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from emgmm.sources.conversion import as_array, as_numbers
from emgmm.typing import Array, Integers


def classes_of(y: Any, unlabeled: Any, n_rows: int) -> tuple[NDArray[Any], Integers]:
    """Return the sorted classes, and the number of each row's class, -1 if it is not known.

    Raises
    ------
    ValueError
        If y does not contain a class or a missing value for each of the rows, or fewer than two
        classes.
    """
    # scikit-learn converts the types of pandas, and the integers of a masked array stay integers.
    is_ready = isinstance(y, np.ma.MaskedArray) or hasattr(y, "iloc")
    try:
        array = y if is_ready else as_array(y, "y")
    except ValueError as error:
        raise ValueError(f"y is not an array: {error} Give one class for each row.") from error
    targets = column_or_1d(array, warn=True)
    check_consistent_length(np.empty(n_rows), targets)
    known = np.logical_not(_is_unlabelled(targets, unlabeled))
    if isinstance(y, np.ma.MaskedArray):
        known &= np.logical_not(np.ma.getmaskarray(y).ravel())
    if not known.any():
        raise ValueError("y has no row with a class: give the classes of some rows.")
    labelled = targets[known]
    if labelled.dtype.kind == "O":
        if len({isinstance(value, str) for value in labelled}) > 1:
            raise ValueError("Some classes in y are text and others are not: use one type.")
        labelled = np.array(labelled.tolist())
    if labelled.dtype.kind == "f" and not np.isfinite(labelled).all():
        raise ValueError("y contains infinity: give a class, or NaN where it is not known.")
    check_classification_targets(labelled)
    classes, found = np.unique(labelled, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"The number of classes has to be greater than one; got {len(classes)} class."
        )
    codes = np.full(len(targets), -1)
    codes[known] = found
    return classes, codes


def _is_unlabelled(y: NDArray[Any], unlabeled: Any) -> NDArray[np.bool_]:
    """Whether each entry of y is None, NaN or `unlabeled`."""
    if np.ndim(unlabeled):
        raise ValueError(f"unlabeled must be one value of y, or None, but is {unlabeled!r}.")
    values = y.tolist()
    found = np.isnat(y) if y.dtype.kind in "mM" else np.array([*map(_is_missing, values)])
    if not _is_missing(unlabeled):
        found |= np.array([not _is_missing(value) and value == unlabeled for value in values])
    return found


def _is_missing(value: Any) -> bool:
    """Whether a value is None, masked, NaN, NaT or NA of pandas."""
    try:
        return value is None or value is np.ma.masked or bool(value != value)
    except TypeError:  # comparisons of NA are neither true nor false
        return True


def probabilities(values: Any, n_classes: int, name: str = "priors") -> Array:
    """Return probabilities of the classes that sum to one."""
    array = as_numbers(values, name)
    with np.errstate(over="ignore", invalid="ignore"):
        total = array.sum()
    if array.shape != (n_classes,) or not (array >= 0).all() or not abs(total - 1) <= 1e-6:
        raise ValueError(
            f"{name} must be {n_classes} probabilities that sum to one, one for each class, but "
            f"got {values!r}."
        )
    return array / total
