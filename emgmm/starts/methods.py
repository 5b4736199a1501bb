"""The starts that have a name. Each looks at (n, D) rows and says which component they begin with.

To add one: write a function `(rows, n_components, random) -> Assignment` and enter it in `STARTS`;
the contract tests run over it. Random numbers are drawn as scikit-learn draws them, and in its
order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from sklearn.cluster import KMeans, kmeans_plusplus

from emgmm.starts.assignment import Assignment, Labels, Responsibilities, SingleRows
from emgmm.typing import Array

Start: TypeAlias = Callable[[Array, int, np.random.RandomState], Assignment]


def kmeans(rows: Array, n_components: int, random: np.random.RandomState) -> Assignment:
    """The clusters of one run of k-means."""
    clusters = KMeans(n_clusters=n_components, n_init=1, random_state=random).fit(rows)
    return Labels(clusters.labels_, n_components)


def kmeans_plus_plus(rows: Array, n_components: int, random: np.random.RandomState) -> Assignment:
    """Rows far from each other, as k-means chooses its seeds.

    Arthur and Vassilvitskii (2007), Proc. 18th ACM-SIAM Symp. Discrete Algorithms, 1027.
    """
    _, indices = kmeans_plusplus(rows, n_components, random_state=random)
    return SingleRows(indices)


def random_responsibilities(
    rows: Array, n_components: int, random: np.random.RandomState
) -> Assignment:
    """Independent uniform responsibilities, scaled to sum to one."""
    shares = random.uniform(size=(len(rows), n_components)).astype(rows.dtype, copy=False)
    shares /= shares.sum(axis=1)[:, None]
    return Responsibilities(shares)


def random_from_data(rows: Array, n_components: int, random: np.random.RandomState) -> Assignment:
    """Rows drawn without replacement."""
    return SingleRows(random.choice(len(rows), size=n_components, replace=False))


STARTS: dict[str, Start] = {
    "kmeans": kmeans,
    "k-means++": kmeans_plus_plus,
    "random": random_responsibilities,
    "random_from_data": random_from_data,
}
