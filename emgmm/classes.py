"""Rows with their classes, the mixtures of all classes, and posterior probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from emgmm.covariances import FAMILIES, Grouped
from emgmm.fitting.loop import Run
from emgmm.mixture import Mixture
from emgmm.prediction import log_density, row_by_row
from emgmm.sources import ArraySource, Rows
from emgmm.sources.known import LabelRules
from emgmm.threads import one_blas_thread
from emgmm.tolerances import negligible_underflow
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


class Classes(NamedTuple):
    """Mixtures of all classes, with the proportions of these, iterations and warnings."""

    mixtures: list[Mixture]
    proportions: Array
    n_iter: int
    warnings: Sequence[Warning] = ()

    def with_warnings(self, others: Sequence[Warning]) -> Classes:
        """Return the same with further warnings."""
        return self._replace(warnings=[*self.warnings, *others])


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


def fitted_classes(run: Run, sizes: Sequence[int], warnings: Sequence[Warning] = ()) -> Classes:
    """Return the mixtures of all classes, which were fitted together by a run."""
    mixture = run.step.mixture
    weights = np.bincount(np.repeat(np.arange(len(sizes)), sizes), mixture.weights)
    parts = mixtures_of_groups(mixture, sizes)
    return Classes(parts, weights / weights.sum(), run.n_iter, warnings)


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


@negligible_underflow
def log_sum(log_joint: Array) -> Array:
    """Return the logarithm of the sum over the classes, (n,)."""
    found: Array = logsumexp(log_joint, axis=1)
    return found


def log_posterior(log_joint: Array) -> Array:
    """Return the logarithms of the posterior probabilities of the classes, (n, C)."""
    total = log_sum(log_joint)
    check_within_reach(total)
    return log_joint - total[:, None]


def check_within_reach(log_densities: Array) -> None:
    """Raise an error if the log-density of a row is -inf."""
    far = np.flatnonzero(np.isneginf(log_densities))
    if len(far):
        raise ValueError(
            f"Row {far[0]} of X, counted from 0, is so far from all classes that its log-density "
            "is -inf in each of them, and none is more probable than another."
        )


def log_densities(mixture: Mixture, rows: Array) -> Array:
    """Return the log-densities of the rows of an array, (n,)."""
    source = ArraySource(rows, complete=not np.isnan(rows).any())
    with one_blas_thread():
        found: Array = row_by_row(mixture, source, log_density, dtype=np.float64)
    return found
