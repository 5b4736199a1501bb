"""``python -m emgmm fit``: a mixture chosen for a file's rows."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from emgmm.commands import tables
from emgmm.commands.errors import FAILED, CommandError, told
from emgmm.commands.report import candidates, listed_warnings, report
from emgmm.displays import GaussianMixtureDisplay, InformationCriterionDisplay
from emgmm.estimator import GaussianMixture
from emgmm.families import FAMILIES
from emgmm.files import replaced
from emgmm.selection import CRITERIA, GaussianMixtureIC
from emgmm.sources import blocks
from emgmm.starts import STARTS
from emgmm.typing import Array

# Features of a picture, at the most.
DRAWN = 5


class Watched(GaussianMixtureIC):
    """A grid whose progress is shown on standard error, where that is a terminal."""

    def _heard(self, line: dict[str, Any], number: int, total: int) -> None:
        if number == 1:
            self._bar = bar(total)
        self._bar.set_postfix_str(f"{line['n_components']} {line['covariance_type']}")
        self._bar.update()
        if number == total:
            self._bar.close()


def bar(total: int) -> Any:
    """A progress bar, silent where nobody looks."""
    try:
        from tqdm import tqdm
    except ImportError:
        raise CommandError("progress needs tqdm: pip install 'emgmm[cli]'", FAILED) from None
    return tqdm(total=total, file=sys.stderr, disable=None, leave=False, unit="fit")


def numbers(text: str) -> list[int]:
    """``1:9`` (both included), ``3`` or ``2,3,5``."""
    try:
        if ":" in text:
            first, last = map(int, text.split(":"))
            found = list(range(first, last + 1))
        else:
            found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 1:9, 3 or 2,3,5")
    return found


def families(text: str) -> str | list[str]:
    """``all``, or names of families."""
    names = text.split(",")
    unknown = [name for name in names if name not in FAMILIES]
    if text != "all" and unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(FAMILIES)}")
    return "all" if text == "all" else names


def listed(text: str) -> list[str]:
    """Names with commas between."""
    return text.split(",")


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m emgmm fit",
        description="Fit Gaussian mixtures to the rows of a table, choose one, and say what it is.",
    )
    add = parser.add_argument
    add("data", type=Path, help="rows, .csv or .parquet; what is missing is missing")
    add("--components", type=numbers, default=numbers("1:9"), metavar="1:9", help="how many to try")
    add("--families", type=families, default="all", metavar="NAMES", help="all, or EEE,VVV,...")
    add("--criterion", choices=CRITERIA, default="bic", help="the lowest is chosen")
    add("--columns", type=listed, metavar="A,B", help="to use; else all that hold numbers")
    add("--weights", metavar="COLUMN", help="what each row counts")
    add("--out", type=Path, help="where to write the rows with labels and probabilities")
    add("--model", type=Path, help="where to write the model, as JSON")
    add("--plot", type=Path, help="where to draw it, .png, .pdf or .svg")
    add("--seed", type=int, default=0, help="of the starts (default: %(default)s)")
    add("--start", choices=STARTS, default="kmeans", help="where EM begins (default: %(default)s)")
    add("--prior", choices=("conjugate",), help="a prior in the data's own units")
    add("--noise", choices=("uniform",), help="a component for rows that belong to none")
    add("--jobs", type=int, help="candidates at the same time")
    return parser.parse_args(arguments)


@told
def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    asked = parsed(arguments)
    tables.check_target(asked.out, "--out", tables.SUFFIXES)
    tables.check_target(asked.model, "--model")
    tables.check_target(asked.plot, "--plot", (".png", ".pdf", ".svg"))
    for option in ("out", "model", "plot"):
        target = getattr(asked, option)
        if target is not None and target.resolve() == asked.data.resolve():
            raise CommandError(f"--{option} is the data's own file: give another")
    table = tables.read(asked.data)
    names, left_out = columns(table, asked)
    if asked.out is not None:
        most = tables.added_names(max(asked.components), noise=asked.noise is not None)
        tables.check_free(table, most, "--out")
    rows = tables.matrix(table, names)
    weights = None if asked.weights is None else tables.matrix(table, [asked.weights])[:, 0]
    print(f"{asked.data}: {len(rows)} rows of {', '.join(names)}")
    if left_out:
        print(f"Left out, for they hold no numbers: {', '.join(left_out)}")
    if missing := np.count_nonzero(np.isnan(rows)):
        print(f"{missing} values are missing; the likelihood is that of the others.")
    chosen, caught = fitted(asked, rows, weights)
    model = chosen.best_estimator_
    print(f"\n{candidates(chosen.results_, asked.criterion)}")
    title = (
        f"Chosen by {asked.criterion.upper()}: {model.covariance_type}, K = {model.n_components}"
    )
    print(f"\n{report(title, model, rows, names, weights)}")
    print(f"\n{model.diagnose(rows, sample_weight=weights)}")
    print(*listed_warnings(caught), sep="", end="")
    keep(asked, table, rows, names, chosen)
    return 0


def columns(table: Any, asked: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Columns to use, and those that are left out because they hold no numbers."""
    if asked.weights is not None:
        tables.check_columns(table, [asked.weights], "--weights")
    if asked.columns is not None:
        tables.check_columns(table, asked.columns, "--columns")
        return asked.columns, []
    names = [name for name in table.column_names if name != asked.weights]
    numeric = [name for name in names if tables.is_numeric(table, name)]
    if not numeric:
        raise CommandError(f"{asked.data}: no column holds numbers; there are {', '.join(names)}")
    return numeric, [name for name in names if name not in numeric]


