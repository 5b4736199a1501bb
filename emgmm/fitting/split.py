"""Escape: finite splits of components that coincide, made on the statistics.

At a point where components are the same, EM's map multiplies a small shift apart by 1 or less: a
nudge stays where it is. So each group's counts, first and second moments are divided among its
members, their sums unchanged, and the family's M-step makes the mixture of it. Where members should
go is read off a bounded, seeded sample of the rows that the group holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from emgmm.covariances import times_counts
from emgmm.em import EM
from emgmm.estep import EStepForBlock, softmax
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.initialization.kmeans import kmeans_labels
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics
from emgmm.typing import Array

# Rows that say where the members of a group should go.
SAMPLE_ROWS = 4096

# How far towards the sample's own clusters members are put. At 1 the covariances that are left are
# those within clusters, which have no room for error; less leaves more.
REACHES = (0.97, 0.9, 0.75, 0.5)

TINY = float(np.finfo(float).tiny)

# Mean of the upper half of a standard normal distribution: where a half would have its mean.
HALF = float(np.sqrt(2 / np.pi))


class SplitPlan:
    """Where a group's members go: shares (m,) of its counts, and steps (m, D) from its mean."""

    def __init__(self, shares: Array, positions: Array) -> None:
        self.shares = shares / shares.sum()
        self.steps = positions - self.shares @ positions


def about_mean(rows: Array, weights: Array) -> tuple[Array, Array]:
    """Deviations (n, D) from the weighted mean, and their (D, D) covariance."""
    deviations = rows - weights @ rows
    return deviations, (weights * deviations.T) @ deviations


def along_axis(rows: Array, weights: Array, n_members: int) -> SplitPlan:
    """Along the principal axis in which the rows are least like one Gaussian: flattest.

    Two clusters side by side have a kurtosis of 1, one Gaussian 3.
    """
    deviations, covariance = about_mean(rows, weights)
    variances, axes = np.linalg.eigh(covariance)
    if not variances.max() > TINY:
        return SplitPlan(np.full(n_members, 1 / n_members), np.zeros((n_members, rows.shape[1])))
    able = variances >= 1e-12 * variances.max()
    scores = deviations @ (axes[:, able] / np.sqrt(np.maximum(variances[able], TINY)))
    flattest = int(np.argmin(weights @ scores**4))
    direction = axes[:, able][:, flattest] * np.sqrt(variances[able][flattest])
    positions = HALF * np.linspace(-1, 1, n_members)[:, None] * direction
    return SplitPlan(np.full(n_members, 1 / n_members), positions)


def by_clusters(rows: Array, weights: Array, n_members: int, scale: Array, seed: int) -> SplitPlan:
    """At the centres of k-means over the rows, measured through the (D, D) `scale`."""
    whitened, counts = (rows - weights @ rows) @ scale, weights * len(rows)
    labels = kmeans_labels(whitened, n_members, n_init=2, random=seed, weights=counts)
    shares = np.bincount(labels, weights=weights, minlength=n_members)
    sums = np.zeros((n_members, rows.shape[1]))
    np.add.at(sums, labels, weights[:, None] * rows)
    floor = np.maximum(shares, 1e-12)
    return SplitPlan(floor, sums / floor[:, None])


def proposals(rows: Array, weights: Array, n_members: int, seed: int) -> Iterator[SplitPlan]:
    """A few ways to place the members, from rows (n, D) whose weights sum to one."""
    _, covariance = about_mean(rows, weights)
    sd = np.sqrt(np.diag(covariance))
    varies = sd > 1e-9 * np.abs(rows).max(axis=0)
    per_sd = np.where(varies, 1 / np.where(varies, sd, 1.0), 0.0)
    variances, axes = np.linalg.eigh(covariance * np.outer(per_sd, per_sd))
    whitening = (axes / np.sqrt(np.maximum(variances, 1e-9))) * per_sd[:, None]
    yield along_axis(rows, weights, n_members)
    if len(np.unique(rows[weights > 0], axis=0)) < n_members:
        return
    yield by_clusters(rows, weights, n_members, np.eye(rows.shape[1]), seed)
    yield by_clusters(rows, weights, n_members, np.diag(per_sd), seed + 1)
    yield by_clusters(rows, weights, n_members, whitening, seed + 2)


