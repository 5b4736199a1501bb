"""Agglomeration: the two clusters that cost least are made one, until all rows are one cluster.

A cluster k of mass m_k, whose rows have the covariance S_k about their mean, counts

    T_k = m_k log( |S_k| + tr S_k + a / m_k )

where a is the mean variance of all coordinates. The first term is the classification likelihood of
Gaussians with any covariance. The other two keep it finite for clusters of a few rows, which have
no determinant. Two clusters cost what the sum of T grows by when they are merged. This is R
mclust's criterion, in the coordinates that it takes by default (`principal_coordinates`).

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

from emgmm.initialization.assignment import Labels, OfSome
from emgmm.initialization.whitening import principal_coordinates
from emgmm.sources import Rows
from emgmm.tolerances import EPS
from emgmm.typing import Array, Integers

# Rows that are clustered, of more a random choice. Time and memory go with their square: 2000 take
# about a second, and 36 MB.
TREE_ROWS = 2000

# Relative difference below which a weight is a whole multiple of another.
SAME = 1e-9

# Most times that a row counts as repeated: beyond, every multiple is a whole number in float64.
MOST_TIMES = 2.0**32

# Share of the largest weight that each row has at the least: it adds to no digit of a cost, and a
# variance divided by it is in the range of floating-point numbers.
LIGHTEST = 1e-100

TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True, eq=False)
class Tree:
    """Which clusters were merged, one after the other.

    Parameters
    ----------
    numbers : (n,)
        The rows that were clustered.
    merges : (n - 1, 2)
        Clusters, by the place of their first row among these: the second went into the first.
    """

    numbers: Integers
    merges: Integers

    @classmethod
    def of(cls, rows: Rows, seed: int) -> Tree:
        """The tree of those rows that count, or of a random choice of them.

        It is kept with the rows, because another cut of the same tree costs next to nothing.
        """
        if (cls, seed) not in rows.cache:
            numbers = rows.choose(TREE_ROWS, np.random.RandomState(seed))
            own = rows.take(numbers)
            masses = masses_of(own)
            merges = agglomerate(principal_coordinates(own, float(masses.sum())), masses)
            rows.cache[cls, seed] = cls(numbers, merges)
        return rows.cache[cls, seed]

    def cut(self, n_clusters: int) -> Integers:
        """(n,): each row's label in `n_clusters` clusters, in the order of their first rows."""
        n_rows = len(self.numbers)
        root = list(range(n_rows))
        for kept, gone in reversed(self.merges[: n_rows - n_clusters].tolist()):
            root[gone] = root[kept]
        return np.unique(root, return_inverse=True)[1]


def hierarchical(rows: Rows, n_components: int, random: np.random.RandomState) -> OfSome:
    """The clusters into which the tree of the rows falls where it is cut; quantiles of one feature.

    Of many rows only some are clustered, and theta_0 is theirs. The first E-step then gives all
    rows to the components, in shares; to label them first would cost a pass and say less.
    """
    seed = random.randint(np.iinfo(np.int32).max)
    if rows.values.shape[1] == 1:
        own = rows.take(rows.informative)
        labels = by_quantiles(own.filled[:, 0], masses_of(own), n_components)
        return OfSome(rows.informative, Labels(labels, n_components))
    tree = Tree.of(rows, seed)
    return OfSome(tree.numbers, Labels(tree.cut(n_components), n_components))


def masses_of(rows: Rows) -> Array:
    """(n,): how many rows each stands for; the scale of the weights has no part in it.

    The criterion depends on the number of rows. Weights that are whole multiples of the smallest
    count repeated rows; others are taken in units of their mean.
    """
    if rows.counts is None:
        return np.ones(len(rows.values))
    with np.errstate(over="ignore"):
        multiples = rows.counts / rows.counts.min()
    whole = multiples.round()
    repeated = multiples.max() < MOST_TIMES and np.allclose(multiples, whole, rtol=SAME, atol=0.0)
    return whole if repeated else np.maximum(rows.counts, LIGHTEST * rows.counts.max())


def by_quantiles(values: Array, masses: Array, n_clusters: int) -> Integers:
    """(n,): clusters of as equal mass as ties allow, in the order of the values.

    Equal values stay together. Where that leaves fewer clusters, as many distinct values go to
    each, and where there are too few of these, as many rows.
    """
    distinct, places = np.unique(values, return_inverse=True)
    own = np.bincount(places, weights=masses)
    below = (own.cumsum() - own)[places]
    rank = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    for before, total in ((below, own.sum()), (places, len(distinct)), (rank, len(values))):
        labels = (n_clusters * before / total + EPS * n_clusters).astype(np.intp)
        if len(np.unique(labels)) == n_clusters:
            break
    return labels


def agglomerate(points: Array, masses: Array) -> Integers:
    """(n - 1, 2): the merges of (n, r) points that count (n,) masses, all above 0.

    Equal points are merged first, at no cost. O(m^2) for m distinct points in memory and, but for
    bad luck, in time.
    """
    _, first, places = np.unique(points, axis=0, return_index=True, return_inverse=True)
    places = places.ravel()
    repeated = np.delete(np.arange(len(points)), first)
    equal = np.column_stack([first[places[repeated]], repeated])
    order = np.argsort(first)
    together = np.bincount(places, weights=masses)[order].astype(np.float64)
    heads = first[order]
    share = masses / masses.sum()
    deviations = points - share @ points
    clusters = _Clusters(points[heads], together, float((share @ deviations**2).mean()))
    merges = [clusters.merge() for _ in range(1, len(heads))]
    return np.concatenate([equal, heads[np.array(merges, dtype=np.intp).reshape(-1, 2)]])


