"""Splits of coincident components, which are computed from the statistics.

Where components coincide, EM's map does not increase a small difference between them, so that a
perturbation would vanish. Therefore the counts, first moments and scatter of each group are divided
among its members so that the sums stay the same, and the M-step of the family computes the mixture.
The positions of the members are chosen from a random sample of the rows of the group.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np

from emgmm.covariances import times_counts
from emgmm.em import EM
from emgmm.estep import EStepForBlock
from emgmm.estep.softmax import softmax
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.fitting.labels import closest_order, with_means
from emgmm.initialization import kmeans_labels
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics
from emgmm.tolerances import TINY
from emgmm.typing import Array

# Maximum number of rows from which the positions are chosen.
SAMPLE_ROWS = 4096

# Fractions of the planned offsets that are tried in turn. With the full offsets, the covariances
# would be those within the clusters of the sample, which may not be positive definite.
FRACTIONS = (0.97, 0.9, 0.75, 0.5)

# Mean of the upper half of a standard normal distribution.
HALF_NORMAL_MEAN = float(np.sqrt(2 / np.pi))


class SplitPlan:
    """Proportions (m,) of a group's counts and offsets (m, D) from its mean for each member."""

    def __init__(self, proportions: Array, positions: Array) -> None:
        self.proportions = proportions / proportions.sum()
        self.offsets = positions - self.proportions @ positions


def deviations_and_covariance(rows: Array, weights: Array) -> tuple[Array, Array]:
    """Return deviations (n, D) from the weighted mean, and their (D, D) covariance."""
    deviations = rows - weights @ rows
    return deviations, (weights * deviations.T) @ deviations


def plan_along_axis(rows: Array, weights: Array, n_members: int) -> SplitPlan:
    """Return a plan along the principal axis with the smallest kurtosis.

    Two separate clusters of equal size have a kurtosis of 1 along the axis that joins them, one
    Gaussian has 3.
    """
    deviations, covariance = deviations_and_covariance(rows, weights)
    variances, axes = np.linalg.eigh(covariance)
    if not variances.max() > TINY:
        return SplitPlan(np.full(n_members, 1 / n_members), np.zeros((n_members, rows.shape[1])))
    usable = variances >= 1e-12 * variances.max()
    scores = deviations @ (axes[:, usable] / np.sqrt(np.maximum(variances[usable], TINY)))
    chosen = int(np.argmin(weights @ scores**4))
    direction = axes[:, usable][:, chosen] * np.sqrt(variances[usable][chosen])
    positions = HALF_NORMAL_MEAN * np.linspace(-1, 1, n_members)[:, None] * direction
    return SplitPlan(np.full(n_members, 1 / n_members), positions)


def plan_by_clusters(
    rows: Array, weights: Array, n_members: int, scale: Array, seed: int
) -> SplitPlan:
    """Return a plan from k-means clusters of the rows after multiplication by a (D, D) matrix."""
    scaled, counts = (rows - weights @ rows) @ scale, weights * len(rows)
    labels = kmeans_labels(scaled, n_members, n_init=2, random=seed, weights=counts)
    totals = np.bincount(labels, weights=weights, minlength=n_members)
    sums = np.zeros((n_members, rows.shape[1]))
    np.add.at(sums, labels, weights[:, None] * rows)
    proportions = np.maximum(totals, 1e-12)
    return SplitPlan(proportions, sums / proportions[:, None])


def possible_plans(rows: Array, weights: Array, n_members: int, seed: int) -> Iterator[SplitPlan]:
    """Yield a few plans for a group, from rows (n, D) whose weights sum to one."""
    _, covariance = deviations_and_covariance(rows, weights)
    sd = np.sqrt(np.diag(covariance))
    varies = sd > 1e-9 * np.abs(rows).max(axis=0)
    per_sd = np.where(varies, 1 / np.where(varies, sd, 1.0), 0.0)
    variances, axes = np.linalg.eigh(covariance * per_sd[:, None] * per_sd)
    whitening = (axes / np.sqrt(np.maximum(variances, 1e-9))) * per_sd[:, None]
    yield plan_along_axis(rows, weights, n_members)
    if len(np.unique(rows[weights > 0], axis=0)) < n_members:
        return
    yield plan_by_clusters(rows, weights, n_members, np.eye(rows.shape[1]), seed)
    yield plan_by_clusters(rows, weights, n_members, np.diag(per_sd), seed + 1)
    yield plan_by_clusters(rows, weights, n_members, whitening, seed + 2)


def plan_for_labels(plan: SplitPlan, group: tuple[int, ...], em: EM, mixture: Mixture) -> SplitPlan:
    """Return a plan whose positions close to labelled rows belong to the components of these."""
    members = list(group)
    inside = np.flatnonzero(np.isin(members, em.labelled_components))
    weights = mixture.weights[members].astype(np.float64)
    mean = weights @ mixture.means[members] / weights.sum()
    targets = em.labelled.means[np.array(members)[inside]]
    order = closest_order(em, mean + plan.offsets, inside, targets)
    return SplitPlan(plan.proportions[order], plan.offsets[order])


