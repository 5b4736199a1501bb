"""What a shape is: how a covariance is held, and what it does with vectors.

Conventions
-----------
A *shape* knows the element that stands for one D x D matrix:

========  ==========================  ==========  =================
shape     the matrix                  element     monomials
========  ==========================  ==========  =================
`DENSE`   any symmetric matrix        (D, D)      x_i x_j, i <= j
`DIAGONAL`    diagonal                    (D,)        x_i ** 2
`ISOTROPIC`   a multiple of the identity  ()          x . x
========  ==========================  ==========  =================

Arrays of K elements have K in front. A precision is held by its *whitener* U, the upper triangular
matrix with precision = U U^T (so z = U^T (x - mu) is standard normal), as scikit-learn holds it in
``precisions_cholesky_``: (D, D) for `DENSE`, 1/sd for the other two.

Blocks hold features along the first axis and rows of data along the second, contiguous one: (D, B).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from emgmm.covariances.conditional import Conditioning
from emgmm.typing import Array


class Structure(ABC):
    """What a family's second moments and quadratic form look like.

    Two of one class are the same, so that one which comes from another process is its own equal.
    """

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    #: scikit-learn's name for K elements of this shape.
    scikit_learn: str

    # -- second moments -------------------------------------------------------------------------
    def symmetric(self, elements: Array) -> Array:
        """Elements as symmetric as what they stand for, where rounding has made them differ."""
        return elements

    @abstractmethod
    def outer(self, vectors: Array) -> Array:
        """Element of v v^T for each of the (K, D) vectors."""

    @abstractmethod
    def weigh(self, block: Array, weights: Array) -> Array:
        """Element of sum_i weights_i x_i x_i^T over a (D, B) block, whose memory may be used.

        Of a stack of blocks, (K, D, B), and one of weights, (K, B), the K elements.
        """

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
        """Maximum-likelihood covariances of scatters about the means, one counts to each."""

    @abstractmethod
    def single_row_covariances(self, rows: Array, counts: Array) -> Array:
        """Covariances of components that hold one row each, (K, D), with masses just above 1.

        Nothing but rounding; yet from so sharp a start rounding decides where EM goes. Where
        scikit-learn expands the square it is its own, operation by operation: E[x^2] - E[x]^2.
        """

    @abstractmethod
    def add_ridge(self, covariances: Array, ridge: float) -> Array:
        """The covariances with `ridge` added to their diagonals."""

    @abstractmethod
    def precisions_cholesky(self, covariances: Array) -> Array:
        """U of each covariance; `DegenerateCovarianceError` names those that have none."""

    @abstractmethod
    def cholesky_of_precisions(self, precisions: Array) -> Array:
        """U of each precision; `DegenerateCovarianceError` names those that have none."""

    @abstractmethod
    def precisions(self, precisions_cholesky: Array) -> Array:
        """U U^T."""

    @abstractmethod
    def covariances(self, precisions_cholesky: Array) -> Array:
        """(U U^T)^-1."""

    @abstractmethod
    def log_det(self, precisions_cholesky: Array, n_features: int) -> Array:
        """Log |U|, half the log-determinant of the precision."""

    @abstractmethod
    def apply(self, elements: Array, vectors: Array) -> Array:
        """Each of the K elements as a matrix times its (K, D) vector."""

    @abstractmethod
    def solve(self, element: Array, vector: Array) -> Array:
        """The inverse of one element times a (D,) vector."""

    @abstractmethod
    def whiten(self, precision_cholesky: Array, block: Array) -> Array:
        """U^T x for every column of a (D, B) block, or of a stack of blocks, one to each U."""

    @abstractmethod
    def squared_norms(self, precision_cholesky: Array, block: Array) -> Array:
        """(B,): |U^T x| squared for every column of a (D, B) block, whose memory may be used.

        Of K whiteners and a stack of blocks, (K, D, B), it is (K, B).
        """

    @abstractmethod
    def colour(self, precision_cholesky: Array, block: Array) -> Array:
        """U^-T z for every column of a (D, B) block: the inverse of `whiten`."""

    @abstractmethod
    def magnitude(self, precisions_cholesky: Array, reach: Array) -> Array:
        """(K,): the largest |U|^T|v| squared that vectors within the (K, D) `reach` attain.

        Every term that an expanded quadratic form adds up is at most this large, so it times the
        unit of rounding bounds the form's error (Higham 2002, doi 10.1137/1.9780898718027, ch. 3).
        """

    @abstractmethod
    def variances(self, elements: Array, n_features: int) -> Array:
        """(K, D): the diagonals of the K elements."""

    @abstractmethod
    def diagonal(self, element: Array) -> Array:
        """The element of a matrix's diagonal alone."""

    @abstractmethod
    def traces(self, precisions: Array, covariances: Array, n_features: int) -> Array:
        """(K, n): trace(precision_k covariance_l) of K precisions and n covariances."""

    @abstractmethod
    def min_variance(self, covariances: Array, precision_cholesky: Array) -> Array:
        """(K,): smallest eigenvalue of each covariance in the metric of `precision_cholesky`."""

    @abstractmethod
    def min_rows(self, n_features: int) -> int:
        """Fewest rows in general position whose covariance is definite."""

    @abstractmethod
    def inner(self, a: Array, b: Array, n_features: int) -> float:
        """trace(A B) of two single elements, b being a sum of outer products."""

    @abstractmethod
    def conditioning(self, precisions_cholesky: Array, n_features: int) -> Conditioning:
        """The conditional distributions of missing features, as a function of their patterns."""

    @abstractmethod
    def dense(self, elements: Array, n_features: int) -> Array:
        """Covariance elements written out as matrices, (..., D, D)."""
