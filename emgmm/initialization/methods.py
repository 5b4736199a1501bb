"""The named initialization methods, which assign rows to components.

To add a method, write a function `(rows, n_components, random) -> Assignment` and enter it in
`STARTS`; `emgmm.testing.check_start` checks it. Methods that scikit-learn has draw the same random
numbers in the same order.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TypeAlias

import numpy as np
from sklearn import config_context
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from emgmm import private_api
from emgmm.initialization.assignment import (
    Assignment,
    Labels,
    Responsibilities,
    SingleRows,
    SubsetAssignment,
)
from emgmm.initialization.hierarchical import hierarchical
from emgmm.initialization.short_runs import SHORT_ROWS, BestOf, ShortRuns
from emgmm.initialization.whitening import standardized, whitened
from emgmm.sources import Rows
from emgmm.typing import Array, Integers

Start: TypeAlias = Callable[[Rows, int, np.random.RandomState], Assignment]


# Number of runs of k-means in methods that scikit-learn does not have.
N_INIT = 10

# Default of `KMeans`: the tolerance of its centres in units of the features' mean variance.
KMEANS_TOL = 1e-4

# Number of rows for each further thread of k-means. On fewer, it would gain a fraction of a
# millisecond, and take a core from other work while it waits.
ROWS_PER_THREAD = 4096

# Ratio of the inertias of runs of k-means up to which they are the same, except for rounding.
SAME_INERTIA = 1 + 1e-12


def kmeans_labels(
    rows: Array,
    n_clusters: int,
    *,
    n_init: int,
    random: np.random.RandomState | int,
    weights: Array | None,
) -> Integers:
    """Return the cluster label of each row, from the best of `n_init` runs of k-means.

    With few rows, the validation and the overhead of `KMeans` take longer than k-means. The same
    functions are called with the same arguments as in its method `fit`, except for the number of
    threads. The caller has validated the arguments and limits BLAS to one thread, as all fits do.
    """
    parts = private_api.kmeans_parts()
    if parts is None:
        with (
            config_context(assume_finite=True, skip_parameter_validation=True),
            warnings.catch_warnings(),
        ):
            # EM reports components of which there are more than distinct rows.
            warnings.simplefilter("ignore", ConvergenceWarning)
            clusters = KMeans(n_clusters, n_init=n_init, random_state=random)
            return np.asarray(clusters.fit(rows, sample_weight=weights).labels_)
    generator: np.random.RandomState = check_random_state(random)
    if n_clusters == 1:
        generator.random_sample(n_init)  # which the choices of the first seed draw
        return np.zeros(len(rows), dtype=np.int32)
    points = np.array(rows, order="C")
    n_rows, n_features = points.shape
    points -= np.add.reduce(points, axis=0) / n_rows
    variances = np.add.reduce(np.square(points), axis=0) / n_rows
    tolerance = KMEANS_TOL * (np.add.reduce(variances) / n_features)
    weights = np.ones(n_rows) if weights is None else weights
    arguments = {"X": points, "sample_weight": weights.astype(points.dtype, copy=False)}
    n_threads = min(parts.n_threads(), 1 + n_rows // ROWS_PER_THREAD)
    norms, runs = np.einsum("ij,ij->i", points, points), []
    for _ in range(n_init):
        seeds, _ = parts.seeds(
            n_clusters=n_clusters, x_squared_norms=norms, random_state=generator, **arguments
        )
        runs.append(parts.run(centers_init=seeds, tol=tolerance, n_threads=n_threads, **arguments))
    least = SAME_INERTIA * min(inertia for _, inertia, *_ in runs)
    return next(labels for labels, inertia, *_ in runs if inertia <= least)


def as_points(rows: Rows) -> Array:
    """Return the rows for k-means, in float64 if sums of their squared distances may overflow."""
    points = rows.filled
    reach = 2.0 * float(np.abs(points).max(initial=0.0))
    fits = reach**2 * points.size <= float(np.finfo(points.dtype).max)
    return points if fits else points.astype(np.float64)


def from_informative_rows(start: Start) -> Start:
    """Restrict a start to informative rows; k-means would centre and scale by the others too."""

    @wraps(start)
    def begin(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
        numbers = rows.informative
        if len(numbers) == len(rows.values):
            return start(rows, n_components, random)
        return SubsetAssignment(numbers, start(rows.take(numbers), n_components, random))

    return begin


@from_informative_rows
def kmeans(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
    """Assign rows to the clusters of one run of k-means."""
    labels = kmeans_labels(
        as_points(rows), n_components, n_init=1, random=random, weights=rows.counts
    )
    return Labels(labels, n_components)


@from_informative_rows
def kmeans_plus_plus(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
    """Choose rows far from each other by k-means++.

    Arthur and Vassilvitskii (2007), Proc. 18th ACM-SIAM Symp. Discrete Algorithms, 1027.
    """
    _, indices = kmeans_plusplus(
        as_points(rows), n_components, sample_weight=rows.counts, random_state=random
    )
    return SingleRows(indices)


def random_responsibilities(
    rows: Rows, n_components: int, random: np.random.RandomState
) -> Assignment:
    """Draw independent uniform responsibilities, and scale them to sum to one."""
    responsibilities = random.uniform(size=(len(rows.values), n_components))
    responsibilities = responsibilities.astype(rows.values.dtype, copy=False)
    responsibilities /= responsibilities.sum(axis=1)[:, None]
    return Responsibilities(responsibilities, n_components)


def random_from_data(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
    """Draw rows without replacement, with probabilities proportional to their weights."""
    probabilities = None if rows.counts is None else rows.counts / rows.counts.sum()
    chosen = random.choice(len(rows.values), size=n_components, replace=False, p=probabilities)
    return SingleRows(chosen)


def _clusters(rows: Rows, points: Array, K: int, random: np.random.RandomState) -> Labels:
    labels = kmeans_labels(points, K, n_init=N_INIT, random=random, weights=rows.counts)
    return Labels(labels, K)


@from_informative_rows
def whitened_kmeans(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
    """Assign rows to the clusters of the best of several runs of k-means on whitened rows.

    On whitened rows, where no direction dominates, one run in six ends in a poor optimum.
    """
    return _clusters(rows, whitened(rows), n_components, random)


def short_runs(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:  # noqa: ARG001
    """Initialize at the end of the best of several short runs of EM."""
    return ShortRuns(n_components, random.randint(np.iinfo(np.int32).max))


@from_informative_rows
def standardized_kmeans(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
    """Assign rows to the clusters of the best of several k-means runs on standardized columns."""
    return _clusters(rows, standardized(rows), n_components, random)


def cached_sample(rows: Rows, random: np.random.RandomState) -> tuple[Integers, Rows]:
    """Return the numbers of a random sample of the rows, and the sample.

    The sample is cached, so that all numbers of clusters share one tree.
    """
    seed = random.randint(np.iinfo(np.int32).max)
    if (cached_sample, seed) not in rows.cache:
        numbers = rows.choose(SHORT_ROWS, np.random.RandomState(seed))
        rows.cache[cached_sample, seed] = numbers, rows.take(numbers)
    return rows.cache[cached_sample, seed]


def from_sample(start: Start) -> Start:
    """Restrict a start to a random sample of bounded size."""

    @wraps(start)
    def begin(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
        numbers, sample = cached_sample(rows, random)
        return SubsetAssignment(numbers, start(sample, n_components, random))

    return begin


# The starts among which `auto` chooses; of equally good ones, it prefers the first.
AUTO: tuple[Start, ...] = (hierarchical, standardized_kmeans, whitened_kmeans)


def auto(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
    """Initialize at the best of several unit-independent starts after a few EM steps from each."""
    numbers, sample = cached_sample(rows, random)
    if n_components == 1:
        return SubsetAssignment(numbers, Labels(np.zeros(len(numbers), dtype=np.int32), 1))
    assignments = [start(sample, n_components, random) for start in AUTO]
    return BestOf(numbers, distinct(assignments, len(numbers)), n_components)


def distinct(assignments: Sequence[Assignment], n_rows: int) -> list[Assignment]:
    """Return the assignments without those that repeat an earlier partition of the rows."""
    found: dict[bytes, Assignment] = {}
    for assignment in assignments:
        numbers: Integers = np.arange(n_rows)
        labels: Assignment = assignment
        if isinstance(labels, SubsetAssignment):
            numbers, labels = labels.numbers, labels.assignment
        assert isinstance(labels, Labels)
        _, first, places = np.unique(labels.labels, return_index=True, return_inverse=True)
        partition = np.full(n_rows, -1)
        partition[numbers] = first[places]
        found.setdefault(partition.tobytes(), assignment)
    return list(found.values())


STARTS: dict[str, Start] = {
    "kmeans": kmeans,
    "k-means++": kmeans_plus_plus,
    "random": random_responsibilities,
    "random_from_data": random_from_data,
    "hierarchical": hierarchical,
    "whitened-kmeans": whitened_kmeans,
    "short-runs": short_runs,
}
