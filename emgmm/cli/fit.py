"""Command ``python -m emgmm fit``, which selects a mixture for the rows of a table."""

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

from emgmm import validation
from emgmm.base import fitted_mixture
from emgmm.cli import arguments as types
from emgmm.cli import labels, outputs, tables
from emgmm.cli.columns import Columns
from emgmm.cli.csv_files import Format
from emgmm.cli.errors import FAILED, CommandError, reporting_errors
from emgmm.cli.output import join_names, note, printable, wrap, write_text
from emgmm.cli.report import candidates, conditions, summarized, warning_texts
from emgmm.cli.rows import InputRows
from emgmm.cli.scaling import Standardization
from emgmm.cli.tables import Table
from emgmm.covariances import family_names, family_of
from emgmm.estimator import GaussianMixture
from emgmm.initialization import STARTS
from emgmm.plotting import GaussianMixtureDisplay, InformationCriterionDisplay
from emgmm.plotting.mixture import displayed
from emgmm.selection.candidates import CRITERIA, Candidate, distinct_families
from emgmm.selection.estimator import MAX_ITER, TOL, GaussianMixtureIC
from emgmm.typing import Array

# Largest number of features that a plot shows.
MAX_DRAWN = 5

DESCRIPTION = """\
Fit Gaussian mixtures to the rows of a table, choose one of them, and
describe it."""

EXAMPLE = """\
example:
  python -m emgmm fit flowers.csv --exclude year --out labelled.csv --model model.json"""


class GridWithProgress(GaussianMixtureIC):
    """Grid that shows its progress on standard error, if that is a terminal."""

    bar: Any

    def _report(self, candidate: Candidate, number: int, total: int) -> None:  # noqa: ARG002
        self.bar.update()
        self.bar.set_postfix_str(f"{candidate.n_components} {candidate.covariance_type}")


def progress_bar() -> Callable[..., Any]:
    """Return a constructor of progress bars, which are silent if stderr is not a terminal."""
    try:
        from tqdm import tqdm
    except ImportError:
        raise CommandError("progress needs tqdm: pip install 'emgmm[cli]'", FAILED) from None
    return partial(tqdm, file=sys.stderr, disable=None, leave=False, unit="fit")


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
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
        help="criterion whose lowest value determines the choice (default: %(default)s)",
    )
    add(
        "--columns",
        type=types.names,
        metavar="A,B",
        help="columns to use (default: all numeric columns that do not number the rows)",
    )
    add("--exclude", type=types.names, metavar="A,B", help="columns to leave out")
    add("--weights", metavar="COLUMN", help="column with the weights of the rows")
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
    add(
        "--n-init",
        type=types.positive_integer,
        metavar="N",
        help="starts per candidate (default: 1)",
    )
    add(
        "--tol",
        type=types.non_negative,
        help="EM may stop when the mean log-likelihood per row changes by less in one iteration "
        f"(default: {TOL:g})",
    )
    add(
        "--max-iter",
        type=types.positive_integer,
        metavar="N",
        help=f"most iterations of EM (default: {MAX_ITER})",
    )
    add(
        "--reg-covar",
        type=types.non_negative,
        metavar="RIDGE",
        help="number that is added to the variances (default: 0)",
    )
    add("--prior", choices=("conjugate",), help="prior of the components, in the data's own units")
    add("--noise", choices=("uniform",), help="add a component for rows that belong to no other")
    add("--jobs", type=int, metavar="N", help="candidates that are fitted at the same time")
    return parser.parse_args(arguments)


@reporting_errors
def main(arguments: list[str]) -> int:
    """Run the command and return the exit status."""
    options = parse(arguments)
    targets = {f"--{name}": getattr(options, name) for name in ("out", "model", "plot")}
    outputs.check(targets, {"data": options.data})
    with tables.open_table(options.data, Format.of(options)) as table:
        fit(options, table)
    return 0


def fit(options: argparse.Namespace, table: Table) -> None:
    """Fit the grid to a table, report the results, and write the requested files."""
    columns = Columns.of(table, options)
    rows = InputRows.of(table, columns, options.weights)
    names = families_for(options.families, len(rows.names))
    n_distinct = rows.n_distinct(options.components[-1])
    numbers = components_for(options.components, n_distinct)
    if options.out is not None:
        added = labels.names_added(numbers[-1], noise=options.noise is not None)
        labels.check(options.out, table, added)
    scaled = Standardization.of(rows) if options.scale else None
    X, weights = (rows if scaled is None else scaled.forward(rows)).for_estimator()
    new_bar = progress_bar()
    introduce(options, rows, numbers, columns, n_distinct)
    total = sum(len({*distinct_families(names, K, len(rows.names)).values()}) for K in numbers)
    with new_bar(total=total) as bar:
        grid, caught = fit_grid(options, X, weights, numbers, names, bar)
    summary = summarized(grid, X, rows.names, weights)
    diagnosis = grid.diagnose(X, sample_weight=weights)
    if scaled is not None:
        summary = scaled.summary(summary)
        scaled.convert(grid)
    write_text(f"\n{candidates(grid.results_, options.criterion)}")
    write_text(f"\nChosen by {options.criterion.upper()}:\n\n{summary}")
    write_text(f"\n{conditions(diagnosis)}")
    for text in warning_texts(caught, rows.names):
        write_text(f"\n{text}")
    write_files(options, table, rows, grid)


