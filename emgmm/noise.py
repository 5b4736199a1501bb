"""Noise: one more component, whose density is not a Gaussian and is not estimated; its weight is.

References
----------
Banfield and Raftery (1993), Biometrics 49:803, doi 10.2307/2532201.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from emgmm.typing import Array


class NoVolumeError(ValueError):
    """Features that do not vary span no volume; `features` says which."""

    def __init__(self, features: tuple[int, ...]) -> None:
        super().__init__(f"constant: {features}")
        self.features = features


class Density(ABC):
    """How noise is distributed: what is known before a fit, and stays as it is."""

    @property
    def constant(self) -> float | None:
        """The log-density of rows of which all is observed; None where they differ in it."""
        return None

    @abstractmethod
    def log_density(self, rows: Array) -> Array:
        """(B,): of (D, B) rows; the marginal one of those that miss something."""

    @abstractmethod
    def sample(self, n_rows: int, random: np.random.RandomState) -> Array:
        """(n, D): draws.

        Raises
        ------
        ValueError
            Where it is not known from where.
        """


@dataclass(frozen=True, eq=False)
class Box(Density):
    """Uniform noise.

    Its density is the same everywhere, outside the box too: a row that lies there is as likely to
    be noise as one inside. Of a row that misses features it is the marginal over those observed.

    Parameters
    ----------
    sides : (D,)
        Lengths along the features, whose product is the volume.
    edges : (D, D), optional
        Edges of the box, one to a line; None where only the volume is known.
    corner : (D,), optional
        Where they begin.
    """

    sides: Array
    edges: Array | None = None
    corner: Array | None = None

    @classmethod
    def between(cls, low: Array, high: Array) -> Box:
        """The box between two corners, along the features.

        Raises
        ------
        NoVolumeError
            Where it has none.
        """
        sides = np.asarray(high - low, dtype=np.float64)
        flat = np.flatnonzero(np.logical_not(sides > 0))
        if len(flat):
            raise NoVolumeError(tuple(flat.tolist()))
        return cls(sides, np.diag(sides), np.asarray(low, dtype=np.float64))

    def turned(self, axes: Array, low: Array, high: Array) -> Box:
        """A box with edges along orthogonal `axes`, in columns, between coordinates along these.

        Rows that miss features meet sides in proportion to those of this one.
        """
        edges = ((high - low) * axes).T
        scaled = self.sides * math.exp((np.log(high - low).sum() + self.constant) / len(self.sides))
        return Box(scaled, edges, axes @ low)

    def of_density(self, density: float) -> Box:
        """A box about the same centre, of the same proportions, with that density.

        Raises
        ------
        ValueError
            Where its sides are beyond the range of floating-point numbers.
        """
        log_times = -(math.log(density) - self.constant) / len(self.sides)
        with np.errstate(over="ignore", under="ignore"):
            times = np.exp(log_times)
            sides = np.exp(log_times + np.log(self.sides))
        if not (np.isfinite(sides).all() and (sides > 0).all()):
            raise ValueError(
                f"noise={density!r} cannot be the density of a box: in the units of this X its "
                "sides are beyond the range of floating-point numbers. Give noise a density nearer "
                "to those of the rows, or a function that returns log-densities."
            )
        if self.edges is None or self.corner is None:
            return Box(sides)
        centre = self.corner + 0.5 * self.edges.sum(axis=0)
        edges = times * self.edges
        return Box(sides, edges, centre - 0.5 * edges.sum(axis=0))

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
    """A log-density that the user wrote: a function of (n, D) rows, in nats."""

    function: Callable[[Array], Any]

    def log_density(self, rows: Array) -> Array:
        n_rows = rows.shape[1]
        looked_at = rows.T.view()
        looked_at.flags.writeable = False  # they may be the user's own
        found = np.asarray(self.function(looked_at), dtype=np.float64)
        if found.shape != (n_rows,):
            raise ValueError(
                f"noise returned an array of shape {found.shape} for {n_rows} rows: return the "
                "log-density of each, one number to a row."
            )
        wrong = np.flatnonzero(np.isnan(found) | (found == np.inf))
        if len(wrong):
            raise ValueError(
                f"noise returned {found[wrong[0]]} for the row {rows[:, wrong[0]]}: return "
                "log-densities, finite or -inf."
            )
        return found

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
        Its share; those of the Gaussian components sum to one less it.
    density : Density
        Of its rows.
    """

    weight: float
    density: Density

    @property
    def log_weight(self) -> float:
        """Its logarithm."""
        return math.log(self.weight) if self.weight > 0 else -math.inf

    def log_joint(self, rows: Array) -> Array:
        """(B,): log-weight plus log-density of (D, B) rows."""
        return self.log_weight + self.density.log_density(rows)
