"""Conditional distributions of missing features given the observed ones, by pattern.

Let o be the observed and m the missing features of a pattern. For a component with mean mu and
precision P, and for rows in which m is missing,

- the conditional mean of x_m - mu_m is -P_mm^-1 P_mo (x_o - mu_o);
- the conditional covariance is P_mm^-1;
- the marginal log-density is log N(x_o, x_m) at the conditional mean x_m, plus
  log(2 pi) |m| / 2 - log |P_mm| / 2.

A row that is completed by its conditional mean is thus treated like any other row, and only
matrices of the size of m are inverted. If fewer features are observed than missing, matrices of
the size of o are inverted instead: with the covariance S, the completed row is
S_:o S_oo^-1 (x_o - mu_o), the conditional covariance is S_mm - S_mo S_oo^-1 S_om, and
|P_mm| = |S_oo| |P|.

References
----------
Ghahramani and Jordan (1994), Advances in Neural Information Processing Systems 6:120.
Little and Rubin (2019), Statistical Analysis with Missing Data, 3rd ed., ch. 11,
doi 10.1002/9781119482260.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri

from emgmm.typing import Array, Integers

LOG_2_PI = float(np.log(2 * np.pi))

# Number of entries of one component's submatrices that are inverted at once, which fit into a
# core's own cache.
CACHED = 2**13

# Submatrices of up to this size are inverted faster by the sweep operator than by LAPACK.
SWEPT = 8

# Patterns with at most this many rows are multiplied together, one row of each at a time; those
# with more are multiplied one by one, all rows at a time.
FEW_ROWS = 16


@dataclass(frozen=True, eq=False)
class Patterns:
    """Patterns of missing features of a block whose columns are sorted by pattern.

    Parameters
    ----------
    missing : (Q, D) array of bool
        Missing features of each pattern.
    edges : (Q + 1,)
        Pattern q is that of columns edges[q] to edges[q + 1].
    """

    missing: NDArray[np.bool_]
    edges: Integers

    @property
    def spans(self) -> Iterator[tuple[int, slice]]:
        """Yield the number of each pattern and the slice of its columns."""
        return ((q, slice(a, b)) for q, (a, b) in enumerate(pairwise(self.edges.tolist())))

    def each_row(self, values: Array) -> Array:
        """Return the entry of each column's pattern, (..., n), in (..., Q) values."""
        return values.repeat(np.diff(self.edges), axis=-1)

    def sums(self, values: Array) -> Array:
        """Return the sums of (..., n) values over the columns of each pattern, (..., Q)."""
        return np.add.reduceat(values, self.edges[:-1], axis=-1)


class Conditional(ABC):
    """Conditional distributions of missing features, by component and pattern.

    If all components share a covariance, it may be given once, K = 1; results then apply to all.

    Parameters
    ----------
    patterns : Patterns
        The patterns.
    constants : (K, Q)
        Marginal log-density of a row minus its log-density at the conditional mean.
    """

    def __init__(self, patterns: Patterns, constants: Array) -> None:
        self.patterns = patterns
        self.constants = constants

    @abstractmethod
    def complete(self, deviations: Array) -> None:
        """Complete (K, D, n) deviations from the means by the conditional means, in place.

        The deviations of missing features are 0 on input.
        """

    @abstractmethod
    def scatter(self, counts: Array) -> Array:
        """Return K scatter elements: conditional covariances weighted by the (K, Q) counts."""

    @abstractmethod
    def draw(self, q: int, k: int, noise: Array) -> Array:
        """Transform standard normal noise (D, n) into draws about pattern q's conditional mean.

        Observed features are 0.
        """


Conditioning = Callable[[Patterns], Conditional]


@dataclass(frozen=True, eq=False)
class PatternMatrices:
    """One matrix per pattern and component, for patterns whose matrices have the same size.

    The patterns are the last axis, so that each step is one operation on all of them.

    Parameters
    ----------
    which : (g,)
        Numbers of the patterns.
    rows, columns : (s, g) and (t, g)
        Features of the rows and of the columns of each matrix.
    matrices : (K, s, t, g)
        The matrices.
    """

    which: Integers
    rows: Integers
    columns: Integers
    matrices: Array


