"""Reading of CSV files: detection of the header, and conversion of fields to columns."""

from __future__ import annotations

import csv
import io
import re
from argparse import Namespace
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from emgmm.cli.terminal import CommandError, counted, imported, note, printable, signals_handled

# Largest size in bytes of a file that is read into memory. A larger file is converted to Parquet.
IN_MEMORY = 2**26

# Number of bytes that are parsed at a time, and in which the first line must end.
PARSED = 2**22
FIRST = 2**20

# Markers of missing values in addition to those of pyarrow.
MISSING = ("?", "-", "--", ".", "na", "None", "none", "<NA>")

# Characters that may surround a number.
BLANKS = " \t"

# Separators that an error suggests if the first line has them but not the given one, as values of
# --sep.
SEPARATORS = {";": "';'", "\t": "tab"}


@dataclass(frozen=True)
class Format:
    """Format of a CSV file.

    Parameters
    ----------
    separator, decimal : str
        Character between the fields, and decimal mark of numbers.
    header : {'auto', 'yes', 'no'}
        Whether the first line contains the names of the columns.
    encoding : str
        Encoding of the text.
    """

    separator: str = ","
    decimal: str = "."
    header: str = "auto"
    encoding: str = "utf-8"

    @classmethod
    def of(cls, options: Namespace) -> Format:
        """Return the format that the command line describes."""
        return cls(options.sep, options.decimal, options.header, options.encoding)


def arrow() -> Any:
    """Import pyarrow, which is optional, with the submodules that the commands use."""
    purpose = "reading and writing tables"
    return imported(purpose, "pyarrow", "compute", "csv", "parquet")


def number_pattern(decimal: str) -> str:
    """Return a regular expression for a number with a decimal mark."""
    digits = rf"([0-9]+[{decimal}]?[0-9]*|[{decimal}][0-9]+)(e[+-]?[0-9]+)?"
    return rf"(?i)^[{BLANKS}]*[+-]?({digits}|inf|infinity)[{BLANKS}]*$"


def missing_markers() -> list[str]:
    """Return the fields that mark a missing value in a column of numbers."""
    return [*arrow().csv.ConvertOptions().null_values, *MISSING]


def read(path: Path, form: Format, stack: ExitStack) -> Any:
    """Return the table in a file, or the path of a Parquet copy if it is large.

    The copy is removed when the stack is closed.
    """
    if form.separator == form.decimal:
        raise CommandError(
            f"--sep and --decimal cannot both be {form.decimal!r}: give the character that "
            "separates the fields, as in --sep ';'"
        )
    form = with_header(path, form)
    try:
        if path.stat().st_size > IN_MEMORY:
            stack.enter_context(signals_handled())
            folder = stack.enter_context(TemporaryDirectory(prefix="emgmm-"))
            return convert(path, form, Path(folder) / "table.parquet")
        table = arrow().csv.read_csv(path, *options(form))
    except arrow().ArrowInvalid:
        check_records(path, form)
        raise
    return table.rename_columns(names_of(table.schema, form))


def check_records(path: Path, form: Format) -> None:
    """Raise an error if a file has fewer than two lines, or lines with different numbers of fields.

    pyarrow's own errors do not tell where the line is.
    """
    n_records = n_fields = line = 0
    hint = ""
    with path.open(encoding=decoder(form), errors="replace", newline="") as file:
        records = csv.reader(file, delimiter=form.separator)
        for record in records:
            first, line = line + 1, records.line_num
            if not record:
                continue
            n_records += 1
            hint = "; a quote in it may not be closed" if "\n" in "".join(record) else ""
            n_fields = n_fields or len(record)
            if len(record) != n_fields:
                problem = f"line {first} has {counted(len(record), 'field')}, not {n_fields}"
                raise CommandError(f"{path} cannot be read as CSV: {problem}{hint}")
    if n_records < 2:
        problem = f"it has only one line{hint}" if n_records else "it is empty"
        raise CommandError(f"{path} cannot be read as CSV: {problem}")


def decoder(form: Format) -> str:
    """Return the name of the encoding of a file without its byte order mark."""
    return "utf-8-sig" if form.encoding == "utf-8" else form.encoding


def first_line(path: Path, form: Format) -> list[str]:
    """Return the fields of the first line that is not empty; none if there is no such line."""
    with path.open("rb") as file:
        start = file.read(FIRST)
    text = start.decode(decoder(form), errors="strict" if len(start) < FIRST else "replace")
    lines = text.splitlines()
    found = next((line for line in lines if line.strip()), "")
    likely = [option for character, option in SEPARATORS.items() if character in found]
    if likely and form.separator not in found:
        raise CommandError(
            f"{path} has no {form.separator!r} between the fields of its first line: give "
            f"the character that separates them, as in --sep {likely[0]}"
        )
    records = csv.reader(io.StringIO(text, newline=""), delimiter=form.separator)
    return next((record for record in records if record), [])


