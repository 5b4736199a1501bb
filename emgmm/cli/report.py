"""What a person wants to know of a fit, as text in lines of at most 100 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from warnings import WarningMessage

import numpy as np

from emgmm.cli.output import printable, together, wrapped
from emgmm.criteria import ComparableEstimator
from emgmm.diagnostics import Diagnosis, MixtureSummary
from emgmm.exceptions import format_components

# How many candidates are shown.
SHOWN = 10


def summarized(
    model: ComparableEstimator, rows: Any, names: Sequence[str], weights: Any = None
) -> MixtureSummary:
    """The summary of a model that was fitted to rows without names, with the names of columns."""
    summary = model.summary(rows, sample_weight=weights, correlations=True)
    return replace(summary, feature_names=tuple(map(printable, names)))


def candidates(results: dict[str, Any], criterion: str) -> str:
    """The best candidates of a grid, a line for each, and how many were set aside or failed."""
    order = np.argsort(np.where(np.isnan(results["rank"]), np.inf, results["rank"]), kind="stable")
    failed = results["failure"] != ""
    aside = ~failed & ~results["sound"]
    lines = [
        f"  {'K':>3}  {'family':<9}  {criterion.upper():>12}  {'log-likelihood':>14}  "
        f"{'parameters':>10}  ending"
    ]
    for i in [i for i in order if not failed[i]][:SHOWN]:
        warned = f" ({results['warnings'][i]})" if results["warnings"][i] else ""
        reason = f", set aside: {results['reason'][i]}" if aside[i] else ""
        lines.append(
            f"  {results['n_components'][i]:>3}  {results['covariance_type'][i]:<9}  "
            f"{results[criterion][i]:>12.2f}  {results['log_likelihood'][i]:>14.2f}  "
            f"{results['n_parameters'][i]:>10.0f}  {results['ending'][i]}{warned}{reason}"
        )
    fitted = int((~failed).sum())
    head = f"{min(SHOWN, fitted)} of {len(failed)} candidates, the best first"
    if aside.any():
        head += f"; {int(aside.sum())} set aside because components collapsed or starved"
    if failed.any():
        head += f"; {int(failed.sum())} could not be fitted"
    beside = " " * lines[0].index("ending")
    return "\n".join([wrapped(head, "  "), *(wrapped(line, beside) for line in lines)])


def conditions(diagnosis: Diagnosis) -> str:
    """The diagnosis, with each condition beside its name."""
    beside = " " * (2 + max(len(name) for name, _ in diagnosis.lines()))
    return "\n".join(wrapped(line, beside) for line in str(diagnosis).splitlines())


def listed_warnings(caught: Iterable[WarningMessage], names: Sequence[str]) -> list[str]:
    """A paragraph for each different warning, with the components or columns that it is about."""
    found = []
    for warning in caught:
        about = concerned(warning.message, names)
        text = f"{warning.category.__name__}: {warning.message}{about and f' ({about})'}"
        found.append(wrapped(text))
    return list(dict.fromkeys(found))


def concerned(warning: Any, names: Sequence[str]) -> str:
    """The components or else the columns that a warning is about; empty for the whole fit."""
    components = getattr(warning, "components", ())
    if components:
        groups = components if isinstance(components[0], tuple) else (components,)
        return "; ".join(map(format_components, groups))
    features = np.ravel(getattr(warning, "features", ())).astype(int)
    columns = together(names[j] for j in dict.fromkeys(features.tolist()))
    return columns and f"columns: {columns}"
