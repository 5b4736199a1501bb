"""Initialization by model-based hierarchical agglomerative clustering.

Agglomeration merges, in each step, the two clusters with the smallest cost. A cluster k of m_k rows
that have the covariance S_k about their mean contributes the term

    T_k = m_k log( |S_k| + tr S_k + a / m_k )

where a is the mean variance of all coordinates. The determinant gives the classification likelihood
of Gaussians with unrestricted covariances. The other two summands keep the term finite for clusters
of a few rows, whose covariance is singular. The cost of merging two clusters is the increase of the
sum of T. This is the criterion of R's mclust, in its default coordinates (`principal_coordinates`).

References
----------
Banfield and Raftery (1993), Biometrics 49:803, doi 10.2307/2532201.
Fraley (1998), SIAM J. Sci. Comput. 20:270, doi 10.1137/S1064827596311451.
Scrucca and Raftery (2015), Adv. Data Anal. Classif. 9:447, doi 10.1007/s11634-015-0220-z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emgmm.initialization.assignment import Labels, SubsetAssignment
from emgmm.initialization.whitening import principal_coordinates
from emgmm.sources import Rows
from emgmm.tolerances import EPS, TINY
from emgmm.typing import Array, Integers

# Largest number of rows that are clustered; of more rows a random sample is used. Time and memory
# are quadratic in it: about a second and 36 MB for 2000 rows.
TREE_ROWS = 2000

# Relative difference up to which a weight is considered an integer multiple of another.
SAME = 1e-9

# Largest number of repetitions of a row: every larger multiple would be an integer in float64.
MOST_TIMES = 2.0**32

# Share of the largest weight that each row has at the least: it adds to no digit of a cost, and a
# variance divided by it is in the range of floating-point numbers.
LIGHTEST = 1e-100


@dataclass(frozen=True, eq=False)
class Tree:
    """Tree of an agglomerative clustering: the sequence of merges.

    Parameters
    ----------
    numbers : (n,)
        Numbers of the rows that were clustered.
    merges : (n - 1, 2)
        Pairs of clusters, given by the index of their first row in `numbers`; the second cluster
        is merged into the first.
    """

    numbers: Integers
    merges: Integers

    @classmethod
    def of(cls, rows: Rows, seed: int) -> Tree:
        """Return the tree of the informative rows, or of a random sample of them.

        The tree is cached with the rows, because it serves all numbers of clusters.
        """
        if (cls, seed) not in rows.cache:
            numbers = rows.choose(TREE_ROWS, np.random.RandomState(seed))
            own = rows.take(numbers)
            counts = multiplicities(own)
            merges = agglomerate(principal_coordinates(own, float(counts.sum())), counts)
            rows.cache[cls, seed] = cls(numbers, merges)
        return rows.cache[cls, seed]

    def cut(self, n_clusters: int) -> Integers:
        """Return the (n,) labels in `n_clusters` clusters, numbered in the order of first rows."""
        n_rows = len(self.numbers)
        root = list(range(n_rows))
        for kept, removed in reversed(self.merges[: n_rows - n_clusters].tolist()):
            root[removed] = root[kept]
        return np.unique(root, return_inverse=True)[1]


def hierarchical(rows: Rows, n_components: int, random: np.random.RandomState) -> SubsetAssignment:
    """Cluster the rows hierarchically, or by quantiles if there is only one feature.

    If there are many rows, the initial mixture is that of a sample. The first E-step then computes
    the responsibilities of all rows; labels for all rows would cost a pass and be less informative.
    """
    seed = random.randint(np.iinfo(np.int32).max)
    if rows.values.shape[1] == 1:
        own = rows.take(rows.informative)
        labels = by_quantiles(own.filled[:, 0], multiplicities(own), n_components)
        return SubsetAssignment(rows.informative, Labels(labels, n_components))
    tree = Tree.of(rows, seed)
    return SubsetAssignment(tree.numbers, Labels(tree.cut(n_components), n_components))


def multiplicities(rows: Rows) -> Array:
    """Return the number of rows that each row represents, shape (n,), whatever the weights' scale.

    The criterion depends on the number of rows. Weights that are integer multiples of the smallest
    one are numbers of repetitions; other weights are divided by their mean.
    """
    if rows.counts is None:
        return np.ones(len(rows.values))
    with np.errstate(over="ignore"):
        multiples = rows.counts / rows.counts.min()
    whole = multiples.round()
    repeated = multiples.max() < MOST_TIMES and np.allclose(multiples, whole, rtol=SAME, atol=0.0)
    return whole if repeated else np.maximum(rows.counts, LIGHTEST * rows.counts.max())


def by_quantiles(values: Array, counts: Array, n_clusters: int) -> Integers:
    """Return labels, shape (n,), of consecutive clusters with counts as equal as ties allow.

    Equal values share a cluster. If this gives too few clusters, each cluster receives the same
    number of distinct values instead, and if these are too few, the same number of rows.
    """
    distinct, places = np.unique(values, return_inverse=True)
    own = np.bincount(places, weights=counts)
    below = (own.cumsum() - own)[places]
    rank = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    for before, total in ((below, own.sum()), (places, len(distinct)), (rank, len(values))):
        labels = (n_clusters * before / total + EPS * n_clusters).astype(np.intp)
        if len(np.unique(labels)) == n_clusters:
            break
    return labels


def agglomerate(points: Array, counts: Array) -> Integers:
    """Return the (n - 1, 2) merges of (n, r) points with positive (n,) counts.

    Equal points are merged first, at no cost. For m distinct points, memory and, usually, time are
    O(m^2).
    """
    _, first, places = np.unique(points, axis=0, return_index=True, return_inverse=True)
    places = places.ravel()
    repeated = np.delete(np.arange(len(points)), first)
    equal = np.column_stack([first[places[repeated]], repeated])
    order = np.argsort(first)
    distinct_counts = np.bincount(places, weights=counts)[order].astype(np.float64)
    heads = first[order]
    weights = counts / counts.sum()
    deviations = points - weights @ points
    clusters = _Clusters(points[heads], distinct_counts, float((weights @ deviations**2).mean()))
    merges = [clusters.merge() for _ in range(1, len(heads))]
    return np.concatenate([equal, heads[np.array(merges, dtype=np.intp).reshape(-1, 2)]])


class _Clusters:
    """Clusters and the costs of merging each pair of them.

    A cost is first bounded from below with 0 in place of the determinant, which suffices for most
    pairs. Exact costs are computed only for pairs that might be merged next. The bound is exact if
    the covariance is singular for lack of rows, or if the determinant is negligible in the sum.
    """

    def __init__(self, points: Array, counts: Array, mean_variance: float) -> None:
        n_rows, n_features = points.shape
        self.n_features = n_features
        self.least_trace = max(mean_variance, TINY)
        self.count = counts.astype(np.float64)
        self.size = np.ones(n_rows, dtype=np.intp)
        self.mean = points.copy()
        self.scatter = np.zeros((n_rows, n_features, n_features))
        self.trace = np.zeros(n_rows)
        self.term = self.count * np.log(self.least_trace / self.count)  # T_k
        self.cost = np.full((n_rows, n_rows), np.inf)
        self.is_exact = np.ones((n_rows, n_rows), dtype=bool)
        self.alive = np.ones(n_rows, dtype=bool)
        for k in range(n_rows - 1):
            others = np.arange(k + 1, n_rows)
            self._set(k, others, *self._bound(k, others))
        self.nearest = self.cost.argmin(axis=1)
        self.least = self.cost.min(axis=1)

    def _set(self, k: int, others: Integers, cost: Array, exact: NDArray[np.bool_]) -> None:
        self.cost[k, others] = self.cost[others, k] = cost
        self.is_exact[k, others] = self.is_exact[others, k] = exact

    def _unions(self, k: int, others: Integers) -> tuple[Array, Array, Array, Array]:
        """Return statistics of the unions of k with each of the others.

        They are the counts, the traces of S, the differences of the means and the factors of the
        outer products of these differences.
        """
        count = self.count[k] + self.count[others]
        shifts = self.mean[others] - self.mean[k]
        factor = self.count[k] * self.count[others] / count
        squares = np.einsum("nj,nj->n", shifts, shifts)
        trace = (self.trace[k] + self.trace[others] + factor * squares) / count
        return count, trace, shifts, factor

    def _bound(self, k: int, others: Integers) -> tuple[Array, NDArray[np.bool_]]:
        """Return lower bounds of the costs of k with each of the others, and whether exact."""
        D = self.n_features
        count, trace, _, _ = self._unions(k, others)
        least = trace + self.least_trace / count
        terms = count * np.log(least)
        singular = self.size[k] + self.size[others] <= D
        with np.errstate(over="ignore", under="ignore"):
            negligible = (trace / D) ** D < EPS * least  # |S| <= (tr S / D)^D
        return terms - self.term[k] - self.term[others], singular | negligible

    def _compute(self, k: int, others: Integers) -> Array:
        """Return the exact costs of k with each of the others."""
        count, trace, shifts, factor = self._unions(k, others)
        scatter = shifts[:, :, None] * (factor[:, None] * shifts)[:, None, :]
        scatter += self.scatter[k] + self.scatter[others]
        sign, log_det = np.linalg.slogdet(scatter / count[:, None, None])
        log_det = np.where(sign > 0, log_det, -np.inf)
        terms = count * np.logaddexp(log_det, np.log(trace + self.least_trace / count))
        return terms - self.term[k] - self.term[others]

    def _refine(self, k: int) -> None:
        """Compute as many exact costs of k as are needed to determine the smallest."""
        candidates = self.nearest[k : k + 1]
        while len(candidates):
            cost = self._compute(k, candidates)
            self._set(k, candidates, cost, np.ones(len(candidates), dtype=bool))
            for other in candidates[self.nearest[candidates] == k]:
                self._find(other)
            below = self.cost[k] < cost.min()
            candidates = np.flatnonzero(below & np.logical_not(self.is_exact[k]))
        self._find(k)

    def _find(self, k: int) -> None:
        self.nearest[k] = self.cost[k].argmin()
        self.least[k] = self.cost[k, self.nearest[k]]

    def merge(self) -> tuple[int, int]:
        """Merge the pair with the smallest cost, and return the kept and the removed cluster."""
        while True:
            k = int(self.least.argmin())
            other = int(self.nearest[k])
            if self.is_exact[k, other]:
                break
            self._refine(k)
        kept, removed = min(k, other), max(k, other)
        index = np.array([removed])
        count, trace, shifts, factor = self._unions(kept, index)
        self.term[kept] += self.term[removed] + self.cost[kept, removed]
        self.scatter[kept] += self.scatter[removed] + factor[0] * np.outer(shifts[0], shifts[0])
        self.trace[kept] = count[0] * trace[0]
        self.mean[kept] += (self.count[removed] / count[0]) * shifts[0]
        self.count[kept] = count[0]
        self.size[kept] += self.size[removed]
        self.alive[removed] = False
        self.cost[removed] = self.cost[:, removed] = self.least[removed] = np.inf
        others = np.flatnonzero(self.alive)
        others = others[others != kept]
        if len(others):
            self._update(kept, removed, others)
        return kept, removed

    def _update(self, kept: int, removed: int, others: Integers) -> None:
        """Bound the costs of a merged cluster, and update the nearest clusters."""
        cost, exact = self._bound(kept, others)
        self._set(kept, others, cost, exact)
        affected = np.isin(self.nearest[others], (kept, removed))
        nearer = others[np.logical_not(affected) & (cost < self.least[others])]
        self.nearest[nearer] = kept
        self.least[nearer] = self.cost[kept, nearer]
        for other in others[affected]:
            self._find(other)
        self._find(kept)
