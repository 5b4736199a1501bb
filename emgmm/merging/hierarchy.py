"""Hierarchies of clusters of components, and the entropy of the clusters at each level."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import combinations

import numpy as np
from scipy.special import entr

from emgmm.estep import EStepForBlock
from emgmm.merging.separation import Gaussian, Pair
from emgmm.mixture import Mixture
from emgmm.prediction import summed
from emgmm.sources import Source
from emgmm.sources.block import Block
from emgmm.tolerances import negligible_underflow
from emgmm.typing import Array, Integers
from emgmm.validation import check_some_observed

# The components of a cluster, in ascending order.
Members = tuple[int, ...]

# A function that evaluates pairs of clusters; the pair with the largest value is merged first.
Values = Callable[[list[tuple[Members, Members]]], list[tuple[float, ...]]]


class Entropies:
    """Entropies of clusters: minus the sum over the rows of their probabilities times log of these.

    Parameters
    ----------
    mixture : Mixture
        Mixture whose components form the clusters.
    source : Source
        Rows and weights. Rows without any observed value are ignored.
    """

    def __init__(self, mixture: Mixture, source: Source) -> None:
        self._mixture = mixture
        self._source = source
        self._known: dict[Members, float] = {}

    def __call__(self, clusters: Iterable[Members]) -> list[float]:
        """Return the entropy of each cluster; new ones are computed in one pass over the rows."""
        clusters = list(clusters)
        new = [each for each in dict.fromkeys(clusters) if each not in self._known]
        if new:
            function = partial(cluster_entropies, memberships(new, self._mixture.n_densities))
            *found, weight = summed(self._mixture, self._source, function).tolist()
            check_some_observed(weight)
            self._known.update(zip(new, found, strict=True))
        return [self._known[each] for each in clusters]

    def reductions(self, pairs: list[tuple[Members, Members]]) -> list[tuple[float, ...]]:
        """Return by how much merging each pair reduces the entropy."""
        unions = [union(*pair) for pair in pairs]
        self([*(each for pair in pairs for each in pair), *unions])
        return [
            (self._known[one] + self._known[other] - self._known[both],)
            for (one, other), both in zip(pairs, unions, strict=True)
        ]


def memberships(clusters: Iterable[Members], n_components: int) -> Array:
    """Return a (C, K) array that is 1 where a component belongs to a cluster, and 0 elsewhere."""
    return np.array([np.isin(np.arange(n_components), each) for each in clusters], dtype=float)


def cluster_entropies(members: Array, e_step: EStepForBlock, block: Block) -> Array:
    """Return the entropies of C clusters, given by a (C, K) array, and the weight of the rows."""
    responsibilities = e_step.responsibilities(block).T.astype(np.float64)
    weights = np.ones(block.rows.shape[1]) if block.weights is None else block.weights
    if not block.complete:
        weights = weights * np.logical_not(np.isnan(block.rows).all(axis=0))
    size = len(responsibilities)  # of parts, which bounds the memory
    parts = (members[start : start + size] for start in range(0, len(members), size))
    entropies = [entr(part @ responsibilities) @ weights for part in parts]
    return np.concatenate([*entropies, [weights.sum()]])


def similarities(mixture: Mixture, *, by_ridgeline: bool) -> Values:
    """Return the function that compares clusters by the Gaussians with their moments.

    The value is the logarithm of the Bhattacharyya coefficient, or that of the ridgeline ratio,
    whose many ties the coefficient decides.
    """
    means = mixture.means.astype(np.float64)
    weights, covariances = mixture.weights.astype(float), mixture.dense_covariances().astype(float)

    def gaussian(members: Members) -> Gaussian:
        own = list(members)
        return Gaussian.of(weights[own], means[own], covariances[own])

    def values(pairs: list[tuple[Members, Members]]) -> list[tuple[float, ...]]:
        known = {each: gaussian(each) for pair in pairs for each in pair}
        compared = [Pair.of(known[one], known[other]) for one, other in pairs]
        if by_ridgeline:
            return [(pair.log_ridgeline_ratio, pair.log_bhattacharyya) for pair in compared]
        return [(pair.log_bhattacharyya,) for pair in compared]

    return values


def union(one: Members, other: Members) -> Members:
    """Return the cluster of the components of both clusters."""
    return tuple(sorted(one + other))


def agglomerate(n_components: int, values: Values) -> tuple[list[tuple[Members, Members]], Array]:
    """Merge the pair of clusters with the largest value, from single components to one cluster.

    Returns
    -------
    pairs : list
        The two clusters that each of the K - 1 steps merges.
    largest : ndarray of shape (K - 1,)
        Value of each pair; of several values, the first.
    """
    clusters: list[Members] = [(k,) for k in range(n_components)]
    new = list(combinations(clusters, 2))
    known: dict[tuple[Members, Members], tuple[float, ...]] = {}
    pairs, largest = [], []
    while new:
        known.update(zip(new, values(new), strict=True))
        best = max(known, key=known.__getitem__)
        pairs.append(best)
        largest.append(known[best][0])
        known = {pair: value for pair, value in known.items() if not {*pair} & {*best}}
        clusters = [each for each in clusters if each not in best]
        new = [(each, union(*best)) for each in clusters]
        clusters.append(union(*best))
    return pairs, np.array(largest)


def levels(n_components: int, pairs: list[tuple[Members, Members]]) -> list[list[Members]]:
    """Return the clusters of each level, from one to K, ordered by their first component."""
    clusters: list[Members] = [(k,) for k in range(n_components)]
    found = [clusters]
    for pair in pairs:
        clusters = sorted([*(each for each in clusters if each not in pair), union(*pair)])
        found.append(clusters)
    return found[::-1]


def linkage(n_components: int, pairs: list[tuple[Members, Members]], heights: Array) -> Array:
    """Return the hierarchy in the format of `scipy.cluster.hierarchy.linkage`."""
    number: dict[Members, int] = {(k,): k for k in range(n_components)}
    rows = np.empty((len(pairs), 4))
    for step, (pair, height) in enumerate(zip(pairs, heights, strict=True)):
        both = union(*pair)
        number[both] = n_components + step
        rows[step] = *sorted(number[each] for each in pair), height, len(both)
    return rows


def labels_of(clusters: list[Members]) -> Integers:
    """Return the number of the cluster of each component."""
    labels = np.empty(sum(map(len, clusters)), dtype=np.int64)
    for number, members in enumerate(clusters):
        labels[list(members)] = number
    return labels


def two_lines(entropies: Array, corner: int) -> tuple[Array, Array]:
    """Return least-squares fits for 1 to `corner` clusters, and for `corner` to K clusters."""
    n_clusters = np.arange(1, len(entropies) + 1)
    parts = slice(None, corner), slice(corner - 1, None)
    fits = [
        np.polyval(np.polyfit(n_clusters[part], entropies[part], 1), n_clusters[part])
        for part in parts
    ]
    return fits[0], fits[1]


@negligible_underflow
def elbow(entropies: Array) -> int:
    """Return the number of clusters at which two lines fit best that meet there.

    Fewer than three components are not merged, because there is no elbow.

    References
    ----------
    Baudry, Raftery, Celeux, Lo and Gottardo (2010), J. Comput. Graph. Stat. 19:332,
    doi 10.1198/jcgs.2010.08111.
    """
    corners = range(2, len(entropies))
    if not corners:
        return len(entropies)
    # A power of two by which squares of entropies near 0 do not underflow.
    entropies = np.ldexp(entropies, -np.frexp(np.abs(entropies).max())[1])

    def squares(corner: int) -> float:
        below, above = two_lines(entropies, corner)
        residuals = below - entropies[:corner], above - entropies[corner - 1 :]
        return float(sum(residual @ residual for residual in residuals))

    return min(corners, key=squares)
