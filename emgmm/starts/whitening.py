"""Whitening: rows in coordinates in which they are as wide in every direction, and uncorrelated."""

from __future__ import annotations

import numpy as np

from emgmm.sources import Rows
from emgmm.typing import Array

# A column whose standard deviation is so many of its own units of rounding is constant.
CONSTANT = 16


def whitened(rows: Rows) -> Array:
    """(n, r) float64: the rows with mean 0 and covariance I, in the r directions that they span.

    For any non-singular affine map of the rows this is the same but for a rotation, so that what is
    found by distances in it depends on no unit. Constant columns have no part in it; of collinear
    ones neither have the directions in which they do not vary, but for rounding. What is missing is
    taken to be the mean. There is one coordinate, all zero, where the rows are all the same.
    """
    values, counts = rows.filled.astype(np.float64), rows.counts
    shares = np.full(len(values), 1 / len(values)) if counts is None else counts / counts.sum()
    unit = float(np.finfo(rows.values.dtype).eps)
    largest = np.abs(values[shares > 0]).max(axis=0)
    values -= rows.mean
    values -= shares @ values  # the mean's own rounding, which of a constant column is all there is
    spread = np.sqrt(shares @ values**2)
    varies = spread > CONSTANT * unit * largest
    if not varies.any():
        return np.zeros((len(values), 1))
    standard = values[:, varies] / spread[varies]
    triangle = np.linalg.qr(np.sqrt(shares)[:, None] * standard, mode="r")
    _, widths, axes = np.linalg.svd(triangle)
    spanned = widths > np.sqrt(unit) * widths[0]
    return standard @ (axes[: len(widths)][spanned].T / widths[spanned])
