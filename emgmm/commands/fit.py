"""``python -m emgmm fit``: a mixture chosen for a file's rows."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from emgmm.candidates import CRITERIA
from emgmm.commands import tables, targets
from emgmm.commands.errors import FAILED, CommandError, told
from emgmm.commands.output import note, say, wrapped
from emgmm.commands.report import candidates, conditions, listed_warnings, report
from emgmm.commands.rows import Rows
from emgmm.displays import GaussianMixtureDisplay, InformationCriterionDisplay
from emgmm.families import FAMILIES, all_for
from emgmm.selection import GaussianMixtureIC
from emgmm.sources import blocks
from emgmm.starts import STARTS

# Features of a picture, at the most.
DRAWN = 5

# What a generator of random numbers takes for a seed, at the most.
LARGEST_SEED = 2**32 - 1


class Watched(GaussianMixtureIC):
    """A grid whose progress is shown on standard error, where that is a terminal."""

    shown: Any

    def _heard(self, line: dict[str, Any], number: int, total: int) -> None:  # noqa: ARG002
        self.shown.update()
        self.shown.set_postfix_str(f"{line['n_components']} {line['covariance_type']}")


def bars() -> Callable[..., Any]:
    """What makes a progress bar, silent where nobody looks."""
    try:
        from tqdm import tqdm
    except ImportError:
        raise CommandError("progress needs tqdm: pip install 'emgmm[cli]'", FAILED) from None
    return partial(tqdm, file=sys.stderr, disable=None, leave=False, unit="fit")


def numbers(text: str) -> list[int]:
    """``1:9`` (both included), ``3`` or ``2,3,5``."""
    try:
        if ":" in text:
            first, last = map(int, text.split(":"))
            found = list(range(first, last + 1))
        else:
            found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 1:9, 3 or 2,3,5")
    return found


def families(text: str) -> str | list[str]:
    """``all``, or names of families."""
    names = text.split(",")
    unknown = [name for name in names if name not in FAMILIES]
    if text != "all" and unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(FAMILIES)}")
    return "all" if text == "all" else names


def seed(text: str) -> int:
    """A seed of random numbers."""
    if not text.isdecimal() or int(text) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to {LARGEST_SEED}")
    return int(text)


def listed(text: str) -> list[str]:
    """Names with commas between."""
    return text.split(",")


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m emgmm fit",
        description="Fit Gaussian mixtures to the rows of a table, choose one, and say what it is.",
    )
    add = parser.add_argument
    add("data", type=Path, help="rows, .csv or .parquet; what is missing is missing")
    add("--components", type=numbers, default=numbers("1:9"), metavar="1:9", help="how many to try")
    add("--families", type=families, default="all", metavar="NAMES", help="all, or EEE,VVV,...")
    add("--criterion", choices=CRITERIA, default="bic", help="the lowest is chosen")
    add("--columns", type=listed, metavar="A,B", help="to use; else all that hold numbers")
    add("--weights", metavar="COLUMN", help="what each row counts")
    add("--out", type=Path, help="where to write the rows with labels and probabilities")
    add("--model", type=Path, help="where to write the model, as JSON")
    add("--plot", type=Path, help="where to draw it, .png, .pdf or .svg")
    add("--seed", type=seed, default=0, help="of the starts (default: %(default)s)")
    add("--start", choices=STARTS, default="kmeans", help="where EM begins (default: %(default)s)")
    add("--prior", choices=("conjugate",), help="a prior in the data's own units")
    add("--noise", choices=("uniform",), help="a component for rows that belong to none")
    add("--jobs", type=int, help="candidates at the same time")
    return parser.parse_args(arguments)


@told
def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    asked = parsed(arguments)
    wanted = {f"--{name}": getattr(asked, name) for name in ("out", "model", "plot")}
    targets.check(wanted, {"data": asked.data})
    table = tables.read(asked.data)
    names, wordy = columns(table, asked)
    rows = Rows.of(table, names, asked.weights)
    types = families_for(asked.families, len(rows.names))
    numbers = components_for(asked.components, rows)
    if asked.out is not None:
        added = tables.added_names(max(numbers), noise=asked.noise is not None)
        tables.check_free(table, added, "--out")
    bar = bars()
    introduce(asked, rows, numbers, wordy)
    with bar(total=len(numbers) * len(types)) as shown:
        grid, caught = fitted(asked, rows, numbers, types, shown)
    say(f"\n{candidates(grid.results_, asked.criterion)}")
    model = grid.best_estimator_
    title = (
        f"Chosen by {asked.criterion.upper()}: {model.covariance_type}, K = {model.n_components}"
    )
    say(f"\n{report(title, model, rows.values, rows.names, rows.weights)}")
    say(f"\n{conditions(model.diagnose(rows.values, sample_weight=rows.weights))}")
    for text in listed_warnings(caught):
        say(f"\n{text}")
    keep(asked, table, rows, grid)
    return 0


def columns(table: Any, asked: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Columns to use, and those that are left out because they hold no numbers."""
    if asked.weights is not None:
        tables.check_columns(table, [asked.weights], "--weights")
    if asked.columns is not None:
        tables.check_columns(table, asked.columns, "--columns")
        return asked.columns, []
    names = [name for name in table.column_names if name != asked.weights]
    numeric = [name for name in names if tables.is_numeric(table, name)]
    if not numeric:
        raise CommandError(f"{asked.data}: no column holds numbers; there are {', '.join(names)}")
    return numeric, [name for name in names if name not in numeric]


