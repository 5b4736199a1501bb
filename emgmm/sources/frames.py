"""Preparation of tables of other libraries for their conversion to arrays.

Tables that are not in memory, such as relations of DuckDB and lazy frames, are evaluated, and
dictionaries of pyarrow are decoded.
"""

from __future__ import annotations

from typing import Any

from emgmm.devices import library_of


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


def decoded(value: Any) -> Any:
    """Return a table or column of pyarrow without dictionaries, and any other value unchanged.

    pyarrow converts a null in a dictionary of several chunks to its last entry. Its record batches
    and arrays, which are single chunks, are converted correctly.
    """
    if library_of(value) != "pyarrow":
        return value
    import pyarrow

    if isinstance(value, pyarrow.Table):
        for j, (name, column) in enumerate(zip(value.column_names, value.columns, strict=True)):
            plain = decoded(column)
            value = value if plain is column else value.set_column(j, name, plain)
    elif isinstance(value, pyarrow.ChunkedArray) and pyarrow.types.is_dictionary(value.type):
        return value.cast(value.type.value_type)
    return value
