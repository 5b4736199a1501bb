"""Tables in CSV and Parquet files: read, asked about their columns, and written."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emgmm.commands.errors import FAILED, CommandError
from emgmm.commands.output import together
from emgmm.estimator import GaussianMixture
from emgmm.files import replaced
from emgmm.typing import Array

SUFFIXES = (".csv", ".parquet")

# Separators that are looked for in the first line of a file that lacks the one that was asked for,
# and what --sep calls them.
SEPARATORS = {";": "';'", "\t": "tab"}


def arrow() -> Any:
    """Import pyarrow with the parts that are used."""
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError:
        raise CommandError(
            "reading and writing tables needs pyarrow: pip install 'emgmm[cli]'", FAILED
        ) from None
    return pyarrow


def read(path: Path, separator: str = ",", decimal: str = ".") -> Any:
    """Read the table in a file.

    Parameters
    ----------
    path : Path
        A CSV or a Parquet file.
    separator, decimal : str
        The character between the fields of a CSV file, and the decimal mark of its numbers.
    """
    pa = arrow()
    if not path.is_file():
        raise CommandError(f"there is no file {path}")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise CommandError(f"{path}: its name must end in .csv or .parquet")
    if suffix == ".csv" and separator == decimal:
        raise CommandError(
            f"--sep and --decimal cannot both be {decimal!r}: say how the fields are separated, as "
            "in --sep ';'"
        )
    try:
        if suffix == ".csv":
            check_separator(path, separator)
            table = pa.csv.read_csv(
                path,
                parse_options=pa.csv.ParseOptions(delimiter=separator),
                convert_options=pa.csv.ConvertOptions(decimal_point=decimal),
            )
        else:
            table = pa.parquet.read_table(path)
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())
        raise CommandError(f"{path} cannot be read as {path.suffix[1:].upper()}: {what}") from None
    names = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CommandError(f"{path} has more than one column {twice[0]!r}: rename one")
    if not table.num_rows:
        raise CommandError(f"{path} has no rows")
    return table


def check_separator(path: Path, separator: str) -> None:
    """Check that the first line of a CSV file is not separated by another character."""
    with path.open("rb") as file:
        first = file.readline().decode(errors="replace")
    likely = [word for mark, word in SEPARATORS.items() if mark in first]
    if likely and separator not in first:
        raise CommandError(
            f"{path} has no {separator!r} between the fields of its first line: say what separates "
            f"them, as in --sep {likely[0]}"
        )


def is_numeric(table: Any, name: str) -> bool:
    """Whether a column holds numbers, or no value at all."""
    types, kind = arrow().types, table.schema.field(name).type
    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_null(kind)
    )


def counts_rows(table: Any, name: str) -> bool:
    """Whether a column holds the integers 0, 1, 2, ... or 1, 2, 3, ... in the order of the rows."""
    kind, n_rows = table.schema.field(name).type, table.num_rows
    if n_rows < 2 or not arrow().types.is_integer(kind) or table.column(name).null_count:
        return False
    values = table.column(name).to_numpy()
    return values[0] in (0, 1) and bool((values == values[0] + np.arange(n_rows)).all())


def cause(table: Any, name: str, decimal: str = ".") -> str:
    """Say which value keeps a column from being numeric, as in "'?' in row 7".

    It is the first value of a column of text that is neither a number nor missing, or else its
    first value. Rows are counted from 1. The result is empty if the column has no value.
    """
    pa = arrow()
    pc, column = pa.compute, table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    wrong = valid = pc.is_valid(column)
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if is_text:
        numbers = pc.match_substring_regex(column, number_with(decimal))
        missing = pa.array(pa.csv.ConvertOptions().null_values, column.type)
        known = pc.or_(pc.fill_null(numbers, False), pc.is_in(column, value_set=missing))
        wrong = pc.and_(valid, pc.invert(known))
    rows = [pc.index(values, True).as_py() for values in (wrong, valid)]
    row = rows[0] if rows[0] >= 0 else rows[1]
    if row < 0:
        return ""
    value = column[row].as_py()
    if not is_text:
        return f"{reprlib.repr(str(value))[1:-1]} in row {row + 1}"
    other = re.search(number_with("," if decimal == "." else "."), value)
    return f"{reprlib.repr(value)} in row {row + 1}{'; see --decimal' if other else ''}"


def number_with(decimal: str) -> str:
    """A regular expression for a number with that decimal mark."""
    digits = rf"(\d+[{decimal}]?\d*|[{decimal}]\d+)(e[+-]?\d+)?"
    return rf"(?i)^\s*[+-]?({digits}|inf|infinity)\s*$"


def check_names(table: Any, names: list[str], option: str) -> None:
    """Check that the table has these columns, and that each is named once."""
    for name in names:
        if names.count(name) > 1:
            raise CommandError(f"{option}: column {name!r} is named twice, name it once")
        if name not in table.column_names:
            known = together(table.column_names)
            raise CommandError(f"{option}: there is no column {name!r}; there are {known}")


def check_columns(table: Any, names: list[str], option: str, decimal: str = ".") -> None:
    """Check that the table has these columns, each named once, and that they hold numbers."""
    check_names(table, names, option)
    for name in names:
        if not is_numeric(table, name):
            found = cause(table, name, decimal)
            raise CommandError(f"{option}: column {name!r} is not numeric{found and f' ({found})'}")


def matrix(table: Any, names: Sequence[str]) -> Array:
    """(N, D): columns as float64, with NaN where a value is missing."""
    pa = arrow()
    columns = [table.column(name).cast(pa.float64(), safe=False).to_numpy() for name in names]
    return np.column_stack(columns)


def added_names(n_components: int, *, noise: bool) -> list[str]:
    """Names of the columns that are added to labelled rows."""
    own = ["label", *(f"p_{k}" for k in range(n_components))]
    return [*own, "p_noise"] if noise else own


def check_free(table: Any, names: Sequence[str], option: str) -> None:
    """Check that the table has none of these columns yet."""
    taken = [name for name in names if name in table.column_names]
    if taken:
        raise CommandError(
            f"{option}: the data already have a column {taken[0]!r}: rename it or remove it"
        )


def labelled(table: Any, model: GaussianMixture, rows: Array) -> Any:
    """The table with labels and probabilities beside its columns."""
    pa = arrow()
    mixture = model._mixture()
    names = added_names(mixture.n_components, noise=mixture.noise is not None)
    columns = [model.predict(rows), *model.predict_proba(rows).T]
    for name, values in zip(names, columns, strict=True):
        table = table.append_column(name, pa.array(values))
    return table


def write(path: Path, table: Any) -> None:
    """Write a table; the file is replaced completely or left as it was."""
    pa = arrow()
    with replaced(path) as file:
        if path.suffix.lower() == ".csv":
            pa.csv.write_csv(table, file)
        else:
            pa.parquet.write_table(table, file)
