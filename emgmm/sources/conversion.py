"""Conversion of rows and weights to floating-point arrays, whatever they are passed in.

scikit-learn's `check_array` converts. It takes datetimes as numbers of nanoseconds and ignores
masks, so datetimes are refused and masked entries become NaN before it is called. The row and the
column of an entry that is not a number are appended to its message.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, time, timedelta
from typing import Any

import numpy as np
from sklearn.utils import check_array

from emgmm.sources.tables import labels_of
from emgmm.tolerances import FLOATS
from emgmm.typing import Array

# Libraries whose arrays may be on a device, or part of a graph of gradients.
DEVICE_LIBRARIES = frozenset({"torch", "cupy", "jax", "jaxlib"})
TIMES = (np.datetime64, np.timedelta64, date, time, timedelta)


def as_rows(value: Any, **checks: Any) -> Array:
    """The (N, D) array in `value`, float32 or float64; floating-point arrays are not copied.

    Parameters
    ----------
    value : array-like or table
        Masked entries become NaN.
    **checks
        Further arguments of `check_array`.

    Raises
    ------
    TypeError, ValueError
        If an entry is not a number; the message names its row and column.
    """
    least = checks.get("ensure_min_samples", 1)
    ready = _is_plain(value) and value.ndim == 2 and value.dtype in FLOATS
    if ready and len(value) >= least and value.shape[1] > 0:
        return np.asarray(value)  # `check_array` takes as long as an iteration on a small table
    return _converted(value, "X", dtype=FLOATS, ensure_all_finite=False, **checks)


def as_weights(value: Any) -> Array:
    """The float64 array in `value`; masked entries become NaN, which no weight may be."""
    if _is_plain(value) and value.dtype == np.float64:
        return np.asarray(value)
    return _converted(
        value,
        "sample_weight",
        dtype=np.float64,
        ensure_2d=False,
        ensure_min_samples=0,
        ensure_all_finite=False,
    )


def as_parameters(value: Any, name: str, **checks: Any) -> Array:
    """A copy of the finite numbers in `value`, float32 or float64.

    Raises
    ------
    TypeError, ValueError
        If an entry is not a finite number; the message contains `name`.
    """
    return _converted(value, name, dtype=FLOATS, copy=True, **checks)


def _is_plain(value: Any) -> bool:
    return isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray)


def check_no_times(value: Any, name: str) -> None:
    """Refuse datetimes and timedeltas, which are numbers only in units that nobody has chosen.

    Raises
    ------
    ValueError
        If there are any; the message names the column.
    """
    if isinstance(value, Sequence):  # `_converted` has made an array of one that holds any
        return
    for where, column in _other_columns(value):
        kinds = map(type, column.flat) if column.dtype.kind == "O" else [column.dtype.type]
        if any(issubclass(kind, TIMES) for kind in set(kinds)):
            place = f" in {where}, counted from 0" if where else ""
            raise ValueError(
                f"{name} holds datetimes or timedeltas{place}: convert them to numbers in a unit "
                "of your choice, such as days since the first, or leave them out."
            )


def _converted(value: Any, name: str, **checks: Any) -> Array:
    value = _on_host(value, name)
    if isinstance(value, list | tuple):
        value = _of_sequence(value)
    if isinstance(value, np.ndarray) and value.dtype.names is not None:
        raise TypeError(
            f"{name} is a structured array with the fields {', '.join(value.dtype.names)}: give a "
            "DataFrame of it, or numpy.lib.recfunctions.structured_to_unstructured of it."
        )
    check_no_times(value, name)
    value = _unmasked(value)
    try:
        with np.errstate(all="ignore"):  # what overflows becomes infinity, which is refused
            return check_array(_stacked(value), input_name=name, **checks)
    except (OverflowError, TypeError, ValueError) as error:
        _name_entry(value, name, error)
        raise


def _on_host(value: Any, name: str) -> Any:
    """The NumPy array in an array of another library."""
    library = type(value).__module__.partition(".")[0]
    if library not in DEVICE_LIBRARIES:
        return value
    try:
        if _is_elsewhere(value):
            raise TypeError("it is on a device")
        return np.asarray(value.__array__())
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(
            f"{name} is a {library} array; emgmm works on NumPy arrays, and this one does not "
            f"convert to one ({error}): move it to the host and convert it first."
        ) from error


def _is_elsewhere(value: Any) -> bool:
    """Whether an array is in the memory of a device, as the DLPack protocol numbers them."""
    return hasattr(value, "__dlpack_device__") and int(value.__dlpack_device__()[0]) != 1


def _of_sequence(rows: Any) -> Any:
    """A sequence, as an array of objects if it holds datetimes or masked entries.

    NumPy would convert those without an error.
    """
    kinds = {type(entry) for row in rows for entry in _special(row)}
    if not any(issubclass(kind, (np.ma.MaskedArray, *TIMES)) for kind in kinds):
        return rows
    is_table = any(map(_is_row, rows))
    entries = [list(row) if _is_row(row) else [row] for row in rows]
    array = np.array(entries, dtype=object)
    return array if is_table else array.ravel()


def _is_row(value: Any) -> bool:
    return bool(getattr(value, "ndim", isinstance(value, list | tuple)))


def _special(row: Any) -> Iterator[Any]:
    """Entries of a row, without those of which it is known that they are plain numbers."""
    if isinstance(row, list | tuple):
        yield from row
    elif not _is_number(getattr(row, "dtype", None)) or isinstance(row, np.ma.MaskedArray):
        yield from np.asanyarray(row).flat


def _unmasked(value: Any) -> Any:
    """The array with NaN in place of masked entries; integers and booleans become float64."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind == "O":
        masked = np.array([entry is np.ma.masked for entry in value.flat], dtype=bool)
        if masked.any():
            value = np.ma.array(value, mask=masked.reshape(value.shape))
    if not isinstance(value, np.ma.MaskedArray):
        return value
    if value.dtype.kind not in "fc":
        value = value.astype(np.float64 if _is_number(value.dtype) else object)
    return value.filled(np.nan)


