"""Warnings of a fit: their conditions, texts and attributes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emgmm.covariances import Family
from emgmm.degeneracy import coincident, collapsed, starved
from emgmm.exceptions import (
    CoincidentComponentsWarning,
    CollapsedComponentWarning,
    EMWarning,
    RegularizationWarning,
    StarvedComponentWarning,
    StoppedShortWarning,
    UnobservedPairWarning,
    UnsoundComponentsWarning,
)
from emgmm.fitting.loop import Ending, Run, is_at_rest
from emgmm.mixture import Mixture
from emgmm.prior import Prior
from emgmm.statistics import Statistics
from emgmm.summary import DataSummary
from emgmm.typing import Array

# Largest remaining gain without a warning: in nats per free parameter for `fit`, and in nats in
# total for an information criterion, of which half a nat is one unit.
MAX_GAIN_PER_PARAMETER = 0.5
MAX_GAIN_IN_TOTAL = 0.5

# Fraction of a feature's variance above which the ridge is no longer a small correction.
LARGE_RIDGE = 1e-2


def component_warnings(
    run: Run,
    n_rows: int,
    ridge: float,
    *,
    break_symmetry: bool,
    min_count: float | None = None,
) -> list[EMWarning]:
    """Return the warnings about the components of a fit.

    There are none if the fit is sound, or if the user requested the initial parameters only.

    Parameters
    ----------
    run : Run
        Run that the fit ended with.
    n_rows : int
        Number of rows of positive weight with an observed value.
    ridge : float
        Number that was added to the variances.
    break_symmetry : bool
        Whether coincident components were split.
    min_count : float, optional
        Number of rows that a component needs for its covariance; by default, the family's.
    """
    mixture, statistics = run.step.mixture, run.step.statistics
    found: list[EMWarning] = []
    if run.ending is Ending.START_ONLY:
        return found
    at_rest = run.converged or is_at_rest(run.objectives)
    groups = run.coincident if break_symmetry else (coincident(mixture) if at_rest else [])
    few_rows = tuple(starved(mixture, statistics, n_rows))
    total = statistics.total_covariance(mixture.family)
    tiny = collapsed(mixture, statistics, total, ridge, n_rows, min_count=min_count)
    tiny_only = tuple(k for k in tiny if k not in few_rows)
    # Each component is named once, in the more informative warning.
    groups = [group for group in groups if not {*few_rows, *tiny_only}.issuperset(group)]
    if groups:
        found.append(_coincident(run, tuple(dict.fromkeys(groups)), break_symmetry=break_symmetry))
    if few_rows or tiny_only:
        found.append(_unsound(mixture, statistics, few_rows, tiny_only))
    return found


def stopped_short(remaining_gain: float, allowed: float) -> list[EMWarning]:
    """Return the warning of a remaining gain above the allowed one, both in nats in total."""
    if not remaining_gain > allowed:
        return []
    warning = StoppedShortWarning(
        "EM stopped although the log-likelihood can still increase by an amount that is not "
        "negligible compared with the number of parameters: information criteria and comparisons "
        "with other models are not reliable. Use a smaller tol with a larger max_iter, and "
        "acceleration='anderson'."
    )
    warning.remaining_gain = remaining_gain
    return [warning]


def large_ridge(summary: DataSummary, ridge: float) -> list[EMWarning]:
    """Return the warning of a ridge that is large compared with the variance of a feature."""
    variances = summary.variances
    found = np.flatnonzero(summary.varies & (ridge > LARGE_RIDGE * variances))
    if not len(found):
        return []
    warning = RegularizationWarning(
        "reg_covar is more than a hundredth of the variance of some features (see the attribute "
        "`features` of this warning), so that it determines their covariances instead of the data. "
        "Rescale these features, use a smaller reg_covar, or set prior='conjugate'."
    )
    warning.features = tuple(found.tolist())
    with np.errstate(over="ignore"):
        warning.shares = tuple((ridge / variances[found]).tolist())
    return [warning]


def diagonal_scale(prior: Prior | None) -> list[EMWarning]:
    """Return the warning of a prior whose scale is the diagonal of a singular covariance."""
    if prior is None or not prior.diagonal:
        return []
    return [
        EMWarning(
            "The covariance of X, from which the prior's scale is derived, is singular, because "
            "columns are collinear or there are no more rows than columns. Its diagonal is used "
            "instead. Drop redundant columns, or set prior=NormalInverseWishart(scale=...)."
        )
    ]


def unobserved_pairs(summary: DataSummary, family: Family) -> list[UnobservedPairWarning]:
    """Return the warning of features without a common row, if the family has their covariance."""
    if summary.pair_weights is None or not family.structure.has_covariances:
        return []
    pairs = np.argwhere(np.triu(summary.pair_weights <= 0, k=1))
    if not len(pairs):
        return []
    named = tuple((int(i), int(j)) for i, j in pairs)
    few = ", ".join(f"({i}, {j})" for i, j in named[:5]) + (", ..." if len(named) > 5 else "")
    return [
        UnobservedPairWarning(
            f"Features {few}, counted from 0, were never observed in the same row: the data do not "
            "determine their covariance within a component, which remains the initial one. Use a "
            "covariance_type without covariances, such as 'diag', or drop one of them.",
            named,
        )
    ]


def _coincident(
    run: Run, groups: Sequence[tuple[int, ...]], *, break_symmetry: bool
) -> CoincidentComponentsWarning:
    found = (
        "EM came to rest with identical components: their responsibilities for every row have the "
        "same proportions in each iteration, so that EM cannot separate them."
    )
    before = after = run.objectives[-1]
    escapes = [t for t, entry in enumerate(run.entries) if entry.event == "escape"]
    if escapes:
        before = run.objectives[escapes[0] - 1]
        text = (
            f"{found} They were split, and EM continued to a higher likelihood. Start from "
            "components that differ to get there directly."
        )
        if run.ending is Ending.COINCIDENT:
            text += " Some are still identical: fewer components describe these data as well."
    elif break_symmetry:
        text = (
            f"{found} No split of them increased the likelihood within the remaining iterations: "
            "use fewer components, or another initialization."
        )
    else:
        text = (
            f"{found} This is not a meaningful maximum: set break_symmetry=True, or start from "
            "components that differ."
        )
    warning = CoincidentComponentsWarning(text, tuple(groups))
    warning.before, warning.after = before, after
    return warning


STARVED = (
    "The fit has components with an effective number of rows below one, so that the data hardly "
    "determine their parameters. Use fewer components or another initialization."
)
COLLAPSED = (
    "The fit has collapsed components: each shrank onto rows that are equal, or too few, in some "
    "direction, where the likelihood grows without bound. Use fewer components, a covariance_type "
    "with fewer parameters or prior='conjugate', or remove duplicated rows and constant features."
)
UNSOUND = (
    "The fit has components that shrank onto rows that are equal, or too few, in some direction, "
    "and others with an effective number of rows below one. Use fewer components or "
    "prior='conjugate', or remove duplicated rows and constant features."
)


def _unsound(
    mixture: Mixture,
    statistics: Statistics,
    starved: tuple[int, ...],
    collapsed: tuple[int, ...],
) -> EMWarning:
    """Return the warning of all components that starved or collapsed."""
    components = tuple(sorted({*starved, *collapsed}))
    chosen = list(components)
    least = np.minimum(statistics.counts, mixture.weights * statistics.weight)
    counts = np.where(np.isin(components, starved), least[chosen], statistics.counts[chosen])
    warning: StarvedComponentWarning | CollapsedComponentWarning
    if not collapsed:
        warning = StarvedComponentWarning(STARVED, components)
    else:
        kind = UnsoundComponentsWarning if starved else CollapsedComponentWarning
        warning = kind(UNSOUND if starved else COLLAPSED, components)
        warning.standard_deviations = tuple(_smallest_sds(mixture)[chosen].tolist())
    warning.masses = tuple(counts.tolist())
    return warning


def _smallest_sds(mixture: Mixture) -> Array:
    """Return the smallest standard deviation of each component in any direction, shape (K,)."""
    structure, stack = mixture.family.structure, mixture.covariance_stack
    identity = structure.add_ridge(np.zeros_like(stack[:1]), 1.0)[0]
    variances = structure.min_variance(stack, identity, mixture.n_features)
    variances = np.broadcast_to(variances, mixture.n_components)
    return np.sqrt(np.maximum(variances, 0.0))
