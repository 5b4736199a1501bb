"""Command ``emgmm predict``, which applies a saved model to the rows of a table."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from emgmm.base import fitted_mixture
from emgmm.cli import outputs, tables
from emgmm.cli.arguments import Parser
from emgmm.cli.csv_files import Format
from emgmm.cli.rows import check_in_reach, read_finite
from emgmm.cli.tables import check_file
from emgmm.cli.terminal import CommandError, counted, write_text
from emgmm.estimator import GaussianMixture
from emgmm.storage.files import reason

DESCRIPTION = "Label the rows of a table by a model that fit --model wrote."

EXAMPLE = """\
examples:
  emgmm predict model.json more.csv
  emgmm predict model.json more.csv --out more_labelled.csv"""

# Size of a number from which on it is printed with an exponent.
LONG = 1e12

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
        counts, total, start = np.zeros(mixture.n_densities, dtype=np.int64), 0.0, 0
        for rows, _ in read_finite(table, names):
            log_densities = model.score_samples(rows)
            check_in_reach(log_densities, start, table.n_rows)
            start += len(rows)
            total += float(log_densities.sum())
            counts += np.bincount(model.predict(rows) + noisy, minlength=len(counts))
        mean = total / table.n_rows
        figure = f"{mean:.6f}" if abs(mean) < LONG else f"{mean:.6g}"
        write_text(f"{counted(table.n_rows, 'row')}, mean log-density {figure}")
        for k, count in enumerate(counts.tolist(), start=-int(noisy)):
            name = "noise" if k < 0 else f"component {k}"
            write_text(f"  {name:<12}  {counted(count, 'row')}")
        outputs.write(options, out=partial(outputs.write_table, options, table, names, model))


def load(path: Path) -> tuple[GaussianMixture, list[str]]:
    """Return the model in a file without the names of its columns, and these names."""
    check_file(path)
    try:
        model = GaussianMixture.load(path)
    except ValueError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {reason(error)}") from None
    names = model.__dict__.pop("feature_names_in_", None)
    if names is None:
        raise CommandError(f"{path} does not name the columns of its data: fit it to a table")
    return model, names.tolist()
