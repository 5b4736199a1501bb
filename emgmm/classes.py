"""Rows with their classes, and the mixture of the mixtures of all classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm.covariances import FAMILIES, Grouped
from emgmm.mixture import Mixture
from emgmm.sources import ArraySource, Rows
from emgmm.sources.known import LabelRules
from emgmm.typing import Array, Integers


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Rows with their classes.

    Parameters
    ----------
    rows : Rows
        Rows and their weights.
    classes : (C,) array
        Classes, in ascending order.
    codes : (n,) integers
        Index of the class of each row, -1 if it is unlabelled.
    """

    rows: Rows
    classes: NDArray[Any]
    codes: Integers

    def source(self, labels: LabelRules | None = None) -> ArraySource:
        """Return all rows, with what is known of their components if `labels` is given."""
        source = ArraySource(self.rows.values, self.rows.weights, complete=self.rows.complete)
        if labels is not None:
            source.attach_labels(self.codes, labels)
        return source

    @property
    def counts(self) -> Array:
        """Total weight of the rows of each class, (C,)."""
        weights, known = self.rows.weights, self.codes >= 0
        weights = None if weights is None else weights[known]
        return np.bincount(self.codes[known], weights, len(self.classes)).astype(float)

    @property
    def all_known(self) -> bool:
        """Whether no row is unlabelled."""
        return bool((self.codes >= 0).all())


def joint_mixture(mixtures: Sequence[Mixture], proportions: Array) -> Mixture:
    """Return the mixture of the mixtures of all classes."""
    sizes = [mixture.n_components for mixture in mixtures]
    family, D = Grouped([mixture.family for mixture in mixtures], sizes), mixtures[0].n_features
    covariances = [
        family.widened(each.covariances.astype(float), each.family, each.n_components, D)
        for each in mixtures
    ]
    pairs = zip(proportions, mixtures, strict=True)
    weights = [share * each.weights / each.weights.sum() for share, each in pairs]
    means = np.concatenate([each.means for each in mixtures])
    return Mixture.of(np.concatenate(weights), means, np.concatenate(covariances), family)


def mixtures_of_groups(mixture: Mixture, sizes: Sequence[int]) -> list[Mixture]:
    """Return the mixtures of consecutive groups of components."""
    found, start = [], 0
    for number, size in enumerate(sizes):
        place = slice(start, start + size)
        if isinstance(mixture.family, Grouped):
            family = mixture.family.groups[number][0]
            covariances = mixture.family.covariances_of_group(mixture.covariances, number)
        else:
            family = FAMILIES[mixture.family.structure.scikit_learn]
            each = mixture.family.per_component(mixture.covariances, mixture.n_components)
            covariances = each[place]
        weights = mixture.weights[place] / mixture.weights[place].sum()
        found.append(Mixture.of(weights, mixture.means[place], covariances, family))
        start += size
    return found
