"""The warnings of a fit: what was found, and what to do about it."""

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
from emgmm.fitting.loop import Ending, Run, rests
from emgmm.mixture import Mixture
from emgmm.prior import Prior
from emgmm.statistics import Statistics
from emgmm.summary import DataSummary
from emgmm.typing import Array

WHY = (
    "every row is shared out between them in the same proportions, iteration after iteration, so "
    "that EM cannot part them"
)

# Nats per free parameter that may be left to gain before `fit` says so, and nats in total before
# an information criterion does: half a nat is one unit of the criterion.
LEFT_PER_PARAMETER = 0.5
LEFT_IN_TOTAL = 0.5

# The share of a feature's variance above which the ridge is no longer a small correction.
LARGE_RIDGE = 1e-2


def warnings_of(
    run: Run,
    n_rows: int,
    ridge: float,
    *,
    break_symmetry: bool,
    least_mass: float | None = None,
) -> list[EMWarning]:
    """The warnings about the components of a fit; none for a sound one, or for a mere start.

    Parameters
    ----------
    n_rows : int
        How many rows count.
    least_mass : float, optional
        Rows that a component needs for its covariance; the family knows by default.
    """
    mixture, statistics = run.step.mixture, run.step.statistics
    found: list[EMWarning] = []
    if run.ending is Ending.START_ONLY:  # the user asked for the start, not for a fit
        return found
    at_rest = run.converged or rests(run.objectives)
    groups = run.met if break_symmetry else (coincident(mixture) if at_rest else [])
    hungry = tuple(starved(mixture, statistics, n_rows))
    total = statistics.total_covariance(mixture.family)
    small = collapsed(mixture, statistics, total, ridge, n_rows, least_mass=least_mass)
    narrow = tuple(k for k in small if k not in hungry)
    # A component is named once, in the warning that says most.
    groups = [group for group in groups if not {*hungry, *narrow}.issuperset(group)]
    if groups:
        found.append(_coincident(run, tuple(dict.fromkeys(groups)), break_symmetry=break_symmetry))
    if hungry or narrow:
        found.append(_unsound(mixture, statistics, hungry, narrow))
    return found


def stopped_short(remaining_gain: float, allowed: float) -> list[EMWarning]:
    """The warning of a fit with more left to gain than is allowed, both in nats in total."""
    if not remaining_gain > allowed:
        return []
    warning = StoppedShortWarning(
        "EM stopped although the log-likelihood can still be raised by more than is negligible "
        "beside the number of parameters: information criteria and comparisons with other models "
        "are not reliable. Use a smaller tol with a larger max_iter, and acceleration='anderson'."
    )
    warning.remaining_gain = remaining_gain
    return [warning]


def large_ridge(summary: DataSummary, ridge: float) -> list[EMWarning]:
    """The warning of a ridge that is large beside the variance of a feature that varies."""
    variances = summary.variances
    found = np.flatnonzero(summary.varies & (ridge > LARGE_RIDGE * variances))
    if not len(found):
        return []
    warning = RegularizationWarning(
        "reg_covar is more than a hundredth of the variance of some features (see the attribute "
        "`features` of this warning), so that it decides their covariances in place of the data. "
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
    """What must be said of features whose covariance no row tells, where the family has one."""
    D = len(summary.mean)
    if summary.pair_weights is None or family.structure.n_monomials(D) <= D:
        return []
    pairs = np.argwhere(np.triu(summary.pair_weights <= 0, k=1))
    if not len(pairs):
        return []
    named = tuple((int(i), int(j)) for i, j in pairs)
    few = ", ".join(f"({i}, {j})" for i, j in named[:5]) + (", ..." if len(named) > 5 else "")
    return [
        UnobservedPairWarning(
            f"Features {few}, counted from 0, were never observed in the same row: no row tells "
            "their covariance within a component, and it stays what the start made it. Use a "
            "covariance_type without covariances, such as 'diag', or leave one of them out.",
            named,
        )
    ]


def _coincident(
    run: Run, groups: Sequence[tuple[int, ...]], *, break_symmetry: bool
) -> CoincidentComponentsWarning:
    found = f"EM came to rest with components that are the same: {WHY}."
    before = after = run.objectives[-1]
    if "escape" in run.events:
        before = run.objectives[run.events.index("escape") - 1]
        text = (
            f"{found} They were split and EM went on to a higher likelihood. Start from components "
            "that differ to go there directly."
        )
        if run.ending is Ending.COINCIDENT:
            text += " Some are still the same: fewer components describe these data as well."
    elif break_symmetry:
        text = (
            f"{found} No split of them with the iterations that were left raised the likelihood: "
            "use fewer components, or another start."
        )
    else:
        text = (
            f"{found} This is no maximum that means anything: set break_symmetry=True, or start "
            "from components that differ."
        )
    warning = CoincidentComponentsWarning(text, tuple(groups))
    warning.before, warning.after = before, after
    return warning


STARVED = (
    "The fit has components that hold less than one row, so that their parameters rest on next to "
    "nothing. Use fewer components or another start."
)
COLLAPSED = (
    "The fit has collapsed components: each shrank onto rows that are equal, or too few, in some "
    "direction, where the likelihood grows without bound. Use fewer components, a covariance_type "
    "with fewer parameters or prior='conjugate', or remove duplicated rows and constant features."
)
UNSOUND = (
    "The fit has components that shrank onto rows that are equal, or too few, in some direction, "
    "and others that hold less than one row. Use fewer components or prior='conjugate', or remove "
    "duplicated rows and constant features."
)


def _unsound(
    mixture: Mixture,
    statistics: Statistics,
    hungry: tuple[int, ...],
    narrow: tuple[int, ...],
) -> EMWarning:
    """One warning of all components that starved, and of all that collapsed."""
    components = tuple(sorted({*hungry, *narrow}))
    chosen = list(components)
    mass = np.minimum(statistics.counts, mixture.weights * statistics.weight)
    masses = np.where(np.isin(components, hungry), mass[chosen], statistics.counts[chosen])
    warning: StarvedComponentWarning | CollapsedComponentWarning
    if not narrow:
        warning = StarvedComponentWarning(STARVED, components)
    else:
        kind = UnsoundComponentsWarning if hungry else CollapsedComponentWarning
        warning = kind(UNSOUND if hungry else COLLAPSED, components)
        warning.standard_deviations = tuple(_narrowest(mixture)[chosen].tolist())
    warning.masses = tuple(masses.tolist())
    return warning


def _narrowest(mixture: Mixture) -> Array:
    """(K,): the smallest standard deviation of each component, in any direction."""
    shape, stack = mixture.family.structure, mixture.covariance_stack
    unit = shape.add_ridge(np.zeros_like(stack[:1]), 1.0)[0]
    least = np.broadcast_to(
        shape.min_variance(stack, unit, mixture.n_features), mixture.n_components
    )
    return np.sqrt(np.maximum(least, 0.0))
