"""The noise component, whose density is fixed and whose weight is estimated.

References
----------
Banfield and Raftery (1993), Biometrics 49:803, doi 10.2307/2532201.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm.exceptions import ConstantFeaturesError
from emgmm.typing import Array

# Relative distance from the surface of a box within which a row counts as inside.
ROUNDING = 1e-12


class Density(ABC):
    """Base class of the densities of noise, which are fixed before a fit."""

    @property
    def constant(self) -> float | None:
        """Log-density of complete rows if it is the same for all of them, otherwise None."""
        return None

    @property
    @abstractmethod
    def parameter(self) -> str | float | Callable[[Array], Any]:
        """Value of the estimators' parameter ``noise`` for this density."""

    @property
    def proper(self) -> bool:
        """Whether the density is a probability density over a known region."""
        return False

    def marginal(self, features: Sequence[int]) -> Density:  # noqa: ARG002
        """Return the marginal density of some features.

        Raises
        ------
        ValueError
            If it is not known.
        """
        raise ValueError(
            "The noise of this model is a function, whose marginal densities are not known: fit a "
            "model with noise='uniform' or noise=None."
        )

    @abstractmethod
    def log_density(self, rows: Array) -> Array:
        """Return the log-densities of (D, B) rows: (B,); marginal ones for incomplete rows."""

    @abstractmethod
    def sample(self, n_rows: int, random: np.random.RandomState) -> Array:
        """Draw rows, shape (n, D).

        Raises
        ------
        ValueError
            If the density cannot be sampled.
        """


@dataclass(frozen=True, eq=False)
class Box(Density):
    """Uniform noise.

    The density has the same value outside the box, so that rows there can be noise as well. For a
    row with missing features it is the marginal density of the observed ones.

    Parameters
    ----------
    sides : (D,)
        Lengths of the sides along the features, whose product is the volume.
    edges : (D, D), optional
        Edge vectors of the box in rows; None if only the volume is known.
    corner : (D,), optional
        Corner from which the edges start.
    given : bool
        Whether the density is a number that was given, instead of one divided by the volume of the
        data. It holds everywhere; the box then determines only where rows are drawn.
    """

    sides: Array
    edges: Array | None = None
    corner: Array | None = None
    given: bool = False

    @classmethod
    def between(cls, low: Array, high: Array) -> Box:
        """Return the axis-aligned box between two corners.

        Raises
        ------
        ConstantFeaturesError
            If its volume is 0.
        """
        sides = np.asarray(high - low, dtype=np.float64)
        flat = np.flatnonzero(np.logical_not(sides > 0))
        if len(flat):
            raise ConstantFeaturesError(
                tuple(flat.tolist()),
                "the data have no volume over which noise could be uniform: drop such columns, or "
                "set noise to a function.",
            )
        return cls(sides, np.diag(sides), np.asarray(low, dtype=np.float64))

    def turned(self, axes: Array, low: Array, high: Array) -> Box:
        """Return the box with orthogonal edges along the columns of `axes`.

        `low` and `high` are the coordinates of opposite corners along the axes. For marginal
        densities, the new sides are proportional to those of this box.
        """
        edges = ((high - low) * axes).T
        scaled = self.sides * math.exp((np.log(high - low).sum() + self.constant) / len(self.sides))
        return Box(scaled, edges, axes @ low)

    def of_density(self, density: float) -> Box:
        """Return the box with the same centre and proportions that has the given density.

        Raises
        ------
        ValueError
            If its sides are outside the range of floating-point numbers.
        """
        log_factor = -(math.log(density) - self.constant) / len(self.sides)
        with np.errstate(over="ignore", under="ignore"):
            root = np.exp(0.5 * log_factor)  # the factor itself may overflow
            sides = np.exp(log_factor + np.log(self.sides))
        if not (np.isfinite(sides).all() and (sides > 0).all()):
            raise ValueError(
                f"noise={density!r} cannot be the density of a box: in the units of this X its "
                "sides are beyond the range of floating-point numbers. Give noise a density nearer "
                "to those of the rows, or a function that returns log-densities."
            )
        if self.edges is None or self.corner is None:
            return Box(sides, given=True)
        edges = root * (root * self.edges)
        return Box(sides, edges, self.centre - 0.5 * edges.sum(axis=0), given=True)

    @property
    def parameter(self) -> str | float:
        return "uniform" if self.proper else math.exp(self.constant)

    @property
    def proper(self) -> bool:
        return not self.given and self.edges is not None

    @property
    def parallel(self) -> bool:
        """Whether the edges are known to be parallel to the features."""
        return self.edges is not None and np.array_equal(self.edges, np.diag(np.diag(self.edges)))

    @property
    def centre(self) -> Array:
        """Centre of the box, (D,)."""
        assert self.edges is not None
        assert self.corner is not None
        return self.corner + 0.5 * self.edges.sum(axis=0)

    def contains(self, rows: Array) -> NDArray[np.bool_]:
        """Return which of the (n, D) rows are in the box, up to rounding, (n,)."""
        assert self.edges is not None
        places = np.linalg.solve(self.edges.T, (rows - self.centre).T)
        return (np.abs(places) <= 0.5 * (1 + ROUNDING)).all(axis=0)

    def marginal(self, features: Sequence[int]) -> Box:
        """Return the box of some features.

        If the edges are not parallel to the features, those of the new box are, unless it has all
        features: its density is that of rows in which the other features are missing.
        """
        chosen = list(features)
        sides = self.sides[chosen]
        if self.edges is None or self.corner is None:
            return replace(self, sides=sides)
        if self.parallel:
            edges, corner = self.edges[np.ix_(chosen, chosen)], self.corner[chosen]
        elif len(chosen) == len(self.sides):
            edges, corner = self.edges[:, chosen], self.corner[chosen]
        else:
            edges, corner = np.diag(sides), self.centre[chosen] - 0.5 * sides
        return Box(sides, edges, corner, self.given)

    @property
    def constant(self) -> float:
        return -float(np.log(self.sides).sum())

    def log_density(self, rows: Array) -> Array:
        return -np.log(self.sides) @ np.logical_not(np.isnan(rows))

    def sample(self, n_rows: int, random: np.random.RandomState) -> Array:
        if self.edges is None or self.corner is None:
            raise ValueError(
                "The noise of this model was given as a density, which does not say where it lies: "
                "no rows of it can be drawn. Sample a model with noise_weight=0.0."
            )
        return self.corner + random.uniform(size=(n_rows, len(self.sides))) @ self.edges