class _Clusters:
    """Clusters, and what each two of them cost.

    A cost is first bounded from below, by the determinant that it has at the least: 0. That takes
    no determinant, and is all that most pairs ever need; those that might be next are computed. A
    bound is the cost itself where so few rows have no determinant, or one that is lost in the sum.
    """

    def __init__(self, points: Array, masses: Array, mean_variance: float) -> None:
        n_rows, n_features = points.shape
        self.n_features = n_features
        self.least_trace = max(mean_variance, TINY)
        self.mass = masses.astype(np.float64)
        self.size = np.ones(n_rows, dtype=np.intp)
        self.mean = points.copy()
        self.scatter = np.zeros((n_rows, n_features, n_features))
        self.trace = np.zeros(n_rows)
        self.term = self.mass * np.log(self.least_trace / self.mass)  # T_k
        self.cost = np.full((n_rows, n_rows), np.inf)
        self.exact = np.ones((n_rows, n_rows), dtype=bool)
        self.alive = np.ones(n_rows, dtype=bool)
        for k in range(n_rows - 1):
            others = np.arange(k + 1, n_rows)
            self._set(k, others, *self._bound(k, others))
        self.nearest = self.cost.argmin(axis=1)
        self.least = self.cost.min(axis=1)

    def _set(self, k: int, others: Integers, cost: Array, exact: NDArray[np.bool_]) -> None:
        self.cost[k, others] = self.cost[others, k] = cost
        self.exact[k, others] = self.exact[others, k] = exact

    def _together(self, k: int, others: Integers) -> tuple[Array, Array, Array, Array]:
        """Mass and trace of S of k with each of the others, the means' steps, and their factors."""
        mass = self.mass[k] + self.mass[others]
        steps = self.mean[others] - self.mean[k]
        factor = self.mass[k] * self.mass[others] / mass
        squares = np.einsum("nj,nj->n", steps, steps)
        trace = (self.trace[k] + self.trace[others] + factor * squares) / mass
        return mass, trace, steps, factor

    def _bound(self, k: int, others: Integers) -> tuple[Array, NDArray[np.bool_]]:
        """The least that k and each of the others may cost, and whether they cost just that."""
        D = self.n_features
        mass, trace, _, _ = self._together(k, others)
        least = trace + self.least_trace / mass
        terms = mass * np.log(least)
        singular = self.size[k] + self.size[others] <= D
        with np.errstate(over="ignore", under="ignore"):
            lost = (trace / D) ** D < EPS * least  # |S| <= (tr S / D)^D
        return terms - self.term[k] - self.term[others], singular | lost

    def _compute(self, k: int, others: Integers) -> Array:
        """What k and each of the others cost."""
        mass, trace, steps, factor = self._together(k, others)
        scatter = steps[:, :, None] * (factor[:, None] * steps)[:, None, :]
        scatter += self.scatter[k] + self.scatter[others]
        sign, log_det = np.linalg.slogdet(scatter / mass[:, None, None])
        log_det = np.where(sign > 0, log_det, -np.inf)
        terms = mass * np.logaddexp(log_det, np.log(trace + self.least_trace / mass))
        return terms - self.term[k] - self.term[others]

    def _refine(self, k: int) -> None:
        """Compute as many of k's costs as it takes to know the least."""
        wanted = self.nearest[k : k + 1]
        while len(wanted):
            cost = self._compute(k, wanted)
            self._set(k, wanted, cost, np.ones(len(wanted), dtype=bool))
            for other in wanted[self.nearest[wanted] == k]:
                self._find(other)
            below = self.cost[k] < cost.min()
            wanted = np.flatnonzero(below & np.logical_not(self.exact[k]))
        self._find(k)

    def _find(self, k: int) -> None:
        self.nearest[k] = self.cost[k].argmin()
        self.least[k] = self.cost[k, self.nearest[k]]

    def merge(self) -> tuple[int, int]:
        """Make one of the two that cost least, and say which they were."""
        while True:
            k = int(self.least.argmin())
            other = int(self.nearest[k])
            if self.exact[k, other]:
                break
            self._refine(k)
        kept, gone = min(k, other), max(k, other)
        one = np.array([gone])
        mass, trace, steps, factor = self._together(kept, one)
        self.term[kept] += self.term[gone] + self.cost[kept, gone]
        self.scatter[kept] += self.scatter[gone] + factor[0] * np.outer(steps[0], steps[0])
        self.trace[kept] = mass[0] * trace[0]
        self.mean[kept] += (self.mass[gone] / mass[0]) * steps[0]
        self.mass[kept] = mass[0]
        self.size[kept] += self.size[gone]
        self._drop(gone)
        others = np.flatnonzero(self.alive)
        others = others[others != kept]
        if len(others):
            self._renew(kept, gone, others)
        return kept, gone

    def _drop(self, gone: int) -> None:
        self.alive[gone] = False
        self.cost[gone] = self.cost[:, gone] = self.least[gone] = np.inf

    def _renew(self, kept: int, gone: int, others: Integers) -> None:
        """Bound the costs of a cluster that has grown, and find whose nearest it is."""
        cost, exact = self._bound(kept, others)
        self._set(kept, others, cost, exact)
        lost = np.isin(self.nearest[others], (kept, gone))
        nearer = others[np.logical_not(lost) & (cost < self.least[others])]
        self.nearest[nearer] = kept
        self.least[nearer] = self.cost[kept, nearer]
        for other in others[lost]:
            self._find(other)
        self._find(kept)
