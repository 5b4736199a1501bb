"""`DENSE`: covariances without restrictions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import rq
from scipy.linalg.lapack import dpotrf, dtrtri

from emgmm.covariances.conditional import Conditioning
from emgmm.covariances.structure import Structure, require_definite
from emgmm.typing import Array, Integers

# From SLABBED features on, a triangular matrix is applied in slabs of SLAB rows, which skip most of
# its zeros and are faster than one product.
SLABBED = 64
SLAB = 32

# From this many features on, a matrix is multiplied by its own transpose, for which BLAS does half
# the work. This costs a square root of each weight.
HALVED = 64

# Relative difference up to which two opposite entries are considered equal.
ASYMMETRY = 1e-5

# Argument of LAPACK's functions: use the lower triangle. Small matrices take twice as long if
# arguments have names.
LOWER = 1


@cache
def _pairs(n_features: int) -> NDArray[np.intp]:
    """Return the factors i and j of each monomial x_i x_j, (2, n_monomials)."""
    pairs = np.stack(np.triu_indices(n_features))
    pairs.setflags(write=False)
    return pairs


@cache
def _coefficients(n_features: int) -> tuple[NDArray[np.intp], Array]:
    """Return the position of each monomial in a flattened matrix, and the factor of that entry.

    The factor is -1/2 on the diagonal and twice as much beside it, where x_i x_j also stands for
    x_j x_i.
    """
    i, j = _pairs(n_features)
    return i * n_features + j, np.where(i == j, -0.5, -1.0)


@cache
def _monomial_of(n_features: int) -> NDArray[np.intp]:
    """Return the monomial of each entry of a flattened symmetric matrix, (D * D,)."""
    upper = np.triu_indices(n_features)
    numbers = np.empty((n_features, n_features), dtype=np.intp)
    numbers[upper] = numbers.T[upper] = np.arange(len(upper[0]))
    return numbers.ravel()


def are_symmetric(matrices: Array) -> NDArray[np.bool_]:
    """Return which of the (K, D, D) matrices are symmetric up to rounding, (K,).

    Differences are relative to the geometric mean of the diagonal entries, so that the units of the
    features do not matter. Their square roots are compared, which do not underflow.
    """
    roots = np.abs(np.diagonal(matrices, axis1=1, axis2=2)).astype(np.float64) ** 0.25
    scale = roots[:, :, None] * roots[:, None, :]
    difference = np.sqrt(np.abs(matrices - np.swapaxes(matrices, 1, 2)))
    return np.logical_and.reduce(difference <= ASYMMETRY**0.5 * scale, axis=(1, 2))


def _cholesky(matrices: Array) -> tuple[list[Array], list[bool]]:
    """Return lower Cholesky factors, and which of the K matrices are positive definite."""
    results = [dpotrf(matrix, LOWER) for matrix in matrices]
    definite = [not failure and isfinite(factor[-1, -1]) for factor, failure in results]
    return [factor for factor, _ in results], definite


def _positive(factor: Array) -> Array:
    """Return a triangular factor U of U U^T with a positive diagonal."""
    return factor * np.sign(np.diag(factor))


class Dense(Structure):
    """Any symmetric matrix."""

    scikit_learn = "full"
    has_covariances = True

    def symmetric(self, elements: Array) -> Array:
        half = 0.5 * elements
        return half + np.swapaxes(half, -1, -2)

    def n_monomials(self, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def monomials(self, block: Array, out: Array) -> None:
        start = 0
        for i, feature in enumerate(block):
            stop = start + len(block) - i
            np.multiply(feature, block[i:], out=out[start:stop])
            start = stop

    def coefficients(self, precisions: Array) -> Array:
        positions, factors = _coefficients(precisions.shape[-1])
        return precisions.reshape(len(precisions), -1).take(positions, axis=1) * factors

    def from_monomials(self, sums: Array, n_features: int) -> Array:
        elements: Array = sums.take(_monomial_of(n_features), axis=1)
        return elements.reshape(len(sums), n_features, n_features)

    def monomial_pairs(self, n_features: int) -> Integers:
        return _pairs(n_features)

    def outer(self, vectors: Array) -> Array:
        return vectors[:, :, None] * vectors[:, None, :]

    def weigh(self, block: Array, weights: Array) -> Array:
        weights = weights[..., None, :]
        if block.shape[-2] < HALVED:
            return (block * weights) @ block.swapaxes(-1, -2)
        block *= np.sqrt(weights)
        return block @ block.swapaxes(-1, -2)

    def diagonal(self, element: Array) -> Array:
        return np.diag(np.diag(element))

    def add_ridge(self, covariances: Array, ridge: float) -> Array:
        return covariances + ridge * np.eye(covariances.shape[-1])

    def precisions_cholesky(self, covariances: Array) -> Array:
        if covariances.shape[-1] == 1:  # the same numbers, without a call for each component
            require_definite((covariances > 0) & (covariances < np.inf))
            return 1.0 / np.sqrt(covariances)
        factors, definite = _cholesky(covariances)
        if not all(definite):
            require_definite(np.array(definite))
        precisions_cholesky = np.empty(covariances.shape)
        for k, factor in enumerate(factors):
            precisions_cholesky[k] = dtrtri(factor, LOWER)[0].T  # saves solves in every block
        return precisions_cholesky

    def cholesky_of_precisions(self, precisions: Array) -> Array:
        # P = U U^T with U upper triangular is a Cholesky factorization with both axes reversed.
        factors, definite = _cholesky(precisions[:, ::-1, ::-1])
        require_definite(are_symmetric(precisions) & definite)
        return np.array([factor[::-1, ::-1] for factor in factors])

    def precisions(self, precisions_cholesky: Array) -> Array:
        return precisions_cholesky @ np.swapaxes(precisions_cholesky, -1, -2)

    def covariances(self, precisions_cholesky: Array) -> Array:
        factors = np.stack(
            [dtrtri(precision_cholesky)[0] for precision_cholesky in precisions_cholesky]
        )
        return np.swapaxes(factors, -1, -2) @ factors

    def dense(self, elements: Array, n_features: int) -> Array:
        return elements

    def select(self, elements: Array, features: Sequence[int], n_features: int) -> Array:
        return elements[:, features][:, :, features]

    def marginal(
        self, precisions_cholesky: Array, features: Sequence[int], n_features: int
    ) -> Array:
        # With covariance = W^T W, a submatrix of it is R^T R, where R is that of W's columns. This
        # loses only the root of what a Cholesky factorization of the submatrix would lose.
        roots = np.stack([dtrtri(factor)[0][:, features] for factor in precisions_cholesky])
        return np.stack([_positive(dtrtri(factor)[0]) for factor in np.linalg.qr(roots)[1]])

    def conditional(
        self, precisions_cholesky: Array, features: Sequence[int], n_features: int
    ) -> Array:
        rows = precisions_cholesky[:, features]
        return np.stack([_positive(rq(each, mode="r")[:, -len(features) :]) for each in rows])

    def whiten(self, precision_cholesky: Array, block: Array) -> Array:
        n_features, transposed = block.shape[-2], precision_cholesky.swapaxes(-1, -2)
        if n_features < SLABBED:
            return transposed @ block
        whitened = np.empty(block.shape, np.result_type(precision_cholesky, block))
        for stop in range(SLAB, n_features + SLAB, SLAB):  # U^T is 0 to the right of each slab
            slab = slice(stop - SLAB, stop)
            out = whitened[..., slab, :]
            np.matmul(transposed[..., slab, :stop], block[..., :stop, :], out=out)
        return whitened

    def conditioning(self, precisions_cholesky: Array, n_features: int) -> Conditioning:
        return self._dense_conditioning(precisions_cholesky, n_features)


DENSE = Dense()
