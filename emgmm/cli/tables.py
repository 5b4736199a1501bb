"""Tables in CSV and Parquet files, which are read in batches of rows."""

from __future__ import annotations

import csv
import os
import re
import reprlib
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emgmm.cli import csv_files
from emgmm.cli.csv_files import Format, arrow, check_once, missing_markers, number_pattern
from emgmm.cli.terminal import CommandError, join_names
from emgmm.storage.files import reason
from emgmm.typing import Array

SUFFIXES = (".csv", ".parquet")

# Largest number of values and of rows in a batch; text may take much more memory than numbers.
VALUES, ROWS = 2**19, 2**15

# Number of bytes of each column of a Parquet file that are read at a time.
BUFFER = 2**16

ENCODING = "give the encoding of its text, as in --encoding latin-1"

OTHER_ENCODING = "--encoding names another one than that of its text; leave it out for utf-8"

# Remedies for files that are not text in the expected encoding, by the first bytes.
REMEDIES = {
    b"\x1f\x8b": "it is compressed, decompress it first",
    b"PK\x03\x04": "it is a workbook or another archive, save the table as CSV first",
    b"PAR1": "it is a Parquet file, give it a name that ends in .parquet",
    b"\xff\xfe\x00\x00": "give the encoding of its text, as in --encoding utf-32",
    b"\xff\xfe": "give the encoding of its text, as in --encoding utf-16",
    b"\xfe\xff": "give the encoding of its text, as in --encoding utf-16",
}


