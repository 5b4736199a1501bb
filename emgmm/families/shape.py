"""The three shapes that a covariance can take, and what each does with vectors.

Conventions
-----------
A *shape* knows the element that stands for one D x D matrix:

========  ==========================  ==========  =================
shape     the matrix                  element     monomials
========  ==========================  ==========  =================
`OUTER`   any symmetric matrix        (D, D)      x_i x_j, i <= j
`AXIS`    diagonal                    (D,)        x_i ** 2
`TRACE`   a multiple of the identity  ()          x . x
========  ==========================  ==========  =================

Arrays of K elements have K in front. A precision is held by its *whitener* U, the upper triangular
matrix with precision = U U^T (so z = U^T (x - mu) is standard normal), as scikit-learn holds it in
``precisions_cholesky_``: (D, D) for `OUTER`, 1/sd for the other two.

Blocks hold features along the first axis and rows of data along the second, contiguous one: (D, B).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtri

from emgmm.typing import Array

# A triangular matrix of at least so many features is applied in slabs of so many rows, which leave
# out most of its zeros: from 64 features on that was faster than one product.
SLABBED = 64
SLAB = 32


class DegenerateCovarianceError(ValueError):
    """Some covariances are not positive definite; `components` says which."""

    def __init__(self, components: tuple[int, ...]) -> None:
        super().__init__(f"not positive definite: {components}")
        self.components = components


class Shape(ABC):
    """What a family's second moments and quadratic form look like."""

    # -- second moments -------------------------------------------------------------------------
    @abstractmethod
    def outer(self, vectors: Array) -> Array:
        """Element of v v^T for each of the (K, D) vectors."""

    @abstractmethod
    def weigh(self, block: Array, weights: Array) -> Array:
        """Element of sum_i weights_i x_i x_i^T over a (D, B) block."""

    # -- monomials: the quadratic part of phi(x) ------------------------------------------------
    @abstractmethod
    def n_monomials(self, n_features: int) -> int:
        """How many monomials a row has."""

    @abstractmethod
    def monomials(self, block: Array, out: Array) -> None:
        """Write the monomials of a (D, B) block into `out`, one per line."""

    @abstractmethod
    def coefficients(self, precisions: Array) -> Array:
        """(K, monomials): -x^T precision x / 2 = coefficients . monomials(x)."""

    @abstractmethod
    def from_monomials(self, sums: Array, n_features: int) -> Array:
        """The K elements whose (K, monomials) sums were accumulated."""

    # -- covariances and precisions -------------------------------------------------------------
    @abstractmethod
    def estimate(self, scatters: Array, masses: Array, n_features: int) -> Array:
        """Maximum-likelihood covariances of scatters about the means, one mass to each."""

    @abstractmethod
    def of_single_rows(self, rows: Array, mass: Array) -> Array:
        """Covariances of components that hold one row each, (K, D), with masses just above 1.

        Nothing but rounding; yet from so sharp a start rounding decides where EM goes. Where
        scikit-learn expands the square it is its own, operation by operation: E[x^2] - E[x]^2.
        """

    @abstractmethod
    def add_ridge(self, covariances: Array, ridge: float) -> Array:
        """The covariances with `ridge` added to their diagonals."""

    @abstractmethod
    def whiteners(self, covariances: Array) -> Array:
        """U of each covariance; `DegenerateCovarianceError` names those that have none."""

    @abstractmethod
    def whiteners_of_precisions(self, precisions: Array) -> Array:
        """U of each precision; `DegenerateCovarianceError` names those that have none."""

    @abstractmethod
    def precisions(self, whiteners: Array) -> Array:
        """U U^T."""

    @abstractmethod
    def covariances(self, whiteners: Array) -> Array:
        """(U U^T)^-1."""

    @abstractmethod
    def log_det(self, whiteners: Array, n_features: int) -> Array:
        """Log |U|, half the log-determinant of the precision."""

    @abstractmethod
    def apply(self, elements: Array, vectors: Array) -> Array:
        """Each of the K elements as a matrix times its (K, D) vector."""

    @abstractmethod
    def whiten(self, whitener: Array, block: Array) -> Array:
        """U^T x for every column of a (D, B) block."""

    @abstractmethod
    def norms(self, whitener: Array, block: Array) -> Array:
        """(B,): |U^T x| squared for every column of a (D, B) block."""

    @abstractmethod
    def colour(self, whitener: Array, block: Array) -> Array:
        """U^-T z for every column of a (D, B) block: the inverse of `whiten`."""

    @abstractmethod
    def magnitude(self, whiteners: Array, reach: Array) -> Array:
        """(K,): the largest |U|^T|v| squared that vectors within the (K, D) `reach` attain.

        Every term that an expanded quadratic form adds up is at most this large, so it times the
        unit of rounding bounds the form's error (Higham 2002, doi 10.1137/1.9780898718027, ch. 3).
        """

    @abstractmethod
    def lengths(self, whiteners: Array, vectors: Array) -> Array:
        """(K, n): |U_k^T v| squared for the (K, n, D) vectors."""

    @abstractmethod
    def diagonal(self, element: Array) -> Array:
        """The element of a matrix's diagonal alone."""

    @abstractmethod
    def traces(self, precisions: Array, covariances: Array, n_features: int) -> Array:
        """(K, n): trace(precision_k covariance_l) of K precisions and n covariances."""

    @abstractmethod
    def least_variance(self, covariances: Array, whitener: Array) -> Array:
        """(K,): smallest eigenvalue of each covariance where `whitener` makes the measure."""

    @abstractmethod
    def least_rows(self, n_features: int) -> int:
        """Fewest rows in general position whose covariance is definite."""

    @abstractmethod
    def inner(self, a: Array, b: Array, n_features: int) -> float:
        """trace(A B) of two single elements, b being a sum of outer products."""

    @abstractmethod
    def dense(self, elements: Array, n_features: int) -> Array:
        """Covariance elements written out as matrices, (..., D, D)."""


