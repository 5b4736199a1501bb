"""`DIAGONAL` and `ISOTROPIC`: covariances of features that are independent given the component."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial

import numpy as np

from emgmm.covariances.conditional import Conditioning, Independent, IndependentIsotropic
from emgmm.covariances.structure import Structure, require_definite
from emgmm.typing import Array, Integers


def _matvec(matrices: Array, vectors: Array) -> Array:
    """Return the product of a matrix and a vector, or of stacks of both."""
    return np.matmul(matrices, vectors[..., None])[..., 0]


def _squares(block: Array, out: Array | None = None) -> Array:
    """Return x . x, (B,), for every column of a (D, B) block, or of a stack of blocks."""
    return np.einsum("...jb,...jb->...b", block, block, out=out)


class _Elementwise(Structure, ABC):
    """Structures whose factor is 1 / standard deviation: their arithmetic is elementwise."""

    @abstractmethod
    def each_feature(self, elements: Array) -> Array:
        """Return the entries of the diagonals, (..., D), or (..., 1) if all of them are equal."""

    def coefficients(self, precisions: Array) -> Array:
        return -0.5 * self.each_feature(precisions)

    def dense(self, elements: Array, n_features: int) -> Array:
        return self.each_feature(elements)[..., None] * np.eye(n_features)

    def apply(self, elements: Array, vectors: Array) -> Array:
        return self.each_feature(elements) * vectors

    def whiten(self, precision_cholesky: Array, block: Array) -> Array:
        return self.each_feature(precision_cholesky)[..., None] * block

    def magnitude_bound(self, precisions_cholesky: Array, reach: Array) -> float:
        terms = self.each_feature(precisions_cholesky) * reach
        return float(np.vdot(terms, terms))

    def colour(self, precision_cholesky: Array, block: Array) -> Array:
        return block / self.each_feature(precision_cholesky)[:, None]

    def add_ridge(self, covariances: Array, ridge: float) -> Array:
        return covariances + ridge

    def precisions_cholesky(self, covariances: Array) -> Array:
        return 1.0 / self.cholesky_of_precisions(covariances)

    def cholesky_of_precisions(self, precisions: Array) -> Array:
        require_definite(precisions > 0)
        return np.sqrt(precisions)

    def precisions(self, precisions_cholesky: Array) -> Array:
        return precisions_cholesky**2

    def covariances(self, precisions_cholesky: Array) -> Array:
        return 1.0 / precisions_cholesky**2

    def solve(self, element: Array, vector: Array) -> Array:
        return vector / element

    def diagonal(self, element: Array) -> Array:
        return element

    def min_variance(self, covariances: Array, precision_cholesky: Array, n_features: int) -> Array:
        return (covariances * precision_cholesky**2).reshape(len(covariances), -1).min(axis=1)

    def min_rows(self, n_features: int) -> int:
        return 2

    def monomial_pairs(self, n_features: int) -> Integers:
        return np.empty((2, 0), dtype=np.intp)


class Diagonal(_Elementwise):
    """A diagonal matrix."""

    scikit_learn = "diag"

    def each_feature(self, elements: Array) -> Array:
        return elements

    def n_monomials(self, n_features: int) -> int:
        return n_features

    def monomials(self, block: Array, out: Array) -> None:
        np.multiply(block, block, out=out)

    def from_monomials(self, sums: Array, n_features: int) -> Array:
        return sums

    def select(self, elements: Array, features: Sequence[int], n_features: int) -> Array:
        return elements[:, features]

    def outer(self, vectors: Array) -> Array:
        return vectors**2

    def weigh(self, block: Array, weights: Array) -> Array:
        return _matvec(np.multiply(block, block, out=block), weights)

    def single_row_covariances(self, rows: Array, counts: Array) -> Array:
        return rows * rows / counts[:, None] - (rows / counts[:, None]) ** 2

    def log_det(self, precisions_cholesky: Array, n_features: int) -> Array:
        return np.add.reduce(np.log(precisions_cholesky), axis=-1)

    def squared_norms(self, precision_cholesky: Array, block: Array) -> Array:
        squares = np.multiply(block, block, out=block)
        return _matvec(squares.swapaxes(-1, -2), precision_cholesky**2)

    def magnitude(self, precisions_cholesky: Array, reach: Array) -> Array:
        whitened = precisions_cholesky * reach
        return np.add.reduce(whitened * whitened, axis=1)

    def variances(self, elements: Array, n_features: int) -> Array:
        return elements

    def traces(self, precisions: Array, covariances: Array, n_features: int) -> Array:
        return precisions @ covariances.T

    def mutual_traces(self, elements: Array, precision_cholesky: Array, n_features: int) -> Array:
        whitened = elements * (precision_cholesky * precision_cholesky)
        return whitened @ whitened.T

    def conditioning(self, precisions_cholesky: Array, n_features: int) -> Conditioning:
        return partial(Independent, self.covariances(precisions_cholesky))


class Isotropic(_Elementwise):
    """A multiple of the identity."""

    scikit_learn = "spherical"

    def each_feature(self, elements: Array) -> Array:
        return np.asarray(elements)[..., None]

    def n_monomials(self, n_features: int) -> int:
        return 1

    def monomials(self, block: Array, out: Array) -> None:
        _squares(block, out=out[0])

    def from_monomials(self, sums: Array, n_features: int) -> Array:
        return sums[:, 0]

    def select(self, elements: Array, features: Sequence[int], n_features: int) -> Array:
        return elements

    def outer(self, vectors: Array) -> Array:
        return (vectors**2).sum(axis=1)

    def weigh(self, block: Array, weights: Array) -> Array:
        return np.einsum("...b,...b->...", _squares(block), weights)

    def estimate(self, scatters: Array, counts: Array, n_features: int) -> Array:
        return scatters / (counts * n_features)

    def single_row_covariances(self, rows: Array, counts: Array) -> Array:
        return DIAGONAL.single_row_covariances(rows, counts).mean(axis=1)

    def log_det(self, precisions_cholesky: Array, n_features: int) -> Array:
        return n_features * np.log(precisions_cholesky)

    def squared_norms(self, precision_cholesky: Array, block: Array) -> Array:
        return np.asarray(precision_cholesky)[..., None] ** 2 * _squares(block)

    def magnitude(self, precisions_cholesky: Array, reach: Array) -> Array:
        return precisions_cholesky**2 * np.add.reduce(reach * reach, axis=1)

    def variances(self, elements: Array, n_features: int) -> Array:
        return np.repeat(elements[:, None], n_features, axis=1)

    def traces(self, precisions: Array, covariances: Array, n_features: int) -> Array:
        return n_features * precisions[:, None] * covariances

    def conditioning(self, precisions_cholesky: Array, n_features: int) -> Conditioning:
        variances = self.variances(self.covariances(precisions_cholesky), n_features)
        return partial(IndependentIsotropic, variances)


DIAGONAL, ISOTROPIC = Diagonal(), Isotropic()
