"""Formatting of fits, candidates and warnings as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from warnings import WarningMessage

import numpy as np

from emgmm.base import BaseMixture, fitted_mixture
from emgmm.cli.terminal import join_names, printable, wrap
from emgmm.diagnostics import MixtureSummary
from emgmm.exceptions import format_components

# Number of candidates that are printed.
PRINTED = 10


def summarized(
    model: BaseMixture, rows: Any, names: Sequence[str], weights: Any = None
) -> MixtureSummary:
    """Return the summary of a model with the names of the columns to which it was fitted."""
    correlated = fitted_mixture(model).family.structure.has_covariances
    summary = model.summary(rows, sample_weight=weights, correlations=correlated)
    return replace(summary, feature_names=tuple(map(printable, names)))


def candidates(results: dict[str, Any], criterion: str) -> str:
    """Return a table of the best candidates and the numbers of those set aside or failed."""
    order = np.argsort(np.where(np.isnan(results["rank"]), np.inf, results["rank"]), kind="stable")
    failed = results["failure"] != ""
    aside = ~failed & ~results["sound"]
    lines = [
        f"  {'K':>3}  {'family':<9}  {criterion.upper():>12}  {'log-likelihood':>14}  "
        f"{'parameters':>10}  ending"
    ]
    for i in [i for i in order if not failed[i]][:PRINTED]:
        warned = f" ({results['warnings'][i]})" if results["warnings"][i] else ""
        reason = f", set aside: {results['reason'][i]}" if aside[i] else ""
        lines.append(
            f"  {results['n_components'][i]:>3}  {results['covariance_type'][i]:<9}  "
            f"{results[criterion][i]:>12.2f}  {results['log_likelihood'][i]:>14.2f}  "
            f"{results['n_parameters'][i]:>10.0f}  {results['ending'][i]}{warned}{reason}"
        )
    fitted = int((~failed).sum())
    head = f"{min(PRINTED, fitted)} of {len(failed)} candidates, the best first"
    if aside.any():
        head += f"; {int(aside.sum())} set aside because components collapsed or starved"
    if failed.any():
        head += f"; {int(failed.sum())} could not be fitted"
    beside = " " * lines[0].index("ending")
    return "\n".join([wrap(head), *(wrap(line, beside) for line in lines)])


def warning_texts(caught: Iterable[WarningMessage], names: Sequence[str]) -> list[str]:
    """Return the text of each distinct warning with the components or columns concerned."""
    found = []
    for warning in caught:
        subject = concerned(warning.message, names)
        text = f"{warning.category.__name__}: {warning.message}{subject and f' ({subject})'}"
        found.append(wrap(text, ""))
    return list(dict.fromkeys(found))


def concerned(warning: Any, names: Sequence[str]) -> str:
    """Return the components or columns that a warning concerns; empty for the whole fit."""
    components = getattr(warning, "components", ())
    if components:
        groups = components if isinstance(components[0], tuple) else (components,)
        return "; ".join(map(format_components, groups))
    features = np.ravel(getattr(warning, "features", ())).astype(int)
    columns = join_names(names[j] for j in dict.fromkeys(features.tolist()))
    return columns and f"columns: {columns}"
