"""Natural parameters of Gaussian densities from moments about a centre.

The logarithm of a density is linear in phi(y) = (1, y, monomials of y), where y = x - centre. Its
coefficients are the natural parameters. Those that the functions below return omit -(D/2) log 2 pi.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri

from emgmm.covariances.dense import DENSE, LOWER
from emgmm.covariances.diagonal import DIAGONAL, ISOTROPIC
from emgmm.covariances.structure import Structure
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.typing import Array

# Further arguments of LAPACK's functions: keep the other triangle, and replace the matrix.
KEEP, IN_PLACE = 0, 1

# Structures of which `to_monomials` knows the order of the monomials.
STRUCTURES = (DENSE, DIAGONAL, ISOTROPIC)


def to_monomials(structure: Structure, elements: Array) -> Array:
    """Return the sums of monomials, (K, n_monomials), that scatter elements hold."""
    if structure == DENSE:
        return elements[:, *np.triu_indices(elements.shape[1])]
    return elements.reshape(len(elements), -1)


def from_factors(structure: Structure, means: Array, factors: Array) -> tuple[Array, Array]:
    """Return the coefficients of 1 and y, and the precisions U U^T, given U of each or of all."""
    precisions = structure.precisions(factors)
    linear = structure.apply(precisions, means)
    squares = np.add.reduce(linear * means, axis=1)
    constants = structure.log_det(factors, means.shape[1]) - 0.5 * squares
    return np.concatenate([constants[:, None], linear], axis=1), precisions


def from_moments(
    structure: Structure, moments: Array, n_features: int, ridge: float
) -> tuple[Array, Array]:
    """Return the natural parameters, (K, P), and the diagonals of the precisions, (K, D).

    Parameters
    ----------
    structure : Structure
        Structure of the covariances.
    moments : (K, P)
        Mean of phi for each component.
    n_features : int
        Number of features, D.
    ridge : float
        Number that is added to the diagonal of every covariance.

    Raises
    ------
    DegenerateCovarianceError
        If a covariance is not positive definite.
    """
    if structure == DENSE:
        return _from_dense_moments(moments, n_features, ridge)
    means = moments[:, 1 : 1 + n_features]
    second = structure.from_monomials(moments[:, 1 + n_features :], n_features)
    scatter, counts = second - structure.outer(means), np.ones(len(means))
    covariances = structure.add_ridge(structure.estimate(scatter, counts, n_features), ridge)
    factors = structure.precisions_cholesky(covariances)
    linear, precisions = from_factors(structure, means, factors)
    parameters = np.concatenate([linear, structure.coefficients(precisions)], axis=1)
    return parameters, structure.variances(precisions, n_features)


def _from_dense_moments(moments: Array, n_features: int, ridge: float) -> tuple[Array, Array]:
    """Return the same for covariance matrices, by one factorization for each component.

    phi holds the monomials of z = (1, y), so that the moments are M = E[z z^T]. Its determinant is
    that of the covariance, and z^T M^-1 z is the quadratic form plus 1.
    """
    matrices = DENSE.from_monomials(moments, 1 + n_features)
    diagonals = matrices.reshape(len(matrices), -1)[:, :: n_features + 2]
    diagonals[:, 1:] += ridge
    transposed = list(matrices.transpose(0, 2, 1))  # LAPACK's order of the elements
    for k, matrix in enumerate(transposed):  # replaced by its factor
        if dpotrf(matrix, LOWER, KEEP, IN_PLACE)[1]:
            raise DegenerateCovarianceError((k,))
    constants = 0.5 - np.add.reduce(np.log(diagonals), axis=1)
    for matrix in transposed:  # replaced by its inverse
        dpotri(matrix, LOWER, IN_PLACE)
    parameters = DENSE.coefficients(matrices)
    parameters[:, 0] += constants
    return parameters, diagonals[:, 1:]
