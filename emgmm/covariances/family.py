"""A covariance family: the only place that knows how the K covariances hang together.

A family turns second moments into covariances and covariances into what the E-step needs. It sees
no rows, no blocks and no iterations.

Three things hang on whether covariances are alike, and they are told apart:

- `shared`: one covariance serves all components. Its quadratic term cancels in the responsibilities
  and only the pooled scatter matters, so statistics hold one element: `pool`.
- `single`: the public arrays hold one element too. scikit-learn has a shape for a shared matrix and
  none for shared variances: those stand there once for each component, all equal.
- `pooled`: a covariance that is not positive definite is the fault of all components together.

Covariances, whiteners and precisions are in the public shape; `stack` puts a component axis in
front of a single element, so that what follows may work on stacks.

To add a family: subclass `Family`, put an instance into `FAMILIES`; the contract tests run over it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm.covariances.dense import DENSE
from emgmm.covariances.diagonal import ISOTROPIC
from emgmm.covariances.structure import Structure
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.typing import Array


class Family(ABC):
    """What depends on the shape of Sigma.

    Parameters
    ----------
    name : str
        What ``covariance_type`` calls it.
    shape : Shape
        Which second moments it needs.
    shared : bool
        Whether one covariance serves all components.
    pooled : bool, optional
        Whether what makes one covariance degenerate makes all of them so; as `shared` by default.

    Attributes
    ----------
    single : bool
        Whether the public arrays hold one element and not K of them.
    most_features : int or None
        Features that the data may have at the most; None where there is no limit.
    """

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
        """scikit-learn's name for arrays of this public shape."""
        return "tied" if self.single else self.structure.scikit_learn

    @property
    def closed_under_scaling(self) -> bool:
        """Whether covariances of the family stay in it when features are given other units."""
        return self.structure != ISOTROPIC or self.most_features == 1

    # -- the M-step -----------------------------------------------------------------------------
    @abstractmethod
    def estimate(
        self, scatter: Array, counts: Array, n_features: int, before: Array | None = None
    ) -> Array:
        """Covariances that maximise the likelihood, from scatters about the means and masses.

        Parameters
        ----------
        scatter : pooled elements
            Scatters about the means.
        counts : (K,)
            Masses.
        n_features : int
            D.
        before : stack of elements, optional
            Covariances from which an iterative solution begins. It may then end before the maximum,
            but never below the likelihood of these.

        Raises
        ------
        DegenerateCovarianceError
            Where the likelihood has no maximum.
        """

    def enlargement(
        self,
        covariances: Array,
        scatter: Array,
        counts: Array,
        steps: Array,
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
        steps : (K, D)
            From the centres to the means.
        """
        return 1.0

    @abstractmethod
    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        """Free parameters of the covariances."""

    def pool(self, elements: Array) -> Array:
        """K elements as the family keeps its scatter: their sum where the covariance is shared."""
        return elements.sum(axis=0) if self.shared else elements

    def single_row_covariances(self, rows: Array, counts: Array, mean: Array) -> Array:
        """Covariances, without a ridge, of components that hold one of the (K, D) rows each.

        A shared covariance is that of the rows about the data's (D,) mean. scikit-learn takes it
        from all rows about zero, divided by K: it is N / K off scale and grows with an offset.
        """
        if not self.shared:
            return self.structure.single_row_covariances(rows, counts)
        return self.estimate(self.pool(self.structure.outer(rows - mean)), counts, rows.shape[1])

    # -- public shape <-> stack of elements -----------------------------------------------------
    def stack(self, elements: Array) -> Array:
        """Elements with a component axis in front, of length one where there is a single one."""
        return elements[None] if self.single else elements

    def unstack(self, stacked: Array) -> Array:
        """The inverse of `stack`."""
        return stacked[0] if self.single else stacked

    def distinct(self, elements: Array) -> Array:
        """A stack with every element once: as many as the statistics hold."""
        stacked = self.stack(elements)
        return stacked[:1] if self.shared else stacked

    def per_component(self, elements: Array, n_components: int) -> Array:
        """One element per component, a view."""
        if not self.single:
            return elements
        return np.broadcast_to(elements, (n_components, *elements.shape))

    def element_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Shape of a covariance array of this family."""
        element = (n_features,) * (self.structure.outer(np.zeros((1, 1))).ndim - 1)
        return element if self.single else (n_components, *element)

    # -- covariances and precisions, in the public shape ----------------------------------------
    def add_ridge(self, covariances: Array, ridge: float) -> Array:
        """Covariances with `ridge` on their diagonals."""
        return self.unstack(self.structure.add_ridge(self.stack(covariances), ridge))

    def precisions_cholesky(self, covariances: Array) -> Array:
        """U of each covariance, precision = U U^T."""
        try:
            return self.unstack(self.structure.precisions_cholesky(self.stack(covariances)))
        except DegenerateCovarianceError as error:
            raise self._named(error) from None

    def cholesky_of_precisions(self, precisions: Array) -> Array:
        """U of each precision."""
        try:
            return self.unstack(self.structure.cholesky_of_precisions(self.stack(precisions)))
        except DegenerateCovarianceError as error:
            raise self._named(error) from None

    def check_finite(self, covariances: Array) -> None:
        """Raise `DegenerateCovarianceError` for covariances that overflowed."""
        finite = np.isfinite(covariances)
        if not finite.all():
            stacked = self.stack(finite)
            self.raise_degenerate(np.logical_not(stacked.reshape(len(stacked), -1).all(axis=1)))

    def check_invertible(
        self, precisions_cholesky: Array, dtype: np.dtype[Any], n_features: int
    ) -> None:
        """Raise `DegenerateCovarianceError` where numbers of that type cannot hold a precision.

        An entry of U U^T is at most D times the largest square. With room for a factor of 4,
        variances are above the smallest normal number too, so that they keep their digits.
        """
        largest = np.sqrt(np.finfo(dtype).max / 4 / n_features)
        sizes = np.abs(precisions_cholesky)
        if not sizes.max() <= largest:
            stacked = self.stack(sizes)
            self.raise_degenerate(
                np.logical_not(stacked.reshape(len(stacked), -1).max(axis=1) <= largest)
            )

    def raise_degenerate(self, wrong: NDArray[np.bool_]) -> None:
        """Raise `DegenerateCovarianceError`, naming the components, where any is wrong."""
        if wrong.any():
            raise self._named(DegenerateCovarianceError(tuple(np.flatnonzero(wrong).tolist())))

    def _named(self, error: DegenerateCovarianceError) -> DegenerateCovarianceError:
        return DegenerateCovarianceError(() if self.pooled else error.components)

    def min_variance(self, covariances: Array, reference: Array) -> Array:
        """(K,) or, of a single one, (1,): smallest variance in units of a reference element.

        The smallest generalised eigenvalue of each covariance against `reference`.
        """
        precision_cholesky = self.structure.precisions_cholesky(reference[None])[0]
        return self.structure.min_variance(self.stack(covariances), precision_cholesky)

    def min_count(self, n_features: int) -> int:
        """Rows that a component needs for a definite covariance; 0 where all give theirs."""
        return 0 if self.pooled else self.structure.min_rows(n_features)

    def precisions(self, precisions_cholesky: Array) -> Array:
        """U U^T; those that overflow are infinite."""
        with np.errstate(over="ignore", under="ignore"):
            return self.unstack(self.structure.precisions(self.stack(precisions_cholesky)))

    def covariances(self, precisions_cholesky: Array) -> Array:
        """The inverses of the precisions; `check_finite` refuses those that overflow."""
        with np.errstate(over="ignore", divide="ignore", under="ignore"):
            return self.unstack(self.structure.covariances(self.stack(precisions_cholesky)))

    def dense(self, covariances: Array, n_components: int, n_features: int) -> Array:
        """(K, D, D): each component's covariance written out."""
        return self.structure.dense(self.per_component(covariances, n_components), n_features)


def times_counts(counts: Array, elements: Array) -> Array:
    """K elements, each times its counts."""
    return counts.reshape(-1, *[1] * (elements.ndim - 1)) * elements
