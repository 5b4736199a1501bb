"""Warnings and errors of a fit: their conditions, texts and attributes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from emgmm.covariances import Family
from emgmm.degeneracy import are_surely_sound
from emgmm.em import EM
from emgmm.exceptions import (
    CoincidentComponentsWarning,
    CollapsedComponentWarning,
    EMWarning,
    RegularizationWarning,
    StarvedComponentWarning,
    StoppedShortWarning,
    UnobservedPairWarning,
    UnsoundComponentsWarning,
    format_features,
)
from emgmm.fitting.loop import Ending, Run, is_at_rest
from emgmm.mixture import Mixture
from emgmm.prior import Prior
from emgmm.sources import ArraySource, Source
from emgmm.statistics import Statistics
from emgmm.summary import DataSummary
from emgmm.typing import Array, Integers

# Largest remaining gain without a warning: in nats per free parameter for `fit`, and in nats in
# total for an information criterion, of which half a nat is one unit.
MAX_GAIN_PER_PARAMETER = 0.5
MAX_GAIN_IN_TOTAL = 0.5

# Fraction of a feature's variance above which the ridge is no longer a small correction.
LARGE_RIDGE = 1e-2

# Largest number of distinct values of a discrete column, the most frequent reason for collapsed
# components, and number of leading rows that are examined first, which rules out most others.
MAX_DISTINCT = 10
FIRST_ROWS = 1000

# Number of rows per block of the search for the value that an error names.
BLOCK_ROWS = 2**16


def warnings_of_fit(em: EM, run: Run, *, break_symmetry: bool) -> tuple[UserWarning, ...]:
    """Return the warnings of a fit that ended with a run, at most one of each class.

    A fit that a callback stopped has no warning that it ended too early.
    """
    if run.ending is Ending.START_ONLY:  # only the initial parameters were requested
        return ()
    mixture, summary, constraints = run.step.mixture, em.summary, em.m_step.constraints
    found: list[UserWarning] = []
    stopped = run.ending is Ending.STOPPED
    found += [] if stopped else not_converged(run)
    found += component_warnings(em, run, break_symmetry=break_symmetry)
    for warning in found:
        if isinstance(warning, CollapsedComponentWarning):
            warning.args = (f"{warning}{discrete_columns(em.source)}",)
    if not found and not stopped:  # otherwise less telling
        found += stopped_early(run, constraints.n_parameters(mixture))
    found += diagonal_scale(em.m_step.prior)
    if not constraints.all_covariances:
        found += large_ridge(summary, em.m_step.ridge)
        found += unobserved_pairs(summary, mixture.family)
    return tuple(found)


def component_warnings(em: EM, run: Run, *, break_symmetry: bool) -> list[EMWarning]:
    """Return the warnings about the components of a fit, none if it is sound.

    Parameters
    ----------
    em : EM
        EM's map.
    run : Run
        Run that the fit ended with.
    break_symmetry : bool
        Whether coincident components were split.
    """
    mixture, statistics = run.step.mixture, run.step.statistics
    found: list[EMWarning] = []
    at_rest = run.converged or is_at_rest(run.objectives)
    groups = [*run.coincident]
    if at_rest and (not break_symmetry or run.ending is Ending.STOPPED):
        groups += em.coincident(mixture)
    few_rows: tuple[int, ...] = ()
    tiny_only: tuple[int, ...] = ()
    if not are_sound(em, mixture, statistics):
        few_rows = tuple(em.starved(mixture, statistics))
        tiny_only = tuple(k for k in em.collapsed(mixture, statistics) if k not in few_rows)
    # Each component is named once, in the more informative warning.
    groups = [group for group in groups if not {*few_rows, *tiny_only}.issuperset(group)]
    if groups:
        found.append(_coincident(run, tuple(dict.fromkeys(groups)), break_symmetry=break_symmetry))
    if few_rows or tiny_only:
        found.append(_unsound(mixture, statistics, few_rows, tiny_only))
    return found


def are_sound(em: EM, mixture: Mixture, statistics: Statistics) -> bool:
    """Whether bounds show that no component is starved or collapsed, as is the case in most fits.

    Without noise and missing values, the total covariance of the components is that of the rows.
    """
    summary, least = em.summary, em.m_step.min_count(mixture.n_features)
    ridge, is_scaled = em.m_step.ridge, mixture.family.equal_volumes  # also the ridge
    if mixture.noise is not None or not summary.complete or (is_scaled and ridge):
        return False
    sds = np.sqrt(summary.variances)[None]
    return bool(are_surely_sound(mixture, statistics, sds, ridge, summary.n_rows, least).all())


def not_converged(run: Run) -> list[UserWarning]:
    """Return the warning of a run that did not meet the stopping rule."""
    if run.converged:
        return []
    return [
        ConvergenceWarning(
            "Best performing initialization did not converge. Try different init parameters, "
            "or increase max_iter, tol, or check for degenerate data. "
            f"({run.ending.sentence})"
        )
    ]


def stopped_early(run: Run, n_parameters: int) -> list[UserWarning]:
    """Return the warning of a run that met the stopping rule far from the maximum."""
    gain = run.step.statistics.weight * run.remaining_gain
    return [*stopped_short(gain, MAX_GAIN_PER_PARAMETER * n_parameters)]


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
    found = np.flatnonzero(summary.differs & (ridge > LARGE_RIDGE * variances))
    if not len(found):
        return []
    warning = RegularizationWarning(
        "reg_covar is more than a hundredth of the variance of some features (see the attribute "
        "`features` of this warning), so that it determines their covariances instead of the data. "
        "Rescale these features, use a smaller reg_covar, or set prior='conjugate'."
    )
    warning.features = tuple(found.tolist())
    with np.errstate(over="ignore", divide="ignore"):
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
    elif run.ending is Ending.STOPPED:
        text = (
            f"{found} They remain identical because a callback stopped the fit: let it continue "
            "with break_symmetry=True, or start from components that differ."
        )
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
    mixture: Mixture, statistics: Statistics, starved: tuple[int, ...], collapsed: tuple[int, ...]
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


def discrete_columns(source: Source) -> str:
    """Return a sentence that follows another one and names the discrete columns, or "".

    Only arrays in memory are examined. Other sources would have to be read once more, and have no
    such columns.
    """
    if not isinstance(source, ArraySource) or source.n_rows <= MAX_DISTINCT:
        return ""
    columns = np.flatnonzero(_n_distinct(source.rows[:FIRST_ROWS]) <= MAX_DISTINCT)
    columns = columns[_n_distinct(source.rows[:, columns]) <= MAX_DISTINCT]
    if not len(columns):
        return ""
    described = format_features(tuple(columns.tolist()), source.feature_names)
    subject = f"Column {described} is" if len(columns) == 1 else f"Columns {described} are"
    return (
        f" {subject} discrete (counted from 0): rows that share a value have no variance there. "
        "Drop such columns, or fit the rows of each value separately."
    )


def _n_distinct(rows: Array) -> Integers:
    """Return the number of distinct values of each column, (D,), ignoring missing ones."""
    ordered = np.sort(rows, axis=0)  # missing values are the last
    distinct = np.count_nonzero(ordered[1:] > ordered[:-1], axis=0)
    return distinct + np.logical_not(np.isnan(ordered[0]))


def too_large(feature: int, source: Source) -> ValueError:
    """Return the error of a feature whose squares overflow; it begins as scikit-learn's does."""
    return ValueError(
        "Input X contains infinity or a value too large for dtype('float64'): sums of squares, "
        "which covariances require, may overflow. The largest value is "
        f"{_largest(feature, source)}: drop such rows, set unknown values to NaN, or rescale the "
        "column."
    )


