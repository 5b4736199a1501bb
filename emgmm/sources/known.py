"""Labels or responsibilities of rows, which do not change during a fit, and their validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm.sources.conversion import as_array
from emgmm.threads import cached_property
from emgmm.typing import Array, Integers

# Largest deviation from 1 of the sum of a row of responsibilities.
NORMALIZED = 1e-6


@dataclass(frozen=True, eq=False)
class Known:
    """Labels or responsibilities of some rows.

    Parameters
    ----------
    values : (n,) integers or (n, K) float64
        Label of each row, -1 if nothing is known of it; or responsibilities that do not change,
        NaN if nothing is known.
    allowed : (C + 1, K) array of bool
        Components to which a row with each label may belong; label -1 stands for the last row. K
        includes the noise component.
    """

    values: NDArray[Any]
    allowed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, place: slice | Integers) -> Known:
        """Return what is known of the rows with the given indices."""
        return replace(self, values=self.values[place])

    def without(self, first: int) -> Known:
        """Return the same except that nothing is known of the rows from the given one on."""
        values = self.values.copy()
        values[first:] = -1 if values.ndim == 1 else np.nan
        return replace(self, values=values)

    @property
    def n_densities(self) -> int:
        """Number of components, including noise, K."""
        return self.allowed.shape[1]

    @cached_property
    def excluded(self) -> NDArray[np.bool_] | None:
        """Components to which each row does not belong, (K, n); None for responsibilities."""
        if self.values.ndim == 2:
            return None
        return np.logical_not(self.allowed.T[:, self.values])

    @cached_property
    def is_fixed(self) -> NDArray[np.bool_]:
        """Whether the responsibilities of each row are known, (n,)."""
        if self.values.ndim == 2:
            return np.logical_not(np.isnan(self.values[:, 0]))
        found: NDArray[np.bool_] = (self.allowed.sum(axis=1) == 1)[self.values]
        return found

    @property
    def is_informative(self) -> NDArray[np.bool_]:
        """Whether anything is known of each row, (n,)."""
        return self.is_fixed if self.values.ndim == 2 else self.values >= 0

    @property
    def responsibilities(self) -> Array:
        """Responsibilities of the rows for which they are known, 0 for the others, (K, n)."""
        if self.values.ndim == 2:
            return np.where(self.is_fixed[:, None], self.values, 0.0).T
        return (self.allowed.T[:, self.values] & self.is_fixed).astype(np.float64)


@dataclass(frozen=True, eq=False)
class LabelRules:
    """Meaning of the labels of a fit.

    Parameters
    ----------
    n_components : int
        Number of components, K.
    noise : bool
        Whether there is a noise component, which is number K.
    components : (C, K) array of bool, optional
        Components that each label allows; by default, label k allows component k.
    """

    n_components: int
    noise: bool = False
    components: NDArray[np.bool_] | None = None

    @property
    def n_densities(self) -> int:
        """Number of components, including noise."""
        return self.n_components + self.noise

    @property
    def allowed(self) -> NDArray[np.bool_]:
        """Components that each label allows, (C + 1, K); the last row is that of label -1."""
        components = self.components
        components = np.eye(self.n_densities, dtype=bool) if components is None else components
        return np.vstack([components, np.ones((1, components.shape[1]), dtype=bool)])

    def __call__(self, value: Any, row_name: Callable[[int], str] = "row {}".format) -> Known:
        """Validate labels or responsibilities; `row_name` names a row in messages.

        Raises
        ------
        ValueError
            If they are neither of them, or if a value is out of range.
        """
        array = as_labels(value)
        if array.ndim == 1:
            return self._labels(array, row_name)
        return self._responsibilities(array, row_name)

    def _labels(self, array: NDArray[Any], row_name: Callable[[int], str]) -> Known:
        if array.dtype.kind not in "iu" and len(array):
            raise ValueError(
                f"labels has the type {array.dtype}: give integers, with -1 for each row whose "
                "component is not known, or an array of responsibilities, with a row of NaN for "
                "each of these."
            )
        allowed = self.allowed
        wrong = np.flatnonzero((array < -1) | (array >= len(allowed) - 1))
        if len(wrong):
            K = self.n_components
            noise = f", {K} for noise" if self.noise else ""
            raise ValueError(
                f"The label of {row_name(wrong[0])}, counted from 0, is {array[wrong[0]]}: labels "
                f"run from 0 to n_components - 1 = {K - 1}{noise}, and -1 is for rows whose "
                "component is not known."
            )
        return Known(array.astype(np.int32), allowed)

    def _responsibilities(self, array: NDArray[Any], row_name: Callable[[int], str]) -> Known:
        widths = sorted({self.n_components, self.n_densities})
        if array.ndim != 2 or array.shape[1] not in widths or array.dtype.kind not in "iuf":
            expected = " or ".join(f"(n_samples, {width})" for width in widths)
            raise ValueError(
                f"labels has the shape {array.shape} and the type {array.dtype}: give integers of "
                f"shape (n_samples,), or responsibilities of shape {expected}."
            )
        found = np.zeros((len(array), self.n_densities))
        found[:, : array.shape[1]] = array
        unknown = np.isnan(array).all(axis=1)
        # All rows belong to a single component, with labels as with responsibilities.
        found[unknown] = np.nan if self.n_densities > 1 else 1.0
        with np.errstate(over="ignore", invalid="ignore"):
            totals = found.sum(axis=1)
            right = (found >= 0).all(axis=1) & (np.abs(totals - 1) <= NORMALIZED)
        wrong = np.flatnonzero(np.logical_not(right | unknown))
        if len(wrong):
            raise ValueError(
                f"The responsibilities of {row_name(wrong[0])}, counted from 0, are "
                f"{array[wrong[0]]}: they must be non-negative and sum to one, or all be NaN if "
                "nothing is known."
            )
        return Known(found / totals[:, None], self.allowed)


def as_labels(value: Any) -> NDArray[Any]:
    """Convert an array-like of labels or responsibilities; masked entries are unknown."""
    if isinstance(value, np.ma.MaskedArray) and value.dtype.kind in "iu" and value.ndim == 1:
        return np.ma.filled(value.astype(np.int64), -1)
    try:
        array = as_array(value, "labels")
        return np.array(array.tolist()) if array.dtype.kind == "O" else array
    except ValueError as error:
        raise ValueError(
            f"labels is not an array: {error} Give one integer for each row, or one row of "
            "responsibilities."
        ) from error


def check_number(n_labels: int, n_rows: int | str) -> None:
    """Raise unless there is a label for each row of X."""
    if n_labels != n_rows:
        raise ValueError(
            f"labels has {n_labels} rows, but X has {n_rows}: give one label for each, -1 where "
            "the component is not known."
        )
