"""Demonstration of ``emgmm``: fits of a data set of the package."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from emgmm.cli import outputs
from emgmm.cli.arguments import Parser
from emgmm.cli.report import summarized, warning_texts
from emgmm.cli.terminal import write_text
from emgmm.datasets import Dataset, old_faithful, question
from emgmm.estimator import GaussianMixture
from emgmm.plotting import GaussianMixtureDisplay
from emgmm.version import __version__

DESCRIPTION = "Fit a Gaussian mixture to a data set that comes with the package."

COMMANDS = """\
commands for your own data:
  emgmm fit      fit mixtures to the rows of a table and choose one
  emgmm predict  label the rows of a table by a model that fit saved

Each of them explains its options with --help."""

DATA = "Old Faithful's eruptions, the default, or two clusters and a start that misleads EM"


def faithful_fits() -> tuple[Dataset, dict[str, GaussianMixture]]:
    """Fit two components to Old Faithful, initialized by k-means."""
    data = old_faithful()
    model = GaussianMixture(2, tol=1e-8, random_state=0).fit(data.rows)
    return data, {f"Old Faithful: {len(data.rows)} eruptions, in minutes": model}


def question_fits() -> tuple[Dataset, dict[str, GaussianMixture]]:
    """Fit two clusters, initialized with two identical components and by k-means."""
    data = question()
    start: dict[str, Any] = {
        "weights_init": [0.5, 0.5],
        "means_init": [[10, 10], [10, 10]],
        "precisions_init": [np.eye(2) / 10] * 2,
    }
    settings = {
        "Plain EM from two equal components": {**start, "break_symmetry": False},
        "From the same start with break_symmetry, the default": start,
        "From k-means": {},
    }
    new = partial(GaussianMixture, 2, reg_covar=0, tol=1e-8, random_state=0)
    return data, {title: new(**more).fit(data.rows) for title, more in settings.items()}


FITS = {"faithful": faithful_fits, "question": question_fits}


def draw(data: Dataset, fits: dict[str, GaussianMixture]) -> Any:
    """Return a figure with one panel for each fit."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6 * len(fits), 4.6), layout="constrained")
    for number, (title, model) in enumerate(fits.items(), start=1):
        ax = figure.add_subplot(1, len(fits), number)
        GaussianMixtureDisplay.from_estimator(model, data.rows, ax=ax)
        ax.set(xlabel=data.feature_names[0], ylabel=data.feature_names[1])
        ax.set_title(title, fontsize="medium")
    return figure


def main(arguments: list[str]) -> None:
    """Run the command."""
    parser = Parser("", DESCRIPTION, COMMANDS)
    parser.add_argument("data", nargs="?", choices=FITS, default="faithful", help=DATA)
    parser.add_argument(
        "--plot", metavar="FILE", type=Path, help="draw the fits (needs matplotlib)"
    )
    parser.add_argument("--version", action="version", version=f"emgmm {__version__}")
    options = parser.parse_args(arguments)
    outputs.check(options, ("plot",))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data, fits = FITS[options.data]()
    rows, names = data.rows, data.feature_names
    texts = (f"{title}\n\n{summarized(model, rows, names)}" for title, model in fits.items())
    write_text("\n\n\n".join(texts))
    for text in warning_texts(caught, names):
        write_text(f"\n{text}")
    outputs.write(options, plot=partial(outputs.write_figure, options, partial(draw, data, fits)))
