"""The starts that have a name. Each looks at rows and says which component they begin with.

To add one: write a function `(rows, n_components, random) -> Assignment` and enter it in `STARTS`;
the contract tests run over it. Random numbers are drawn as scikit-learn draws them, and in its
order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TypeAlias

import numpy as np
from sklearn import config_context
from sklearn.cluster import kmeans_plusplus

from emgmm.initialization.assignment import Assignment, Labels, OfSome, Responsibilities, SingleRows
from emgmm.initialization.hierarchical import hierarchical
from emgmm.initialization.kmeans import kmeans_labels
from emgmm.initialization.short_runs import SHORT_ROWS, BestOf, ShortRuns
from emgmm.initialization.whitening import standardized, whitened
from emgmm.sources import Rows
from emgmm.typing import Array, Integers

Start: TypeAlias = Callable[[Rows, int, np.random.RandomState], Assignment]


# Of k-means, where it is ours to say how many.
RUNS = 10


def of_those_that_count(start: Start) -> Start:
    """The start from rows that count: of others k-means takes the mean and the variance too."""

    @wraps(start)
    def begin(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
        numbers = rows.informative
        if len(numbers) == len(rows.values):
            return start(rows, n_components, random)
        return OfSome(numbers, start(rows.take(numbers), n_components, random))

    return begin


@of_those_that_count
def kmeans(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
    """The clusters of one run of k-means."""
    if n_components == 1:  # all rows, but the seed is drawn that scikit-learn draws
        with config_context(assume_finite=True, skip_parameter_validation=True):
            kmeans_plusplus(rows.filled, 1, sample_weight=rows.counts, random_state=random)
        return Labels(np.zeros(len(rows.values), dtype=np.int32), 1)
    labels = kmeans_labels(rows.filled, n_components, n_init=1, random=random, weights=rows.counts)
    return Labels(labels, n_components)


@of_those_that_count
def kmeans_plus_plus(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
    """Rows far from each other, as k-means chooses its seeds.

    Arthur and Vassilvitskii (2007), Proc. 18th ACM-SIAM Symp. Discrete Algorithms, 1027.
    """
    _, indices = kmeans_plusplus(
        rows.filled, n_components, sample_weight=rows.counts, random_state=random
    )
    return SingleRows(indices)


def random_responsibilities(
    rows: Rows, n_components: int, random: np.random.RandomState
) -> Assignment:
    """Independent uniform responsibilities, scaled to sum to one."""
    shares = random.uniform(size=(len(rows.values), n_components))
    shares = shares.astype(rows.values.dtype, copy=False)
    shares /= shares.sum(axis=1)[:, None]
    return Responsibilities(shares, n_components)


def random_from_data(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
    """Rows drawn without replacement, by their weights."""
    chances = None if rows.counts is None else rows.counts / rows.counts.sum()
    chosen = random.choice(len(rows.values), size=n_components, replace=False, p=chances)
    return SingleRows(chosen)


def _best_clusters(
    coordinates: Array, weights: Array | None, n_components: int, random: np.random.RandomState
) -> Labels:
    labels = kmeans_labels(coordinates, n_components, n_init=RUNS, random=random, weights=weights)
    return Labels(labels, n_components)


@of_those_that_count
def whitened_kmeans(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
    """The clusters of the best of some runs of k-means on whitened rows.

    Where all directions are as wide, one run in six splits a wrong one and stays there.
    """
    return _best_clusters(whitened(rows), rows.counts, n_components, random)


def short_runs(
    rows: Rows,  # noqa: ARG001
    n_components: int,
    random: np.random.RandomState,
) -> Assignment:
    """Where the best of many short runs of EM has come."""
    return ShortRuns(n_components, random.randint(np.iinfo(np.int32).max))


@of_those_that_count
def standardized_kmeans(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
    """The clusters of the best of some runs of k-means on standardized columns."""
    return _best_clusters(standardized(rows), rows.counts, n_components, random)


def sampled(rows: Rows, random: np.random.RandomState) -> tuple[Integers, Rows]:
    """The rows that stand for all, and their numbers; kept, so that a tree serves every cut."""
    seed = random.randint(np.iinfo(np.int32).max)
    if (sampled, seed) not in rows.cache:
        numbers = rows.choose(SHORT_ROWS, np.random.RandomState(seed))
        rows.cache[sampled, seed] = numbers, rows.take(numbers)
    numbers, sample = rows.cache[sampled, seed]
    return numbers, sample


def from_sample(start: Start) -> Start:
    """The start from a bounded sample of the rows."""

    @wraps(start)
    def begin(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
        numbers, sample = sampled(rows, random)
        return OfSome(numbers, start(sample, n_components, random))

    return begin


# The starts that `auto` chooses among, in the order in which equals are preferred.
AUTO: tuple[Start, ...] = (hierarchical, standardized_kmeans, whitened_kmeans)


def auto(rows: Rows, n_components: int, random: np.random.RandomState) -> Assignment:
    """The best of several starts that depend on no unit, after a few steps of EM from each."""
    numbers, sample = sampled(rows, random)
    if n_components == 1:
        return OfSome(numbers, Labels(np.zeros(len(numbers), dtype=np.int32), 1))
    found = [start(sample, n_components, random) for start in AUTO]
    return BestOf(numbers, distinct(found, len(numbers)))


def distinct(assignments: Sequence[Assignment], n_rows: int) -> list[Assignment]:
    """Those that label the rows otherwise than all before them do, names of clusters aside."""
    seen: dict[bytes, Assignment] = {}
    for assignment in assignments:
        numbers: Integers = np.arange(n_rows)
        labels: Assignment = assignment
        if isinstance(labels, OfSome):
            numbers, labels = labels.numbers, labels.assignment
        assert isinstance(labels, Labels)
        _, first, places = np.unique(labels.labels, return_index=True, return_inverse=True)
        partition = np.full(n_rows, -1)
        partition[numbers] = first[places]
        seen.setdefault(partition.tobytes(), assignment)
    return list(seen.values())


STARTS: dict[str, Start] = {
    "kmeans": kmeans,
    "k-means++": kmeans_plus_plus,
    "random": random_responsibilities,
    "random_from_data": random_from_data,
    "hierarchical": hierarchical,
    "whitened-kmeans": whitened_kmeans,
    "short-runs": short_runs,
}
