"""Conditionals: what observed features say of the missing ones, for patterns of missing features.

With o the observed and m the missing features of a pattern, a component of mean mu and precision P
has, of rows that miss m,

- the conditional mean of x_m - mu_m: -P_mm^-1 P_mo (x_o - mu_o);
- the conditional covariance, the rest: P_mm^-1;
- the marginal log-density: log N(x_o, x_m) at the conditional mean x_m, plus
  log(2 pi) |m| / 2 - log |P_mm| / 2.

So a row that has been completed by its conditional mean is like any other, and only matrices of the
size of m are inverted. Where fewer features are observed than missing, those of the size of o are:
with the covariance S, the completed row is S_:o S_oo^-1 (x_o - mu_o), the rest is
S_mm - S_mo S_oo^-1 S_om, and |P_mm| = |S_oo| |P|.

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

# Entries of one component's submatrices that are inverted together, so that they stay in a core's
# own cache.
CACHED = 2**13

# Features of a submatrix up to which the sweep operator is faster than LAPACK.
SWEPT = 8

# Rows with the same pattern up to which one row of each pattern is multiplied at a time; with more,
# all rows of one pattern are.
FEW_ROWS = 16


@dataclass(frozen=True, eq=False)
class Patterns:
    """Patterns of missing features, and the columns of a block that have them, side by side.

    Parameters
    ----------
    missing : (Q, D) of bool
        The patterns.
    edges : (Q + 1,)
        Pattern q has the columns edges[q] to edges[q + 1].
    """

    missing: NDArray[np.bool_]
    edges: Integers

    @property
    def spans(self) -> Iterator[tuple[int, slice]]:
        """Each pattern and its columns."""
        return ((q, slice(a, b)) for q, (a, b) in enumerate(pairwise(self.edges.tolist())))

    def each_row(self, values: Array) -> Array:
        """(..., n): for every column the entry of its pattern in (..., Q) values."""
        return values.repeat(np.diff(self.edges), axis=-1)

    def sums(self, values: Array) -> Array:
        """(..., Q): sums of (..., n) values over the columns of each pattern."""
        return np.add.reduceat(values, self.edges[:-1], axis=-1)


class Conditional(ABC):
    """The conditional distributions of missing features: some patterns under K components.

    A covariance that all components share may stand once; what comes back for each component then
    does too, and is for all of them.

    Parameters
    ----------
    patterns : Patterns
        The patterns.
    constants : (K, Q)
        Marginal log-density of a row less its density at the conditional mean.
    """

    def __init__(self, patterns: Patterns, constants: Array) -> None:
        self.patterns = patterns
        self.constants = constants

    @abstractmethod
    def complete(self, deviations: Array) -> None:
        """Write conditional means into (K, D, n) deviations from the means.

        These are 0 where a feature is missing.
        """

    @abstractmethod
    def rest(self, counts: Array) -> Array:
        """K elements: the conditional covariances times the (K, Q) masses, summed over patterns."""

    @abstractmethod
    def draw(self, q: int, k: int, noise: Array) -> Array:
        """(D, n): standard normal noise as draws of pattern q's rest, 0 where observed."""


Conditioning = Callable[[Patterns], Conditional]


@dataclass(frozen=True, eq=False)
class Group:
    """A matrix for each of some patterns, all of one size.

    The patterns come last, so that every step is one operation on all of them.

    Parameters
    ----------
    which : (g,)
        The patterns.
    lines, columns : (s, g) and (t, g)
        The features that the lines and the columns of each matrix stand for.
    matrices : (K, s, t, g)
        One for each component.
    """

    which: Integers
    lines: Integers
    columns: Integers
    matrices: Array


def times(groups: Sequence[Group], vectors: Array, edges: Integers) -> Array:
    """(K, D, n): each pattern's matrix times its columns of (K, D, n) `vectors`; 0 elsewhere.

    Pattern q has the columns edges[q] to edges[q + 1].
    """
    out = np.zeros(vectors.shape)
    n_rows = vectors.shape[2]
    flat, flat_out = vectors.reshape(len(vectors), -1), out.reshape(len(out), -1)
    for group in groups:
        starts = edges[group.which]
        counts = edges[group.which + 1] - starts
        few = counts <= FEW_ROWS
        for number in range(counts[few].max(initial=0)):
            some = np.flatnonzero(few & (counts > number))
            at = starts[some] + number
            known = flat[:, group.columns[:, some] * n_rows + at]
            found = np.einsum("kabg,kbg->kag", group.matrices[..., some], known)
            flat_out[:, group.lines[:, some] * n_rows + at] = found
        for i in np.flatnonzero(~few):
            span = slice(starts[i], starts[i] + counts[i])
            known = vectors[:, group.columns[:, i], span]
            out[:, group.lines[:, i], span] = group.matrices[..., i] @ known
    return out


