"""Two small data sets for examples."""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple

import numpy as np

from emgmm.typing import Array


class Dataset(NamedTuple):
    """Rows of a data set and the names of their features."""

    rows: Array
    feature_names: tuple[str, ...]


Dataset.rows.__doc__ = "Array of shape (N, D)."
Dataset.feature_names.__doc__ = "D names in the order of the columns."


def old_faithful() -> Dataset:
    """Return 272 eruptions of the Old Faithful geyser.

    The features are the duration and the waiting time to the next eruption, in minutes.

    References
    ----------
    Azzalini and Bowman (1990), Applied Statistics 39:357, doi 10.2307/2347385.
    """
    with files("emgmm").joinpath("data/faithful.csv").open(encoding="utf-8") as file:
        header = file.readline().strip().split(",")
        return Dataset(np.loadtxt(file, delimiter=","), tuple(header))


def question() -> Dataset:
    """Return two clusters of 1000 rows around (0, 0) and (5, 5) with identity covariance."""
    random = np.random.RandomState(1)
    first = random.normal(0, 1, 1000), random.normal(0, 1, 1000)
    second = random.normal(5, 1, 1000), random.normal(5, 1, 1000)
    return Dataset(np.hstack((first, second)).T, ("x1", "x2"))
