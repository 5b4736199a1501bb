"""Command ``emgmm fit``, which selects a mixture for the rows of a table."""

from __future__ import annotations

import sys
import warnings
from argparse import Namespace
from collections.abc import Sequence
from copy import copy
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import numpy as np

from emgmm import validation
from emgmm.base import fitted_mixture
from emgmm.cli import arguments as types
from emgmm.cli import outputs, tables
from emgmm.cli.csv_files import Format
from emgmm.cli.report import candidates, summarized, warning_texts
from emgmm.cli.rows import InputRows
from emgmm.cli.scaling import Standardization
from emgmm.cli.terminal import FAILED, CommandError, imported, note, printable, write_text
from emgmm.covariances import family_names, family_of
from emgmm.estimator import GaussianMixture
from emgmm.initialization import STARTS
from emgmm.plotting import GaussianMixtureDisplay, InformationCriterionDisplay
from emgmm.plotting.mixture import View, displayed
from emgmm.selection.candidates import CRITERIA, Candidate, Search, distinct_families
from emgmm.selection.estimator import GaussianMixtureIC
from emgmm.sources import ArraySource, Source

# Largest number of features that a plot shows.
MAX_DRAWN = 5

DESCRIPTION = """\
Fit Gaussian mixtures to the rows of a table, choose one of them, and
describe it."""

EXAMPLE = """\
examples:
  emgmm fit flowers.csv
  emgmm fit flowers.csv --exclude year --out labelled.csv --model model.json
  emgmm fit flowers.parquet --components 2:20 --families EEE,VVV --plot picture.png
  emgmm fit sensors.csv --scale --noise uniform --weights count --out labelled.csv"""

DATA = "the table, .csv or .parquet; empty fields are missing values"


class GridWithProgress(GaussianMixtureIC):
    """Grid that shows its progress on standard error, if that is a terminal."""

    bar: Any
    names: Any

    def _search(self, source: Source) -> Search:
        if isinstance(source, ArraySource):  # blocks would have to have names too
            source.feature_names = self.names  # which messages use
        return super()._search(source)

    def _report(self, candidate: Candidate, number: int, total: int) -> None:  # noqa: ARG002
        self.bar.update()
        self.bar.set_postfix_str(f"{candidate.n_components} {candidate.covariance_type}")


def main(arguments: list[str]) -> None:
    """Run the command."""
    parser = types.Parser("fit", DESCRIPTION, EXAMPLE)
    add = parser.add
    parser.add_argument("data", type=Path, help=DATA)
    add("--components", type=types.numbers, default="1:9", metavar="NUMBERS")
    add("--families", type=types.families, default="all", metavar="NAMES")
    add("--criterion", choices=CRITERIA, default="bic")
    add("--columns", type=types.names, metavar="A,B")
    add("--exclude", type=types.names, metavar="A,B")
    add("--weights", metavar="COLUMN")
    add("--scale", action="store_true")
    parser.add_csv_options()
    add("--out", type=Path, metavar="FILE")
    add("--model", type=Path, metavar="FILE")
    add("--plot", type=Path, metavar="FILE")
    add("--seed", type=types.seed, default=0, dest="random_state", metavar="SEED")
    starts = ("auto", *STARTS)
    add("--start", choices=starts, default="auto", dest="init_params", metavar="METHOD")
    add("--n-init", type=types.positive_integer, metavar="N")
    add("--tol", type=types.non_negative)
    add("--max-iter", type=types.positive_integer, metavar="N")
    add("--reg-covar", type=types.non_negative, metavar="RIDGE")
    add("--prior", choices=("conjugate",))
    add("--noise", choices=("uniform",))
    add("--jobs", type=types.jobs, metavar="N")
    options = parser.parse_args(arguments)
    outputs.check(options, ("out", "model", "plot"), data=options.data)
    with tables.open_table(options.data, Format.of(options)) as table:
        fit(options, table)


def fit(options: Namespace, table: tables.Table) -> None:
    """Fit the grid to a table, report the results, and write the requested files."""
    rows = InputRows.of(table, options)
    families = families_for(options.families, len(rows.names))
    n_distinct = rows.n_distinct(options.components[-1])
    numbers = components_for(options.components, n_distinct)
    if options.out is not None:
        outputs.check_table(options, table, numbers[-1], noise=options.noise is not None)
    scaled = Standardization.of(rows) if options.scale else None
    X, weights = (rows if scaled is None else scaled.forward(rows)).for_estimator()
    new_bar = imported("progress", "tqdm").tqdm
    rows.introduce(options.data)
    if numbers[-1] < options.components[-1]:
        note(f"only {n_distinct} rows differ, so no more than {numbers[-1]} components are tried")
    total = sum(len({*distinct_families(families, K, len(rows.names)).values()}) for K in numbers)
    # The bar is not shown if standard error is closed (True) or not a terminal (None).
    disable = sys.stderr is None or None
    bar = new_bar(total=total, file=sys.stderr, disable=disable, leave=False, unit="fit")
    grid = new_grid(options, numbers, families)
    grid.names = np.array(rows.names, dtype=object)
    with bar as grid.bar, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            grid.fit(X, sample_weight=weights)
        except ValueError as error:
            raise CommandError(str(error), FAILED) from None
    summary = summarized(grid, X, rows.names, weights)
    diagnosis = grid.diagnose(X, sample_weight=weights)
    if scaled is not None:
        summary = scaled.summary(summary)
        scaled.convert(grid)
    write_text(f"\n{candidates(grid.results_, options.criterion)}")
    write_text(f"\nChosen by {options.criterion.upper()}:\n\n{summary}")
    write_text(f"\n{diagnosis}")
    for text in warning_texts(caught, rows.names):
        write_text(f"\n{text}")
    model = grid.best_estimator_
    outputs.write(
        options,
        out=partial(outputs.write_table, options, table, rows.names, model),
        model=partial(save, model, rows.names),
        plot=partial(outputs.write_figure, options, partial(draw, rows, grid)),
    )


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
    numbers = [number for number in requested if number <= n_distinct]
    if not numbers:
        raise CommandError(
            f"--components: {requested[0]} components need as many different rows, but there are "
            f"only {n_distinct}: decrease the number of components"
        )
    return numbers


def new_grid(options: Namespace, numbers: list[int], families: list[str]) -> GridWithProgress:
    """Return a grid with those options that have the names of its parameters."""
    jobs = options.jobs and min(options.jobs, len(numbers) * len(families))
    grid = GridWithProgress(numbers, n_jobs=jobs).set_params(covariance_type=families)
    given = {name: value for name, value in vars(options).items() if value is not None}
    grid.set_params(**{name: given[name] for name in given.keys() & grid.get_params().keys()})
    return grid


def save(model: GaussianMixture, names: list[str], file: IO[bytes]) -> None:
    """Write a model with the names of its features as `GaussianMixture.save` does."""
    named = copy(model)
    named.feature_names_in_ = np.array(names, dtype=object)
    with TemporaryDirectory(prefix="emgmm-") as folder:
        path = Path(folder) / "model.json"
        named.save(path)
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
    mixture, random = fitted_mixture(model), np.random.RandomState(0)
    view = View.on_features(mixture, range(len(titles)), titles)
    GaussianMixtureDisplay(**displayed(mixture, source, view, random)).plot(axes[0])
    if several:
        InformationCriterionDisplay.from_estimator(grid, ax=axes[1])
    return figure
