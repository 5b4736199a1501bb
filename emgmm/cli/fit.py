"""``python -m emgmm fit``: choose a mixture for the rows of a file."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import numpy as np

from emgmm.cli import arguments as types
from emgmm.cli import labels, outputs, tables
from emgmm.cli.columns import Columns
from emgmm.cli.csv_files import Format
from emgmm.cli.errors import FAILED, CommandError, described
from emgmm.cli.output import note, printable, say, together, wrapped
from emgmm.cli.report import candidates, conditions, listed_warnings, summarized
from emgmm.cli.rows import InputRows
from emgmm.cli.scaling import Standardization
from emgmm.cli.tables import Table
from emgmm.covariances import FAMILIES, family_names
from emgmm.estimator import GaussianMixture
from emgmm.initialization import STARTS
from emgmm.plotting import GaussianMixtureDisplay, InformationCriterionDisplay
from emgmm.selection.candidates import CRITERIA, Candidate, distinct_families
from emgmm.selection.estimator import MAX_ITER, TOL, GaussianMixtureIC
from emgmm.sources import blocks
from emgmm.typing import Array

# The most features that a picture shows.
DRAWN = 5

DESCRIPTION = """\
Fit Gaussian mixtures to the rows of a table, choose one of them, and say what
it is like."""

EXAMPLE = """\
example:
  python -m emgmm fit flowers.csv --exclude year --out labelled.csv --model model.json"""


class Watched(GaussianMixtureIC):
    """A grid whose progress is shown on standard error, where that is a terminal."""

    shown: Any

    def _report(self, candidate: Candidate, number: int, total: int) -> None:  # noqa: ARG002
        self.shown.update()
        self.shown.set_postfix_str(f"{candidate.n_components} {candidate.covariance_type}")


def bars() -> Callable[..., Any]:
    """What makes a progress bar that is silent where standard error is no terminal."""
    try:
        from tqdm import tqdm
    except ImportError:
        raise CommandError("progress needs tqdm: pip install 'emgmm[cli]'", FAILED) from None
    return partial(tqdm, file=sys.stderr, disable=None, leave=False, unit="fit")


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m emgmm fit",
        description=DESCRIPTION,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("data", type=Path, help="the table, .csv or .parquet; empty fields are missing values")
    add(
        "--components",
        type=types.numbers,
        default="1:9",
        metavar="NUMBERS",
        help="numbers of components to try: a range, a number or a list (default: %(default)s)",
    )
    add(
        "--families",
        type=types.families,
        default="all",
        metavar="NAMES",
        help="covariance families to try: all, or names such as EEE,VVV (default: %(default)s)",
    )
    add(
        "--criterion",
        choices=CRITERIA,
        default="bic",
        help="what is lowest in the model that is chosen (default: %(default)s)",
    )
    add(
        "--columns",
        type=types.listed,
        metavar="A,B",
        help="columns to use (default: all that hold numbers and do not count the rows)",
    )
    add("--exclude", type=types.listed, metavar="A,B", help="columns to leave out")
    add("--weights", metavar="COLUMN", help="the column with the weights of the rows")
    add(
        "--scale",
        action="store_true",
        help="standardize the columns for the fit, and convert the model back to their units",
    )
    types.add_csv_options(parser)
    add("--out", type=Path, metavar="FILE", help="write the rows with labels and probabilities")
    add("--model", type=Path, metavar="FILE", help="write the model as JSON, for predict")
    add("--plot", type=Path, metavar="FILE", help="draw the model, as .png, .pdf or .svg")
    add("--seed", type=types.seed, default=0, help="seed of the starts (default: %(default)s)")
    add(
        "--start",
        choices=("auto", *STARTS),
        default="auto",
        metavar="METHOD",
        help=f"where EM starts: auto, {', '.join(STARTS)} (default: %(default)s)",
    )
    add("--n-init", type=types.at_least_one, metavar="N", help="starts per candidate (default: 1)")
    add(
        "--tol",
        type=types.not_negative,
        help="EM may stop when the mean log-likelihood per row changes by less in one iteration "
        f"(default: {TOL:g})",
    )
    add(
        "--max-iter",
        type=types.at_least_one,
        metavar="N",
        help=f"most iterations of EM (default: {MAX_ITER})",
    )
    add(
        "--reg-covar",
        type=types.not_negative,
        metavar="RIDGE",
        help="number that is added to the variances (default: 0)",
    )
    add("--prior", choices=("conjugate",), help="prior of the components, in the data's own units")
    add("--noise", choices=("uniform",), help="add a component for rows that belong to no other")
    add("--jobs", type=int, metavar="N", help="candidates that are fitted at the same time")
    return parser.parse_args(arguments)


@described
def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    asked = parsed(arguments)
    wanted = {f"--{name}": getattr(asked, name) for name in ("out", "model", "plot")}
    outputs.check(wanted, {"data": asked.data})
    with tables.opened(asked.data, Format.of(asked)) as table:
        fit(asked, table)
    return 0


def fit(asked: argparse.Namespace, table: Table) -> None:
    """Fit the grid to a table, report on it, and write the files that were asked for."""
    columns = Columns.of(table, asked)
    rows = InputRows.of(table, columns, asked.weights)
    names = families_for(asked.families, len(rows.names))
    different = rows.n_different(asked.components[-1])
    numbers = components_for(asked.components, different)
    if asked.out is not None:
        added = labels.names_added(numbers[-1], noise=asked.noise is not None)
        labels.check(asked.out, table, added)
    scaled = Standardization.of(rows) if asked.scale else None
    X, weights = (rows if scaled is None else scaled.forward(rows)).for_estimator()
    bar = bars()
    introduce(asked, rows, numbers, columns, different)
    with bar(total=sum(len({*distinct_families(names, K).values()}) for K in numbers)) as shown:
        grid, caught = fitted(asked, X, weights, numbers, names, shown)
    summary = summarized(grid, X, rows.names, weights)
    diagnosis = grid.diagnose(X, sample_weight=weights)
    if scaled is not None:
        summary = scaled.summary(summary)
        scaled.convert(grid)
    say(f"\n{candidates(grid.results_, asked.criterion)}")
    say(f"\nChosen by {asked.criterion.upper()}:\n\n{summary}")
    say(f"\n{conditions(diagnosis)}")
    for text in listed_warnings(caught, rows.names):
        say(f"\n{text}")
    keep(asked, table, rows, grid)


def families_for(asked: str | list[str], n_features: int) -> list[str]:
    """Families to try, all of which must be for so many features."""
    if isinstance(asked, str):
        return family_names(n_features)
    for name in asked:
        most = FAMILIES[name].most_features
        if most is not None and n_features > most:
            raise CommandError(
                f"--families: {name} is for one column, but there are {n_features}: choose among "
                f"{', '.join(family_names(n_features))}"
            )
    return asked


def components_for(asked: Sequence[int], different: int) -> list[int]:
    """Numbers of components to try: no more than there are different rows."""
    numbers = list(takewhile(lambda number: number <= different, asked))
    if not numbers:
        raise CommandError(
            f"--components: {asked[0]} components need as many different rows, but there are "
            f"only {different}: ask for fewer components"
        )
    return numbers


def introduce(
    asked: argparse.Namespace,
    rows: InputRows,
    numbers: Sequence[int],
    columns: Columns,
    different: int,
) -> None:
    """Say what is fitted, and what is not."""
    say(wrapped(f"{asked.data}: {rows.n_rows} rows; columns used: {together(rows.names)}", "  "))
    for why, names in (
        ("Left out because they are not numeric", ", ".join(columns.textual)),
        ("Left out as row identifiers", together(columns.identifiers)),
    ):
        if names:
            say(wrapped(f"{why}: {names}", "  "))
    if rows.n_missing:
        what = "1 value is" if rows.n_missing == 1 else f"{rows.n_missing} values are"
        say(f"{what} missing; the likelihood is that of the others.")
    if rows.constant:
        note(f"columns that do not vary are left out: {together(rows.constant)}")
    if numbers[-1] < asked.components[-1]:
        note(f"only {different} rows differ, so no more than {numbers[-1]} components are tried")


def fitted(
    asked: argparse.Namespace,
    X: Any,
    weights: Array | None,
    numbers: list[int],
    families: list[str],
    shown: Any,
) -> tuple[GaussianMixtureIC, list[warnings.WarningMessage]]:
    """The fitted grid and its warnings."""
    given = {name: getattr(asked, name) for name in ("tol", "max_iter", "n_init", "reg_covar")}
    grid = Watched(
        numbers,
        covariance_type=families,
        criterion=asked.criterion,
        n_jobs=asked.jobs and min(asked.jobs, len(numbers) * len(families)),
        init_params=asked.start,
        random_state=asked.seed,
        prior=asked.prior,
        noise=asked.noise,
        **{name: value for name, value in given.items() if value is not None},
    )
    grid.shown = shown
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            grid.fit(X, sample_weight=weights)
        except ValueError as error:
            raise CommandError(str(error), FAILED) from None
    return grid, caught


def keep(
    asked: argparse.Namespace, table: Table, rows: InputRows, chosen: GaussianMixtureIC
) -> None:
    """Write the files that were asked for."""
    model = chosen.best_estimator_
    named = copy(model)
    named.feature_names_in_ = np.array(rows.names, dtype=object)
    writers: dict[Path, outputs.Writer] = {}
    if asked.out is not None:
        writers[asked.out] = lambda file: labels.write(
            file, asked.out, table, rows.names, model, asked.safe_csv
        )
    if asked.model is not None:
        writers[asked.model] = lambda file: save(named, file)
    if asked.plot is not None:
        writers[asked.plot] = outputs.figure_writer(asked.plot, lambda: drawn(rows, chosen))
    outputs.write(writers)
    for what, path in (
        ("Labelled rows", asked.out),
        ("Model", asked.model),
        ("Picture", asked.plot),
    ):
        if path is not None:
            say(f"\n{what} written to {path}")


def save(model: GaussianMixture, file: IO[bytes]) -> None:
    """Write a model as `GaussianMixture.save` does."""
    with TemporaryDirectory(prefix="emgmm-") as folder:
        path = Path(folder) / "model.json"
        model.save(path)
        file.write(path.read_bytes())


def drawn(rows: InputRows, chosen: GaussianMixtureIC) -> Any:
    """A figure of the components, and beside them the criterion where there was a choice."""
    from matplotlib.figure import Figure

    D = len(rows.names)
    model = copy(chosen.best_estimator_)
    # Between dollar signs matplotlib would look for formulas.
    titles = [printable(name).replace("$", r"\$") for name in rows.names]
    model.feature_names_in_ = np.array(titles, dtype=object)
    several = len(chosen.results_["rank"]) > 1
    figure = Figure(figsize=(14 if several else 7.5, 6), layout="constrained")
    axes = figure.subplots(1, 1 + several, squeeze=False)[0]
    X, weights = rows.for_estimator()
    GaussianMixtureDisplay.from_estimator(
        model,
        blocks([X]) if rows.in_memory else X,  # blocks need not have the names of features
        features=0 if D == 1 else tuple(range(min(D, DRAWN))),
        sample_weight=weights,
        ax=axes[0],
    )
    if several:
        InformationCriterionDisplay.from_estimator(chosen, ax=axes[1])
    return figure