def families_for(asked: str | list[str], n_features: int) -> list[str]:
    """Families to try, all of which must be for so many features."""
    if isinstance(asked, str):
        return all_for(n_features)
    for name in asked:
        most = FAMILIES[name].most_features
        if most is not None and n_features > most:
            raise CommandError(
                f"--families: {name} is for one column, but there are {n_features}: choose among "
                f"{', '.join(all_for(n_features))}"
            )
    return asked


def components_for(asked: Sequence[int], rows: Rows) -> list[int]:
    """Numbers of components to try: no more than there are rows that differ."""
    different = rows.n_different(max(asked))
    numbers = [number for number in asked if number <= different]
    if not numbers:
        raise CommandError(
            f"--components: {min(asked)} components need as many rows that differ, but there are "
            f"{different}: ask for fewer"
        )
    return numbers


def introduce(
    asked: argparse.Namespace, rows: Rows, numbers: Sequence[int], wordy: Sequence[str]
) -> None:
    """Say what is fitted, and what is not."""
    n_rows = len(rows.values)
    say(wrapped(f"{asked.data}: {n_rows} rows of {', '.join(rows.names)}", "  "))
    if wordy:
        say(wrapped(f"Left out, for they hold no numbers: {', '.join(wordy)}", "  "))
    if missing := np.count_nonzero(np.isnan(rows.values)):
        say(f"{missing} values are missing; the likelihood is that of the others.")
    if rows.constant:
        note(f"columns that do not vary are left out: {', '.join(rows.constant)}")
    if max(numbers) < max(asked.components):
        note(
            f"only {rows.n_different(max(asked.components))} rows differ, so no more than "
            f"{max(numbers)} components are tried"
        )


def fitted(
    asked: argparse.Namespace, rows: Rows, numbers: list[int], types: list[str], shown: Any
) -> tuple[GaussianMixtureIC, list[warnings.WarningMessage]]:
    """The grid, fitted, and what was warned of."""
    grid = Watched(
        numbers,
        covariance_type=types,
        criterion=asked.criterion,
        n_jobs=asked.jobs,
        init_params=asked.start,
        random_state=asked.seed,
        prior=asked.prior,
        noise=asked.noise,
    )
    grid.shown = shown
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            grid.fit(rows.values, sample_weight=rows.weights)
        except ValueError as error:
            raise CommandError(str(error), FAILED) from None
    return grid, caught


def keep(asked: argparse.Namespace, table: Any, rows: Rows, chosen: GaussianMixtureIC) -> None:
    """Write what was asked for."""
    model = chosen.best_estimator_
    labelled = None if asked.out is None else tables.labelled(table, model, rows.values)
    model.feature_names_in_ = np.array(rows.names, dtype=object)
    for what, path, writer in (
        ("Labelled rows", asked.out, lambda path: tables.write(path, labelled)),
        ("Model", asked.model, model.save),
        ("Picture", asked.plot, lambda path: draw(path, rows, chosen)),
    ):
        if path is not None:
            targets.write(path, writer)
            say(f"\n{what} written to {path}")


def draw(path: Path, rows: Rows, chosen: GaussianMixtureIC) -> None:
    """The components, and beside them the criterion where there was a choice."""
    from matplotlib.figure import Figure

    D = len(rows.names)
    several = len(chosen.results_["rank"]) > 1
    figure = Figure(figsize=(14 if several else 7.5, 6), layout="constrained")
    axes = figure.subplots(1, 1 + several, squeeze=False)[0]
    GaussianMixtureDisplay.from_estimator(
        chosen.best_estimator_,
        blocks([rows.values]),  # as blocks, rows need not bear the names of features
        features=0 if D == 1 else tuple(range(min(D, DRAWN))),
        sample_weight=rows.weights,
        ax=axes[0],
    )
    if several:
        InformationCriterionDisplay.from_estimator(chosen, ax=axes[1])
    targets.write_figure(path, figure)