@dataclass(frozen=True, eq=False)
class Function(Density):
    """A log-density given by the user, as a function of (n, D) rows, in nats."""

    function: Callable[[Array], Any]

    @property
    def parameter(self) -> Callable[[Array], Any]:
        return self.function

    def log_density(self, rows: Array) -> Array:
        n_rows = rows.shape[1]
        values = rows.T.view()
        values.flags.writeable = False  # the memory may be that of the user's X
        answer = self.function(values)
        try:
            masked: Any = np.ma.asarray(answer)
            casting: Any = "unsafe" if masked.dtype == object else "same_kind"
            masked = masked.astype(np.float64, casting=casting)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"noise returned no numbers ({error}): return the log-density of each row, one "
                "number per row."
            ) from error
        log_densities: Array = masked.filled(np.nan)
        if log_densities.shape != (n_rows,):
            raise ValueError(
                f"noise returned an array of shape {log_densities.shape} for {n_rows} rows: return "
                "the log-density of each row, one number per row."
            )
        wrong = np.flatnonzero(np.isnan(log_densities) | (log_densities == np.inf))
        if len(wrong):
            raise ValueError(
                f"noise returned {log_densities[wrong[0]]} for the row {rows[:, wrong[0]]}: return "
                "log-densities, finite or -inf."
            )
        return log_densities

    def sample(self, n_rows: int, random: np.random.RandomState) -> Array:  # noqa: ARG002
        raise ValueError(
            "The noise of this model is a function, from which no rows can be drawn: sample a "
            "model without noise."
        )


@dataclass(frozen=True, eq=False)
class Noise:
    """The noise component of a mixture.

    Parameters
    ----------
    weight : float
        Weight of the component; those of the Gaussian components sum to one minus this weight.
    density : Density
        Density of the rows of the component.
    """

    weight: float
    density: Density

    @property
    def log_weight(self) -> float:
        """Logarithm of the weight."""
        return math.log(self.weight) if self.weight > 0 else -math.inf

    def log_joint(self, rows: Array) -> Array:
        """Return the log-weight plus the log-densities of (D, B) rows, shape (B,)."""
        return self.log_weight + self.density.log_density(rows)