def divide(
    statistics: Statistics,
    em: EM,
    groups: list[tuple[int, ...]],
    places: list[SplitPlan],
    reach: float,
) -> Statistics:
    """Statistics in which each group's sums are divided among its members; their totals stay.

    About the group's mean, member j gets counts p_j N, first_moment p_j N s_j and scatter
    p_j N (S - sum_i p_i s_i s_i^T + s_j s_j^T), of which N, 0 and N S are the sums.
    """
    family = em.family
    outer = family.structure.outer
    here = statistics.about_means(family)
    centres, counts, first_moment = (
        here.centres.copy(),
        here.counts.copy(),
        here.first_moment.copy(),
    )
    scatter = here.scatter.copy()
    for group, place in zip(groups, places, strict=True):
        members = list(group)
        total = here.counts[members].sum()
        if not total > 0:  # there is nothing to divide
            continue
        mean = here.counts[members] @ here.centres[members] / total
        between = times_counts(here.counts[members], outer(here.centres[members] - mean)).sum(
            axis=0
        )
        steps = reach * place.steps
        centres[members] = mean
        counts[members] = total * place.shares
        first_moment[members] = counts[members][:, None] * steps
        if family.shared:
            scatter = scatter + between
        else:
            whole = (here.scatter[members].sum(axis=0) + between) / total
            spread = outer(steps)
            within = whole - times_counts(place.shares, spread).sum(axis=0)
            scatter[members] = times_counts(counts[members], within + spread)
    return replace(here, centres=centres, counts=counts, first_moment=first_moment, scatter=scatter)


def splits(
    em: EM,
    mixture: Mixture,
    statistics: Statistics,
    groups: list[tuple[int, ...]],
    random: np.random.RandomState,
) -> Iterator[Mixture]:
    """Mixtures in which every group is parted, one for each way to place its members.

    Where other components took the wrong place before the group came to rest, parting the group is
    not enough: in further proposals all components make one group.
    """
    rows, responsibilities = sample_of(em, mixture, random)
    seed = int(random.randint(2**31 - 3))
    everyone = [tuple(range(mixture.n_components))]
    for together in [groups] if groups == everyone else [groups, everyone]:
        ways = []
        for group in together:
            held, weights = rows_of(group, rows, responsibilities)
            ways.append(proposals(held, weights, len(group), seed))
        for places in zip(*ways, strict=False):
            parted = first_definite(em, statistics, together, list(places))
            if parted is not None:
                yield parted


def sample_of(em: EM, mixture: Mixture, random: np.random.RandomState) -> tuple[Array, Array]:
    """(n, D) rows that stand for all, and their (K, n) responsibilities, times what they count."""
    rows = em.source.sample(SAMPLE_ROWS, random)
    form = EStepForBlock(mixture, len(rows.values))
    joint = form.log_joint(rows.block)
    values: Array = rows.values.astype(np.float64)
    if not rows.complete:
        shares = joint[: mixture.n_components].copy()
        softmax(shares)
        values = form.missing.conditional_means(rows.values.T, shares).T
    softmax(joint)
    responsibilities = joint[: mixture.n_components]
    return values, responsibilities if rows.weights is None else responsibilities * rows.weights


def rows_of(group: tuple[int, ...], rows: Array, responsibilities: Array) -> tuple[Array, Array]:
    """Rows that a group holds, and weights that sum to one; all rows alike where it holds none."""
    weights = responsibilities[list(group)].sum(axis=0)
    held = weights > 1e-9 * weights.max()
    if not held.any():
        return rows, np.full(len(rows), 1 / len(rows))
    return rows[held], weights[held] / weights[held].sum()


def first_definite(
    em: EM, statistics: Statistics, groups: list[tuple[int, ...]], places: list[SplitPlan]
) -> Mixture | None:
    """The mixture with members as far out as covariances stay definite; None if never."""
    for reach in REACHES:
        divided = divide(statistics, em, groups, places, reach)
        try:
            return em.m_step.maximise(divided)
        except DegenerateCovarianceError:
            continue
    return None
