"""Initialization by labels, responsibilities or means of a user, as an array or by a callable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm.initialization.assignment import Assignment, Labels, Responsibilities, nearest_means
from emgmm.initialization.methods import Start
from emgmm.sources import Rows


def from_callable(function: Callable[..., Any], *, noise: bool = False) -> Start:
    """Return the start that calls `function(X, n_components, random_state)`.

    If `noise` is true, the function may assign rows to the noise component.
    """

    def start(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
        values = rows.values.view()
        values.flags.writeable = False  # the memory may be that of the user's X
        answer = _as_array(function(values, n_components, random), "returned")
        passed = replace(rows, numbers=None, total=None)
        return assignment_of(answer, passed, n_components, noise=noise, verb="returned")

    return start


def from_array(array: Any, *, noise: bool = False) -> Start:
    """Return the start from labels or responsibilities of all rows of X, or from means.

    If `noise` is true, rows may be assigned to the noise component.
    """
    given = _as_array(array, "has")

    def start(
        rows: Rows,
        n_components: int,
        random: np.random.RandomState,  # noqa: ARG001
    ) -> Assignment:
        return assignment_of(given, rows, n_components, noise=noise, verb="has")

    return start


def _as_array(value: Any, verb: str) -> NDArray[Any]:
    """Convert an array-like value without masked entries."""
    if np.ma.is_masked(value):
        raise ValueError(
            f"init_params {verb} masked entries; give every row a label or responsibilities, and "
            "every component a mean."
        )
    return np.asarray(value)


def assignment_of(
    answer: NDArray[Any], rows: Rows, n_components: int, *, noise: bool, verb: str
) -> Assignment:
    """Interpret an array as labels, responsibilities or means, by its type and shape.

    Labels and responsibilities are those of all rows from which `rows` were sampled.

    Raises
    ------
    ValueError
        If the array is none of these, is ambiguous, or does not match the rows.
    """
    values = rows.values
    n_rows, n_features = len(values) if rows.total is None else rows.total, values.shape[1]
    sampled = slice(None) if rows.numbers is None else rows.numbers
    what = f"an array of shape {answer.shape} and type {answer.dtype}"
    given = f"init_params {'is' if verb == 'has' else verb} {what}"
    if answer.dtype.kind not in "iuf":
        raise ValueError(
            f"{given}; it must hold integer labels, or responsibilities or means as floats."
        )
    if answer.dtype.kind == "f" and not np.isfinite(answer).all():
        raise ValueError(f"{given} with NaN or infinity in it.")
    if answer.dtype.kind in "iu" and answer.shape == (n_rows,):
        smallest = -1 if noise else 0
        wrong = np.flatnonzero((answer < smallest) | (answer >= n_components))
        if len(wrong):
            raise ValueError(
                f"init_params {verb} label {answer[wrong[0]]} for row {wrong[0]}; "
                f"labels run from 0 to n_components - 1 = {n_components - 1}"
                + (", and -1 is noise." if noise else "; -1 is noise where noise is set.")
            )
        return Labels(answer[sampled], n_components)
    are_responsibilities = answer.shape == (n_rows, n_components) or (
        noise and answer.shape == (n_rows, n_components + 1)
    )
    are_means = answer.shape == (n_components, n_features)
    if answer.dtype.kind == "f" and are_responsibilities and are_means:
        raise ValueError(
            f"{given}: with as many rows as components and features these could be "
            "responsibilities or means; use integer labels instead."
        )
    if answer.dtype.kind == "f" and are_responsibilities:
        wrong = np.flatnonzero((answer < 0).any(axis=1) | (np.abs(answer.sum(axis=1) - 1) > 1e-6))
        if len(wrong):
            raise ValueError(
                f"init_params {verb} responsibilities {answer[wrong[0]]} for row {wrong[0]}; "
                "they must be non-negative and sum to one."
            )
        return Responsibilities(answer[sampled], n_components)
    if answer.dtype.kind == "f" and are_means:
        return nearest_means(values, answer)
    raise ValueError(
        f"{given}; expected integer labels of shape ({n_rows},), responsibilities of shape "
        f"({n_rows}, {n_components}) or means of shape ({n_components}, {n_features})."
    )
