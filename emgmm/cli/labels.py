"""Tables with labels and probabilities beside their columns, written batch by batch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO, Any

from emgmm.cli.arrow import arrow
from emgmm.cli.errors import FAILED, CommandError
from emgmm.cli.tables import Table, is_text, matrix
from emgmm.estimator import GaussianMixture

# Bytes of a group of rows in a Parquet file.
GROUP = 2**25

# Text that a spreadsheet takes for a formula.
FORMULA = r"^([=+\-@\t\r])"


def names_added(n_components: int, *, noise: bool) -> list[str]:
    """Names of the columns that are added to labelled rows."""
    own = ["label", *(f"p_{k}" for k in range(n_components))]
    return [*own, "p_noise"] if noise else own


def schema_of(table: Table, added: list[str]) -> Any:
    """The columns of a labelled table."""
    pa = arrow()
    schema = table.schema
    for name in added:
        schema = schema.append(pa.field(name, pa.int64() if name == "label" else pa.float64()))
    return schema


def check(path: Path, table: Table, added: list[str]) -> None:
    """Check that a file can hold the columns of a table and those that are added."""
    table.check_free(added, "--out")
    pa, suffix = arrow(), path.suffix.lower()
    for field in table.schema:
        try:
            Sink(pa.BufferOutputStream(), suffix, pa.schema([field])).close()
        except pa.ArrowException:
            other = ".parquet" if suffix == ".csv" else ".csv"
            raise CommandError(
                f"--out: column {field.name!r} holds {field.type}, which a {suffix} file cannot: "
                f"write a {other} file"
            ) from None


def write(
    file: IO[bytes], path: Path, table: Table, names: list[str], model: GaussianMixture, safe: bool
) -> None:
    """Write a table with the labels and the probabilities that a model gives its rows.

    Parameters
    ----------
    file, path
        Where to write, and the path that the file will have.
    table, names
        The table, and its columns that are the features of the model.
    model : GaussianMixture
        A model whose features have no names.
    safe : bool
        Whether a quote is put before text in a CSV file that a spreadsheet would run.
    """
    pa = arrow()
    mixture = model._mixture()
    added = names_added(mixture.n_components, noise=mixture.noise is not None)
    sink = Sink(file, path.suffix.lower(), schema_of(table, added), safe=safe)
    try:
        for batch in table.batches(table.names):
            rows = matrix(batch.select(names))
            more = map(pa.array, [model.predict(rows), *model.predict_proba(rows).T])
            sink.write([*batch.columns, *more])
        sink.close()
    except pa.ArrowException as error:  # such as bytes that are not text
        raise CommandError(f"cannot write {path}: {error}", FAILED) from None


class Sink:
    """Record batches that are written to a file as CSV or Parquet.

    Parameters
    ----------
    file : file
        Where to write.
    suffix : {'.csv', '.parquet'}
        The format.
    schema : pyarrow.Schema
        The columns.
    safe : bool, default=False
        Whether a quote is put before text in a CSV file that a spreadsheet would run.
    """

    def __init__(self, file: Any, suffix: str, schema: Any, *, safe: bool = False) -> None:
        pa = arrow()
        self.is_csv = suffix == ".csv"
        self.safe = safe
        if self.is_csv:
            names = [quoted(name) if safe else name for name in schema.names]
            fields = zip(names, map(plain, schema.types), strict=True)
            schema = pa.schema(list(fields))
        self.schema = schema
        self.writer = (pa.csv.CSVWriter if self.is_csv else pa.parquet.ParquetWriter)(file, schema)
        self.waiting: list[Any] = []

    def write(self, columns: list[Any]) -> None:
        """Write columns, once there are enough rows for a group of them."""
        if self.is_csv:
            columns = [self._for_csv(column) for column in columns]
        self.waiting.append(arrow().RecordBatch.from_arrays(columns, schema=self.schema))
        if sum(batch.nbytes for batch in self.waiting) >= GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self.writer.close()

    def _flush(self) -> None:
        if self.waiting:
            self.writer.write_table(arrow().Table.from_batches(self.waiting))
            self.waiting = []

    def _for_csv(self, column: Any) -> Any:
        pa = arrow()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if self.safe and (is_text(column.type) or pa.types.is_binary(column.type)):
            column = pa.compute.replace_substring_regex(column, FORMULA, r"'\1")
        return column


def plain(kind: Any) -> Any:
    """The type of a column without its encoding as a dictionary."""
    return kind.value_type if arrow().types.is_dictionary(kind) else kind


def quoted(text: str) -> str:
    """A text with a quote before it if a spreadsheet would take it for a formula."""
    return re.sub(FORMULA, r"'\1", text)
