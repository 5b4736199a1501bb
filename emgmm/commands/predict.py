"""``python -m emgmm predict``: a model that was kept, applied to a file's rows."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from emgmm.commands import tables
from emgmm.commands.errors import FAILED, CommandError, told
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
    tables.check_target(options.out, "--out", tables.SUFFIXES)
    if options.out is not None and options.out.resolve() == options.data.resolve():
        raise CommandError("--out is the data's own file: give another")
    model, names = loaded(options.model)
    table = tables.read(options.data)
    tables.check_columns(table, names, str(options.model))
    mixture = model._mixture()
    noisy = mixture.noise is not None
    if options.out is not None:
        own = tables.added_names(mixture.n_components, noise=noisy)
        tables.check_free(table, own, "--out")
    rows = tables.matrix(table, names)
    try:
        labels, score = model.predict(rows), model.score(rows)
    except ValueError as error:
        raise CommandError(str(error)) from None
    print(f"{len(rows)} rows, mean log-density {score:.6f}")
    for k in range(-noisy, mixture.n_components):
        name = "noise" if k < 0 else f"component {k}"
        print(f"  {name:<12}  {np.count_nonzero(labels == k)} rows")
    if options.out is not None:
        try:
            tables.write(options.out, tables.labelled(table, model, rows))
        except OSError as error:
            raise CommandError(f"cannot write {options.out}: {error}", FAILED) from None
        print(f"Labelled rows written to {options.out}")
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