def fitted(
    asked: argparse.Namespace, rows: Array, weights: Array | None
) -> tuple[GaussianMixtureIC, list[warnings.WarningMessage]]:
    """The grid, fitted, and what was warned of."""
    grid = Watched(
        asked.components,
        covariance_type=asked.families,
        criterion=asked.criterion,
        n_jobs=asked.jobs,
        init_params=asked.start,
        random_state=asked.seed,
        prior=asked.prior,
        noise=asked.noise,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            grid.fit(rows, sample_weight=weights)
        except ValueError as error:
            raise CommandError(str(error), FAILED) from None
    return grid, caught


def keep(
    asked: argparse.Namespace, table: Any, rows: Array, names: list[str], chosen: GaussianMixtureIC
) -> None:
    """Write what was asked for."""
    model = chosen.best_estimator_
    labelled = None if asked.out is None else tables.labelled(table, model, rows)
    model.feature_names_in_ = np.array(names, dtype=object)
    for what, path, write in (
        ("Labelled rows", asked.out, lambda path: tables.write(path, labelled)),
        ("Model", asked.model, model.save),
        ("Picture", asked.plot, lambda path: draw(path, rows, chosen)),
    ):
        if path is None:
            continue
        try:
            write(path)
        except ImportError as error:
            raise CommandError(
                f"cannot write {path} ({error}): pip install 'emgmm[cli]'", FAILED
            ) from None
        except OSError as error:
            raise CommandError(f"cannot write {path}: {error}", FAILED) from None
        print(f"\n{what} written to {path}")


def draw(path: Path, rows: Array, chosen: GaussianMixtureIC) -> None:
    """The components, and beside them the criterion where there was a choice."""
    from matplotlib.figure import Figure

    model: GaussianMixture = chosen.best_estimator_
    D = rows.shape[1]
    several = len(chosen.results_["rank"]) > 1
    figure = Figure(figsize=(14 if several else 7.5, 6), layout="constrained")
    axes = figure.subplots(1, 1 + several, squeeze=False)[0]
    features = 0 if D == 1 else tuple(range(min(D, DRAWN)))
    GaussianMixtureDisplay.from_estimator(model, blocks([rows]), features=features, ax=axes[0])
    if several:
        InformationCriterionDisplay.from_estimator(chosen, ax=axes[1])
    with replaced(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=120)
