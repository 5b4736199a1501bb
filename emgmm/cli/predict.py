"""``python -m emgmm predict``: apply a saved model to the rows of a file."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from emgmm.cli import labels, outputs, tables
from emgmm.cli.arguments import add_csv_options
from emgmm.cli.csv_files import Format
from emgmm.cli.errors import CommandError, described
from emgmm.cli.output import say
from emgmm.cli.rows import finite
from emgmm.estimator import GaussianMixture

DESCRIPTION = "Label the rows of a table by a model that fit --model wrote."

EXAMPLE = """\
example:
  python -m emgmm predict model.json more.csv --out more_labelled.csv"""


@described
def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m emgmm predict",
        description=DESCRIPTION,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="the file with the model")
    parser.add_argument(
        "data", type=Path, help="the table, .csv or .parquet, with the columns of the model"
    )
    add_csv_options(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the rows with labels and probabilities"
    )
    asked = parser.parse_args(arguments)
    outputs.check({"--out": asked.out}, {"data": asked.data, "model": asked.model})
    model, names = loaded(asked.model)
    with tables.opened(asked.data, Format.of(asked)) as table:
        table.check_columns(names, str(asked.model))
        mixture = model._mixture()
        noisy = mixture.noise is not None
        if asked.out is not None:
            added = labels.names_added(mixture.n_components, noise=noisy)
            labels.check(asked.out, table, added)
        counts = np.zeros(noisy + mixture.n_components, dtype=np.int64)
        total = 0.0
        for rows, _ in finite(table, names):
            total += float(model.score_samples(rows).sum())
            counts += np.bincount(model.predict(rows) + noisy, minlength=len(counts))
        say(f"{table.n_rows} rows, mean log-density {total / table.n_rows:.6f}")
        for k, count in enumerate(counts, start=-int(noisy)):
            name = "noise" if k < 0 else f"component {k}"
            say(f"  {name:<12}  {count} rows")
        if asked.out is not None:
            outputs.write(
                {
                    asked.out: lambda file: labels.write(
                        file, asked.out, table, names, model, asked.safe_csv
                    )
                }
            )
            say(f"Labelled rows written to {asked.out}")
    return 0


def loaded(path: Path) -> tuple[GaussianMixture, list[str]]:
    """The model in a file, without the names of its columns, and these names."""
    if not os.path.isfile(path):  # which is False for what cannot be a path
        raise CommandError(f"there is no file {path}")
    try:
        model = GaussianMixture.load(path)
    except ValueError as error:
        raise CommandError(str(error)) from None
    if not hasattr(model, "feature_names_in_"):
        raise CommandError(f"{path} does not say which columns it is for: fit it to a table")
    names = list(model.feature_names_in_)
    del model.feature_names_in_
    return model, names
