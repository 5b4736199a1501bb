"""`AXIS` and `TRACE`: covariances of features that are independent within a component."""

from __future__ import annotations

from abc import ABC
from functools import partial

import numpy as np

from emgmm.families.conditional import Conditioning, Pooled, Uncoupled
from emgmm.families.shape import DegenerateCovarianceError, Shape
from emgmm.typing import Array


def _times(matrices: Array, vectors: Array) -> Array:
    """A matrix times a vector, or a stack of them times one each."""
    return np.matmul(matrices, vectors[..., None])[..., 0]


def _squares(block: Array, out: Array | None = None) -> Array:
    """(B,): x . x for every column of a (D, B) block, or of a stack of blocks."""
    return np.einsum("...jb,...jb->...b", block, block, out=out)


class _Independent(Shape, ABC):
    """What `Axis` and `Trace` have in common: U is 1/sd, element by element."""

    def add_ridge(self, covariances: Array, ridge: float) -> Array:
        return covariances + ridge

    def whiteners(self, covariances: Array) -> Array:
        return 1.0 / np.sqrt(self._positive(covariances))

    def whiteners_of_precisions(self, precisions: Array) -> Array:
        return np.sqrt(self._positive(precisions))

    def _positive(self, elements: Array) -> Array:
        positive = elements > 0
        if not positive.all():
            each = positive.reshape(len(elements), -1).all(axis=1)
            raise DegenerateCovarianceError(tuple(np.flatnonzero(~each).tolist()))
        return elements

    def precisions(self, whiteners: Array) -> Array:
        return whiteners**2

    def covariances(self, whiteners: Array) -> Array:
        return 1.0 / whiteners**2

    def solve(self, element: Array, vector: Array) -> Array:
        return vector / element

    def diagonal(self, element: Array) -> Array:
        return element

    def least_variance(self, covariances: Array, whitener: Array) -> Array:
        return (covariances * whitener**2).reshape(len(covariances), -1).min(axis=1)

    def least_rows(self, n_features: int) -> int:
        return 2


class Axis(_Independent):
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

    def of_single_rows(self, rows: Array, mass: Array) -> Array:
        return rows * rows / mass[:, None] - (rows / mass[:, None]) ** 2

    def log_det(self, whiteners: Array, n_features: int) -> Array:
        return np.log(whiteners).sum(axis=-1)

    def apply(self, elements: Array, vectors: Array) -> Array:
        return elements * vectors

    def whiten(self, whitener: Array, block: Array) -> Array:
        return whitener[..., None] * block

    def norms(self, whitener: Array, block: Array) -> Array:
        return _times(np.multiply(block, block, out=block).swapaxes(-1, -2), whitener**2)

    def colour(self, whitener: Array, block: Array) -> Array:
        return block / whitener[:, None]

    def magnitude(self, whiteners: Array, reach: Array) -> Array:
        whitened = whiteners * reach
        return np.einsum("kj,kj->k", whitened, whitened)

    def variances(self, elements: Array, n_features: int) -> Array:
        return elements

    def traces(self, precisions: Array, covariances: Array, n_features: int) -> Array:
        return precisions @ covariances.T

    def inner(self, a: Array, b: Array, n_features: int) -> float:
        return float(np.vdot(a, b))

    def conditioning(self, whiteners: Array, n_features: int) -> Conditioning:
        return partial(Uncoupled, self.covariances(whiteners))

    def dense(self, elements: Array, n_features: int) -> Array:
        return elements[..., None] * np.eye(n_features)


class Trace(_Independent):
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

    def of_single_rows(self, rows: Array, mass: Array) -> Array:
        return AXIS.of_single_rows(rows, mass).mean(axis=1)

    def log_det(self, whiteners: Array, n_features: int) -> Array:
        return n_features * np.log(whiteners)

    def apply(self, elements: Array, vectors: Array) -> Array:
        return elements[:, None] * vectors

    def whiten(self, whitener: Array, block: Array) -> Array:
        return np.asarray(whitener)[..., None, None] * block

    def norms(self, whitener: Array, block: Array) -> Array:
        return np.asarray(whitener)[..., None] ** 2 * _squares(block)

    def colour(self, whitener: Array, block: Array) -> Array:
        return block / whitener

    def magnitude(self, whiteners: Array, reach: Array) -> Array:
        return whiteners**2 * np.einsum("kj,kj->k", reach, reach)

    def variances(self, elements: Array, n_features: int) -> Array:
        return np.repeat(elements[:, None], n_features, axis=1)

    def traces(self, precisions: Array, covariances: Array, n_features: int) -> Array:
        return n_features * precisions[:, None] * covariances

    def inner(self, a: Array, b: Array, n_features: int) -> float:
        return float(a * b)

    def conditioning(self, whiteners: Array, n_features: int) -> Conditioning:
        return partial(Pooled, self.variances(self.covariances(whiteners), n_features))

    def dense(self, elements: Array, n_features: int) -> Array:
        return np.asarray(elements)[..., None, None] * np.eye(n_features)


AXIS, TRACE = Axis(), Trace()
