"""The interface of covariance structures: how a covariance matrix is stored and used.

Conventions
-----------
An *element* is the array that stores one D x D matrix:

============  ==========================  ===========  =================
structure     matrix                      element      monomials
============  ==========================  ===========  =================
`DENSE`       any symmetric matrix        (D, D)       x_i x_j, i <= j
`DIAGONAL`    diagonal                    (D,)         x_i ** 2
`ISOTROPIC`   a multiple of the identity  ()           x . x
============  ==========================  ===========  =================

Arrays of K elements have K as their first axis. A *scatter* element stores a weighted sum of outer
products x x^T, as far as the structure needs it: for `ISOTROPIC`, its trace.

A precision matrix is stored as its Cholesky factor U, the upper triangular matrix with
precision = U U^T, as in scikit-learn's ``precisions_cholesky_``: z = U^T (x - mu) is standard
normal. U has shape (D, D) for `DENSE` and is 1 / standard deviation for the other two.

Blocks of data hold features along the first axis and rows along the second, contiguous one: (D, B).

To add a structure, implement the abstract methods. The others follow from them, mostly by way of
dense matrices, and may be overridden for speed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emgmm.covariances.conditional import Conditioning, Projected, conditioning
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.typing import Array, Integers

# Variance inflation, an upper bound of the sum over features of 1 / (1 - R_j^2), above which
# conditional distributions are computed from U: the rounding errors of inverses of parts of a
# precision matrix grow with this factor.
NEAR_SINGULAR = 1e4


def require_definite(definite: NDArray[np.bool_]) -> None:
    """Raise an error with the components, along the first axis, of which any entry is false."""
    if not np.logical_and.reduce(definite, axis=None):
        each = definite.reshape(len(definite), -1).all(axis=1)
        raise DegenerateCovarianceError(tuple(np.flatnonzero(~each).tolist()))


class Structure(ABC):
    """Storage and arithmetic of the covariances of a family.

    Instances of the same class are equal, so that an unpickled structure equals the original.

    Attributes
    ----------
    scikit_learn : str
        scikit-learn's ``covariance_type`` for arrays of K elements.
    has_covariances : bool
        Whether an element has entries for pairs of different features.
    """

    scikit_learn: str
    has_covariances = False

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def symmetric(self, elements: Array) -> Array:
        """Return the elements with the symmetry of a covariance, which rounding may have broken."""
        return elements

    # -- monomials: the quadratic part of the features of the expanded E-step --------------------
    @abstractmethod
    def n_monomials(self, n_features: int) -> int:
        """Return the number of monomials of a row, which is that of an element's free entries."""

    @abstractmethod
    def monomials(self, block: Array, out: Array) -> None:
        """Write the monomials of a (D, B) block into the rows of `out`."""

    @abstractmethod
    def coefficients(self, precisions: Array) -> Array:
        """Return (K, n_monomials) `c` such that -x^T precision x / 2 = c . monomials(x)."""

    @abstractmethod
    def from_monomials(self, sums: Array, n_features: int) -> Array:
        """Return K scatter elements from weighted sums of monomials, (K, n_monomials)."""

    def monomial_pairs(self, n_features: int) -> Integers | None:
        """Return the features whose products are the monomials, (2, n), for the compiled E-step.

        There are none if the monomials are the squares of the features, or only the sum of these
        squares. None is returned by a structure with other monomials, which is served by NumPy.
        """
        return None

    # -- scatters --------------------------------------------------------------------------------
    def outer(self, vectors: Array) -> Array:
        """Return the scatter element of v v^T for each of the (K, D) vectors."""
        n_features = vectors.shape[1]
        monomials = np.empty((self.n_monomials(n_features), len(vectors)), vectors.dtype)
        self.monomials(vectors.T, monomials)
        return self.from_monomials(monomials.T, n_features)

    def weigh(self, block: Array, weights: Array) -> Array:
        """Return the scatter element of sum_i weights_i x_i x_i^T over the rows of a block.

        Parameters
        ----------
        block : (D, B) or (K, D, B)
            One block, or a stack of blocks, which may be overwritten.
        weights : (B,) or (K, B)
            Weights of the rows.
        """
        *stack, n_features, n_rows = block.shape
        size = self.n_monomials(n_features)
        monomials = np.empty((*stack, size, n_rows), block.dtype)
        for index in np.ndindex(*stack):
            self.monomials(block[index], monomials[index])
        sums = np.matmul(monomials, weights[..., None]).reshape(-1, size)
        elements = self.from_monomials(sums, n_features)
        return elements.reshape((*stack, *elements.shape[1:]))

    @abstractmethod
    def diagonal(self, element: Array) -> Array:
        """Return the element of a matrix without its off-diagonal entries."""

    def inner(self, element: Array, scatter: Array) -> float:
        """Return trace(A B) for a precision or covariance element A and a scatter element B."""
        return float(np.vdot(element, scatter))

    # -- covariances and precisions --------------------------------------------------------------
    def estimate(self, scatters: Array, counts: Array, n_features: int) -> Array:
        """Return maximum-likelihood covariances, given scatters about the means and (K,) counts."""
        return scatters / counts.reshape(-1, *[1] * (scatters.ndim - 1))

    def single_row_covariances(self, rows: Array, counts: Array) -> Array:
        """Return covariances of components with one of the (K, D) rows each.

        The counts are slightly larger than 1. Such covariances are zero up to rounding, but
        rounding decides how EM continues from them: structures for which scikit-learn computes
        E[x^2] - E[x]^2 repeat its operations one by one.
        """
        return self.outer(np.zeros_like(rows))

    @abstractmethod
    def add_ridge(self, covariances: Array, ridge: float) -> Array:
        """Return the covariances with `ridge` added to their diagonals."""

    @abstractmethod
    def precisions_cholesky(self, covariances: Array) -> Array:
        """Return U of each covariance.

        Raises
        ------
        DegenerateCovarianceError
            If some covariances are not positive definite.
        """

    @abstractmethod
    def cholesky_of_precisions(self, precisions: Array) -> Array:
        """Return U of each precision.

        Raises
        ------
        DegenerateCovarianceError
            If some precisions are not positive definite.
        """

    @abstractmethod
    def precisions(self, precisions_cholesky: Array) -> Array:
        """Return U U^T."""

    @abstractmethod
    def covariances(self, precisions_cholesky: Array) -> Array:
        """Return (U U^T)^-1."""

    @abstractmethod
    def dense(self, elements: Array, n_features: int) -> Array:
        """Return covariances, precisions or factors as matrices, (..., D, D), or a view of them."""

    # -- what follows from dense matrices --------------------------------------------------------
    def log_det(self, precisions_cholesky: Array, n_features: int) -> Array:
        """Return log |U|, which is half the log-determinant of the precision."""
        factors = self.dense(precisions_cholesky, n_features)
        return np.add.reduce(np.log(factors.diagonal(axis1=-2, axis2=-1)), axis=-1)

    def apply(self, elements: Array, vectors: Array) -> Array:
        """Return the product of each of K matrices and its (K, D) vector."""
        matrices = self.dense(elements, vectors.shape[1])
        return np.matmul(matrices, vectors[:, :, None])[:, :, 0]

    def solve(self, element: Array, vector: Array) -> Array:
        """Return the product of one matrix's inverse and a (D,) vector."""
        return np.linalg.solve(self.dense(element, len(vector)), vector)

    def whiten(self, precision_cholesky: Array, block: Array) -> Array:
        """Return U^T x for every column of a (D, B) block.

        K factors need a stack of K blocks, (K, D, B).
        """
        return self.dense(precision_cholesky, block.shape[-2]).swapaxes(-1, -2) @ block

    def squared_norms(self, precision_cholesky: Array, block: Array) -> Array:
        """Return |U^T x|^2, (B,), for every column of a (D, B) block, which may be overwritten.

        For K factors and a stack of blocks, (K, D, B), the result is (K, B).
        """
        whitened = self.whiten(precision_cholesky, block)
        return np.einsum("...jb,...jb->...b", whitened, whitened)

    def colour(self, precision_cholesky: Array, block: Array) -> Array:
        """Return U^-T z for every column of a (D, B) block.

        This is the inverse of `whiten`: standard normal z become draws from the covariance.
        """
        return np.linalg.solve(self.dense(precision_cholesky, len(block)).T, block)

    def magnitude(self, precisions_cholesky: Array, reach: Array) -> Array:
        """Return the maximum of (|U|^T |v|)^2 over vectors with |v| <= `reach`, (K, D).

        No term of the expanded quadratic form exceeds this value, so its product with the unit
        roundoff bounds the form's error (Higham 2002, doi 10.1137/1.9780898718027, ch. 3).
        """
        factors = np.abs(self.dense(precisions_cholesky, reach.shape[1]))
        whitened = np.matmul(reach[:, None, :], factors)[:, 0, :]
        return np.add.reduce(whitened * whitened, axis=1)

    def magnitude_bound(self, precisions_cholesky: Array, reach: Array) -> float:
        """Return a bound of all K magnitudes that takes less time on small arrays.

        It is their sum, for `DENSE` at most multiplied by D.
        """
        terms = self.dense(precisions_cholesky, reach.shape[1]) * reach[:, :, None]
        return reach.shape[1] * float(np.vdot(terms, terms))

    def variances(self, elements: Array, n_features: int) -> Array:
        """Return the diagonals of K matrices, (K, D)."""
        return self.dense(elements, n_features).diagonal(axis1=1, axis2=2)

    def select(self, elements: Array, features: Sequence[int], n_features: int) -> Array:
        """Return the elements of the principal submatrices of K matrices for some features."""
        matrices = self.dense(elements, n_features)[:, features][:, :, features]
        eigenvalues, eigenvectors = np.linalg.eigh(matrices)
        return self.weigh(eigenvectors, eigenvalues)

    def marginal(
        self, precisions_cholesky: Array, features: Sequence[int], n_features: int
    ) -> Array:
        """Return U of the marginal distributions of some features, given K factors."""
        covariances = self.covariances(precisions_cholesky)
        return self.precisions_cholesky(self.select(covariances, features, n_features))

    def conditional(
        self, precisions_cholesky: Array, features: Sequence[int], n_features: int
    ) -> Array:
        """Return U of the conditional distributions of some features given all others."""
        precisions = self.precisions(precisions_cholesky)
        return self.cholesky_of_precisions(self.select(precisions, features, n_features))

    def traces(self, precisions: Array, covariances: Array, n_features: int) -> Array:
        """Return trace(precision_k covariance_l), (K, n), for K precisions and n covariances."""
        flat = self.dense(covariances, n_features).reshape(len(covariances), -1)
        return self.dense(precisions, n_features).reshape(len(precisions), -1) @ flat.T

    def mutual_traces(self, elements: Array, precision_cholesky: Array, n_features: int) -> Array:
        """Return trace(U^T A_k U U^T A_l U), (K, K), for K elements A_k and one factor U."""
        U = self.dense(precision_cholesky, n_features)
        whitened = (U.T @ self.dense(elements, n_features) @ U).reshape(len(elements), -1)
        return whitened @ whitened.T

    def min_variance(self, covariances: Array, precision_cholesky: Array, n_features: int) -> Array:
        """Return the smallest eigenvalue of U^T covariance_k U, (K,), for one factor U."""
        scale = np.abs(precision_cholesky).max()  # products with larger entries may overflow
        U = self.dense(precision_cholesky / scale, n_features)
        eigenvalues = np.linalg.eigvalsh(U.T @ self.dense(covariances, n_features) @ U)
        return eigenvalues[:, 0] * scale * scale

    def min_rows(self, n_features: int) -> int:
        """Return the number of rows in general position that make a covariance definite."""
        return n_features + 1

    def conditioning(self, precisions_cholesky: Array, n_features: int) -> Conditioning:
        """Return the conditional distributions of missing features as a function of `Patterns`."""
        dense = self._dense_conditioning(precisions_cholesky, n_features)
        return lambda patterns: Projected(dense(patterns), self.weigh)

    def _dense_conditioning(self, precisions_cholesky: Array, n_features: int) -> Conditioning:
        """Return conditional distributions whose scatters are dense matrices."""
        covariances = self.covariances(precisions_cholesky)
        sds = np.sqrt(self.variances(covariances, n_features))
        return conditioning(
            self.dense(precisions_cholesky, n_features),
            self.dense(self.precisions(precisions_cholesky), n_features),
            self.dense(covariances, n_features),
            self.magnitude(precisions_cholesky, sds) > NEAR_SINGULAR,
        )