def too_small(features: tuple[int, ...], source: Source) -> ValueError:
    """Return the error of features whose squares underflow."""
    columns = format_features(features, source.feature_names)
    return ValueError(
        f"X is constant up to underflow in column {columns}, counted from 0: values differ, but "
        "their variance underflows. Express them in a smaller unit, so that the numbers are larger."
    )


def out_of_reach(summary: DataSummary, mixture: Mixture, source: Source) -> ValueError:
    """Return the error of rows so far from a mixture that their log-density overflows."""
    reach = np.maximum(summary.max_distances(mixture.means.astype(np.float64)), 0.0)
    with np.errstate(over="ignore"):
        feature = int(np.argmax((reach / np.sqrt(mixture.variances)).max(axis=0)))
    return ValueError(
        "X has a value so far from the components that the log-density of its row "
        f"overflows, {_largest(feature, source)}, so nothing was changed: correct the value, or "
        "drop the row."
    )


def _largest(feature: int, source: Source) -> str:
    """Describe the value of a feature with the largest magnitude, and its position."""
    largest, row = 0.0, 0
    for block in source.blocks(BLOCK_ROWS):
        values = np.nan_to_num(block.rows[feature])
        at = int(np.argmax(np.abs(values)))
        if abs(values[at]) > abs(largest):
            largest = float(values[at])
            row = block.number_of(at)
    name = "" if source.feature_names is None else f" ({source.feature_names[feature]!r})"
    return f"{largest:g} in row {row}, column {feature}{name}, counted from 0"
