"""Coordinates that depend on no unit: standardized, principal, and whitened rows."""

from __future__ import annotations

import numpy as np

from emgmm.sources import Rows
from emgmm.typing import Array

# A column whose standard deviation is so many of its own units of rounding is constant.
CONSTANT = 16


def standardized(rows: Rows) -> Array:
    """(n, r) float64: the columns that vary, each with mean 0 and standard deviation 1.

    What is missing is taken to be the mean. Values are rounded to two thirds of their digits, so
    that they, and with them ties between distances, are the same in any units. There is one column,
    all zero, where the rows are all the same.
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
    digits = int(-2 / 3 * np.log10(unit))
    return (values[:, varies] / spread[varies]).round(digits)


def _axes(standard: Array, rows: Rows) -> tuple[Array, Array]:
    """(r, q) principal axes of standardized rows, and the standard deviations (q,) along them.

    Of collinear columns the directions in which they do not vary, but for rounding, are left out.
    """
    counts = np.ones(len(standard)) if rows.counts is None else rows.counts
    triangle = np.linalg.qr(np.sqrt(counts / counts.sum())[:, None] * standard, mode="r")
    _, widths, axes = np.linalg.svd(triangle)
    unit = float(np.finfo(rows.values.dtype).eps)
    spanned = widths > np.sqrt(unit) * widths[0]
    return axes[: len(widths)][spanned].T, widths[spanned]


def principal_coordinates(rows: Rows, n_rows: float) -> Array:
    """(n, q): standardized rows along their principal axes, over the roots of singular values.

    These are the coordinates in which R's mclust grows the tree of `n_rows` rows. They lie between
    standardized and whitened rows: wide directions stay wider, but by the square root only.

    References
    ----------
    Scrucca and Raftery (2015), Adv. Data Anal. Classif. 9:447, doi 10.1007/s11634-015-0220-z.
    """
    standard = standardized(rows)
    if not standard.any():
        return standard
    axes, widths = _axes(standard, rows)
    return standard @ (axes / np.sqrt(widths * np.sqrt(n_rows)))


def whitened(rows: Rows) -> Array:
    """(n, q): the rows with mean 0 and covariance I, in the q directions that they span.

    For any non-singular affine map of the rows this is the same but for a rotation, so that what is
    found by distances in it depends on no unit. Constant columns have no part in it, nor have the
    directions in which collinear columns do not vary.
    """
    standard = standardized(rows)
    if not standard.any():
        return standard
    axes, widths = _axes(standard, rows)
    return standard @ (axes / widths)
