"""`DENSE`: covariances that are any symmetric matrix."""

from __future__ import annotations

from functools import cache
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dtrtri

from emgmm.covariances.conditional import Conditioning, conditioning
from emgmm.covariances.structure import Structure
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.typing import Array

# A triangular matrix of at least so many features is applied in slabs of so many rows, which leave
# out most of its zeros: from 64 features on that was faster than one product.
SLABBED = 64
SLAB = 32

# Features from which a matrix times its own transpose, for which BLAS does half the work, is worth
# a root of each weight: 27 and 41 microseconds with 30 features and 569 rows, 402 and 312 with 64
# and 1797.
HALVED = 64

# The relative difference up to which two opposite entries are the same.
ASYMMETRY = 1e-5

# Variance inflation, a bound of the sum over features of 1 / (1 - R_j^2), above which conditionals
# are computed from whiteners: inverses of parts of a precision lose so many times the rounding.
NEAR_SINGULAR = 1e4


@cache
def _places(n_features: int) -> tuple[NDArray[np.intp], Array]:
    """Where in a flattened matrix the monomials' coefficients stand, and what they are times.

    Minus a half on the diagonal, and twice as much beside it: x_i x_j stands for x_j x_i too.
    """
    lines, columns = np.triu_indices(n_features)
    return lines * n_features + columns, np.where(lines == columns, -0.5, -1.0)


@cache
def _monomial_of(n_features: int) -> NDArray[np.intp]:
    """(D * D,): which monomial each entry of a flattened symmetric matrix belongs to."""
    upper = np.triu_indices(n_features)
    numbers = np.empty((n_features, n_features), dtype=np.intp)
    numbers[upper] = numbers.T[upper] = np.arange(len(upper[0]))
    return numbers.ravel()


@cache
def _identity(n_features: int) -> Array:
    identity = np.eye(n_features)
    identity.setflags(write=False)
    return identity


def are_symmetric(matrices: Array) -> NDArray[np.bool_]:
    """(K,): which of the (K, D, D) matrices are symmetric, up to what rounding may explain.

    Entries are compared with the geometric mean of their diagonal ones, so that the units of the
    features do not matter.
    """
    roots = np.sqrt(np.abs(np.diagonal(matrices, axis1=1, axis2=2)).astype(np.float64))
    scale = roots[:, :, None] * roots[:, None, :]
    difference = np.abs(matrices - np.swapaxes(matrices, 1, 2))
    return np.logical_and.reduce(difference <= ASYMMETRY * scale, axis=(1, 2))