def multiply(groups: Sequence[PatternMatrices], vectors: Array, edges: Integers) -> Array:
    """Multiply (K, D, n) vectors by the matrix of their pattern; other entries are 0.

    Pattern q is that of columns edges[q] to edges[q + 1].
    """
    out = np.zeros(vectors.shape)
    n_vectors = vectors.shape[2]
    flat, flat_out = vectors.reshape(len(vectors), -1), out.reshape(len(out), -1)
    for group in groups:
        starts = edges[group.which]
        sizes = edges[group.which + 1] - starts
        few = sizes <= FEW_ROWS
        for number in range(sizes[few].max(initial=0)):
            some = np.flatnonzero(few & (sizes > number))
            at = starts[some] + number
            factors = flat[:, group.columns[:, some] * n_vectors + at]
            products = np.einsum("kabg,kbg->kag", group.matrices[..., some], factors)
            flat_out[:, group.rows[:, some] * n_vectors + at] = products
        for i in np.flatnonzero(~few):
            span = slice(starts[i], starts[i] + sizes[i])
            factors = vectors[:, group.columns[:, i], span]
            out[:, group.rows[:, i], span] = group.matrices[..., i] @ factors
    return out


def weighted_sum(groups: Sequence[PatternMatrices], counts: Array, n_features: int) -> Array:
    """Return the sum over patterns of square matrices weighted by (K, Q) counts, (K, D, D)."""
    total = np.zeros((len(counts), n_features**2))
    for group in groups:
        entries = (group.rows[:, None] * n_features + group.columns).ravel()
        for k, each in enumerate(group.matrices * counts[:, None, None, group.which]):
            total[k] += np.bincount(entries, each.ravel(), n_features**2)
    return total.reshape(-1, n_features, n_features)


