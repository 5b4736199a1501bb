"""The stored results of R's mclust, and the rows to which they belong."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent / "data"


@cache
def rows(name):
    with (HERE / f"{name}.csv").open() as file:
        header = file.readline().strip().split(",")
        width = len(header) - (header[-1] == "class")
        return np.loadtxt(file, delimiter=",", usecols=range(width), ndmin=2)


@cache
def classes(name):
    """The known classes of the rows, numbered in alphabetical order."""
    names = np.genfromtxt(HERE / f"{name}.csv", delimiter=",", skip_header=1, dtype=str)[:, -1]
    return np.unique(names, return_inverse=True)[1]


@cache
def converged():
    """Results from mclust's own starts, to a relative change of 1e-10."""
    found = json.loads((HERE / "reference_converged.json").read_text())
    exact = json.loads((HERE / "reference_vve_exact.json").read_text())
    for name, by_size in exact.items():
        found[name]["VVE"] |= by_size
    return found
