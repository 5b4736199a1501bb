"""Types of arrays and of the constructor parameters, also for annotations in users' code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating[Any]]
Integers: TypeAlias = NDArray[np.integer[Any]]
Words: TypeAlias = NDArray[np.uint64]


class SupportsArray(Protocol):
    """An array of NumPy, or an object that converts to one."""

    def __array__(self) -> NDArray[Any]: ...


# Numbers in at most three dimensions; `numpy.typing.ArrayLike` would also admit strings.
Numbers: TypeAlias = (
    SupportsArray
    | Sequence[float]
    | Sequence[Sequence[float]]
    | Sequence[Sequence[Sequence[float]]]
    | Sequence[SupportsArray]
)

# Values of constructor parameters. These are the names in the registries of the package.
CovarianceType: TypeAlias = Literal[
    "full",
    "tied",
    "diag",
    "spherical",
    "EII",
    "VII",
    "EEI",
    "VEI",
    "EVI",
    "VVI",
    "EEE",
    "VEE",
    "EVE",
    "VVE",
    "EEV",
    "VEV",
    "EVV",
    "VVV",
    "E",
    "V",
]
InitParams: TypeAlias = Literal[
    "kmeans",
    "k-means++",
    "random",
    "random_from_data",
    "hierarchical",
    "whitened-kmeans",
    "short-runs",
]
Acceleration: TypeAlias = Literal["anderson"]
Sampling: TypeAlias = Literal["auto"]
Order: TypeAlias = Literal["mean", "weight"]
PriorName: TypeAlias = Literal["conjugate"]
NoiseName: TypeAlias = Literal["uniform"]
Criterion: TypeAlias = Literal["bic", "aic", "icl"]
RandomState: TypeAlias = int | np.integer[Any] | np.random.RandomState | None
