"""Which columns of a table are fitted, and which are left out and why."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

from emgmm.cli.errors import CommandError
from emgmm.cli.output import shown, together
from emgmm.cli.tables import Table


@dataclass(frozen=True)
class Columns:
    """The choice among the columns of a table.

    Attributes
    ----------
    used : list of str
        Names of the columns that are fitted.
    textual : list of str
        Columns that are left out because they are not numeric, each with a value that shows it,
        as they are printed.
    identifiers : list of str
        Names of columns that are left out because they count the rows.
    """

    used: list[str]
    textual: list[str] = field(default_factory=list)
    identifiers: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, table: Table, asked: argparse.Namespace) -> Columns:
        """Choose the columns that the command line asks for, or else all that hold numbers."""
        excluded = asked.exclude or []
        if asked.weights is not None:
            table.check_columns([asked.weights], "--weights")
        table.check_names(excluded, "--exclude")
        if asked.columns is not None:
            table.check_columns(asked.columns, "--columns")
            both = [name for name in asked.columns if name in excluded]
            if both:
                raise CommandError(
                    f"--columns and --exclude both name {both[0]!r}: name it in one of them only"
                )
            return cls(asked.columns)
        names = [name for name in table.names if name not in (*excluded, asked.weights)]
        numeric = [name for name in names if table.is_numeric(name)]
        textual = [with_cause(table, name) for name in names if name not in numeric]
        identifiers = table.counting_rows(numeric)
        used = [name for name in numeric if name not in identifiers]
        if not names:
            raise CommandError(f"{asked.data}: no column is left to fit")
        if not numeric:
            raise CommandError(f"{asked.data}: no column is numeric: {', '.join(textual)}")
        if not used:
            raise CommandError(
                f"{asked.data}: the numeric columns ({together(identifiers)}) only count the rows; "
                "name them in --columns if they are to be fitted"
            )
        return cls(used, textual, identifiers)


def with_cause(table: Table, name: str) -> str:
    """The name of a column that is not numeric, and the first value that makes it so."""
    found = table.cause(name)
    return f"{shown(name)} ({found})" if found else shown(name)
