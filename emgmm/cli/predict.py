"""Command ``emgmm predict``, which applies a saved model to the rows of a table."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np

from emgmm.base import fitted_mixture
from emgmm.cli import outputs, tables
from emgmm.cli.arguments import Parser
from emgmm.cli.csv_files import Format
from emgmm.cli.rows import read_finite
from emgmm.cli.terminal import CommandError, write_text
from emgmm.estimator import GaussianMixture

DESCRIPTION = "Label the rows of a table by a model that fit --model wrote."

EXAMPLE = """\
examples:
  emgmm predict model.json more.csv
  emgmm predict model.json more.csv --out more_labelled.csv"""

DATA = "the table, .csv or .parquet, with the columns of the model"


def main(arguments: list[str]) -> None:
    """Run the command."""
    parser = Parser("predict", DESCRIPTION, EXAMPLE)
    parser.add_argument("model", type=Path, help="the file with the model")
    parser.add_argument("data", type=Path, help=DATA)
    parser.add_csv_options()
    parser.add("--out", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    outputs.check(options, ("out",), data=options.data, model=options.model)
    model, names = load(options.model)
    mixture = fitted_mixture(model)
    noisy = mixture.noise is not None
    with tables.open_table(options.data, Format.of(options)) as table:
        table.check_columns(names, str(options.model))
        if options.out is not None:
            outputs.check_table(options, table, mixture.n_components, noise=noisy)
        counts, total = np.zeros(mixture.n_densities, dtype=np.int64), 0.0
        for rows, _ in read_finite(table, names):
            total += float(model.score_samples(rows).sum())
            counts += np.bincount(model.predict(rows) + noisy, minlength=len(counts))
        write_text(f"{table.n_rows} rows, mean log-density {total / table.n_rows:.6f}")
        for k, count in enumerate(counts, start=-int(noisy)):
            name = "noise" if k < 0 else f"component {k}"
            write_text(f"  {name:<12}  {count} rows")
        outputs.write(options, out=partial(outputs.write_table, options, table, names, model))


def load(path: Path) -> tuple[GaussianMixture, list[str]]:
    """Return the model in a file without the names of its columns, and these names."""
    if not os.path.isfile(path):  # False also for text that cannot be a path
        raise CommandError(f"there is no file {path}")
    try:
        model = GaussianMixture.load(path)
    except ValueError as error:
        raise CommandError(str(error)) from None
    names = model.__dict__.pop("feature_names_in_", None)
    if names is None:
        raise CommandError(f"{path} does not name the columns of its data: fit it to a table")
    return model, names.tolist()
