"""Evaluation of tables that are not in memory, such as relations of DuckDB and lazy frames."""

from __future__ import annotations

from typing import Any


def evaluated(value: Any) -> Any:
    """Return a table without arrays as a table of pyarrow, and any other value unchanged.

    DataFrames of pandas, Polars and Modin and tables of pyarrow provide their rows as arrays. The
    frames of other libraries are read by narwhals, as far as it knows them.

    Raises
    ------
    ImportError
        If narwhals or pyarrow is not installed.
    """
    kind = type(value)  # an instance of a lazy frame would compute its columns
    if not hasattr(kind, "columns") or hasattr(kind, "__array__") or hasattr(kind, "column_names"):
        return value
    try:
        import narwhals
        import pyarrow  # noqa: F401 (the tables that narwhals returns)
    except ImportError as error:
        library = kind.__module__.partition(".")[0].lstrip("_")
        raise ImportError(
            f"A {library}.{kind.__name__} is read with narwhals and pyarrow: pip install narwhals "
            "pyarrow, or emgmm's extra frames."
        ) from error
    frame = narwhals.from_native(value, pass_through=True)
    if isinstance(frame, narwhals.LazyFrame):
        frame = frame.collect("pyarrow")
    return frame.to_arrow() if isinstance(frame, narwhals.DataFrame) else value
