"""Summary of the rows computed by the first pass: moments, ranges and missing values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from emgmm.covariances import Family, Structure
from emgmm.threads import cached_property
from emgmm.tolerances import EPS, TINY
from emgmm.typing import Array, Words

# Sums of squares above this limit may overflow in later computations.
LARGEST = 1e300

# Largest absolute value of a feature. Sums of its squares are below the limit above, however many
# rows there are and whatever their weights, whose total is at most 2**128.
LARGEST_VALUE = 1e130

# A feature is constant if its range, relative to its largest absolute value, is at most this.
CONSTANT = 8 * EPS


@lru_cache(maxsize=4)
def _ones(n: int) -> Array:
    ones = np.ones(n)
    ones.flags.writeable = False
    return ones


@dataclass(frozen=True, eq=False)
class DataSummary:
    """Summary of the rows computed by the first pass.

    Summaries of parts of the rows are added by the rule of Chan, Golub and LeVeque.

    Parameters
    ----------
    weight : float
        Total weight of the rows.
    n_rows : int
        Number of informative rows: those with positive weight and at least one observed value.
    observed : (D,)
        Total weight of the rows in which each feature is observed.
    mean : (D,)
        Mean of the observed values of each feature.
    scatter : element of the family's structure
        sum_i (x_i - mean)(x_i - mean)^T; only its diagonal, over the observed values, if some rows
        are partially observed.
    squares : (D,)
        sum_i (x_ij - mean_j)^2 of each feature, over the observed values.
    minimum, maximum : (D,)
        Range of each feature.
    structure : Structure
        Structure of the family's covariances.
    pair_weights : (D, D), optional
        Total weight of the rows in which both features of a pair are observed; None if no value is
        missing.
    bits : (PERIOD,), optional
        Sums of the bits of the rows, of which `emgmm.sources.digest` makes their digest.

    References
    ----------
    Chan, Golub and LeVeque (1983), The American Statistician 37:242,
    doi 10.1080/00031305.1983.10483115.
    """

    weight: float
    n_rows: int
    observed: Array
    mean: Array
    scatter: Array
    squares: Array
    minimum: Array
    maximum: Array
    structure: Structure
    pair_weights: Array | None = None
    bits: Words | None = None

    @property
    def complete(self) -> bool:
        """Whether no value is missing."""
        return self.pair_weights is None

    @classmethod
    def of(
        cls,
        rows: Array,
        family: Family,
        weights: Array | None = None,
        *,
        complete: bool = True,
        sums_of_bits: Callable[[Array], Words] | None = None,
    ) -> DataSummary:
        """Return the summary of a (D, B) block of rows of positive weight.

        `sums_of_bits` is a function of a copy of the rows in float64.
        """
        rows = np.array(rows, dtype=np.float64, order="C")  # which are overwritten by deviations
        bits = None if sums_of_bits is None else sums_of_bits(rows)
        n_features, n_rows = rows.shape
        row_weights = _ones(n_rows) if weights is None else weights
        weight = float(n_rows if weights is None else weights.sum())
        smaller, larger = (np.minimum, np.maximum) if complete else (np.fmin, np.fmax)
        low = smaller.reduce(rows, axis=1, initial=np.inf)
        high = larger.reduce(rows, axis=1, initial=-np.inf)
        pair_weights = None
        if complete:
            observed = np.full(n_features, weight)
            sums = np.add.reduce(rows, axis=1) if weights is None else rows @ weights
            mean = sums / (weight or 1.0)
            rows -= mean[:, None]
        else:
            seen = np.logical_not(np.isnan(rows))
            n_rows = int(np.count_nonzero(seen.any(axis=0)))
            observed, sums = seen @ row_weights, np.where(seen, rows, 0.0) @ row_weights
            mean = np.divide(sums, observed, out=np.zeros(n_features), where=observed > 0)
            rows -= mean[:, None]
            rows[np.logical_not(seen)] = 0.0
            pair_weights = (seen * row_weights) @ seen.T
        squares = np.einsum("ji,ji,i->j", rows, rows, row_weights)
        scatter = family.structure.weigh(rows, row_weights)
        moments = (observed, mean, scatter, squares, low, high)
        summary = cls(weight, n_rows, *moments, family.structure, pair_weights, bits)
        return summary._without_cross_moments()

    @property
    def has_partial_rows(self) -> bool:
        """Whether some rows miss some but not all features, so that they have no common scatter."""
        if self.pair_weights is None:
            return False
        return bool(np.ptp(self.pair_weights) > 1e-12 * self.pair_weights.max())

    def _without_cross_moments(self) -> DataSummary:
        """Return the summary with a diagonal scatter if rows are partially observed."""
        if not self.has_partial_rows:
            return self
        return replace(self, scatter=self.structure.diagonal(self.scatter))

    def __add__(self, other: DataSummary) -> DataSummary:
        observed = self.observed + other.observed
        out = np.zeros_like(observed)
        fraction = np.divide(other.observed, observed, out=out, where=observed > 0)
        shift = other.mean - self.mean
        between = self.structure.outer((np.sqrt(self.observed * fraction) * shift)[None])[0]
        complete = self.complete and other.complete
        return DataSummary(
            self.weight + other.weight,
            self.n_rows + other.n_rows,
            observed,
            self.mean + fraction * shift,
            self.scatter + other.scatter + between,
            self.squares + other.squares + self.observed * fraction * shift**2,
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
            self.structure,
            None if complete else self._pair_weights() + other._pair_weights(),
            None if self.bits is None or other.bits is None else self.bits + other.bits,
        )._without_cross_moments()

    def after(self, n_rows: int) -> DataSummary:
        """Return the summary of the same rows if `n_rows` other rows precede them."""
        return self if self.bits is None else replace(self, bits=np.roll(self.bits, n_rows))

    @property
    def overflowing(self) -> int | None:
        """Feature with the largest values if sums of their squares may overflow."""
        overflows = (self.largest > LARGEST_VALUE) & (self.observed > 0)
        if not np.logical_or.reduce(overflows):
            return None
        return int(np.argmax(np.where(overflows, self.largest, 0.0)))

    @cached_property
    def largest(self) -> Array:
        """Largest absolute value of each feature, shape (D,)."""
        return np.maximum(np.abs(self.minimum), np.abs(self.maximum))

    @property
    def seen(self) -> float:
        """Weight of the rows with an observed value, if one feature is observed in all of these."""
        return float(self.observed.max())

    @cached_property
    def variances(self) -> Array:
        """Variance of the observed values of each feature, shape (D,); 0 if there are none."""
        return self.squares / np.maximum(self.observed, TINY)

    @cached_property
    def differs(self) -> NDArray[np.bool_]:
        """Whether the values of each feature differ by more than rounding errors, shape (D,)."""
        return self.maximum - self.minimum > CONSTANT * self.largest

    @property
    def varies(self) -> NDArray[np.bool_]:
        """Whether they do, and have a variance that is a normal number, shape (D,)."""
        return self.differs & (self.variances >= TINY)

    def residual_variances(self) -> Array:
        """Return the residual variance of the regression of each feature on the others: (D,).

        The rows must be complete, and the scatter a matrix.
        """
        covariance = self.scatter / (self.weight or 1.0)
        sds = np.sqrt(np.diag(covariance))
        scales = np.where(sds > 0, sds, 1.0)
        values, vectors = np.linalg.eigh(covariance / np.outer(scales, scales))
        inflation = vectors**2 @ (1 / np.maximum(values, EPS))
        return sds**2 / inflation

    @property
    def whole_scatter(self) -> Array:
        """Scatter, extrapolated to the missing values; diagonal if rows are partially observed."""
        if not self.has_partial_rows:
            return self.scatter
        more = self.seen / np.maximum(self.observed, TINY)
        return self.structure.diagonal(self.structure.outer(np.sqrt(self.squares * more)[None])[0])

    def _pair_weights(self) -> Array:
        if self.pair_weights is not None:
            return self.pair_weights
        return np.full((len(self.mean), len(self.mean)), self.weight)

    def scatter_about(self, centre: Array) -> Array:
        """Return the scatter about another (D,) point, by the parallel-axis theorem."""
        return self.scatter + self.weight * self.structure.outer((self.mean - centre)[None])[0]

    def max_distances(self, centre: Array) -> Array:
        """Return the largest absolute deviation from `centre` in each feature, shape (D,)."""
        return np.maximum(self.maximum - centre, centre - self.minimum)


@dataclass(frozen=True, eq=False)
class LabelSummary:
    """Sums over the rows whose components are known, from one pass.

    Parameters
    ----------
    sums : (K + 2, 1 + 2 D)
        Total weight; weight of the rows in which each feature is observed; and sum of the observed
        deviations from `origin`: of each component, of noise, and of the rows whose components are
        not known.
    scatter : element of the structure
        Sum of the outer products of the deviations of the rows of all components; those of missing
        values are 0.
    origin : (D,)
        Point from which deviations are computed.
    structure : Structure
        Structure of the family's covariances.
    """

    sums: Array
    scatter: Array
    origin: Array
    structure: Structure

    @classmethod
    def of(
        cls,
        rows: Array,
        weights: Array | None,
        responsibilities: Array,
        origin: Array,
        structure: Structure,
    ) -> LabelSummary:
        """Return the summary of a (D, B) block with known (K + 1, B) responsibilities."""
        seen = np.logical_not(np.isnan(rows))
        each = np.vstack([responsibilities, responsibilities.sum(axis=0) == 0])
        each = each * seen.any(axis=0) * (1.0 if weights is None else weights)
        deviations = np.where(seen, rows - origin[:, None], 0.0)
        sums = np.hstack([each.sum(axis=1)[:, None], each @ seen.T, each @ deviations.T])
        scatter = structure.weigh(deviations, each[:-2].sum(axis=0))
        return cls(sums, scatter, origin, structure)

    def __add__(self, other: LabelSummary) -> LabelSummary:
        sums, scatter = self.sums + other.sums, self.scatter + other.scatter
        return replace(self, sums=sums, scatter=scatter)

    @property
    def counts(self) -> Array:
        """Total weight of the rows of each component, (K,)."""
        return self.sums[:-2, 0]

    @property
    def noise(self) -> float:
        """Total weight of the rows of noise."""
        return float(self.sums[-2, 0])

    @property
    def all_known(self) -> bool:
        """Whether the components of all informative rows are known."""
        return not self.sums[-1, 0] > 0

    @property
    def means(self) -> Array:
        """Means of the observed values of each component's rows, (K, D); `origin` without any."""
        observed, deviations = np.hsplit(self.sums[:-2, 1:], 2)
        return self.origin + deviations / np.maximum(observed, TINY)

    @property
    def within(self) -> Array:
        """Scatter of the rows of all components about the means of these."""
        root = np.sqrt(np.maximum(self.counts, TINY))
        between = self.structure.outer(self.sums[:-2, 1 + len(self.origin) :] / root[:, None])
        return self.scatter - between.sum(axis=0)
