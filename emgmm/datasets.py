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

    Returns
    -------
    Dataset
        `rows` of shape (272, 2), and `feature_names`.

    References
    ----------
    Azzalini and Bowman (1990), Applied Statistics 39:357, doi 10.2307/2347385.

    Examples
    --------
    >>> from emgmm.datasets import old_faithful
    >>> data = old_faithful()
    >>> data.rows.shape, data.feature_names
    ((272, 2), ('eruptions', 'waiting'))
    """
    with files("emgmm").joinpath("data/faithful.csv").open(encoding="utf-8") as file:
        header = file.readline().strip().split(",")
        return Dataset(np.loadtxt(file, delimiter=","), tuple(header))


def question() -> Dataset:
    """Return two clusters of 1000 rows around (0, 0) and (5, 5) with identity covariance.

    From a start with identical components, EM does not find these clusters.

    Returns
    -------
    Dataset
        `rows` of shape (2000, 2), and `feature_names`.

    Examples
    --------
    >>> from emgmm.datasets import question
    >>> question().rows[:1000].mean(axis=0).round(1) + 0.0
    array([0., 0.])
    """
    random = np.random.RandomState(1)
    first = random.normal(0, 1, 1000), random.normal(0, 1, 1000)
    second = random.normal(5, 1, 1000), random.normal(5, 1, 1000)
    return Dataset(np.hstack((first, second)).T, ("x1", "x2"))