@dataclass(frozen=True, eq=False)
class Table:
    """Table of which only the required columns are read.

    Parameters
    ----------
    path : Path
        Path of the file, for messages.
    source : Path or pyarrow.Table
        Rows: the path of a Parquet file, which may be a copy, or a table in memory.
    schema : pyarrow.Schema
        Names and types of the columns.
    n_rows : int
        Number of rows.
    decimal : str
        Decimal mark of numbers in the file.
    """

    path: Path
    source: Any
    schema: Any
    n_rows: int
    decimal: str = "."

    @property
    def names(self) -> list[str]:
        return list(self.schema.names)

    def batches(self, names: list[str]) -> Iterator[Any]:
        """Yield record batches of some columns, in the order of the rows."""
        n_rows = max(1, min(ROWS, VALUES // len(names)))
        if not isinstance(self.source, Path):
            yield from self.source.select(names).to_batches(max_chunksize=n_rows)
            return
        n_left = self.n_rows
        with reading(self.path), parquet_file(self.source) as file:
            for batch in file.iter_batches(n_rows, columns=names, use_threads=False):
                n_left -= batch.num_rows
                yield batch.select(names)
            if n_left:
                raise arrow().ArrowInvalid("the metadata give another number of rows")

    def is_numeric(self, name: str) -> bool:
        """Whether a column contains numbers or no values at all."""
        types, kind = arrow().types, self.schema.field(name).type
        tests = (types.is_integer, types.is_floating, types.is_decimal, types.is_null)
        return any(test(kind) for test in tests)

    def row_numbers(self, names: Sequence[str]) -> list[str]:
        """Return the columns that contain 0, 1, 2, ... or 1, 2, 3, ... in the order of the rows."""
        is_integer = arrow().types.is_integer
        integers = [name for name in names if is_integer(self.schema.field(name).type)]
        if self.n_rows < 2 or not integers:
            return []
        found = [(name, first) for name in integers for first in (0, 1)]
        start = 0
        for batch in self.batches(integers):
            numbers = np.arange(start, start + batch.num_rows)
            values = {name: batch.column(name).to_numpy(zero_copy_only=False) for name, _ in found}
            found = [(name, k) for name, k in found if np.array_equal(values[name], numbers + k)]
            start += batch.num_rows
            if not found:
                break
        return [name for name, _ in found]

    def cause(self, name: str) -> str:
        """Describe a value because of which a column is not numeric, as in " ('?' in row 7)".

        It is the first value that is neither a number nor missing, or else the first value. Rows
        are counted from 1. The result is empty if the column has no value.
        """
        start, first = 0, ""
        for batch in self.batches([name]):
            column = batch.column(0)
            if arrow().types.is_dictionary(column.type):
                column = column.dictionary_decode()
            wrong, valid = self._wrong(column)
            if wrong >= 0:
                return f" ({describe(column[wrong], start + wrong, self.decimal)})"
            if not first and valid >= 0:
                first = f" ({describe(column[valid], start + valid, self.decimal)})"
            start += batch.num_rows
        return first

    def _wrong(self, column: Any) -> tuple[int, int]:
        """Return the indices of the first value that is no number and of the first value, or -1."""
        pa = arrow()
        pc = pa.compute
        wrong = valid = pc.is_valid(column)
        if is_text(column.type):
            numbers = pc.match_substring_regex(column, number_pattern(self.decimal))
            missing = pa.array(missing_markers(), column.type)
            known = pc.or_(pc.fill_null(numbers, False), pc.is_in(column, value_set=missing))
            wrong = pc.and_(valid, pc.invert(known))
        return pc.index(wrong, True).as_py(), pc.index(valid, True).as_py()

    def check_names(self, names: list[str], option: str) -> None:
        """Raise an error if the table lacks one of these columns, or if one is named twice."""
        for name in names:
            if names.count(name) > 1:
                raise CommandError(f"{option}: column {name!r} is named twice, name it once")
            if name not in self.names:
                known = join_names(self.names)
                raise CommandError(f"{option}: there is no column {name!r}; there are {known}")

    def check_columns(self, names: list[str], option: str) -> None:
        """Raise an error if one of these columns is missing, named twice or not numeric."""
        self.check_names(names, option)
        for name in names:
            if not self.is_numeric(name):
                raise CommandError(f"{option}: column {name!r} is not numeric{self.cause(name)}")

    def check_free(self, names: Sequence[str], option: str) -> None:
        """Raise an error if the table already has one of these columns."""
        taken = [name for name in names if name in self.names]
        if taken:
            raise CommandError(
                f"{option}: the data already have a column {taken[0]!r}: rename it or remove it"
            )


def check_file(path: Path) -> None:
    """Raise an error if a path is not one of a regular file."""
    try:
        mode = path.stat().st_mode
    except PermissionError as error:
        raise CommandError(f"{path} cannot be read: {reason(error)}") from None
    except (OSError, ValueError):  # the latter for text that cannot be a path
        raise CommandError(f"there is no file {path}") from None
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise CommandError(f"{path} is {what}: give a file")


@contextmanager
def open_table(path: Path, form: Format) -> Iterator[Table]:
    """Open the table in a file."""
    arrow()
    check_file(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise CommandError(f"{path}: its name must end in .csv or .parquet")
    with ExitStack() as stack:
        with reading(path, form.encoding):
            source: Any = path
            if suffix == ".csv":
                source = csv_files.read(path, form, stack)
            schema, n_rows = shape(source)
        check_once(path, schema.names)
        for field in schema:
            if suffix == ".csv" and arrow().types.is_binary(field.type):
                raise CommandError(f"{path}: column {field.name!r} is not UTF-8 text; {ENCODING}")
        if not n_rows:
            raise CommandError(f"{path} has no rows")
        yield Table(path, source, schema, n_rows, form.decimal)


def shape(source: Any) -> tuple[Any, int]:
    """Return the schema and the number of rows of a Parquet file or a table in memory."""
    if not isinstance(source, Path):
        return source.schema, source.num_rows
    with parquet_file(source) as file:
        return file.schema_arrow, file.metadata.num_rows


def parquet_file(path: Path) -> Any:
    """Open a Parquet file so that only a small part is in memory, whatever its row groups."""
    return arrow().parquet.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False)


@contextmanager
def reading(path: Path, encoding: str = "utf-8") -> Iterator[None]:
    """Report failures to read a file as errors of the command."""
    pa = arrow()
    try:
        yield
    except (pa.ArrowException, csv.Error, OSError, UnicodeError) as error:
        what = " ".join(str(error).split())
        if isinstance(error, OSError) and error.errno is not None:
            what = reason(error) if error.filename else os.strerror(error.errno).lower()
        elif path.suffix.lower() == ".csv":
            if isinstance(error, UnicodeError) or "UTF8" in what:
                what = f"it is not {encoding} text; {remedy(path, encoding)}"
            elif isinstance(error, csv.Error):
                most = csv.field_size_limit()
                what = f"a field has more than {most} characters; a quote may not be closed"
        elif not isinstance(error, pa.ArrowNotImplementedError):
            what = "it is not a Parquet file, or it is damaged"
        raise CommandError(f"{path} cannot be read as {path.suffix[1:].upper()}: {what}") from None


def remedy(path: Path, encoding: str) -> str:
    """Return what to do with a CSV file that is not text in the expected encoding."""
    with path.open("rb") as file:
        start = file.read(4)
    other = ENCODING if encoding == "utf-8" else OTHER_ENCODING
    return next((text for first, text in REMEDIES.items() if start.startswith(first)), other)


def is_text(kind: Any) -> bool:
    """Whether a column of this type contains text."""
    types = arrow().types
    return bool(types.is_string(kind) or types.is_large_string(kind))


def describe(value: Any, number: int, decimal: str) -> str:
    """Describe a value and its row."""
    where = f"in row {number + 1}"
    try:
        content = value.as_py()
    except (ValueError, OverflowError):  # a time without an equivalent type in Python
        return f"{value.type} {where}"
    if not is_text(value.type):
        return f"{reprlib.repr(str(content))[1:-1]} {where}"
    other = re.fullmatch(number_pattern("," if decimal == "." else "."), content)
    return f"{reprlib.repr(content)} {where}{'; see --decimal' if other else ''}"


def matrix(batch: Any) -> Array:
    """Return the (N, D) float64 values of the columns, with NaN for missing values."""
    pa = arrow()
    columns = [
        # Not every version of pyarrow converts half precision.
        column.to_numpy(zero_copy_only=False).astype(np.float64)
        if pa.types.is_float16(column.type)
        else column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        for column in batch.columns
    ]
    return np.column_stack(columns)
