"""What a person wants to see of a fit, as text in lines that are not too long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from warnings import WarningMessage

import numpy as np

from emgmm.commands.output import WIDTH, wrapped
from emgmm.diagnosis import Diagnosis
from emgmm.estimator import GaussianMixture
from emgmm.mixture import Mixture

# Features that are written side by side, and letters of their names; of more, each has a line.
SIDE_BY_SIDE = 6
LETTERS = 10

# Width of a feature's name, where it has a line.
NAME = 16

# Candidates that are shown.
SHOWN = 10


def report(
    title: str, model: GaussianMixture, rows: Any, names: Sequence[str], weights: Any = None
) -> str:
    """Components, likelihood, criterion and ending."""
    mixture = model._mixture()
    wide = mixture.n_features <= SIDE_BY_SIDE
    written = list((side_by_side if wide else one_below_another)(mixture, names))
    if mixture.noise is not None:
        written.append(f"  {'noise':>9}  {mixture.noise.weight:.4f}")
    mean = model.score(rows, sample_weight=weights)
    log_likelihood = mean * (len(rows) if weights is None else weights.sum())
    return "\n".join(
        [
            title,
            *written,
            f"  log-likelihood {log_likelihood:.4f} ({mean:.6f} per row), "
            f"{model.n_parameters()} parameters",
            f"  BIC {model.bic(rows, sample_weight=weights):.4f}, lower is better",
            f"  EM ended after {model.n_iter_} iterations and {model.history_['passes'][-1]} "
            f"passes over the data: {model.ending_.name}.",
            wrapped(f"  {model.ending_.sentence}", "  "),
        ]
    )


def deviations(mixture: Mixture) -> Any:
    """(K, D): standard deviations."""
    return np.sqrt(np.diagonal(mixture.dense_covariances(), axis1=1, axis2=2))


def number(value: float) -> str:
    """A mean or a standard deviation, in a column."""
    size = abs(value)
    return f"{value:{'.4f' if size < 1e4 else '.0f' if size < 1e8 else '.3g'}}"


def side_by_side(mixture: Mixture, names: Sequence[str]) -> Iterator[str]:
    """Two lines for each component."""
    width = max(9, *(len(name[:LETTERS]) for name in names))
    head = "".join(f"  {name[:LETTERS]:>{width}}" for name in names)
    yield f"  component  weight  {'':>4}{head}"
    for k, sds in enumerate(deviations(mixture)):
        for what, values in (("mean", mixture.means[k]), ("sd", sds)):
            label = f"  {k:>9}  {mixture.weights[k]:.4f}" if what == "mean" else " " * 19
            numbers = "".join(f"  {number(value):>{width}}" for value in values)
            yield f"{label}  {what:>4}{numbers}"


def one_below_another(mixture: Mixture, names: Sequence[str]) -> Iterator[str]:
    """A line for each feature, mean and standard deviation of as many components as fit in."""
    cells = [
        [f"{mean:.4g} +- {sd:.3g}" for mean, sd in zip(means, sds, strict=True)]
        for means, sds in zip(mixture.means, deviations(mixture), strict=True)
    ]
    width = 2 + max(len(cell) for component in cells for cell in component)
    at_once = (WIDTH - NAME - 2) // width
    for start in range(0, mixture.n_components, at_once):
        some = range(start, min(start + at_once, mixture.n_components))
        yield f"  {'component':<{NAME}}" + "".join(f"{k:>{width}}" for k in some)
        yield f"  {'weight':<{NAME}}" + "".join(f"{mixture.weights[k]:>{width}.4f}" for k in some)
        for j, name in enumerate(names):
            yield f"  {name[:NAME]:<{NAME}}" + "".join(f"{cells[k][j]:>{width}}" for k in some)


def candidates(results: dict[str, Any], criterion: str) -> str:
    """The best of a grid, a line each, and how many failed."""
    order = np.argsort(np.where(np.isnan(results["rank"]), np.inf, results["rank"]), kind="stable")
    failed = results["failure"] != ""
    lines = [
        f"  {'K':>3}  {'family':<9}  {criterion:>12}  {'log-likelihood':>14}  {'parameters':>10}  "
        "ending"
    ]
    for i in [i for i in order if not failed[i]][:SHOWN]:
        said = f" ({results['warnings'][i]})" if results["warnings"][i] else ""
        lines.append(
            f"  {results['n_components'][i]:>3}  {results['covariance_type'][i]:<9}  "
            f"{results[criterion][i]:>12.2f}  {results['log_likelihood'][i]:>14.2f}  "
            f"{results['n_parameters'][i]:>10.0f}  {results['ending'][i]}{said}"
        )
    fitted = int((~failed).sum())
    head = f"{min(SHOWN, fitted)} of {len(failed)} candidates, the best first"
    if failed.any():
        head += f"; {int(failed.sum())} could not be fitted"
    beside = " " * lines[0].index("ending")
    return "\n".join([head, *(wrapped(line, beside) for line in lines)])


def conditions(diagnosis: Diagnosis) -> str:
    """The diagnosis, each condition beside its name."""
    beside = " " * (2 + max(len(name) for name, _ in diagnosis.lines()))
    return "\n".join(wrapped(line, beside) for line in str(diagnosis).splitlines())


def listed_warnings(caught: Iterable[WarningMessage]) -> Iterator[str]:
    """A paragraph for each."""
    for warning in caught:
        yield wrapped(f"{warning.category.__name__}: {warning.message}")
