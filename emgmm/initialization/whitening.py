"""Standardized, principal and whitened coordinates, which do not depend on units."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from emgmm.sources import Rows
from emgmm.typing import Array

# A column is constant if its standard deviation is at most this number of its rounding units.
CONSTANT = 16


def standardized(rows: Rows) -> Array:
    """Return the columns that vary, scaled to mean 0 and standard deviation 1: (n, r) float64.

    Missing values are replaced by the mean. Values are rounded to two thirds of their digits, so
    that they, and thereby ties between distances, are the same in any units. If all rows are equal,
    the result is one column of zeros.
    """
    values, counts = rows.filled.astype(np.float64), rows.counts
    weights = np.full(len(values), 1 / len(values)) if counts is None else counts / counts.sum()
    eps = float(np.finfo(rows.values.dtype).eps)
    largest = np.abs(values[weights > 0]).max(axis=0)
    values -= rows.mean
    values -= weights @ values  # removes the mean's rounding error, all that a constant column has
    sds = np.sqrt(weights @ values**2)
    varies = sds > CONSTANT * eps * largest
    if not varies.any():
        return np.zeros((len(values), 1))
    digits = int(-2 / 3 * np.log10(eps))
    return (values[:, varies] / sds[varies]).round(digits)


def _principal_components(rows: Rows, divisors: Callable[[Array], Array]) -> Array:
    """Return principal components of standardized rows, divided by a function of the (q,) sds.

    Directions in which collinear columns vary by rounding errors only are omitted. If all rows are
    equal, the result is one column of zeros.
    """
    standard = standardized(rows)
    if not standard.any():
        return standard
    counts = np.ones(len(standard)) if rows.counts is None else rows.counts
    triangle = np.linalg.qr(np.sqrt(counts / counts.sum())[:, None] * standard, mode="r")
    _, sds, axes = np.linalg.svd(triangle, full_matrices=False)
    eps = float(np.finfo(rows.values.dtype).eps)
    spanned = sds > np.sqrt(eps) * sds[0]
    return standard @ (axes[spanned].T / divisors(sds[spanned]))


def principal_coordinates(rows: Rows, n_rows: float) -> Array:
    """Return principal components over the square roots of their singular values, shape (n, q).

    R's mclust uses these coordinates of the standardized rows for hierarchical clustering of
    `n_rows` rows. They are intermediate between standardized and whitened coordinates: the standard
    deviation along an axis is proportional to its square root.

    References
    ----------
    Scrucca and Raftery (2015), Adv. Data Anal. Classif. 9:447, doi 10.1007/s11634-015-0220-z.
    """
    return _principal_components(rows, lambda sds: np.sqrt(sds * np.sqrt(n_rows)))


def whitened(rows: Rows) -> Array:
    """Return rows with mean 0 and covariance I in the q directions that they span: (n, q).

    A non-singular affine map of the rows changes the result by a rotation only, so that methods
    based on distances do not depend on units. Constant columns, and directions in which collinear
    columns do not vary, are omitted.
    """
    return _principal_components(rows, lambda sds: sds)
