"""Mixtures whose components have labelled rows: initial ones, and splits of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from scipy.optimize import linear_sum_assignment

from emgmm.covariances import times_counts
from emgmm.em import EM
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics
from emgmm.typing import Array, Integers

# Share of the covariance of all rows in the covariance from which labelled components start. It is
# positive definite even if only one row of each component is labelled.
SHARE = 0.1


def first_of_labels(em: EM, start: Callable[[], Mixture]) -> Mixture:
    """Return an initial mixture in which labelled components start from their rows.

    If every component has labelled rows, the first E-step distributes the others by a common
    covariance, as linear discriminant analysis does; without any others, the mixture is the M-step
    of the labels. Otherwise the components without labelled rows come from `start`.
    """
    labelled = em.labelled_components
    if len(labelled) == em.n_components:
        mixture = about_labelled_means(em)
        if not em.labelled.all_known:
            return mixture
        return em.m_step.maximise_recentred(em.expect(mixture), partial(em.expect_about, mixture))
    first, targets = start(), em.labelled.means[labelled]
    order = closest_order(em, first.means, labelled, targets)
    if not em.family.single:
        covariances, factors = first.covariances[order], first.precisions_cholesky[order]
        first = replace(first, covariances=covariances, precisions_cholesky=factors)
    first = replace(first, weights=first.weights[order], means=first.means[order])
    return with_means(first, labelled, targets)


def about_labelled_means(em: EM) -> Mixture:
    """Return the mixture with the means and proportions of the labels, and a common covariance.

    It is that of the labelled rows about their means, with a share of the covariance of all rows.
    """
    summary, labelled, family = em.summary, em.labelled, em.family
    n_labelled = labelled.counts.sum()
    common = (1 - SHARE) / n_labelled * labelled.within
    common += SHARE / summary.seen * summary.whole_scatter
    counts = labelled.counts * (summary.seen / (n_labelled + labelled.noise))
    scatter = family.pool(times_counts(counts, np.stack([common] * em.n_components)))
    sums = (counts, np.zeros_like(labelled.means), scatter, 0.0, summary.seen)
    noise = summary.seen - float(counts.sum())
    return em.m_step.maximise(Statistics(labelled.means, *sums, noise=noise))


def with_means(mixture: Mixture, components: Integers, means: Array) -> Mixture:
    """Return a mixture in which some components have other means."""
    replaced = mixture.means.copy()
    replaced[components] = means
    return replace(mixture, means=replaced)


def closest_order(em: EM, means: Array, labelled: Integers, targets: Array) -> Integers:
    """Return the order of (K, D) means in which those with the numbers `labelled` are at targets.

    The sum of their squared distances from the targets is minimal, in units of the covariance of
    all rows. The others keep their order.
    """
    summary, structure, (K, D) = em.summary, em.family.structure, means.shape
    covariance = structure.estimate(summary.whole_scatter[None], np.array([summary.seen]), D)
    factor = structure.precisions_cholesky(covariance)[0]
    deviations = (targets[:, None] - means).reshape(-1, D).T
    distances = (structure.whiten(factor, deviations) ** 2).sum(axis=0)
    taken = linear_sum_assignment(distances.reshape(len(targets), K))[1]
    order, everything = np.empty(K, dtype=np.intp), np.arange(K)
    order[labelled] = taken
    order[np.setdiff1d(everything, labelled)] = np.setdiff1d(everything, taken)
    return order