def divide(
    statistics: Statistics,
    em: EM,
    groups: list[tuple[int, ...]],
    plans: list[SplitPlan],
    fraction: float,
) -> Statistics:
    """Return statistics in which the sums of each group are divided among its members.

    About the group's mean, whose sums are N, 0 and N S, member j gets the counts p_j N, the first
    moment p_j N s_j and the scatter p_j N (S - sum_i p_i s_i s_i^T + s_j s_j^T), where p_j are the
    proportions of the plan and s_j its offsets times `fraction`.
    """
    family = em.family
    outer = family.structure.outer
    centred = statistics.about_means(family)
    centres, counts = centred.centres.copy(), centred.counts.copy()
    first_moment, scatter = centred.first_moment.copy(), centred.scatter.copy()
    for group, plan in zip(groups, plans, strict=True):
        members = list(group)
        own_counts, means = centred.counts[members], centred.centres[members]
        total = own_counts.sum()
        if not total > 0:  # there is nothing to divide
            continue
        mean = own_counts @ means / total
        between = times_counts(own_counts, outer(means - mean)).sum(axis=0)
        offsets = fraction * plan.offsets
        centres[members] = mean
        counts[members] = total * plan.proportions
        first_moment[members] = counts[members][:, None] * offsets
        if family.shared:
            scatter = scatter + between
        else:
            whole = (centred.scatter[members].sum(axis=0) + between) / total
            spread = outer(offsets)
            within = whole - times_counts(plan.proportions, spread).sum(axis=0)
            scatter[members] = times_counts(counts[members], within + spread)
    return replace(
        centred, centres=centres, counts=counts, first_moment=first_moment, scatter=scatter
    )


def splits(
    em: EM,
    mixture: Mixture,
    statistics: Statistics,
    groups: list[tuple[int, ...]],
    random: np.random.RandomState,
) -> Iterator[Mixture]:
    """Yield mixtures in which every group is split, one for each kind of plan.

    If other components moved to the wrong place before EM came to rest, a split of the groups is
    not enough. Therefore further mixtures are yielded in which all components are one group.

    Components with labelled rows keep their means, and a group of such components is not split.
    """
    labelled = em.labelled_components
    groups = [group for group in groups if not set(labelled).issuperset(group)]
    if not groups:
        return
    rows, responsibilities = sample_rows(em, mixture, random)
    seed = int(random.randint(2**31 - 3))
    everything = [tuple(range(mixture.n_components))]
    for chosen in [groups] if groups == everything else [groups, everything]:
        plans_of_groups = [
            possible_plans(*rows_of_group(group, rows, responsibilities), len(group), seed)
            for group in chosen
        ]
        for combination in zip(*plans_of_groups, strict=False):
            plans = list(combination)
            if len(labelled):
                pairs = zip(chosen, plans, strict=True)
                plans = [plan_for_labels(plan, group, em, mixture) for group, plan in pairs]
            split = definite_split(em, statistics, chosen, plans)
            if split is not None:
                yield with_means(split, labelled, mixture.means[labelled])


def sample_rows(em: EM, mixture: Mixture, random: np.random.RandomState) -> tuple[Array, Array]:
    """Return a sample (n, D) of the rows and their weighted (K, n) responsibilities.

    Missing values are replaced by their conditional means.
    """
    rows = em.source.sample(SAMPLE_ROWS, random)
    e_step = EStepForBlock(mixture, len(rows.values))
    log_joint = e_step.log_joint(rows.block)
    values: Array = rows.values.astype(np.float64)
    if not rows.complete:
        without_noise = log_joint[: mixture.n_components].copy()
        softmax(without_noise)
        values = e_step.missing.conditional_means(rows.values.T, without_noise).T
    softmax(log_joint)
    responsibilities = log_joint[: mixture.n_components]
    return values, responsibilities if rows.weights is None else responsibilities * rows.weights


def rows_of_group(
    group: tuple[int, ...], rows: Array, responsibilities: Array
) -> tuple[Array, Array]:
    """Return the rows of a group and their normalized weights; all rows if the group has none."""
    weights = responsibilities[list(group)].sum(axis=0)
    belongs = weights > 1e-9 * weights.max()
    if not belongs.any():
        return rows, np.full(len(rows), 1 / len(rows))
    return rows[belongs], weights[belongs] / weights[belongs].sum()


def definite_split(
    em: EM, statistics: Statistics, groups: list[tuple[int, ...]], plans: list[SplitPlan]
) -> Mixture | None:
    """Return the widest split with positive definite covariances; None if there is none."""
    for fraction in FRACTIONS:
        with suppress(DegenerateCovarianceError):
            return em.m_step.maximise(divide(statistics, em, groups, plans, fraction))
    return None
