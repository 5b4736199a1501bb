"""CSV files: what their first line is, and how their fields become columns of numbers or text."""

from __future__ import annotations

import argparse
import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emgmm.cli.arrow import arrow
from emgmm.cli.errors import CommandError
from emgmm.cli.output import note, printable

# Bytes of a file that is read into memory; a larger one is converted to a temporary Parquet file.
IN_MEMORY = 2**26

# Bytes of a larger file that are parsed at a time, and of any file in which the first line ends.
PARSED = 2**22
FIRST = 2**20

# What stands for a missing value, besides what pyarrow takes for one.
MISSING = ("?", "-", "--", ".", "na", "None", "none", "<NA>")

# Separators that are looked for in the first line of a file that lacks the one that was asked for,
# and what --sep calls them.
SEPARATORS = {";": "';'", "\t": "tab"}


@dataclass(frozen=True)
class Format:
    """How a CSV file is read.

    Parameters
    ----------
    separator, decimal : str
        The character between the fields, and the decimal mark of numbers.
    header : {'auto', 'yes', 'no'}
        Whether the first line has the names of the columns.
    encoding : str
        Of the text.
    """

    separator: str = ","
    decimal: str = "."
    header: str = "auto"
    encoding: str = "utf-8"

    @classmethod
    def of(cls, asked: argparse.Namespace) -> Format:
        """The format that the command line describes."""
        return cls(asked.sep, asked.decimal, asked.header, asked.encoding)


def number_with(decimal: str) -> str:
    """A regular expression for a number with that decimal mark."""
    digits = rf"(\d+[{decimal}]?\d*|[{decimal}]\d+)(e[+-]?\d+)?"
    return rf"(?i)^\s*[+-]?({digits}|inf|infinity)\s*$"


def missing_markers() -> list[str]:
    """Fields that stand for a missing value in a column of numbers."""
    return [*arrow().csv.ConvertOptions().null_values, *MISSING]


def opened(path: Path, form: Format, folder: Path) -> Any:
    """The table in a file, or for a large file the path of a Parquet copy in `folder`."""
    if form.separator == form.decimal:
        raise CommandError(
            f"--sep and --decimal cannot both be {form.decimal!r}: say how the fields are "
            "separated, as in --sep ';'"
        )
    pa = arrow()
    first = first_line(path, form)
    named = has_names(first, form)
    remark(path, first, form, named)
    if path.stat().st_size <= IN_MEMORY:
        table = pa.csv.read_csv(path, *options(form, named))
        return table.rename_columns(names_of(table.schema, named))
    copy = folder / "table.parquet"
    convert(path, form, named, copy)
    return copy


def first_line(path: Path, form: Format) -> list[str]:
    """The fields of the first line that is not empty; none if there is no such line."""
    encoding = "utf-8-sig" if form.encoding == "utf-8" else form.encoding
    with path.open("rb") as file:
        start = file.read(FIRST)
    text = start.decode(encoding, errors="strict" if len(start) < FIRST else "replace")
    lines = text.splitlines()
    found = next((line for line in lines if line.strip()), "")
    likely = [word for mark, word in SEPARATORS.items() if mark in found]
    if likely and form.separator not in found:
        raise CommandError(
            f"{path} has no {form.separator!r} between the fields of its first line: say what "
            f"separates them, as in --sep {likely[0]}"
        )
    records = csv.reader(io.StringIO(text, newline=""), delimiter=form.separator)
    return next((record for record in records if record), [])


def has_names(first: list[str], form: Format) -> bool:
    """Whether the first line has the names of the columns.

    It has none if all its fields are numbers or missing, other than 0, 1, 2, ..., which pandas
    calls columns without names; or if one of them has decimals.
    """
    if form.header != "auto":
        return form.header == "yes"
    fields = [field for field in first if field not in missing_markers()]
    numbers = [field for field in fields if re.match(number_with(form.decimal), field)]
    if counts(numbers) or not numbers:
        return True
    return len(numbers) < len(fields) and all(field.strip().isdecimal() for field in numbers)


def counts(numbers: list[str]) -> bool:
    """Whether there are several, which are 0, 1, 2, ..."""
    return len(numbers) > 1 and numbers == [str(n) for n in range(len(numbers))]


def remark(path: Path, first: list[str], form: Format, named: bool) -> None:
    """Say on standard error what a first line with numbers in it is taken for."""
    if form.header != "auto":
        return
    if not named:
        note(
            f"the first line of {path} is taken for a row, because there are numbers in it: the "
            "columns are called column_0, column_1, ...; if it has their names, add --header yes"
        )
    elif counts(first) or counts(first[1:]):
        note(
            f"the first line of {path} (0, 1, ...) is taken for the names of the columns; if it "
            "is a row, add --header no"
        )


def names_of(schema: Any, named: bool) -> list[str]:
    """The names of columns."""
    return list(schema.names) if named else [f"column_{j}" for j in range(len(schema.names))]


def options(form: Format, named: bool, **conversion: Any) -> tuple[Any, Any, Any]:
    """How pyarrow is to read, parse and convert."""
    pc = arrow().csv
    return (
        pc.ReadOptions(
            encoding=form.encoding, autogenerate_column_names=not named, block_size=PARSED
        ),
        pc.ParseOptions(delimiter=form.separator),
        pc.ConvertOptions(decimal_point=form.decimal, null_values=missing_markers(), **conversion),
    )


def convert(path: Path, form: Format, named: bool, target: Path) -> None:
    """Write the table in a CSV file as Parquet; of neither is more than a part in memory.

    The file is read twice, because pyarrow's streaming reader decides by the file's beginning which
    columns hold numbers.
    """
    pa = arrow()
    types = column_types(path, form, named)
    reader = open_stream(path, form, named, column_types=types)
    names = names_of(reader.schema, named)
    schema = pa.schema(list(zip(names, types.values(), strict=True)))
    with pa.parquet.ParquetWriter(target, schema) as writer:
        for batch in reader:
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))


def column_types(path: Path, form: Format, named: bool) -> dict[str, Any]:
    """The narrowest type of every column that holds all its fields."""
    pa = arrow()
    kinds = [pa.null(), pa.int64(), pa.float64(), pa.string()]
    names = open_stream(path, form, named).schema.names
    check_once(path, names)
    texts = open_stream(
        path,
        form,
        named,
        column_types=dict.fromkeys(names, pa.string()),
        strings_can_be_null=True,
    )
    found = [0] * len(names)
    for batch in texts:
        for j, column in enumerate(batch.columns):
            while not can_be(column, kinds[found[j]], form.decimal):
                found[j] += 1
    return {name: kinds[k] for name, k in zip(names, found, strict=True)}


def can_be(texts: Any, kind: Any, decimal: str) -> bool:
    """Whether all texts that are not missing can be converted."""
    pa = arrow()
    if pa.types.is_string(kind) or texts.null_count == len(texts):
        return True
    if pa.types.is_null(kind):
        return False
    if decimal != ".":
        texts = pa.compute.replace_substring(texts, ".", "x")
        texts = pa.compute.replace_substring(texts, decimal, ".")
    try:
        pa.compute.utf8_trim_whitespace(texts).cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def open_stream(path: Path, form: Format, named: bool, **conversion: Any) -> Any:
    """A reader of record batches."""
    reading, parsing, converting = options(form, named, **conversion)
    reading.use_threads = False
    return arrow().csv.open_csv(path, reading, parsing, converting)


def check_once(path: Path, names: list[str]) -> None:
    """Check that no two columns have the same name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CommandError(f"{path} has more than one column {printable(twice[0])!r}: rename one")