def weighted(groups: Sequence[Group], counts: Array, n_features: int) -> Array:
    """(K, D, D): the sum of square matrices, each in its place, times (K, Q) masses."""
    total = np.zeros((len(counts), n_features**2))
    for group in groups:
        places = (group.lines[:, None] * n_features + group.columns).ravel()
        for k, each in enumerate(group.matrices * counts[:, None, None, group.which]):
            total[k] += np.bincount(places, each.ravel(), n_features**2)
    return total.reshape(-1, n_features, n_features)


def same_size(chosen: NDArray[np.bool_]) -> Iterator[tuple[Integers, Integers]]:
    """Patterns with equally many features, and these features (s, g); not too many at a time."""
    sizes = chosen.sum(axis=1)
    for size in np.unique(sizes[sizes > 0]):
        alike = np.flatnonzero(sizes == size)
        step = max(1, CACHED // size**2)
        for start in range(0, len(alike), step):
            which = alike[start : start + step]
            yield which, np.nonzero(chosen[which])[1].reshape(len(which), size).T


def inverses(matrices: Array, chosen: NDArray[np.bool_]) -> tuple[list[Group], Array]:
    """Inverses of principal submatrices of (K, D, D) positive definite ones, and log-determinants.

    Each of the (Q, D) patterns says which features a submatrix has; those without any are left out.
    Their log-determinant (K, Q) is 0.
    """
    K, D = matrices.shape[:2]
    groups, log_dets = [], np.zeros((K, len(chosen)))
    for which, lines in same_size(chosen):
        blocks = matrices.reshape(K, -1).take(lines[:, None] * D + lines, axis=1)
        log_dets[:, which] = invert(blocks)
        groups.append(Group(which, lines, lines, blocks))
    return groups, log_dets


def invert(blocks: Array) -> Array:
    """Invert (K, s, s, g) positive definite matrices in place; their log-determinants come back.

    Small ones all at a time by the symmetric sweep operator, larger ones one by one by LAPACK.

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
    size = blocks.shape[1]
    matrices = np.moveaxis(blocks, -1, 1).copy()
    columns = [matrix.T for stack in matrices for matrix in stack]  # as LAPACK has them
    for matrix in columns:
        dpotrf(matrix, overwrite_a=1)
    log_dets: Array = 2 * np.log(np.diagonal(matrices, axis1=2, axis2=3)).sum(axis=-1)
    for matrix in columns:
        dpotri(matrix, overwrite_c=1)
    for j in range(size):  # of each inverse there is one triangle
        blocks[:, j, : j + 1] = blocks[:, : j + 1, j] = np.moveaxis(
            matrices[..., j, : j + 1], 1, -1
        )
    return log_dets


class ByInverses(Conditional):
    """Correlated features, by inverses of parts of the precisions or of the covariances.

    Parameters
    ----------
    precisions, covariances : (K, D, D)
        None of them near singular.
    log_dets : (K,)
        Of the precisions.
    patterns : Patterns
        The patterns.
    """

    def __init__(
        self, precisions: Array, covariances: Array, log_dets: Array, patterns: Patterns
    ) -> None:
        missing = patterns.missing
        n_missing = missing.sum(axis=1)
        self.mostly = 2 * n_missing > missing.shape[1]  # missing
        mostly = self.mostly[:, None]
        self.precisions = precisions
        self.covariances = covariances
        self.of_missing, found = inverses(precisions, missing & ~mostly)
        self.of_observed, more = inverses(covariances, ~missing & mostly)
        found += more + self.mostly * log_dets[:, None]
        super().__init__(patterns, 0.5 * (n_missing * LOG_2_PI - found))

    def complete(self, deviations: Array) -> None:
        edges = self.patterns.edges
        if self.of_missing:
            deviations -= times(self.of_missing, self.precisions @ deviations, edges)
        if self.of_observed:
            filled = self.covariances @ times(self.of_observed, deviations, edges)
            places = self.patterns.missing & self.mostly[:, None]
            np.copyto(deviations, filled, where=self.patterns.each_row(places.T))

    def rest(self, counts: Array) -> Array:
        covariances, D = self.covariances, self.covariances.shape[2]
        counts = for_each(covariances, counts)
        total = weighted(self.of_missing, counts, D)
        if self.mostly.any():
            known = covariances @ weighted(self.of_observed, counts, D) @ covariances
            total += counts[:, self.mostly].sum(axis=1)[:, None, None] * covariances - known
        return 0.5 * (total + total.swapaxes(1, 2))

    def draw(self, q: int, k: int, noise: Array) -> Array:
        lines = np.flatnonzero(self.patterns.missing[q])
        precision = self.precisions[k % len(self.precisions)]
        factor = np.linalg.cholesky(precision[np.ix_(lines, lines)])
        draws = np.zeros(noise.shape)
        draws[lines] = np.linalg.solve(factor.T, noise[lines])
        return draws


class ByLeastSquares(Conditional):
    """Correlated features, however near a covariance is to a singular one.

    The conditional mean is a least-squares solution: with P = U U^T it minimises
    |U_o^T d_o + U_m^T d_m|, and R^T R = P_mm with U_m^T = Q R. That needs no more than that there
    is a whitener U, and loses the square root of what the inverse of P_mm would lose.

    Parameters
    ----------
    whiteners : (K, D, D)
        U of each component, upper triangular.
    patterns : Patterns
        The patterns.
    """

    def __init__(self, precisions_cholesky: Array, patterns: Patterns) -> None:
        missing = patterns.missing
        constants = np.zeros((len(precisions_cholesky), len(missing)))
        self.roots: dict[int, Array] = {}
        self.gains, self.rests = [], []
        for which, lines in same_size(missing):
            bases, factors = np.linalg.qr(precisions_cholesky[:, lines.T].swapaxes(2, 3))
            logs = np.log(np.abs(np.diagonal(factors, axis1=2, axis2=3)))
            constants[:, which] = 0.5 * len(lines) * LOG_2_PI - logs.sum(axis=2)
            roots = np.linalg.inv(factors)
            observed = np.where(missing[which, :, None], 0.0, precisions_cholesky[:, None])
            gains = np.moveaxis(-roots @ (observed @ bases).swapaxes(2, 3), 1, -1)
            rests = np.moveaxis(roots @ roots.swapaxes(2, 3), 1, -1)
            everything = np.arange(missing.shape[1])[:, None].repeat(len(which), axis=1)
            self.gains.append(Group(which, lines, everything, np.ascontiguousarray(gains)))
            self.rests.append(Group(which, lines, lines, np.ascontiguousarray(rests)))
            self.roots.update(zip(which.tolist(), roots.swapaxes(0, 1), strict=True))
        super().__init__(patterns, constants)

    def complete(self, deviations: Array) -> None:
        deviations += times(self.gains, deviations, self.patterns.edges)

    def rest(self, counts: Array) -> Array:
        return weighted(
            self.rests, for_each(self.constants, counts), self.patterns.missing.shape[1]
        )

    def draw(self, q: int, k: int, noise: Array) -> Array:
        lines = self.patterns.missing[q]
        draws = np.zeros(noise.shape)
        if q in self.roots:
            draws[lines] = self.roots[q][k % len(self.constants)] @ noise[lines]
        return draws


def for_each(stack: Array, counts: Array) -> Array:
    """(K, Q) masses, summed over components where these share the only element of a stack."""
    return counts if len(counts) == len(stack) else counts.sum(axis=0, keepdims=True)


class Separately(Conditional):
    """Some components in one way and some in another.

    Parameters
    ----------
    parts : sequence of pairs
        The numbers of components, and their conditionals.
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

    def rest(self, counts: Array) -> Array:
        D = self.patterns.missing.shape[1]
        total = np.empty((self.n_components, D, D))
        for components, part in self.parts:
            total[components] = part.rest(counts[components])
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
    """What makes conditionals under coupled features, in the way that suits each component."""
    log_dets = 2 * np.log(np.diagonal(precisions_cholesky, axis1=1, axis2=2)).sum(axis=1)
    sound, singular = np.flatnonzero(~near_singular), np.flatnonzero(near_singular)

    def conditional(patterns: Patterns) -> Conditional:
        parts: list[tuple[Integers, Conditional]] = []
        if len(sound):
            known = precisions[sound], covariances[sound], log_dets[sound]
            parts.append((sound, ByInverses(*known, patterns)))
        if len(singular):
            parts.append((singular, ByLeastSquares(precisions_cholesky[singular], patterns)))
        return parts[0][1] if len(parts) == 1 else Separately(parts, patterns)

    return conditional


class Uncoupled(Conditional):
    """Features that are independent within a component: what is missing has its mean.

    Parameters
    ----------
    variances : (K, D)
        Of every feature.
    patterns : Patterns
        The patterns.
    """

    def __init__(self, variances: Array, patterns: Patterns) -> None:
        super().__init__(patterns, 0.5 * (LOG_2_PI + np.log(variances)) @ patterns.missing.T)
        self.variances = variances

    def complete(self, deviations: Array) -> None:
        pass

    def rest(self, counts: Array) -> Array:
        return (counts @ self.patterns.missing) * self.variances

    def draw(self, q: int, k: int, noise: Array) -> Array:
        return noise * (self.patterns.missing[q] * np.sqrt(self.variances[k]))[:, None]


class Pooled(Uncoupled):
    """Features that are independent and of the same variance."""

    def rest(self, counts: Array) -> Array:
        return super().rest(counts).sum(axis=1)
