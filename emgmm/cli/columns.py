"""Choice of the columns of a table that are fitted."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

from emgmm.cli.errors import CommandError
from emgmm.cli.output import abbreviate, join_names
from emgmm.cli.tables import Table


@dataclass(frozen=True)
class Columns:
    """Choice of columns of a table.

    Attributes
    ----------
    used : list of str
        Names of the columns that are fitted.
    textual : list of str
        Columns that are left out because they are not numeric, in the form in which they are
        printed: each with a value that is not a number.
    identifiers : list of str
        Names of columns that are left out because they number the rows.
    """

    used: list[str]
    textual: list[str] = field(default_factory=list)
    identifiers: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, table: Table, options: argparse.Namespace) -> Columns:
        """Choose the columns named in the command line, or by default all numeric columns."""
        excluded = options.exclude or []
        if options.weights is not None:
            table.check_columns([options.weights], "--weights")
        table.check_names(excluded, "--exclude")
        if options.columns is not None:
            table.check_columns(options.columns, "--columns")
            both = [name for name in options.columns if name in excluded]
            if both:
                raise CommandError(
                    f"--columns and --exclude both name {both[0]!r}: name it in one of them only"
                )
            return cls(options.columns)
        names = [name for name in table.names if name not in (*excluded, options.weights)]
        numeric = [name for name in names if table.is_numeric(name)]
        textual = [with_cause(table, name) for name in names if name not in numeric]
        identifiers = table.row_numbers(numeric)
        used = [name for name in numeric if name not in identifiers]
        if not names:
            raise CommandError(f"{options.data}: no column is left to fit")
        if not numeric:
            raise CommandError(f"{options.data}: no column is numeric: {', '.join(textual)}")
        if not used:
            raise CommandError(
                f"{options.data}: the numeric columns ({join_names(identifiers)}) only number the "
                "rows; name them in --columns if they are to be fitted"
            )
        return cls(used, textual, identifiers)


def with_cause(table: Table, name: str) -> str:
    """Return the name of a column that is not numeric, with a value that is not a number."""
    found = table.cause(name)
    return f"{abbreviate(name)} ({found})" if found else abbreviate(name)
