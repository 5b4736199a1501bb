"""Which columns of a table are fitted, and which are left out and why."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Any

from emgmm.commands import tables
from emgmm.commands.errors import CommandError
from emgmm.commands.output import together


@dataclass(frozen=True)
class Columns:
    """The choice among the columns of a table.

    Attributes
    ----------
    used : list of str
        Names of the columns that are fitted.
    textual : list of str
        Columns that are left out because they are not numeric, each with a value that shows it.
    identifiers : list of str
        Names of columns that are left out because they count the rows.
    """

    used: list[str]
    textual: list[str] = field(default_factory=list)
    identifiers: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, table: Any, asked: argparse.Namespace) -> Columns:
        """Choose the columns that the command line asks for, or else all that hold numbers."""
        excluded = asked.exclude or []
        if asked.weights is not None:
            tables.check_columns(table, [asked.weights], "--weights", asked.decimal)
        tables.check_names(table, excluded, "--exclude")
        if asked.columns is not None:
            tables.check_columns(table, asked.columns, "--columns", asked.decimal)
            both = [name for name in asked.columns if name in excluded]
            if both:
                raise CommandError(
                    f"--columns and --exclude both name {both[0]!r}: name it in one of them only"
                )
            return cls(asked.columns)
        names = [name for name in table.column_names if name not in (*excluded, asked.weights)]
        numeric = [name for name in names if tables.is_numeric(table, name)]
        textual = [with_cause(table, name, asked.decimal) for name in names if name not in numeric]
        identifiers = [name for name in numeric if tables.counts_rows(table, name)]
        used = [name for name in numeric if name not in identifiers]
        if not names:
            raise CommandError(f"{asked.data}: no column is left to fit")
        if not numeric:
            raise CommandError(f"{asked.data}: no column is numeric: {together(textual)}")
        if not used:
            raise CommandError(
                f"{asked.data}: the numeric columns ({together(identifiers)}) only count the rows; "
                "name them in --columns if they are to be fitted"
            )
        return cls(used, textual, identifiers)


def with_cause(table: Any, name: str, decimal: str) -> str:
    """The name of a column that is not numeric, and the first value that makes it so."""
    found = tables.cause(table, name, decimal)
    return f"{name} ({found})" if found else name