def with_header(path: Path, form: Format) -> Format:
    """Return the format with the decision whether the first line contains the names of the columns.

    It does not if all its fields are numbers or missing, or if one of them has decimals. The
    exception is 0, 1, 2, ..., which are the names that pandas gives to columns without names.
    """
    first = first_line(path, form)
    if form.header != "auto":
        return form
    fields = [field for field in first if field not in missing_markers()]
    numbers = [field for field in fields if re.fullmatch(number_pattern(form.decimal), field)]
    some = len(numbers) < len(fields) and all(field.strip().isdecimal() for field in numbers)
    if numbers and not is_range(numbers) and not some:
        note(
            f"the first line of {path} is taken for a row, because it contains numbers: the "
            "columns are called column_0, column_1, ...; if it has their names, add --header yes"
        )
        return replace(form, header="no")
    if is_range(first) or is_range(first[1:]):
        note(
            f"the first line of {path} (0, 1, ...) is taken for the names of the columns; if it "
            "is a row, add --header no"
        )
    return replace(form, header="yes")


def is_range(numbers: list[str]) -> bool:
    """Whether there are at least two numbers, and they are 0, 1, 2, ..."""
    return len(numbers) > 1 and numbers == [str(n) for n in range(len(numbers))]


def names_of(schema: Any, form: Format) -> list[str]:
    """Return the names of the columns."""
    return [f"column_{j}" if form.header == "no" else name for j, name in enumerate(schema.names)]


def options(form: Format, *, use_threads: bool = True, **conversion: Any) -> tuple[Any, Any, Any]:
    """Return the options with which pyarrow reads, parses and converts."""
    pc = arrow().csv
    return (
        pc.ReadOptions(
            encoding=form.encoding,
            autogenerate_column_names=form.header == "no",
            block_size=PARSED,
            use_threads=use_threads,
        ),
        pc.ParseOptions(delimiter=form.separator),
        pc.ConvertOptions(decimal_point=form.decimal, null_values=missing_markers(), **conversion),
    )


def convert(path: Path, form: Format, target: Path) -> Path:
    """Convert a CSV file to Parquet without loading either of them into memory.

    The file is read twice, because pyarrow's streaming reader infers the types of the columns from
    the beginning of the file only.
    """
    pa = arrow()
    types = column_types(path, form)
    reader = open_stream(path, form, column_types=types)
    schema = pa.schema(list(zip(names_of(reader.schema, form), types.values(), strict=True)))
    with pa.parquet.ParquetWriter(target, schema) as writer:
        for batch in reader:
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    return target


def column_types(path: Path, form: Format) -> dict[str, Any]:
    """Return the narrowest type of each column that can represent all its fields."""
    pa = arrow()
    kinds = [pa.null(), pa.int64(), pa.float64(), pa.string()]
    names = open_stream(path, form).schema.names
    check_once(path, names)
    as_text = dict.fromkeys(names, pa.string())
    found = [0] * len(names)
    for batch in open_stream(path, form, column_types=as_text, strings_can_be_null=True):
        for j, column in enumerate(batch.columns):
            while not is_convertible(column, kinds[found[j]], form.decimal):
                found[j] += 1
    return {name: kinds[k] for name, k in zip(names, found, strict=True)}


def is_convertible(texts: Any, kind: Any, decimal: str) -> bool:
    """Whether all texts that are not missing can be converted to a type."""
    pa = arrow()
    if pa.types.is_string(kind) or texts.null_count == len(texts):
        return True
    if pa.types.is_null(kind):
        return False
    if decimal != ".":
        texts = pa.compute.replace_substring(texts, ".", "x")
        texts = pa.compute.replace_substring(texts, decimal, ".")
    with suppress(pa.ArrowInvalid):
        pa.compute.utf8_trim(texts, BLANKS).cast(kind)
        return True
    return False


def open_stream(path: Path, form: Format, **conversion: Any) -> Any:
    """Return a reader of record batches."""
    return arrow().csv.open_csv(path, *options(form, use_threads=False, **conversion))


def check_once(path: Path, names: list[str]) -> None:
    """Raise an error if two columns have the same name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CommandError(f"{path} has more than one column {printable(twice[0])!r}: rename one")
