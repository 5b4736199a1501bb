"""The mixtures of several classes, and the mixture of these mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from emgmm.covariances import FAMILIES, Grouped
from emgmm.fitting.loop import Run
from emgmm.mixture import Mixture
from emgmm.typing import Array


class Classes(NamedTuple):
    """Mixtures of all classes, with the proportions of these, iterations and warnings."""

    mixtures: list[Mixture]
    proportions: Array
    n_iter: int
    warnings: Sequence[UserWarning] = ()


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


def classes_of(run: Run, sizes: Sequence[int], warnings: Sequence[UserWarning] = ()) -> Classes:
    """Return the mixtures of all classes, which were fitted together by a run."""
    mixture = run.step.mixture
    weights = np.bincount(np.repeat(np.arange(len(sizes)), sizes), mixture.weights)
    return Classes(parts_of(mixture, sizes), weights / weights.sum(), run.n_iter, warnings)


def parts_of(mixture: Mixture, sizes: Sequence[int]) -> list[Mixture]:
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
