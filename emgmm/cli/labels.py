"""Writing of tables with additional columns for labels and probabilities."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from emgmm.cli.csv_files import arrow
from emgmm.cli.tables import Table, is_text, matrix
from emgmm.cli.terminal import FAILED, CommandError
from emgmm.mixture import Mixture
from emgmm.prediction import labels, responsibilities, row_by_row
from emgmm.sources import ArraySource
from emgmm.threads import one_blas_thread
from emgmm.typing import Array

# Size in bytes of a row group of a Parquet file.
GROUP = 2**25

# Text that a spreadsheet evaluates as a formula.
FORMULA = r"^([=+\-@\t\r])"


def check(options: argparse.Namespace, table: Table, n_components: int, *, noise: bool) -> None:
    """Raise an error if a file cannot hold the columns of a table and the additional ones."""
    table.check_free(names_added(n_components, noise=noise), "--out")
    pa, suffix = arrow(), options.out.suffix.lower()
    for field in table.schema:
        try:
            Sink(pa.BufferOutputStream(), suffix, pa.schema([field])).close()
        except pa.ArrowException:
            other = ".parquet" if suffix == ".csv" else ".csv"
            raise CommandError(
                f"--out: column {field.name!r} holds {field.type}, which a {suffix} file cannot "
                f"hold: write a {other} file"
            ) from None


def names_added(n_components: int, *, noise: bool) -> list[str]:
    """Return the names of the columns that are added to the table."""
    return ["label", *(f"p_{k}" for k in range(n_components)), *["p_noise"] * noise]


def evaluate(
    mixture: Mixture, rows: Array, function: Callable[..., Any], *shape: int, dtype: Any = None
) -> Any:
    """Return a function of `emgmm.prediction` for each row of an array."""
    source = ArraySource(rows, complete=not np.isnan(rows).any())
    with one_blas_thread():
        return row_by_row(mixture, source, function, *shape, dtype=dtype)


def write(
    options: argparse.Namespace, table: Table, names: list[str], mixture: Mixture, file: IO[bytes]
) -> None:
    """Write a table with the labels and the probabilities of its rows.

    Parameters
    ----------
    options : argparse.Namespace
        Options of the command.
    table, names
        Table, and names of its columns that are the features of the mixture.
    mixture : Mixture
        Fitted mixture.
    file : file
        File object that replaces the file at ``--out`` once it is complete.
    """
    pa, schema = arrow(), table.schema
    for name in names_added(mixture.n_components, noise=mixture.noise is not None):
        schema = schema.append(pa.field(name, pa.int64() if name == "label" else pa.float64()))
    sink = Sink(file, options.out.suffix.lower(), schema, safe=options.safe_csv)
    try:
        for batch in table.batches(table.names):
            rows = matrix(batch.select(names))
            found = evaluate(mixture, rows, labels, dtype=np.int64)
            probabilities = evaluate(mixture, rows, responsibilities, mixture.n_densities)
            sink.write([*batch.columns, *map(pa.array, [found, *probabilities.T])])
        sink.close()
    except pa.ArrowException as error:  # for example, bytes that are not text
        raise CommandError(f"cannot write {options.out}: {error}", FAILED) from None


class Sink:
    """Writer of record batches to a CSV or Parquet file.

    Parameters
    ----------
    file : file
        File object.
    suffix : {'.csv', '.parquet'}
        Format of the file.
    schema : pyarrow.Schema
        Columns of the table.
    safe : bool, default=False
        Whether to put a quote before text in a CSV file that a spreadsheet would evaluate.
    """

    def __init__(self, file: Any, suffix: str, schema: Any, *, safe: bool = False) -> None:
        pa = arrow()
        self.is_csv, self.safe = suffix == ".csv", safe
        if self.is_csv:
            names = [re.sub(FORMULA, r"'\1", name) if safe else name for name in schema.names]
            schema = pa.schema(list(zip(names, map(plain, schema.types), strict=True)))
        self.schema = schema
        self.writer = (pa.csv.CSVWriter if self.is_csv else pa.parquet.ParquetWriter)(file, schema)
        self.pending: list[Any] = []

    def write(self, columns: list[Any]) -> None:
        """Add columns, and write them once there are enough rows for a row group."""
        if self.is_csv:
            columns = [self._for_csv(column) for column in columns]
        self.pending.append(arrow().RecordBatch.from_arrays(columns, schema=self.schema))
        if sum(batch.nbytes for batch in self.pending) >= GROUP:
            self._flush()

    def close(self) -> None:
        """Write the remaining rows and close the file."""
        self._flush()
        self.writer.close()

    def _flush(self) -> None:
        if self.pending:
            self.writer.write_table(arrow().Table.from_batches(self.pending))
            self.pending = []

    def _for_csv(self, column: Any) -> Any:
        pa = arrow()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if self.safe and (is_text(column.type) or pa.types.is_binary(column.type)):
            column = pa.compute.replace_substring_regex(column, FORMULA, r"'\1")
        return column


def plain(kind: Any) -> Any:
    """Return the type of a column without its dictionary encoding."""
    return kind.value_type if arrow().types.is_dictionary(kind) else kind
