"""What the first pass sees of the rows: moments, ranges and what is missing; summaries add up."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emgmm.covariances import Family, Structure
from emgmm.tolerances import EPS, judged_afterwards
from emgmm.typing import Array

# Sums of squares beyond this may overflow in what is made of them.
LARGEST = 1e300

# A feature is constant where its range is so small beside its largest value.
CONSTANT = 8 * EPS


class TooLargeError(ValueError):
    """Squares of a feature's values overflow; `feature` says which one's."""

    def __init__(self, feature: int) -> None:
        super().__init__(f"too large: {feature}")
        self.feature = feature


@dataclass(frozen=True, eq=False)
class DataSummary:
    """What the first pass saw of the rows; adds up by Chan, Golub and LeVeque's rule.

    Parameters
    ----------
    weight : float
        Total weight of the rows.
    n_rows : int
        How many of them count: have a weight above 0 and something observed.
    observed : (D,)
        Total weight of the rows in which a feature was observed.
    mean : (D,)
        Mean of what was observed.
    scatter : element of the family's structure
        sum_i (x_i - mean)(x_i - mean)^T; where rows miss some features and not others, only its
        diagonal, over what was observed.
    squares : (D,)
        sum_i (x_ij - mean_j)^2 of each feature, over what was observed.
    minimum, maximum : (D,)
        Of each feature.
    structure : Shape
        The family's.
    pair_weights : (D, D), optional
        Total weight of the rows in which two features were both observed, where some are missing.

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

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self.pair_weights is None

    @classmethod
    def of(
        cls, rows: Array, family: Family, weights: Array | None = None, *, complete: bool = True
    ) -> DataSummary:
        """DataSummary of a (D, B) block of rows that count."""
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        n_features, n_rows = rows.shape
        shares = np.ones(n_rows) if weights is None else weights
        weight = float(shares.sum())
        if not complete:
            return cls._of_observed(rows, family.structure, shares)
        mean = rows.mean(axis=1) if weights is None else rows @ weights / (weight or 1.0)
        deviations = rows - mean[:, None]
        squares = deviations**2 @ shares
        return cls(
            weight,
            n_rows,
            np.full(n_features, weight),
            mean,
            family.structure.weigh(deviations, shares),
            squares,
            np.minimum.reduce(rows, axis=1, initial=np.inf),
            np.maximum.reduce(rows, axis=1, initial=-np.inf),
            family.structure,
        )

    @classmethod
    def _of_observed(cls, rows: Array, structure: Structure, shares: Array) -> DataSummary:
        seen = np.logical_not(np.isnan(rows))
        observed = seen @ shares
        known = np.where(seen, rows, 0.0)
        sums = known @ shares
        mean = np.divide(sums, observed, out=np.zeros(len(rows)), where=observed > 0)
        deviations = np.where(seen, rows - mean[:, None], 0.0)
        squares = deviations**2 @ shares
        found = cls(
            float(shares.sum()),
            int(np.count_nonzero(seen.any(axis=0))),
            observed,
            mean,
            structure.weigh(deviations, shares),
            squares,
            np.fmin.reduce(rows, axis=1, initial=np.inf),
            np.fmax.reduce(rows, axis=1, initial=-np.inf),
            structure,
            (seen * shares) @ seen.T,
        )
        return found._without_cross_moments() if found.has_parts else found

    @property
    def has_parts(self) -> bool:
        """Whether some rows miss some features and not others: no one scatter is theirs."""
        if self.pair_weights is None:
            return False
        return bool(np.ptp(self.pair_weights) > 1e-12 * self.pair_weights.max())

    def _without_cross_moments(self) -> DataSummary:
        return replace(self, scatter=self.structure.diagonal(self.scatter))

    def __add__(self, other: DataSummary) -> DataSummary:
        observed = self.observed + other.observed
        share = np.divide(other.observed, observed, out=np.zeros_like(observed), where=observed > 0)
        step = other.mean - self.mean
        scatter: Array = self.scatter + other.scatter
        scatter = scatter + self.structure.outer((np.sqrt(self.observed * share) * step)[None])[0]
        pair_weights = None
        if not (self.complete and other.complete):
            pair_weights = self._together() + other._together()
        both = DataSummary(
            self.weight + other.weight,
            self.n_rows + other.n_rows,
            observed,
            self.mean + share * step,
            scatter,
            self.squares + other.squares + self.observed * share * step**2,
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
            self.structure,
            pair_weights,
        )
        return both._without_cross_moments() if both.has_parts else both

    @judged_afterwards()
    def check_squares(self) -> None:
        """Raise `TooLargeError` where squares of a feature's values, or their sum, overflow nearly.

        Squares about 0 too: k-means expands distances.
        """
        known = np.where(self.observed > 0, self.largest, 0.0)
        wrong = np.logical_not(np.maximum(self.squares, known**2) < LARGEST)
        if wrong.any():
            raise TooLargeError(int(np.argmax(np.where(wrong, known, 0.0))))

    @property
    def largest(self) -> Array:
        """(D,): the largest absolute value of each feature."""
        return np.maximum(np.abs(self.minimum), np.abs(self.maximum))

    @property
    def seen(self) -> float:
        """Weight of the rows of which something was observed, if each feature is in one of them."""
        return float(self.observed.max())

    @property
    def variances(self) -> Array:
        """(D,): the variance of each feature, over what was observed; 0 where nothing was."""
        return self.squares / np.maximum(self.observed, np.finfo(float).tiny)

    @property
    def varies(self) -> NDArray[np.bool_]:
        """(D,): whether the values of each feature differ by more than their own rounding."""
        return self.maximum - self.minimum > CONSTANT * self.largest

    def residual_variances(self) -> Array:
        """(D,): the variance of each feature about its regression on the others.

        Of complete rows, whose scatter is a matrix.
        """
        covariance = self.scatter / (self.weight or 1.0)
        sds = np.sqrt(np.diag(covariance))
        scales = np.where(sds > 0, sds, 1.0)
        values, vectors = np.linalg.eigh(covariance / np.outer(scales, scales))
        inflation = vectors**2 @ (1 / np.maximum(values, EPS))
        return sds**2 / inflation

    @property
    def whole_scatter(self) -> Array:
        """Scatter as if features were as scattered where they are missing; then a diagonal one."""
        if not self.has_parts:
            return self.scatter
        more = self.seen / np.maximum(self.observed, np.finfo(float).tiny)
        return self.structure.diagonal(self.structure.outer(np.sqrt(self.squares * more)[None])[0])

    def _together(self) -> Array:
        if self.pair_weights is not None:
            return self.pair_weights
        return np.full((len(self.mean), len(self.mean)), self.weight)

    def scatter_about(self, centre: Array) -> Array:
        """Scatter about another (D,) point: the parallel-axis theorem."""
        return self.scatter + self.weight * self.structure.outer((self.mean - centre)[None])[0]

    def max_distances(self, centre: Array) -> Array:
        """(D,): the largest distance of any row from `centre`, feature by feature."""
        return np.maximum(self.maximum - centre, centre - self.minimum)
