"""The interface of covariance families: the constraints on the K covariances and their M-step.

A family turns second moments into covariances, and covariances into what the E-step needs. It
depends neither on the data nor on the iteration.

Three properties state to what extent the components share a covariance:

- `shared`: all components have the same covariance. Its quadratic term cancels in the
  responsibilities and only the pooled scatter matters, so the statistics hold one element: `pool`.
- `single`: public arrays, such as ``covariances_``, hold one element instead of K. scikit-learn has
  such arrays for a shared matrix but not for shared variances, which are repeated.
- `pooled`: if one covariance is not positive definite, none is.

Covariances, precisions and their factors have the shape of the public arrays; `stack` prepends an
axis of components to a single element.

To add a family, subclass `Family` and pass an instance as ``covariance_type``, or enter it in
`FAMILIES`; `emgmm.testing.check_family` checks it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm.covariances.dense import DENSE
from emgmm.covariances.diagonal import ISOTROPIC
from emgmm.covariances.structure import Structure, require_definite
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.tolerances import TINY
from emgmm.typing import Array, Integers


@cache
def _largest_factor(dtype: np.dtype[Any], n_features: int) -> float:
    """Return the largest entry of U with which a precision cannot overflow `dtype`."""
    return float(np.sqrt(np.finfo(dtype).max / 4 / n_features))


class Family(ABC):
    """A covariance family.

    Parameters
    ----------
    name : str
        Value of ``covariance_type``.
    structure : Structure
        Structure of the covariances, which determines the second moments that are collected.
    shared : bool
        Whether all components have the same covariance.
    pooled : bool, optional
        Whether one degenerate covariance makes all of them degenerate; `shared` by default.

    Attributes
    ----------
    independent : bool
        Whether each covariance is estimated from the scatter of its own component only.
    single : bool
        Whether public arrays hold one element instead of K.
    equal_volumes : bool
        Whether the scatters are scaled to a common volume.
    most_features : int or None
        Maximum number of features; None if there is no limit.
    """

    independent = False
    equal_volumes = False
    most_features: int | None = None

    def __init__(
        self, name: str, structure: Structure, *, shared: bool = False, pooled: bool | None = None
    ) -> None:
        self.name = name
        self.structure = structure
        self.shared = shared
        self.pooled = shared if pooled is None else pooled
        self.single = shared and structure is DENSE

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def scikit_learn(self) -> str:
        """scikit-learn's ``covariance_type`` for arrays of this shape."""
        return "tied" if self.single else self.structure.scikit_learn

    @property
    def closed_under_scaling(self) -> bool:
        """Whether covariances stay in the family when features are rescaled one by one."""
        return self.structure != ISOTROPIC or self.most_features == 1

    def has_marginals(self, features: Sequence[int], n_features: int) -> bool:
        """Whether marginal and conditional distributions of these features are in the family."""
        return list(features) == list(range(n_features))

    # -- the M-step -----------------------------------------------------------------------------
    @abstractmethod
    def estimate(
        self, scatter: Array, counts: Array, n_features: int, before: Array | None = None
    ) -> Array:
        """Return the covariances that maximize the likelihood.

        Parameters
        ----------
        scatter : pooled elements
            Scatters about the means.
        counts : (K,)
            Sums of the responsibilities.
        n_features : int
            Number of features, D.
        before : stack of elements, optional
            Covariances from which an iterative solution starts. It may then stop before the
            maximum, but its likelihood is no lower than theirs.

        Raises
        ------
        DegenerateCovarianceError
            If the likelihood has no maximum.
        """

    def estimate_each(self, scatters: Array, counts: Array, n_features: int) -> Array:
        """Return the covariances of each of C problems with the same counts, (C, K, ...).

        Parameters
        ----------
        scatters : (C, K) elements
            Scatters of the components about their means.
        counts, n_features
            Arguments of `estimate`.
        """
        each = [self.estimate(self.pool(one), counts, n_features) for one in scatters]
        return each[0][None] if len(each) == 1 else np.stack(each)

    def enlargement(
        self, covariances: Array, scatter: Array, counts: Array, first_moment: Array
    ) -> Array | float:
        """How many times as large a covariance may be as the moments that alone it is made of.

        By so much it enlarges their rounding. Most families add moments up instead.

        Parameters
        ----------
        covariances : stack of elements
            Covariances.
        scatter : pooled elements
            Scatters about centres.
        counts : (K,)
            Masses.
        first_moment : (K, D)
            First moments about the centres.
        """
        if not self.equal_volumes:
            return 1.0
        # A scatter that is small in every direction is scaled up.
        variances, D = self.structure.variances, first_moment.shape[1]
        masses = np.maximum(counts, TINY)[:, None]
        moments = variances(scatter, D) / masses - (first_moment / masses) ** 2
        return variances(covariances, D).sum(axis=1) / np.maximum(moments.sum(axis=1), TINY)

    @abstractmethod
    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        """Return the number of free parameters of the covariances."""

    def stacked(self, n_components: int) -> Family | None:
        """Return the family of the components of several mixtures of this family.

        They are `n_components` of each mixture in turn, with one element per component. None is
        returned by a family whose `estimate` does not serve several mixtures at once.
        """
        return None

    def pool(self, elements: Array) -> Array:
        """Return K scatter elements as the statistics hold them: their sum if `shared`."""
        return elements.sum(axis=0) if self.shared else elements

    def single_row_covariances(self, rows: Array, counts: Array, mean: Array) -> Array:
        """Return covariances, without a ridge, of components with one of the (K, D) rows each.

        A shared covariance is that of the rows about the data's (D,) mean. scikit-learn computes it
        from all rows about zero, divided by K, which is N / K times too large and grows with an
        offset of the data.
        """
        if not self.shared:
            return self.structure.single_row_covariances(rows, counts)
        return self.estimate(self.pool(self.structure.outer(rows - mean)), counts, rows.shape[1])

    # -- public arrays <-> stacks of elements ---------------------------------------------------
    def stack(self, elements: Array) -> Array:
        """Return elements with an axis of components, of length 1 if `single`."""
        return elements[None] if self.single else elements

    def unstack(self, stacked: Array) -> Array:
        """Return the inverse of `stack`."""
        return stacked[0] if self.single else stacked

    def distinct(self, elements: Array) -> Array:
        """Return a stack without repeated elements: as many as the statistics hold."""
        stacked = self.stack(elements)
        return stacked[:1] if self.shared else stacked

    def permuted(self, elements: Array, order: Integers) -> Array:
        """Return the elements in another order of the components."""
        return elements if self.single else elements[order]

    def per_component(self, elements: Array, n_components: int) -> Array:
        """Return one element per component, as a view."""
        if not self.single:
            return elements
        return np.broadcast_to(elements, (n_components, *elements.shape))

    def element_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Return the shape of a public array of covariances."""
        element = (n_features,) * (self.structure.outer(np.zeros((1, 1))).ndim - 1)
        return element if self.single else (n_components, *element)

    # -- covariances and precisions, as public arrays --------------------------------------------
    def add_ridge(self, covariances: Array, ridge: float) -> Array:
        """Return the covariances with `ridge` added to their diagonals."""
        return self.unstack(self.structure.add_ridge(self.stack(covariances), ridge))

    def precisions_cholesky(self, covariances: Array) -> Array:
        """Return U of each covariance, where precision = U U^T."""
        return self._factors(self.structure.precisions_cholesky, covariances)

    def cholesky_of_precisions(self, precisions: Array) -> Array:
        """Return U of each precision."""
        return self._factors(self.structure.cholesky_of_precisions, precisions)

    def _factors(self, factorise: Callable[[Array], Array], elements: Array) -> Array:
        try:
            return self.unstack(factorise(self.stack(elements)))
        except DegenerateCovarianceError as error:
            raise DegenerateCovarianceError(() if self.pooled else error.components) from None

    def check_finite(self, covariances: Array) -> None:
        """Raise `DegenerateCovarianceError` if covariances have overflowed."""
        self.require_definite(np.isfinite(self.stack(covariances)))

    def check_invertible(
        self, precisions_cholesky: Array, dtype: np.dtype[Any], n_features: int
    ) -> None:
        """Raise `DegenerateCovarianceError` if a precision overflows `dtype`.

        An entry of U U^T is at most D times the largest square. A margin of a factor of 4 keeps the
        variances above the smallest normal number as well, so that they keep their digits.
        """
        largest = _largest_factor(dtype, n_features)
        self.require_definite(np.abs(self.stack(precisions_cholesky)) <= largest)

    def require_definite(self, definite: NDArray[np.bool_]) -> None:
        """Raise `DegenerateCovarianceError`, with the components, unless all are definite.

        A component, along the first axis, is definite if all its entries are true.
        """
        if np.logical_and.reduce(definite, axis=None):
            return
        if self.pooled:
            raise DegenerateCovarianceError(())
        require_definite(definite)

    def min_variance(self, covariances: Array, reference: Array, n_features: int) -> Array:
        """Return the smallest variance relative to a reference element, (K,), or (1,) if `single`.

        This is the smallest generalized eigenvalue of each covariance and `reference`.
        """
        precision_cholesky = self.structure.precisions_cholesky(reference[None])[0]
        return self.structure.min_variance(self.stack(covariances), precision_cholesky, n_features)

    def min_count(self, n_features: int) -> int:
        """Return the number of rows that make a component's covariance definite; 0 if `pooled`."""
        return 0 if self.pooled else self.structure.min_rows(n_features)

    def precisions(self, precisions_cholesky: Array) -> Array:
        """Return U U^T, which is infinite on overflow."""
        with np.errstate(over="ignore", under="ignore"):
            return self.unstack(self.structure.precisions(self.stack(precisions_cholesky)))

    def covariances(self, precisions_cholesky: Array) -> Array:
        """Return the inverses of the precisions, which may overflow; see `check_finite`."""
        with np.errstate(over="ignore", divide="ignore", under="ignore"):
            return self.unstack(self.structure.covariances(self.stack(precisions_cholesky)))

    def dense(self, covariances: Array, n_components: int, n_features: int) -> Array:
        """Return a new array of the components' covariance matrices, (K, D, D)."""
        elements = self.per_component(covariances, n_components)
        return np.array(self.structure.dense(elements, n_features))


def times_counts(counts: Array, elements: Array) -> Array:
    """Return K elements, each multiplied by its count."""
    return counts.reshape(-1, *[1] * (elements.ndim - 1)) * elements
