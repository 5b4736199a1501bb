"""Components in groups, each of which has a covariance family of its own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from emgmm.covariances.dense import DENSE
from emgmm.covariances.diagonal import DIAGONAL
from emgmm.covariances.family import Family
from emgmm.covariances.structure import Structure
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.typing import Array


class Grouped(Family):
    """Family in which each group of consecutive components has a family of its own.

    Parameters
    ----------
    families : sequence of Family
        Family of each group.
    sizes : sequence of int
        Number of components of each group.
    """

    def __init__(self, families: Sequence[Family], sizes: Sequence[int]) -> None:
        structures = {family.structure for family in families}
        structure = structures.pop() if len(structures) == 1 else DENSE
        super().__init__(", ".join(family.name for family in families), structure)
        edges = pairwise(accumulate(sizes, initial=0))
        self.groups = [(family, slice(*ends)) for family, ends in zip(families, edges, strict=True)]

    def estimate(
        self, scatter: Array, counts: Array, n_features: int, before: Array | None = None
    ) -> Array:
        parts = []
        for family, place in self.groups:
            own = family.pool(_narrowed(scatter[place], self.structure, family.structure))
            earlier = None
            if before is not None and not family.shared:
                earlier = _covariances(before[place], self.structure, family.structure)
            try:
                found = family.estimate(own, counts[place], n_features, earlier)
            except DegenerateCovarianceError as error:
                members = range(place.start, place.stop)
                components = tuple(members[k] for k in error.components) or tuple(members)
                raise DegenerateCovarianceError(components) from None
            parts.append(self.widened(found, family, len(counts[place]), n_features))
        return np.concatenate(parts)

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        sizes = [(family, place.stop - place.start) for family, place in self.groups]
        return sum(family.n_covariance_parameters(size, n_features) for family, size in sizes)

    def min_count(self, n_features: int) -> int:
        return max(family.min_count(n_features) for family, _ in self.groups)

    def widened(self, covariances: Array, family: Family, size: int, n_features: int) -> Array:
        """Return the covariances of a group in the structure of all components."""
        elements = family.per_component(covariances, size)
        if family.structure == self.structure:
            return elements
        return family.structure.dense(elements, n_features)

    def covariances_of_group(self, covariances: Array, number: int) -> Array:
        """Return the covariances of a group in the shape of its own family."""
        family, place = self.groups[number]
        return family.unstack(_covariances(covariances[place], self.structure, family.structure))


def _narrowed(scatter: Array, wide: Structure, own: Structure) -> Array:
    """Return scatter elements in a structure that stores less of each matrix."""
    if wide == own:
        return scatter
    if own == DIAGONAL:
        return np.diagonal(scatter, axis1=1, axis2=2)
    return np.trace(scatter, axis1=1, axis2=2)


def _covariances(covariances: Array, wide: Structure, own: Structure) -> Array:
    """Return covariances in their own structure, which stores less of each matrix."""
    if wide == own or own == DIAGONAL:
        return _narrowed(covariances, wide, own)
    return covariances[:, 0, 0]
