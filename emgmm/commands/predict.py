"""``python -m emgmm predict``: a model that was kept, applied to a file's rows."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from emgmm.commands import tables, targets
from emgmm.commands.errors import CommandError, told
from emgmm.commands.output import say
from emgmm.commands.rows import finite
from emgmm.estimator import GaussianMixture


@told
def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m emgmm predict",
        description="Label the rows of a table by a model that `fit --model` wrote.",
    )
    parser.add_argument("model", type=Path, help="the model, JSON")
    parser.add_argument("data", type=Path, help="rows, .csv or .parquet, with the model's columns")
    parser.add_argument("--out", type=Path, help="where to write them with labels; else counts")
    options = parser.parse_args(arguments)
    targets.check({"--out": options.out}, {"data": options.data, "model": options.model})
    model, names = loaded(options.model)
    table = tables.read(options.data)
    tables.check_columns(table, names, str(options.model))
    mixture = model._mixture()
    noisy = mixture.noise is not None
    if options.out is not None:
        own = tables.added_names(mixture.n_components, noise=noisy)
        tables.check_free(table, own, "--out")
    rows = finite(table, names)
    labels, score = model.predict(rows), model.score(rows)
    say(f"{len(rows)} rows, mean log-density {score:.6f}")
    for k in range(-noisy, mixture.n_components):
        name = "noise" if k < 0 else f"component {k}"
        say(f"  {name:<12}  {np.count_nonzero(labels == k)} rows")
    if options.out is not None:
        targets.write(
            options.out, lambda path: tables.write(path, tables.labelled(table, model, rows))
        )
        say(f"Labelled rows written to {options.out}")
    return 0


def loaded(path: Path) -> tuple[GaussianMixture, list[str]]:
    """The model in a file, and the columns that it knows; it is then asked by arrays."""
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