class Outer(Shape):
    """Any symmetric matrix."""

    def outer(self, vectors: Array) -> Array:
        return vectors[:, :, None] * vectors[:, None, :]

    def weigh(self, block: Array, weights: Array) -> Array:
        halves = block * np.sqrt(weights)
        return halves @ halves.T  # a matrix times its own transpose: BLAS does half the work

    def n_monomials(self, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def monomials(self, block: Array, out: Array) -> None:
        start = 0
        for i, feature in enumerate(block):
            stop = start + len(block) - i
            np.multiply(feature, block[i:], out=out[start:stop])
            start = stop

    def coefficients(self, precisions: Array) -> Array:
        upper = np.triu_indices(precisions.shape[-1])
        once = np.where(upper[0] == upper[1], -0.5, -1.0)  # x_i x_j stands for x_j x_i too
        return precisions[:, upper[0], upper[1]] * once

    def from_monomials(self, sums: Array, n_features: int) -> Array:
        upper = np.triu_indices(n_features)
        elements = np.empty((len(sums), n_features, n_features))
        elements[:, upper[0], upper[1]] = sums
        elements[:, upper[1], upper[0]] = sums
        return elements

    def estimate(self, scatters: Array, masses: Array, n_features: int) -> Array:
        return scatters / masses[:, None, None]

    def of_single_rows(self, rows: Array, mass: Array) -> Array:
        return np.zeros((*rows.shape, rows.shape[1]), dtype=rows.dtype)

    def add_ridge(self, covariances: Array, ridge: float) -> Array:
        return covariances + ridge * np.eye(covariances.shape[-1])

    def whiteners(self, covariances: Array) -> Array:
        whiteners = np.empty(covariances.shape)
        degenerate = []
        for k, covariance in enumerate(covariances):
            factor, not_definite = dpotrf(covariance, lower=1)
            inverse, singular = dtrtri(factor, lower=1)  # L^-1: one triangular solve per pass
            if not_definite or singular or not np.isfinite(factor[-1, -1]):
                degenerate.append(k)
            else:
                whiteners[k] = inverse.T
        if degenerate:
            raise DegenerateCovarianceError(tuple(degenerate))
        return whiteners

    def whiteners_of_precisions(self, precisions: Array) -> Array:
        # P = U U^T with U upper triangular is the Cholesky factor read from the far corner.
        whiteners = np.empty(precisions.shape)
        degenerate = []
        for k, precision in enumerate(precisions):
            factor, not_definite = dpotrf(precision[::-1, ::-1], lower=1)
            symmetric = np.allclose(precision, precision.T)
            if not_definite or not symmetric or not np.isfinite(factor[-1, -1]):
                degenerate.append(k)
            else:
                whiteners[k] = factor[::-1, ::-1]
        if degenerate:
            raise DegenerateCovarianceError(tuple(degenerate))
        return whiteners

    def precisions(self, whiteners: Array) -> Array:
        return whiteners @ np.swapaxes(whiteners, -1, -2)

    def covariances(self, whiteners: Array) -> Array:
        factors = np.stack([dtrtri(whitener)[0] for whitener in whiteners])
        return np.swapaxes(factors, -1, -2) @ factors

    def log_det(self, whiteners: Array, n_features: int) -> Array:
        return np.log(np.diagonal(whiteners, axis1=-2, axis2=-1)).sum(axis=-1)

    def apply(self, elements: Array, vectors: Array) -> Array:
        return np.matmul(elements, vectors[:, :, None])[:, :, 0]

    def whiten(self, whitener: Array, block: Array) -> Array:
        if len(block) < SLABBED:
            return whitener.T @ block
        whitened = np.empty(block.shape)
        for stop in range(SLAB, len(block) + SLAB, SLAB):  # below the slabs U^T is 0
            slab = slice(stop - SLAB, stop)
            np.matmul(whitener[:stop, slab].T, block[:stop], out=whitened[slab])
        return whitened

    def norms(self, whitener: Array, block: Array) -> Array:
        whitened = self.whiten(whitener, block)
        return np.einsum("jb,jb->b", whitened, whitened)

    def colour(self, whitener: Array, block: Array) -> Array:
        return np.linalg.solve(whitener.T, block)

    def magnitude(self, whiteners: Array, reach: Array) -> Array:
        whitened = np.matmul(reach[:, None, :], np.abs(whiteners))[:, 0, :]
        return (whitened**2).sum(axis=1)

    def lengths(self, whiteners: Array, vectors: Array) -> Array:
        whitened = vectors @ whiteners
        return np.einsum("knj,knj->kn", whitened, whitened)

    def diagonal(self, element: Array) -> Array:
        return np.diag(np.diag(element))

    def traces(self, precisions: Array, covariances: Array, n_features: int) -> Array:
        flat = covariances.reshape(len(covariances), -1)
        return precisions.reshape(len(precisions), -1) @ flat.T

    def least_variance(self, covariances: Array, whitener: Array) -> Array:
        return np.linalg.eigvalsh(whitener.T @ covariances @ whitener)[:, 0]

    def least_rows(self, n_features: int) -> int:
        return n_features + 1

    def inner(self, a: Array, b: Array, n_features: int) -> float:
        return float(np.vdot(a, b))

    def dense(self, elements: Array, n_features: int) -> Array:
        return np.array(elements)


class _Independent(Shape):
    """What `Axis` and `Trace` have in common: U is 1/sd, element by element."""

    def add_ridge(self, covariances: Array, ridge: float) -> Array:
        return covariances + ridge

    def whiteners(self, covariances: Array) -> Array:
        return 1.0 / np.sqrt(self._positive(covariances))

    def whiteners_of_precisions(self, precisions: Array) -> Array:
        return np.sqrt(self._positive(precisions))

    def _positive(self, elements: Array) -> Array:
        positive = np.all(elements.reshape(len(elements), -1) > 0, axis=1)
        if not positive.all():
            raise DegenerateCovarianceError(tuple(np.flatnonzero(~positive).tolist()))
        return elements

    def precisions(self, whiteners: Array) -> Array:
        return whiteners**2

    def covariances(self, whiteners: Array) -> Array:
        return 1.0 / whiteners**2

    def diagonal(self, element: Array) -> Array:
        return element

    def least_variance(self, covariances: Array, whitener: Array) -> Array:
        return (covariances * whitener**2).reshape(len(covariances), -1).min(axis=1)

    def least_rows(self, n_features: int) -> int:
        return 2


class Axis(_Independent):
    """A diagonal matrix."""

    def outer(self, vectors: Array) -> Array:
        return vectors**2

    def weigh(self, block: Array, weights: Array) -> Array:
        return (block * block) @ weights

    def n_monomials(self, n_features: int) -> int:
        return n_features

    def monomials(self, block: Array, out: Array) -> None:
        np.multiply(block, block, out=out)

    def coefficients(self, precisions: Array) -> Array:
        return -0.5 * precisions

    def from_monomials(self, sums: Array, n_features: int) -> Array:
        return sums

    def estimate(self, scatters: Array, masses: Array, n_features: int) -> Array:
        return scatters / masses[:, None]

    def of_single_rows(self, rows: Array, mass: Array) -> Array:
        return rows * rows / mass[:, None] - (rows / mass[:, None]) ** 2

    def log_det(self, whiteners: Array, n_features: int) -> Array:
        return np.log(whiteners).sum(axis=-1)

    def apply(self, elements: Array, vectors: Array) -> Array:
        return elements * vectors

    def whiten(self, whitener: Array, block: Array) -> Array:
        return whitener[:, None] * block

    def norms(self, whitener: Array, block: Array) -> Array:
        return whitener**2 @ (block * block)

    def colour(self, whitener: Array, block: Array) -> Array:
        return block / whitener[:, None]

    def magnitude(self, whiteners: Array, reach: Array) -> Array:
        return ((whiteners * reach) ** 2).sum(axis=1)

    def lengths(self, whiteners: Array, vectors: Array) -> Array:
        return np.einsum("knj,kj->kn", vectors**2, whiteners**2)

    def traces(self, precisions: Array, covariances: Array, n_features: int) -> Array:
        return precisions @ covariances.T

    def inner(self, a: Array, b: Array, n_features: int) -> float:
        return float(np.vdot(a, b))

    def dense(self, elements: Array, n_features: int) -> Array:
        return elements[..., None] * np.eye(n_features)


class Trace(_Independent):
    """A multiple of the identity."""

    def outer(self, vectors: Array) -> Array:
        return (vectors**2).sum(axis=1)

    def weigh(self, block: Array, weights: Array) -> Array:
        return np.einsum("ij,ij->j", block, block) @ weights

    def n_monomials(self, n_features: int) -> int:
        return 1

    def monomials(self, block: Array, out: Array) -> None:
        np.einsum("ij,ij->j", block, block, out=out[0])

    def coefficients(self, precisions: Array) -> Array:
        return -0.5 * precisions[:, None]

    def from_monomials(self, sums: Array, n_features: int) -> Array:
        return sums[:, 0]

    def estimate(self, scatters: Array, masses: Array, n_features: int) -> Array:
        return scatters / (masses * n_features)

    def of_single_rows(self, rows: Array, mass: Array) -> Array:
        return AXIS.of_single_rows(rows, mass).mean(axis=1)

    def log_det(self, whiteners: Array, n_features: int) -> Array:
        return n_features * np.log(whiteners)

    def apply(self, elements: Array, vectors: Array) -> Array:
        return elements[:, None] * vectors

    def whiten(self, whitener: Array, block: Array) -> Array:
        return whitener * block

    def norms(self, whitener: Array, block: Array) -> Array:
        return whitener**2 * np.einsum("jb,jb->b", block, block)

    def colour(self, whitener: Array, block: Array) -> Array:
        return block / whitener

    def magnitude(self, whiteners: Array, reach: Array) -> Array:
        return whiteners**2 * (reach**2).sum(axis=1)

    def lengths(self, whiteners: Array, vectors: Array) -> Array:
        return np.einsum("knj,knj->kn", vectors, vectors) * whiteners[:, None] ** 2

    def traces(self, precisions: Array, covariances: Array, n_features: int) -> Array:
        return n_features * precisions[:, None] * covariances

    def inner(self, a: Array, b: Array, n_features: int) -> float:
        return float(a * b)

    def dense(self, elements: Array, n_features: int) -> Array:
        return np.asarray(elements)[..., None, None] * np.eye(n_features)


OUTER, AXIS, TRACE = Outer(), Axis(), Trace()
