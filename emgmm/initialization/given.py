"""The start that `init_params` describes: a method, or labels, responsibilities or means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm.initialization.assignment import Assignment, Labels, Responsibilities, nearest_means
from emgmm.initialization.denoising import denoised
from emgmm.initialization.methods import AUTO, STARTS, Start, auto, from_sample
from emgmm.sources import Rows
from emgmm.sources.conversion import as_array


def start_of(init_params: Any, *, noise: bool) -> Start:
    """Return the start with a name, or that of a user's function or array.

    If `noise` is true, a method with a name does not use rows that resemble noise, and a user's
    function or array may assign rows to the noise component.
    """
    if isinstance(init_params, str):
        return denoised(STARTS[init_params]) if noise else STARTS[init_params]
    if callable(init_params):
        return from_callable(init_params, noise=noise)
    given = _as_array(init_params, "has")
    return lambda rows, K, _: assignment_of(given, rows, K, noise=noise, verb="has")


def starts_of(init_params: Any, *, noise: bool) -> list[Start]:
    """Return the starts of a model selection, which are several if `init_params` is 'auto'."""
    if not (isinstance(init_params, str) and init_params == "auto"):
        return [start_of(init_params, noise=noise)]
    starts = [auto, *map(from_sample, AUTO)]
    return [denoised(start) for start in starts] if noise else starts


def from_callable(function: Callable[..., Any], *, noise: bool) -> Start:
    """Return the start that calls `function(X, n_components, random_state)`."""

    def start(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
        values = rows.values.view()
        values.flags.writeable = False  # the memory may be that of the user's X
        answer = _as_array(function(values, n_components, random), "returned")
        passed = replace(rows, numbers=None, total=None)
        return assignment_of(answer, passed, n_components, noise=noise, verb="returned")

    return start


def _as_array(value: Any, verb: str) -> NDArray[Any]:
    """Convert an array-like value without masked entries."""
    if np.ma.is_masked(value):
        raise ValueError(
            f"init_params {verb} masked entries; give every row a label or responsibilities, and "
            "every component a mean."
        )
    return as_array(value, "init_params")


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
    n_features = rows.values.shape[1]
    n_rows = len(rows.values) if rows.total is None else rows.total
    sampled = slice(None) if rows.numbers is None else rows.numbers
    kind, shape = answer.dtype.kind, answer.shape
    given = (
        f"init_params {'is' if verb == 'has' else verb} an array of shape {shape} and type "
        f"{answer.dtype}"
    )
    if kind not in "iuf":
        raise ValueError(
            f"{given}; it must hold integer labels, or responsibilities or means as floats."
        )
    if kind == "f" and not np.isfinite(answer).all():
        raise ValueError(f"{given} with NaN or infinity in it.")
    if kind in "iu" and shape == (n_rows,):
        wrong = np.flatnonzero((answer < (-1 if noise else 0)) | (answer >= n_components))
        if len(wrong):
            raise ValueError(
                f"init_params {verb} label {answer[wrong[0]]} for row {wrong[0]}; "
                f"labels run from 0 to n_components - 1 = {n_components - 1}"
                + (", and -1 is noise." if noise else "; -1 is noise where noise is set.")
            )
        return Labels(answer[sampled], n_components)
    are_responsibilities = shape in ((n_rows, n_components), (n_rows, n_components + noise))
    are_means = shape == (n_components, n_features)
    if kind == "f" and are_responsibilities and are_means:
        raise ValueError(
            f"{given}: with as many rows as components and features these could be "
            "responsibilities or means; use integer labels instead."
        )
    if kind == "f" and are_responsibilities:
        with np.errstate(over="ignore", invalid="ignore"):
            totals = answer.sum(axis=1)
            wrong = np.flatnonzero((answer < 0).any(axis=1) | ~(np.abs(totals - 1) <= 1e-6))
        if len(wrong):
            raise ValueError(
                f"init_params {verb} responsibilities {answer[wrong[0]]} for row {wrong[0]}; "
                "they must be non-negative and sum to one."
            )
        return Responsibilities(answer[sampled], n_components)
    if kind == "f" and are_means:
        return nearest_means(rows.values, answer)
    raise ValueError(
        f"{given}; expected integer labels of shape ({n_rows},), responsibilities of shape "
        f"({n_rows}, {n_components}) or means of shape ({n_components}, {n_features})."
    )
