"""Files that a command writes, all or none: tables with labels and probabilities, and figures."""

from __future__ import annotations

import os
import re
import stat
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import IO, Any

from emgmm.base import fitted_mixture
from emgmm.cli.csv_files import arrow
from emgmm.cli.rows import check_in_reach
from emgmm.cli.tables import SUFFIXES as TABLES
from emgmm.cli.tables import Table, is_text, matrix
from emgmm.cli.terminal import FAILED, CommandError, imported, signals_handled, write_text
from emgmm.estimator import GaussianMixture
from emgmm.storage.files import is_permitted, reason, replaced_together

# Contents of the files, by the names of the options with their paths, and suffixes of the paths.
CONTENTS = {"out": "Labelled rows", "model": "Model", "plot": "Picture"}
SUFFIXES = {"out": TABLES, "plot": (".png", ".pdf", ".svg")}

# Size in bytes of a row group of a Parquet file.
GROUP = 2**25

# Text that a spreadsheet evaluates as a formula.
FORMULA = r"^([=+\-@\t\r])"


def check(options: Namespace, names: tuple[str, ...], **inputs: Path) -> None:
    """Raise an error if files cannot be written or would replace an input or each other.

    Parameters
    ----------
    options : Namespace
        Options of the command.
    names : tuple of str
        Names of the options with paths of files to write, which may be None.
    **inputs : Path
        Paths of the files that are read, by their role.
    """
    wanted = requested(options, names)
    for name, path in wanted.items():
        _check_place(path, f"--{name}", SUFFIXES.get(name, ()))
        for role, source in inputs.items():
            if same(path, source):
                raise CommandError(f"--{name} is the {role}'s own file: give another")
    for one, other in combinations(wanted, 2):
        if same(wanted[one], wanted[other]):
            raise CommandError(f"--{one} and --{other} are the same file: give different files")
    if "plot" in wanted:
        imported("--plot", "matplotlib", "figure")


def requested(options: Namespace, names: Iterable[str]) -> dict[str, Path]:
    """Return the paths of the requested files by the names of their options."""
    paths = {name: getattr(options, name) for name in names}
    return {name: path for name, path in paths.items() if path is not None}


def same(one: Path, other: Path) -> bool:
    """Whether two paths refer to the same file, which need not exist yet."""
    with suppress(OSError, ValueError):
        return one.samefile(other)
    with suppress(OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other)
    return False


def _check_place(path: Path, option: str, suffixes: tuple[str, ...]) -> None:
    if suffixes and path.suffix.lower() not in suffixes:
        raise CommandError(f"{option} {path}: its name must end in {' or '.join(suffixes)}")
    mode = 0
    try:
        place = Path(os.path.realpath(path)).parent  # after following links
        with suppress(FileNotFoundError, NotADirectoryError):
            mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # for example, a name that is too long
        raise CommandError(f"{option} {path} cannot be written: {reason(error)}") from None
    for folder in (path.parent, place):
        if not folder.is_dir():
            raise CommandError(f"{option} {path}: there is no folder {folder}")
    for is_kind, kind in ((stat.S_ISDIR, "folder"), (stat.S_ISSOCK, "socket")):
        if is_kind(mode):
            raise CommandError(f"{option} {path}: that is a {kind}, give a file")
    if not is_permitted(path):
        raise CommandError(f"{option} {path} cannot be written: permission denied")


def write(options: Namespace, **writers: Callable[[IO[bytes]], None]) -> None:
    """Write all requested files or none; a failure is reported as an error of the command."""
    paths = requested(options, writers)
    try:
        with signals_handled(), replaced_together(list(paths.values())) as files:
            for name, file in zip(paths, files, strict=True):
                writers[name](file)
    except OSError as error:
        names = ", ".join(map(str, paths.values()))
        raise CommandError(f"cannot write {names}: {reason(error)}", FAILED) from None
    for name, path in paths.items():
        write_text(f"\n{CONTENTS[name]} written to {path}")


def write_figure(options: Namespace, draw: Callable[[], Any], file: IO[bytes]) -> None:
    """Write the figure that a function returns, in the format of the suffix of ``--plot``."""
    with warnings.catch_warnings():
        # The font may lack characters of the names of columns.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        draw().savefig(file, format=options.plot.suffix[1:].lower(), dpi=120)


def check_table(options: Namespace, table: Table, n_components: int, *, noise: bool) -> None:
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
    if suffix == ".csv":
        _check_text(table)


def _check_text(table: Table) -> None:
    """Raise an error if a column of bytes does not hold text, which a CSV file requires."""
    pa = arrow()
    names = [field.name for field in table.schema if is_bytes(plain(field.type))]
    for batch in table.batches(names) if names else ():
        for name, column in zip(names, batch.columns, strict=True):
            try:
                column.cast(pa.string())
            except pa.ArrowInvalid:
                raise CommandError(
                    f"--out: column {name!r} holds bytes that are no text, which a .csv file "
                    "cannot hold: write a .parquet file"
                ) from None


def names_added(n_components: int, *, noise: bool) -> list[str]:
    """Return the names of the columns that are added to the table."""
    own = ["label", *(f"p_{k}" for k in range(n_components))]
    return [*own, "p_noise"] if noise else own


def write_table(
    options: Namespace, table: Table, names: list[str], model: GaussianMixture, file: IO[bytes]
) -> None:
    """Write a table with the labels and the probabilities of its rows.

    Parameters
    ----------
    options : Namespace
        Options of the command.
    table, names
        Table, and names of its columns that are the features of the model.
    model : GaussianMixture
        Fitted model without names of features.
    file : file
        File object that replaces the file at ``--out`` once it is complete.
    """
    pa, schema, mixture, start = arrow(), table.schema, fitted_mixture(model), 0
    for name in names_added(mixture.n_components, noise=mixture.noise is not None):
        schema = schema.append(pa.field(name, pa.int64() if name == "label" else pa.float64()))
    sink = Sink(file, options.out.suffix.lower(), schema, safe=options.safe_csv)
    try:
        for batch in table.batches(table.names):
            rows = matrix(batch.select(names))
            # Rows of weight 0 have no part in a fit, and may be anywhere.
            check_in_reach(model.score_samples(rows), start, table.n_rows)
            start += len(rows)
            found = [model.predict(rows), *model.predict_proba(rows).T]
            sink.write([*batch.columns, *map(pa.array, found)])
        sink.close()
    except pa.ArrowException as error:  # for example, if the data were changed meanwhile
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
        column = column.cast(plain(column.type))
        if self.safe and (is_text(column.type) or is_bytes(column.type)):
            column = pa.compute.replace_substring_regex(column, FORMULA, r"'\1")
        return column


def plain(kind: Any) -> Any:
    """Return the type of a column without a dictionary encoding or a fixed length of its bytes."""
    pa = arrow()
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.binary() if pa.types.is_fixed_size_binary(kind) else kind


def is_bytes(kind: Any) -> bool:
    """Whether a column of this plain type contains bytes."""
    types = arrow().types
    return bool(types.is_binary(kind) or types.is_large_binary(kind))
