"""The two matrix products of the expanded E-step, divided into small ones where these are faster.

BLAS first copies the factors of a large product into a layout for its kernels. With few components
this takes longer than the product itself; OpenBLAS omits it for small products.
"""

from __future__ import annotations

import numpy as np

from emgmm.typing import Array

# Number of multiplications up to which OpenBLAS considers a product small, maximum number of rows
# of such a product, and a divisor of that number that leaves no partial vectors.
SMALL = 10**6
MOST_ROWS = 976
VECTORS = 16

# Number of natural parameters up to which small products are faster, if the features of a row are
# contiguous (BY_ROW) and if the rows of a feature are (BY_ENTRY). Measured with AVX-512; with AVX2
# both are equally fast. In the second case the log-joint gains nothing within a pass and is
# computed by a single product.
BY_ROW = 10**4
BY_ENTRY = 2**10


def _is_by_row(features: Array) -> bool:
    return features.strides[0] < features.strides[1]


def _piece_rows(n_components: int, features: Array) -> int:
    """Return the number of rows of a small product, or of all rows if one product is faster."""
    size, n_rows = n_components * len(features), features.shape[1]
    limit = BY_ROW if _is_by_row(features) else BY_ENTRY
    if size > limit or size * n_rows <= SMALL:
        return n_rows
    return min(MOST_ROWS, SMALL // size // VECTORS * VECTORS)


def _pieces(array: Array, width: int) -> tuple[Array, Array]:
    """Return views of the columns of an (L, B) array: (n, L, width), and the rest."""
    n = array.shape[1] // width
    whole = array[:, : n * width].reshape(len(array), n, width).transpose(1, 0, 2)
    return whole, array[:, n * width :]


def log_joint_product(natural_parameters: Array, features: Array, out: Array) -> None:
    """Write the product of (K, P) natural parameters and (P, B) features into `out`, (K, B)."""
    n_rows = features.shape[1]
    width = _piece_rows(len(natural_parameters), features) if _is_by_row(features) else n_rows
    if width == n_rows:
        np.matmul(natural_parameters, features, out=out)
        return
    # OpenBLAS's kernels for small products need contiguous columns.
    natural_parameters = np.asfortranarray(natural_parameters)
    for piece, result in zip(_pieces(features, width), _pieces(out, width), strict=True):
        np.matmul(natural_parameters, piece, out=result)


def feature_sums(responsibilities: Array, features: Array) -> Array:
    """Return R phi^T, (K, P) in float64, for (K, B) responsibilities and (P, B) features."""
    width = _piece_rows(len(responsibilities), features)
    if width == features.shape[1]:
        return (responsibilities @ features.T).astype(np.float64, copy=False)
    left, left_rest = _pieces(responsibilities, width)
    right, right_rest = _pieces(features, width)
    total: Array = np.add.reduce(left @ right.transpose(0, 2, 1), axis=0, dtype=np.float64)
    total += left_rest @ right_rest.T
    return total