def families_for(requested: str | list[str], n_features: int) -> list[str]:
    """Return the families to fit, all of which must allow this number of features."""
    if isinstance(requested, str):
        return family_names(n_features)
    for name in requested:
        most = family_of(name).most_features
        if most is not None and n_features > most:
            raise CommandError(
                f"--families: {name} is for one column, but there are {n_features}: choose among "
                f"{', '.join(family_names(n_features))}"
            )
    return requested


def components_for(requested: Sequence[int], n_distinct: int) -> list[int]:
    """Return the numbers of components to fit, at most the number of distinct rows."""
    numbers = list(takewhile(lambda number: number <= n_distinct, requested))
    if not numbers:
        raise CommandError(
            f"--components: {requested[0]} components need as many different rows, but there are "
            f"only {n_distinct}: decrease the number of components"
        )
    return numbers


def introduce(
    options: argparse.Namespace,
    rows: InputRows,
    numbers: Sequence[int],
    columns: Columns,
    n_distinct: int,
) -> None:
    """Report the columns that are fitted and those that are left out."""
    write_text(
        wrap(f"{options.data}: {rows.n_rows} rows; columns used: {join_names(rows.names)}", "  ")
    )
    for why, names in (
        ("Left out because they are not numeric", ", ".join(columns.textual)),
        ("Left out as row identifiers", join_names(columns.identifiers)),
    ):
        if names:
            write_text(wrap(f"{why}: {names}", "  "))
    if rows.n_missing:
        count = "1 value is" if rows.n_missing == 1 else f"{rows.n_missing} values are"
        write_text(f"{count} missing; the likelihood is that of the others.")
    if rows.constant:
        note(f"columns that do not vary are left out: {join_names(rows.constant)}")
    if numbers[-1] < options.components[-1]:
        note(f"only {n_distinct} rows differ, so no more than {numbers[-1]} components are tried")


def fit_grid(
    options: argparse.Namespace,
    X: Any,
    weights: Array | None,
    numbers: list[int],
    families: list[str],
    bar: Any,
) -> tuple[GaussianMixtureIC, list[warnings.WarningMessage]]:
    """Return the fitted grid and its warnings."""
    given = {name: getattr(options, name) for name in ("tol", "max_iter", "n_init", "reg_covar")}
    grid = GridWithProgress(
        numbers,
        covariance_type=families,
        criterion=options.criterion,
        n_jobs=options.jobs and min(options.jobs, len(numbers) * len(families)),
        init_params=options.start,
        random_state=options.seed,
        prior=options.prior,
        noise=options.noise,
        **{name: value for name, value in given.items() if value is not None},
    )
    grid.bar = bar
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            grid.fit(X, sample_weight=weights)
        except ValueError as error:
            raise CommandError(str(error), FAILED) from None
    return grid, caught


def write_files(
    options: argparse.Namespace, table: Table, rows: InputRows, grid: GaussianMixtureIC
) -> None:
    """Write the requested files."""
    model = grid.best_estimator_
    named = copy(model)
    named.feature_names_in_ = np.array(rows.names, dtype=object)
    writers: dict[Path, outputs.Writer] = {}
    if options.out is not None:
        writers[options.out] = lambda file: labels.write(
            file, options.out, table, rows.names, fitted_mixture(model), options.safe_csv
        )
    if options.model is not None:
        writers[options.model] = lambda file: save(named, file)
    if options.plot is not None:
        writers[options.plot] = outputs.figure_writer(options.plot, lambda: draw(rows, grid))
    outputs.write(writers)
    for content, path in (
        ("Labelled rows", options.out),
        ("Model", options.model),
        ("Picture", options.plot),
    ):
        if path is not None:
            write_text(f"\n{content} written to {path}")


def save(model: GaussianMixture, file: IO[bytes]) -> None:
    """Write a model as `GaussianMixture.save` does."""
    with TemporaryDirectory(prefix="emgmm-") as folder:
        path = Path(folder) / "model.json"
        model.save(path)
        file.write(path.read_bytes())


def draw(rows: InputRows, grid: GaussianMixtureIC) -> Any:
    """Return a figure of the components and, if there are several candidates, of the criterion."""
    from matplotlib.figure import Figure

    model = grid.best_estimator_
    # Matplotlib parses text between dollar signs as formulas.
    titles = [printable(name).replace("$", r"\$") for name in rows.names[:MAX_DRAWN]]
    several = len(grid.results_["rank"]) > 1
    figure = Figure(figsize=(14 if several else 7.5, 6), layout="constrained")
    axes = figure.subplots(1, 1 + several, squeeze=False)[0]
    source = validation.source(model, *rows.for_estimator(), reset=False)
    features, random = range(len(titles)), np.random.RandomState(0)
    parameters = displayed(fitted_mixture(model), source, features, titles, random)
    GaussianMixtureDisplay(**parameters).plot(axes[0])
    if several:
        InformationCriterionDisplay.from_estimator(grid, ax=axes[1])
    return figure
