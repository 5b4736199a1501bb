"""`DIAGONAL` and `ISOTROPIC`: covariances of features that are independent within a component."""

from __future__ import annotations

from abc import ABC
from functools import partial

import numpy as np

from emgmm.covariances.conditional import Conditioning, Pooled, Uncoupled
from emgmm.covariances.structure import Structure
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.typing import Array


def _times(matrices: Array, vectors: Array) -> Array:
    """A matrix times a vector, or a stack of them times one each."""
    return np.matmul(matrices, vectors[..., None])[..., 0]


def _squares(block: Array, out: Array | None = None) -> Array:
    """(B,): x . x for every column of a (D, B) block, or of a stack of blocks."""
    return np.einsum("...jb,...jb->...b", block, block, out=out)


class _Independent(Structure, ABC):
    """What `Diagonal` and `Isotropic` have in common: U is 1/sd, element by element."""

    def add_ridge(self, covariances: Array, ridge: float) -> Array:
        return covariances + ridge

    def precisions_cholesky(self, covariances: Array) -> Array:
        return 1.0 / np.sqrt(self._positive(covariances))

    def cholesky_of_precisions(self, precisions: Array) -> Array:
        return np.sqrt(self._positive(precisions))

    def _positive(self, elements: Array) -> Array:
        positive = elements > 0
        if not positive.all():
            each = positive.reshape(len(elements), -1).all(axis=1)
            raise DegenerateCovarianceError(tuple(np.flatnonzero(~each).tolist()))
        return elements

    def precisions(self, precisions_cholesky: Array) -> Array:
        return precisions_cholesky**2

    def covariances(self, precisions_cholesky: Array) -> Array:
        return 1.0 / precisions_cholesky**2

    def solve(self, element: Array, vector: Array) -> Array:
        return vector / element

    def diagonal(self, element: Array) -> Array:
        return element

    def min_variance(self, covariances: Array, precision_cholesky: Array) -> Array:
        return (covariances * precision_cholesky**2).reshape(len(covariances), -1).min(axis=1)

    def min_rows(self, n_features: int) -> int:
        return 2


class Diagonal(_Independent):
    """A diagonal matrix."""

    scikit_learn = "diag"

    def outer(self, vectors: Array) -> Array:
        return vectors**2

    def weigh(self, block: Array, weights: Array) -> Array:
        return _times(np.multiply(block, block, out=block), weights)

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

    def single_row_covariances(self, rows: Array, counts: Array) -> Array:
        return rows * rows / counts[:, None] - (rows / counts[:, None]) ** 2

    def log_det(self, precisions_cholesky: Array, n_features: int) -> Array:
        return np.log(precisions_cholesky).sum(axis=-1)

    def apply(self, elements: Array, vectors: Array) -> Array:
        return elements * vectors

    def whiten(self, precision_cholesky: Array, block: Array) -> Array:
        return precision_cholesky[..., None] * block

    def squared_norms(self, precision_cholesky: Array, block: Array) -> Array:
        return _times(np.multiply(block, block, out=block).swapaxes(-1, -2), precision_cholesky**2)

    def colour(self, precision_cholesky: Array, block: Array) -> Array:
        return block / precision_cholesky[:, None]

    def magnitude(self, precisions_cholesky: Array, reach: Array) -> Array:
        whitened = precisions_cholesky * reach
        return np.einsum("kj,kj->k", whitened, whitened)

    def variances(self, elements: Array, n_features: int) -> Array:
        return elements

    def traces(self, precisions: Array, covariances: Array, n_features: int) -> Array:
        return precisions @ covariances.T

    def inner(self, a: Array, b: Array, n_features: int) -> float:
        return float(np.vdot(a, b))

    def conditioning(self, precisions_cholesky: Array, n_features: int) -> Conditioning:
        return partial(Uncoupled, self.covariances(precisions_cholesky))

    def dense(self, elements: Array, n_features: int) -> Array:
        return elements[..., None] * np.eye(n_features)


class Isotropic(_Independent):
    """A multiple of the identity."""

    scikit_learn = "spherical"

    def outer(self, vectors: Array) -> Array:
        return (vectors**2).sum(axis=1)

    def weigh(self, block: Array, weights: Array) -> Array:
        return np.einsum("...b,...b->...", _squares(block), weights)

    def n_monomials(self, n_features: int) -> int:
        return 1

    def monomials(self, block: Array, out: Array) -> None:
        _squares(block, out=out[0])

    def coefficients(self, precisions: Array) -> Array:
        return -0.5 * precisions[:, None]

    def from_monomials(self, sums: Array, n_features: int) -> Array:
        return sums[:, 0]

    def estimate(self, scatters: Array, masses: Array, n_features: int) -> Array:
        return scatters / (masses * n_features)

    def single_row_covariances(self, rows: Array, counts: Array) -> Array:
        return DIAGONAL.single_row_covariances(rows, counts).mean(axis=1)

    def log_det(self, precisions_cholesky: Array, n_features: int) -> Array:
        return n_features * np.log(precisions_cholesky)

    def apply(self, elements: Array, vectors: Array) -> Array:
        return elements[:, None] * vectors

    def whiten(self, precision_cholesky: Array, block: Array) -> Array:
        return np.asarray(precision_cholesky)[..., None, None] * block

    def squared_norms(self, precision_cholesky: Array, block: Array) -> Array:
        return np.asarray(precision_cholesky)[..., None] ** 2 * _squares(block)

    def colour(self, precision_cholesky: Array, block: Array) -> Array:
        return block / precision_cholesky

    def magnitude(self, precisions_cholesky: Array, reach: Array) -> Array:
        return precisions_cholesky**2 * np.einsum("kj,kj->k", reach, reach)

    def variances(self, elements: Array, n_features: int) -> Array:
        return np.repeat(elements[:, None], n_features, axis=1)

    def traces(self, precisions: Array, covariances: Array, n_features: int) -> Array:
        return n_features * precisions[:, None] * covariances

    def inner(self, a: Array, b: Array, n_features: int) -> float:
        return float(a * b)

    def conditioning(self, precisions_cholesky: Array, n_features: int) -> Conditioning:
        return partial(Pooled, self.variances(self.covariances(precisions_cholesky), n_features))

    def dense(self, elements: Array, n_features: int) -> Array:
        return np.asarray(elements)[..., None, None] * np.eye(n_features)


DIAGONAL, ISOTROPIC = Diagonal(), Isotropic()
