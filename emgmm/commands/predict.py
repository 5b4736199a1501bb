"""``python -m emgmm predict``: apply a saved model to the rows of a file."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from emgmm.commands import tables, targets
from emgmm.commands.arguments import add_csv_options
from emgmm.commands.errors import CommandError, told
from emgmm.commands.output import say
from emgmm.commands.rows import finite
from emgmm.estimator import GaussianMixture

DESCRIPTION = "Label the rows of a table by a model that fit --model wrote."

EXAMPLE = """\
example:
  python -m emgmm predict model.json more.csv --out more_labelled.csv"""


@told
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
    targets.check({"--out": asked.out}, {"data": asked.data, "model": asked.model})
    model, names = loaded(asked.model)
    table = tables.read(asked.data, asked.sep, asked.decimal)
    tables.check_columns(table, names, str(asked.model), asked.decimal)
    mixture = model._mixture()
    noisy = mixture.noise is not None
    if asked.out is not None:
        own = tables.added_names(mixture.n_components, noise=noisy)
        tables.check_free(table, own, "--out")
    rows = finite(table, names)
    labels, score = model.predict(rows), model.score(rows)
    say(f"{len(rows)} rows, mean log-density {score:.6f}")
    for k in range(-noisy, mixture.n_components):
        name = "noise" if k < 0 else f"component {k}"
        say(f"  {name:<12}  {np.count_nonzero(labels == k)} rows")
    if asked.out is not None:
        labelled = tables.labelled(table, model, rows)
        targets.write(asked.out, lambda path: tables.write(path, labelled))
        say(f"Labelled rows written to {asked.out}")
    return 0


def loaded(path: Path) -> tuple[GaussianMixture, list[str]]:
    """The model in a file, without the names of its columns, and these names."""
    if not path.is_file():
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