class Dense(Structure):
    """Any symmetric matrix."""

    scikit_learn = "full"

    def symmetric(self, elements: Array) -> Array:
        half = 0.5 * elements
        return half + np.swapaxes(half, -1, -2)

    def outer(self, vectors: Array) -> Array:
        return vectors[:, :, None] * vectors[:, None, :]

    def weigh(self, block: Array, weights: Array) -> Array:
        weights = weights[..., None, :]
        if block.shape[-2] < HALVED:
            return (block * weights) @ block.swapaxes(-1, -2)
        block *= np.sqrt(weights)
        return block @ block.swapaxes(-1, -2)

    def n_monomials(self, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def monomials(self, block: Array, out: Array) -> None:
        start = 0
        for i, feature in enumerate(block):
            stop = start + len(block) - i
            np.multiply(feature, block[i:], out=out[start:stop])
            start = stop

    def coefficients(self, precisions: Array) -> Array:
        places, times = _places(precisions.shape[-1])
        return precisions.reshape(len(precisions), -1).take(places, axis=1) * times

    def from_monomials(self, sums: Array, n_features: int) -> Array:
        elements: Array = sums.take(_monomial_of(n_features), axis=1)
        return elements.reshape(len(sums), n_features, n_features)

    def estimate(self, scatters: Array, masses: Array, n_features: int) -> Array:
        return scatters / masses[:, None, None]

    def single_row_covariances(self, rows: Array, counts: Array) -> Array:
        return np.zeros((*rows.shape, rows.shape[1]), dtype=rows.dtype)

    def add_ridge(self, covariances: Array, ridge: float) -> Array:
        return covariances + ridge * _identity(covariances.shape[-1])

    def precisions_cholesky(self, covariances: Array) -> Array:
        precisions_cholesky = np.empty(covariances.shape)
        degenerate = []
        for k, covariance in enumerate(covariances):
            factor, not_definite = dpotrf(covariance, lower=1)
            inverse, singular = dtrtri(factor, lower=1)  # L^-1: one triangular solve per pass
            if not_definite or singular or not isfinite(factor[-1, -1]):
                degenerate.append(k)
            else:
                precisions_cholesky[k] = inverse.T
        if degenerate:
            raise DegenerateCovarianceError(tuple(degenerate))
        return precisions_cholesky

    def cholesky_of_precisions(self, precisions: Array) -> Array:
        # P = U U^T with U upper triangular is the Cholesky factor read from the far corner.
        precisions_cholesky = np.empty(precisions.shape)
        symmetric = are_symmetric(precisions)
        degenerate = []
        for k, precision in enumerate(precisions):
            factor, not_definite = dpotrf(precision[::-1, ::-1], lower=1)
            if not_definite or not symmetric[k] or not isfinite(factor[-1, -1]):
                degenerate.append(k)
            else:
                precisions_cholesky[k] = factor[::-1, ::-1]
        if degenerate:
            raise DegenerateCovarianceError(tuple(degenerate))
        return precisions_cholesky

    def precisions(self, precisions_cholesky: Array) -> Array:
        return precisions_cholesky @ np.swapaxes(precisions_cholesky, -1, -2)

    def covariances(self, precisions_cholesky: Array) -> Array:
        factors = np.stack(
            [dtrtri(precision_cholesky)[0] for precision_cholesky in precisions_cholesky]
        )
        return np.swapaxes(factors, -1, -2) @ factors

    def log_det(self, precisions_cholesky: Array, n_features: int) -> Array:
        return np.log(np.diagonal(precisions_cholesky, axis1=-2, axis2=-1)).sum(axis=-1)

    def apply(self, elements: Array, vectors: Array) -> Array:
        return np.matmul(elements, vectors[:, :, None])[:, :, 0]

    def solve(self, element: Array, vector: Array) -> Array:
        return np.linalg.solve(element, vector)

    def whiten(self, precision_cholesky: Array, block: Array) -> Array:
        n_features, turned = block.shape[-2], precision_cholesky.swapaxes(-1, -2)
        if n_features < SLABBED:
            return turned @ block
        whitened = np.empty(block.shape, np.result_type(precision_cholesky, block))
        for stop in range(SLAB, n_features + SLAB, SLAB):  # below the slabs U^T is 0
            slab = slice(stop - SLAB, stop)
            out = whitened[..., slab, :]
            np.matmul(turned[..., slab, :stop], block[..., :stop, :], out=out)
        return whitened

    def squared_norms(self, precision_cholesky: Array, block: Array) -> Array:
        whitened = self.whiten(precision_cholesky, block)
        return np.einsum("...jb,...jb->...b", whitened, whitened)

    def colour(self, precision_cholesky: Array, block: Array) -> Array:
        return np.linalg.solve(precision_cholesky.T, block)

    def magnitude(self, precisions_cholesky: Array, reach: Array) -> Array:
        whitened = np.matmul(reach[:, None, :], np.abs(precisions_cholesky))[:, 0, :]
        return np.einsum("kj,kj->k", whitened, whitened)

    def variances(self, elements: Array, n_features: int) -> Array:
        return np.diagonal(elements, axis1=1, axis2=2)

    def diagonal(self, element: Array) -> Array:
        return np.diag(np.diag(element))

    def traces(self, precisions: Array, covariances: Array, n_features: int) -> Array:
        flat = covariances.reshape(len(covariances), -1)
        return precisions.reshape(len(precisions), -1) @ flat.T

    def min_variance(self, covariances: Array, precision_cholesky: Array) -> Array:
        return np.linalg.eigvalsh(precision_cholesky.T @ covariances @ precision_cholesky)[:, 0]

    def min_rows(self, n_features: int) -> int:
        return n_features + 1

    def inner(self, a: Array, b: Array, n_features: int) -> float:
        return float(np.vdot(a, b))

    def conditioning(self, precisions_cholesky: Array, n_features: int) -> Conditioning:
        covariances = self.covariances(precisions_cholesky)
        inflation = self.magnitude(
            precisions_cholesky, np.sqrt(self.variances(covariances, n_features))
        )
        return conditioning(
            precisions_cholesky,
            self.precisions(precisions_cholesky),
            covariances,
            inflation > NEAR_SINGULAR,
        )

    def dense(self, elements: Array, n_features: int) -> Array:
        return np.array(elements)


DENSE = Dense()