def by_size(chosen: NDArray[np.bool_]) -> Iterator[tuple[Integers, Integers]]:
    """Yield patterns with equally many chosen features, and these features, (s, g).

    The number of patterns that are yielded together is limited.
    """
    sizes = chosen.sum(axis=1)
    for size in np.unique(sizes[sizes > 0]):
        alike = np.flatnonzero(sizes == size)
        length = max(1, CACHED // size**2)
        for start in range(0, len(alike), length):
            which = alike[start : start + length]
            yield which, np.nonzero(chosen[which])[1].reshape(len(which), size).T


def inverses(matrices: Array, chosen: NDArray[np.bool_]) -> tuple[list[PatternMatrices], Array]:
    """Invert principal submatrices of (K, D, D) positive definite matrices.

    Parameters
    ----------
    matrices : (K, D, D)
        The matrices.
    chosen : (Q, D) array of bool
        Features of each submatrix.

    Returns
    -------
    groups : list of PatternMatrices
        The inverses of non-empty submatrices.
    log_dets : (K, Q)
        Log-determinants of the submatrices; 0 for empty ones.
    """
    K, D = matrices.shape[:2]
    groups, log_dets = [], np.zeros((K, len(chosen)))
    for which, rows in by_size(chosen):
        blocks = matrices.reshape(K, -1).take(rows[:, None] * D + rows, axis=1)
        log_dets[:, which] = invert(blocks)
        groups.append(PatternMatrices(which, rows, rows, blocks))
    return groups, log_dets


def invert(blocks: Array) -> Array:
    """Invert (K, s, s, g) positive definite matrices in place; return their log-determinants.

    Small matrices are inverted together by the symmetric sweep operator, larger ones one by one by
    LAPACK.

    References
    ----------
    Goodnight (1979), The American Statistician 33:149, doi 10.1080/00031305.1979.10482688.
    """
    size = blocks.shape[1]
    if size > SWEPT:
        return _invert_by_cholesky(blocks)
    log_dets = np.zeros((blocks.shape[0], blocks.shape[-1]))
    for j in range(size):
        row = blocks[:, j].copy()
        pivot = row[:, j].copy()
        scaled = row / pivot[:, None]
        blocks -= row[:, :, None] * scaled[:, None]
        blocks[:, j] = blocks[:, :, j] = scaled
        blocks[:, j, j] = -1 / pivot
        log_dets += np.log(pivot)
    np.negative(blocks, out=blocks)
    return log_dets


def _invert_by_cholesky(blocks: Array) -> Array:
    matrices = np.moveaxis(blocks, -1, 1).copy()
    columns = [matrix.T for stack in matrices for matrix in stack]  # LAPACK expects Fortran order
    for matrix in columns:
        dpotrf(matrix, overwrite_a=1)
    log_dets: Array = 2 * np.log(np.diagonal(matrices, axis1=2, axis2=3)).sum(axis=-1)
    for matrix in columns:
        dpotri(matrix, overwrite_c=1)
    written = np.tri(blocks.shape[1], dtype=bool)  # LAPACK writes one triangle only
    symmetric = np.where(written, matrices, matrices.swapaxes(2, 3))
    blocks[...] = np.moveaxis(symmetric, 1, -1)
    return log_dets


class ByInverses(Conditional):
    """Conditional distributions by inverses of parts of the precisions or of the covariances.

    Parameters
    ----------
    precisions, covariances : (K, D, D)
        Well-conditioned matrices.
    log_dets : (K,)
        Log-determinants of the precisions.
    patterns : Patterns
        The patterns.
    """

    def __init__(
        self, precisions: Array, covariances: Array, log_dets: Array, patterns: Patterns
    ) -> None:
        missing = patterns.missing
        n_missing = missing.sum(axis=1)
        self.mostly_missing = 2 * n_missing > missing.shape[1]
        mostly = self.mostly_missing[:, None]
        self.precisions = precisions
        self.covariances = covariances
        self.of_missing, found = inverses(precisions, missing & ~mostly)
        self.of_observed, more = inverses(covariances, ~missing & mostly)
        found += more + self.mostly_missing * log_dets[:, None]
        super().__init__(patterns, 0.5 * (n_missing * LOG_2_PI - found))

    def complete(self, deviations: Array) -> None:
        edges = self.patterns.edges
        if self.of_missing:
            deviations -= multiply(self.of_missing, self.precisions @ deviations, edges)
        if self.of_observed:
            filled = self.covariances @ multiply(self.of_observed, deviations, edges)
            where = self.patterns.missing & self.mostly_missing[:, None]
            np.copyto(deviations, filled, where=self.patterns.each_row(where.T))

    def scatter(self, counts: Array) -> Array:
        covariances, D = self.covariances, self.covariances.shape[2]
        counts = per_element(covariances, counts)
        total = weighted_sum(self.of_missing, counts, D)
        if self.mostly_missing.any():
            known = covariances @ weighted_sum(self.of_observed, counts, D) @ covariances
            n_rows = counts[:, self.mostly_missing].sum(axis=1)
            total += n_rows[:, None, None] * covariances - known
        return 0.5 * (total + total.swapaxes(1, 2))

    def draw(self, q: int, k: int, noise: Array) -> Array:
        features = np.flatnonzero(self.patterns.missing[q])
        precision = self.precisions[k % len(self.precisions)]
        factor = np.linalg.cholesky(precision[np.ix_(features, features)])
        draws = np.zeros(noise.shape)
        draws[features] = np.linalg.solve(factor.T, noise[features])
        return draws


class ByLeastSquares(Conditional):
    """Conditional distributions by least squares, for covariances that are nearly singular.

    With P = U U^T, the conditional mean minimizes |U_o^T d_o + U_m^T d_m|, and R^T R = P_mm with
    U_m^T = Q R. The condition number of this problem is the square root of that of P_mm.

    Parameters
    ----------
    precisions_cholesky : (K, D, D)
        U of each component, upper triangular.
    patterns : Patterns
        The patterns.
    """

    def __init__(self, precisions_cholesky: Array, patterns: Patterns) -> None:
        missing = patterns.missing
        constants = np.zeros((len(precisions_cholesky), len(missing)))
        self.roots: dict[int, Array] = {}
        self.gains, self.conditional_covariances = [], []
        for which, rows in by_size(missing):
            bases, factors = np.linalg.qr(precisions_cholesky[:, rows.T].swapaxes(2, 3))
            logs = np.log(np.abs(np.diagonal(factors, axis1=2, axis2=3)))
            constants[:, which] = 0.5 * len(rows) * LOG_2_PI - logs.sum(axis=2)
            roots = np.linalg.inv(factors)
            observed = np.where(missing[which, :, None], 0.0, precisions_cholesky[:, None])
            gains = np.moveaxis(-roots @ (observed @ bases).swapaxes(2, 3), 1, -1)
            covariances = np.moveaxis(roots @ roots.swapaxes(2, 3), 1, -1)
            columns = np.arange(missing.shape[1])[:, None].repeat(len(which), axis=1)
            self.gains.append(PatternMatrices(which, rows, columns, np.ascontiguousarray(gains)))
            self.conditional_covariances.append(
                PatternMatrices(which, rows, rows, np.ascontiguousarray(covariances))
            )
            self.roots.update(zip(which.tolist(), roots.swapaxes(0, 1), strict=True))
        super().__init__(patterns, constants)

    def complete(self, deviations: Array) -> None:
        deviations += multiply(self.gains, deviations, self.patterns.edges)

    def scatter(self, counts: Array) -> Array:
        n_features = self.patterns.missing.shape[1]
        counts = per_element(self.constants, counts)
        return weighted_sum(self.conditional_covariances, counts, n_features)

    def draw(self, q: int, k: int, noise: Array) -> Array:
        features = self.patterns.missing[q]
        draws = np.zeros(noise.shape)
        if q in self.roots:
            draws[features] = self.roots[q][k % len(self.constants)] @ noise[features]
        return draws


def per_element(stack: Array, counts: Array) -> Array:
    """Return the (K, Q) counts, summed over the components if they share one element."""
    return counts if len(counts) == len(stack) else counts.sum(axis=0, keepdims=True)


class ByComponent(Conditional):
    """Conditional distributions that are computed in different ways for different components.

    Parameters
    ----------
    parts : sequence of pairs
        Numbers of components, and their conditional distributions.
    patterns : Patterns
        The patterns.
    """

    def __init__(self, parts: Sequence[tuple[Integers, Conditional]], patterns: Patterns) -> None:
        self.parts = parts
        self.n_components = sum(len(components) for components, _ in parts)
        constants = np.empty((self.n_components, len(patterns.missing)))
        for components, part in parts:
            constants[components] = part.constants
        super().__init__(patterns, constants)

    def complete(self, deviations: Array) -> None:
        for components, part in self.parts:
            own = deviations[components]
            part.complete(own)
            deviations[components] = own

    def scatter(self, counts: Array) -> Array:
        D = self.patterns.missing.shape[1]
        total = np.empty((self.n_components, D, D))
        for components, part in self.parts:
            total[components] = part.scatter(counts[components])
        return total

    def draw(self, q: int, k: int, noise: Array) -> Array:
        for components, part in self.parts:
            if k in components:
                return part.draw(q, components.tolist().index(k), noise)
        raise IndexError(k)


def conditioning(
    precisions_cholesky: Array,
    precisions: Array,
    covariances: Array,
    near_singular: NDArray[np.bool_],
) -> Conditioning:
    """Return the conditional distributions under dense covariances as a function of patterns.

    `near_singular`, (K,), chooses the components for which least squares are used.
    """
    log_dets = 2 * np.log(np.diagonal(precisions_cholesky, axis1=1, axis2=2)).sum(axis=1)
    regular, singular = np.flatnonzero(~near_singular), np.flatnonzero(near_singular)

    def conditional(patterns: Patterns) -> Conditional:
        parts: list[tuple[Integers, Conditional]] = []
        if len(regular):
            matrices = precisions[regular], covariances[regular], log_dets[regular]
            parts.append((regular, ByInverses(*matrices, patterns)))
        if len(singular):
            parts.append((singular, ByLeastSquares(precisions_cholesky[singular], patterns)))
        return parts[0][1] if len(parts) == 1 else ByComponent(parts, patterns)

    return conditional


class Projected(Conditional):
    """Conditional distributions under dense covariances, for structures of another storage.

    Parameters
    ----------
    dense : Conditional
        The conditional distributions, whose scatters are matrices.
    weigh : callable
        `Structure.weigh`, which stores the scatters.
    """

    def __init__(self, dense: Conditional, weigh: Callable[[Array, Array], Array]) -> None:
        super().__init__(dense.patterns, dense.constants)
        self.dense = dense
        self.weigh = weigh

    def complete(self, deviations: Array) -> None:
        self.dense.complete(deviations)

    def scatter(self, counts: Array) -> Array:
        eigenvalues, eigenvectors = np.linalg.eigh(self.dense.scatter(counts))
        return self.weigh(eigenvectors, eigenvalues)

    def draw(self, q: int, k: int, noise: Array) -> Array:
        return self.dense.draw(q, k, noise)


class Independent(Conditional):
    """Conditional distributions of independent features, whose conditional means are the means.

    Parameters
    ----------
    variances : (K, D)
        Variances of the features.
    patterns : Patterns
        The patterns.
    """

    def __init__(self, variances: Array, patterns: Patterns) -> None:
        super().__init__(patterns, 0.5 * (LOG_2_PI + np.log(variances)) @ patterns.missing.T)
        self.variances = variances

    def complete(self, deviations: Array) -> None:
        pass

    def scatter(self, counts: Array) -> Array:
        return (counts @ self.patterns.missing) * self.variances

    def draw(self, q: int, k: int, noise: Array) -> Array:
        return noise * (self.patterns.missing[q] * np.sqrt(self.variances[k]))[:, None]


class IndependentIsotropic(Independent):
    """Conditional distributions of independent features with equal variances."""

    def scatter(self, counts: Array) -> Array:
        return super().scatter(counts).sum(axis=1)