def _stacked(value: Any) -> Any:
    """A table of pyarrow as an array of the type that its columns have in common."""
    if not hasattr(value, "column_names"):
        return value
    return np.array([column.to_numpy(zero_copy_only=False) for column in value.columns]).T


def _is_number(dtype: Any) -> bool:
    """Whether a type of NumPy or pandas is one of numbers."""
    return getattr(dtype, "kind", None) in {"b", "i", "u", "f", "c"}


def _other_columns(value: Any) -> Iterator[tuple[str, Array]]:
    """Columns of which it is not known that they hold numbers, and what each is called."""
    labels = labels_of(value)
    if labels is not None:
        columns = getattr(value, "iloc", value)
        for j, label in enumerate(labels):
            column = value.column(j) if hasattr(value, "column_names") else columns[:, j]
            if not _is_number(getattr(column, "dtype", None)):
                array = np.asarray(column)
                strings = array.dtype.kind == "U"  # scikit-learn's message quotes objects
                yield f"column {j} ({label!r})", array.astype(object) if strings else array
    elif not _is_number(getattr(value, "dtype", None)):
        array = np.atleast_1d(np.asarray(value))
        if array.ndim == 2:
            yield from ((f"column {j}", column) for j, column in enumerate(array.T))
        else:
            yield "", array


def _name_entry(value: Any, name: str, error: Exception) -> None:
    """Raise the error of the entry that cannot be converted, with its place, if there is one."""
    if isinstance(value, Sequence):
        widths = [np.size(row) if _is_row(row) else 1 for row in value]
        other = next((i for i, width in enumerate(widths) if width != widths[0]), None)
        if other is not None:
            raise ValueError(
                f"{error} (Row {other}, counted from 0, has {widths[other]} entries, but the first "
                f"row has {widths[0]}.)"
            ) from error
        value = np.array(value, dtype=object)
    for where, column in _other_columns(value):
        if _error_of(column) is None:
            continue
        low, high = 0, len(column)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if _error_of(column[low:middle]) else (middle, high)
        own = _error_of(column[low:high])
        kind = TypeError if isinstance(own, TypeError) else ValueError
        place = f"row {low}, {where}" if where else f"row {low}"
        raise kind(
            f"{str(own).rstrip('.')} ({name} holds it in {place}, counted from 0: give numbers, or "
            "leave it out)"
        ) from error


def _error_of(column: Array) -> Exception | None:
    """What keeps entries from becoming numbers."""
    try:
        with np.errstate(all="ignore"):
            column.astype(np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        return error
    return None
