"""Validation of what was read from a file: it must be as a fit could have left it."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm import attributes as parameters
from emgmm.covariances import Family
from emgmm.fitting.loop import Ending
from emgmm.mixture import Mixture
from emgmm.noise import Box
from emgmm.statistics import Statistics
from emgmm.summary import LARGEST as LARGEST_SUM
from emgmm.typing import Array

# Largest coordinate in a mixture, and largest weight of rows: the square of a larger number is
# infinite, or nearly so.
LARGEST = LARGEST_SUM**0.5


def check_mixture(mixture: Mixture) -> None:
    """The numbers in a mixture are those of one mixture.

    Raises
    ------
    ValueError
        Where they are not.
    """
    given = {
        "weights_": mixture.weights,
        "means_": mixture.means,
        "covariances_": mixture.covariances,
        "precisions_cholesky_": mixture.precisions_cholesky,
    }
    if len({array.dtype for array in given.values()}) > 1:
        raise ValueError("the parameters are not all float64 or all float32")
    attributes: dict[str, Any] = {**given, "covariance_type": mixture.family.name}
    if mixture.noise is not None:
        attributes["noise_weight_"] = mixture.noise.weight
        attributes["_noise_density"] = mixture.noise.density
    parameters.described_by(SimpleNamespace(**attributes))
    check_possible(mixture)


def check_possible(mixture: Mixture) -> None:
    """A fit could have left a mixture, whose parameters by themselves are valid.

    Raises
    ------
    ValueError
        Where it could not.
    """
    check_squares("means_", mixture.means)
    box, D = mixture.noise and mixture.noise.density, mixture.n_features
    if not isinstance(box, Box):
        return
    check_finite("the noise's volume", box.sides, (D,))
    if (box.sides <= 0).any() or (box.edges is None) != (box.corner is None):
        raise ValueError("the noise's volume is no box")
    if box.edges is not None and box.corner is not None:
        check_finite("the noise's edges", box.edges, (D, D))
        check_finite("the noise's corner", box.corner, (D,))


def check_finite(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """An array has a shape, and numbers in it that are finite.

    Raises
    ------
    ValueError
        Where it does not.
    """
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}, but must have {shape}")
    wrong = np.argwhere(np.logical_not(np.isfinite(array)))
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise ValueError(f"{name} is {array[place]} at {place}, counted from 0: it must be finite")


def check_squares(name: str, array: Array) -> None:
    """The squares of an array do not overflow.

    Raises
    ------
    ValueError
        Where they do.
    """
    if float(np.abs(array).max()) > LARGEST:
        raise ValueError(f"{name} has an entry whose square overflows")


def scatter_shape(family: Family, n_components: int, n_features: int) -> tuple[int, ...]:
    """The shape of the scatter in a family's statistics."""
    shape = family.element_shape(n_components, n_features)
    return shape[1:] if family.shared and not family.single else shape


def check_statistics(
    statistics: Statistics, family: Family, n_components: int, n_features: int
) -> None:
    """Statistics could be those of rows under a mixture.

    Raises
    ------
    ValueError
        Where they could not.
    """
    K, D = n_components, n_features
    scatter = scatter_shape(family, K, D)
    shapes = {"counts": (K,), "centres": (K, D), "first_moment": (K, D), "scatter": scatter}
    for name, shape in shapes.items():
        check_finite(f"the statistics' {name}", getattr(statistics, name), shape)
    if statistics.conditional is not None:
        check_finite("the statistics' conditional part", statistics.conditional, scatter)
    for name in ("centres", "first_moment"):
        check_squares(f"the statistics' {name}", getattr(statistics, name))
    check_weight("the statistics' rows", statistics.weight)
    check_weight("the statistics' rows", statistics.seen)
    if min(statistics.counts.min(), statistics.unseen, statistics.noise) < 0:
        raise ValueError("the statistics are of rows of a negative weight")


def check_weight(name: str, weight: float) -> None:
    """What rows count together is positive, and not so little that it vanishes in products.

    Raises
    ------
    ValueError
        Where it is not.
    """
    if not 1 / LARGEST < weight < LARGEST:
        raise ValueError(f"the weight of {name} is {weight}")


def ending(name: str) -> Ending:
    """The ending with a name.

    Raises
    ------
    ValueError
        Where there is none.
    """
    if name not in Ending.__members__:
        raise ValueError(f"ending_ is {name!r}, but must be one of {list(Ending.__members__)}")
    return Ending[name]


def check_table(name: str, table: Mapping[str, NDArray[Any]], kinds: Mapping[str, str]) -> None:
    """Columns of one length, of these kinds of types, by name.

    Raises
    ------
    ValueError
        Where they are not.
    """
    found = {column: array.dtype.kind for column, array in table.items()}
    lengths = {array.shape for array in table.values()}
    if found != dict(kinds) or len(lengths) != 1 or len(lengths.pop()) != 1:
        raise ValueError(f"{name} is not a table of {', '.join(kinds)}")
