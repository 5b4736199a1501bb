"""Conversion of rows and weights of any type to floating-point arrays.

The conversion is that of scikit-learn's `check_array`. As it takes datetimes for numbers of
nanoseconds and ignores masks, datetimes are rejected and masked entries are replaced by NaN first.
Its error message is extended by the row and the column of the entry that is not a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, time, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from emgmm.devices import DEVICE_LIBRARIES, ON_HOST, device_of, library_of, to_host
from emgmm.sources.frames import decoded
from emgmm.sources.tables import column_labels
from emgmm.tolerances import FLOATS
from emgmm.typing import Array

TIMES = (np.datetime64, np.timedelta64, date, time, timedelta)


def as_rows(value: Any, **checks: Any) -> Array:
    """Return `value` as an (N, D) array of float32 or float64, without copying arrays of these.

    Parameters
    ----------
    value : array-like or table
        Rows; masked entries become NaN.
    **checks
        Further arguments to `check_array`.

    Raises
    ------
    TypeError, ValueError
        If an entry is not a number; the message names its row and column.
    """
    least = checks.get("ensure_min_samples", 1)
    ready = _is_plain(value) and value.ndim == 2 and value.dtype in FLOATS
    if ready and len(value) >= least and value.shape[1] > 0:
        return np.asarray(value)  # `check_array` takes as long as an EM iteration on a small array
    return _converted(value, "X", dtype=FLOATS, **checks)


def as_weights(value: Any) -> Array:
    """Return `value` as a float64 array; masked entries become NaN, which is no valid weight."""
    if _is_plain(value) and value.dtype == np.float64:
        return np.asarray(value)
    return _converted(
        value, "sample_weight", dtype=np.float64, ensure_2d=False, ensure_min_samples=0
    )


def as_parameters(value: Any, name: str, **checks: Any) -> Array:
    """A copy of the finite numbers in `value`, float32 or float64.

    Raises
    ------
    TypeError, ValueError
        If an entry is not a finite number; the message contains `name`.
    """
    return _converted(value, name, finite=True, dtype=FLOATS, copy=True, **checks)


def as_numbers(value: Any, name: str) -> Array:
    """Return numbers of any shape as a float64 array, with NaN where they are masked.

    Raises
    ------
    TypeError, ValueError
        If an entry is not a number; the message contains `name`.
    """
    if _is_plain(value) and value.dtype == np.float64:
        return np.asarray(value)
    if isinstance(value, complex | np.complexfloating):
        raise TypeError(f"{name} must be real numbers, but is {value!r}.")
    return _converted(
        value,
        name,
        dtype=np.float64,
        ensure_2d=False,
        allow_nd=True,
        ensure_min_samples=0,
        ensure_min_features=0,
    )


def as_responses(value: Any) -> Array:
    """Return `value` as an array of float32 or float64 with one or two dimensions.

    Masked entries become NaN.

    Raises
    ------
    TypeError, ValueError
        If an entry is not a number, or infinite; the message names it.
    """
    return _converted(value, "y", finite="allow-nan", dtype=FLOATS, ensure_2d=False)


def as_array(value: Any, name: str) -> NDArray[Any]:
    """Return an array-like as an array of its own type, with NaN where it is masked.

    A sequence with masked entries, or of text and other values, becomes an array of objects.

    Raises
    ------
    TypeError, ValueError
        If it is another library's array that does not convert, or if the rows of a sequence have
        different lengths; the message contains `name`.
    """
    value = _gathered(value, name)
    try:
        return np.asarray(_unmasked(value))
    except ValueError as error:
        _name_row(value, name, error)
        raise


def _is_plain(value: Any) -> bool:
    return isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray)


def check_no_times(value: Any, name: str) -> None:
    """Raise if there are datetimes or timedeltas, whose conversion would need a choice of unit.

    Raises
    ------
    ValueError
        If there are any. The message names the column.
    """
    if isinstance(value, Sequence):  # `_converted` has replaced those that hold any
        return
    for where, column in _unchecked_columns(value):
        kinds = map(_kind_of, column.flat) if column.dtype.kind == "O" else [column.dtype.type]
        if any(issubclass(kind, TIMES) for kind in set(kinds)):
            place = f" in {where}, counted from 0" if where else ""
            raise ValueError(
                f"{name} holds datetimes or timedeltas{place}: convert them to numbers in a unit "
                "of your choice, such as days since the first, or leave them out."
            )


def _converted(
    value: Any, name: str, *, finite: bool | Literal["allow-nan"] = False, **checks: Any
) -> Array:
    value = _gathered(value, name)
    if isinstance(value, np.ndarray) and value.dtype.names is not None:
        raise TypeError(
            f"{name} is a structured array with the fields {', '.join(value.dtype.names)}: give a "
            "DataFrame of it, or numpy.lib.recfunctions.structured_to_unstructured of it."
        )
    check_no_times(value, name)
    _check_distinct(column_labels(value), name)
    value = _unmasked(value)
    try:
        with np.errstate(all="ignore"):  # overflow gives infinity, which is rejected later
            array = _stacked(value)
            return check_array(array, input_name=name, ensure_all_finite=finite, **checks)
    except (OverflowError, TypeError, ValueError) as error:
        _name_entry(value, name, error)
        raise


def _check_distinct(labels: Sequence[Any] | None, name: str) -> None:
    """Raise an error that names a label which two columns of a table have."""
    repeated = [label for label, times in Counter(labels or ()).items() if times > 1]
    if repeated:
        raise ValueError(
            f"{name} has several columns with the name {repeated[0]!r}: rename them, or pass an "
            "array."
        )


def _gathered(value: Any, name: str) -> Any:
    """Return a value, and the rows of a sequence, such that NumPy loses nothing of its entries."""
    value = _on_host(value, name)
    if isinstance(value, list | tuple):
        return _from_sequence([_on_host(row, name) for row in value])
    return value


def _on_host(value: Any, name: str) -> Any:
    """Return another library's array as a NumPy array, and any other value unchanged.

    Tables and columns of tables are not converted, because NumPy would lose their types; only the
    dictionaries of those of pyarrow are decoded.

    Raises
    ------
    TypeError
        If the array does not convert, as it is on a device or requires a gradient. The message
        contains `name`.
    """
    if isinstance(value, ON_HOST):
        return value
    if device_of(value) is not None:
        return to_host(value)
    library = library_of(value)
    is_table = hasattr(value, "to_numpy") or column_labels(value) is not None
    if library not in DEVICE_LIBRARIES and (is_table or not hasattr(value, "__array__")):
        return decoded(value)
    try:
        # The first entry of DLPack's device is its type, which is 1 for the host.
        if hasattr(value, "__dlpack_device__") and int(value.__dlpack_device__()[0]) != 1:
            raise TypeError("it is on a device")
        return np.asarray(value.__array__())
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(
            f"{name} is a {library}.{type(value).__name__}; emgmm works on NumPy arrays, and this "
            f"one does not convert to one ({error}): move it to the host and convert it first, or "
            "call sklearn.set_config(array_api_dispatch=True), so that it stays on its device."
        ) from error


def _from_sequence(rows: Any) -> Any:
    """Return a sequence as an object array if it holds datetimes, masked entries or mixed text.

    NumPy would convert these entries without an error. It would turn a missing value beside text
    into the text "nan".
    """
    kinds = {_kind_of(entry) for row in rows for entry in _unchecked_entries(row)}
    is_mixed = len({issubclass(kind, str) for kind in kinds}) > 1
    if not (is_mixed or any(issubclass(kind, (np.ma.MaskedArray, *TIMES)) for kind in kinds)):
        return rows
    is_table = any(map(_is_row, rows))
    entries = [list(row) if _is_row(row) else [row] for row in rows]
    if len({*map(len, entries)}) > 1:
        return rows  # NumPy raises an error
    array = np.array(entries, dtype=object)
    return array if is_table else array.ravel()


def _is_row(value: Any) -> bool:
    return bool(getattr(value, "ndim", isinstance(value, list | tuple)))


def _kind_of(entry: Any) -> type:
    """Return the type of an entry, which may be in an array without dimensions."""
    in_array = isinstance(entry, np.ndarray) and not isinstance(entry, np.ma.MaskedArray)
    return entry.dtype.type if in_array else type(entry)


def _unchecked_entries(row: Any) -> Iterator[Any]:
    """Yield the entries of a row; 0 stands for those of an array known to hold plain numbers."""
    if isinstance(row, list | tuple):
        yield from row
    elif not _is_number(getattr(row, "dtype", None)) or isinstance(row, np.ma.MaskedArray):
        yield from np.asanyarray(row).flat
    else:
        yield 0


def _unmasked(value: Any) -> Any:
    """Replace masked entries of an array by NaN; masked integers and booleans become float64."""
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
    """Return a pyarrow table as an array of the common type of its columns."""
    if not hasattr(value, "column_names"):
        return value
    return np.array([column.to_numpy(zero_copy_only=False) for column in value.columns]).T


def _is_number(dtype: Any) -> bool:
    """Whether a data type of NumPy or pandas is numeric."""
    return getattr(dtype, "kind", None) in {"b", "i", "u", "f", "c"}


def _unchecked_columns(value: Any) -> Iterator[tuple[str, Array]]:
    """Yield the columns that are not known to be numeric, each with its name for messages."""
    labels = column_labels(value)
    if labels is not None:
        columns = getattr(value, "iloc", value)
        for j, label in enumerate(labels):
            column = value.column(j) if hasattr(value, "column_names") else columns[:, j]
            if not _is_number(getattr(column, "dtype", None)):
                yield f"column {j} ({label!r})", _quotable(column)
    elif not _is_number(getattr(value, "dtype", None)):
        array = np.atleast_1d(_quotable(value))
        if array.ndim == 2:
            yield from ((f"column {j}", column) for j, column in enumerate(array.T))
        else:
            yield "", array


def _quotable(value: Any) -> NDArray[Any]:
    """Return an array whose text is objects, which NumPy's messages quote without their type."""
    array = np.asarray(value)
    return array.astype(object) if array.dtype.kind in "US" else array


def _name_row(value: Any, name: str, error: Exception) -> None:
    """Raise an error that names the first row of a sequence that has another length, if any."""
    if not isinstance(value, Sequence):
        return
    widths = [len(row) if _is_row(row) else 1 for row in value]
    other = next((i for i, width in enumerate(widths) if width != widths[0]), None)
    if other is not None:
        raise ValueError(
            f"{error} ({name} is not a table. Row {other}, counted from 0, has {widths[other]} "
            f"entries, but the first row has {widths[0]}.)"
        ) from error


def _name_entry(value: Any, name: str, error: Exception) -> None:
    """Raise an error that names the first entry that cannot be converted, if there is one."""
    _name_row(value, name, error)
    if isinstance(value, Sequence):
        value = np.array(value, dtype=object)
    for where, column in _unchecked_columns(value):
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
    """Return the error that the conversion of entries to numbers raises, if any."""
    try:
        with np.errstate(all="ignore"):
            column.astype(np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        return error
    return None
