"""Tables in CSV and Parquet files: read, chosen from, and written whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emgmm.commands.errors import FAILED, CommandError
from emgmm.estimator import GaussianMixture
from emgmm.files import replaced
from emgmm.typing import Array

SUFFIXES = (".csv", ".parquet")


def arrow() -> Any:
    """pyarrow, with the parts that are used."""
    try:
        import pyarrow
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError:
        raise CommandError(
            "reading and writing tables needs pyarrow: pip install 'emgmm[cli]'", FAILED
        ) from None
    return pyarrow


def read(path: Path) -> Any:
    """The table in a file."""
    pa = arrow()
    if not path.is_file():
        raise CommandError(f"there is no file {path}")
    if path.suffix.lower() not in SUFFIXES:
        raise CommandError(f"{path}: its name must end in .csv or .parquet")
    try:
        if path.suffix.lower() == ".csv":
            table = pa.csv.read_csv(path)
        else:
            table = pa.parquet.read_table(path)
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())
        raise CommandError(f"{path} cannot be read as {path.suffix[1:].upper()}: {what}") from None
    names = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CommandError(f"{path} has more than one column {twice[0]!r}: rename one")
    if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
        raise CommandError(
            f"{path} has one column, {names[0]!r}: its fields must be separated by commas"
        )
    if not table.num_rows:
        raise CommandError(f"{path} has no rows")
    return table


def is_numeric(table: Any, name: str) -> bool:
    """Whether a column holds numbers."""
    types, kind = arrow().types, table.schema.field(name).type
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def check_columns(table: Any, names: list[str], option: str) -> None:
    """The table has these columns, each asked for once, and they hold numbers."""
    for name in names:
        if names.count(name) > 1:
            raise CommandError(f"{option}: column {name!r} is there twice, name it once")
        if name not in table.column_names:
            known = ", ".join(table.column_names)
            raise CommandError(f"{option}: there is no column {name!r}; there are {known}")
        if not is_numeric(table, name):
            kind = table.schema.field(name).type
            raise CommandError(f"{option}: column {name!r} holds no numbers, but {kind}")


def matrix(table: Any, names: Sequence[str]) -> Array:
    """(N, D): columns as float64, NaN where one is missing."""
    pa = arrow()
    columns = [table.column(name).cast(pa.float64(), safe=False).to_numpy() for name in names]
    return np.column_stack(columns)


def added_names(n_components: int, *, noise: bool) -> list[str]:
    """Columns that labelled rows have more."""
    own = ["label", *(f"p_{k}" for k in range(n_components))]
    return [*own, "p_noise"] if noise else own


def check_free(table: Any, names: Sequence[str], option: str) -> None:
    """The table has none of these columns yet."""
    taken = [name for name in names if name in table.column_names]
    if taken:
        raise CommandError(
            f"{option}: the data have a column {taken[0]!r} already: rename it, or leave it out"
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
    """Write a table, whole or not at all."""
    pa = arrow()
    with replaced(path) as file:
        if path.suffix.lower() == ".csv":
            pa.csv.write_csv(table, file)
        else:
            pa.parquet.write_table(table, file)
