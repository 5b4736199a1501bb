"""The two matrix products of a block in NumPy, cut into small ones where these are faster.

BLAS lays the factors of a large product out for its kernels first. With few components that takes
longer than the product itself, and OpenBLAS leaves it out for products it takes for small.
"""

from __future__ import annotations

import numpy as np

from emgmm.typing import Array

# Multiplications of a product up to which OpenBLAS takes it for small, rows of one that are enough,
# and what they are a multiple of, so that all vectors are whole.
SMALL = 10**6
MOST_ROWS = 976
VECTORS = 16

# Entries of theta up to which small products are faster, where the entries of a row of phi lie one
# after the other and where the rows of an entry do. GFLOP/s in float64 of log-joint and sums, at
# once and in pieces, on a processor with AVX-512; in float32 pieces gain up to twice as much, and
# where there is AVX2 they are as fast::
#
#     P x K                15 x 5   33 x 16  129 x 8  129 x 16  257 x 4  257 x 16  257 x 64
#     by row, log-joint     14 19    28 43    25 40     35 58    14 21     38 63     60 45
#     by row, sums           7 12    23 35    23 28     28 40    13 21     34 41     54 41
#     by entry, sums         7 19    22 34    21 30     29 26    13 23     33 30     53 52
#
# The log-joint by entry gains a third when nothing else is done, and nothing in a pass.
BY_ROW = 10**4
BY_ENTRY = 2**10


def _by_row(phi: Array) -> bool:
    return phi.strides[0] < phi.strides[1]


def _width(n_lines: int, phi: Array) -> int:
    """Rows of a piece: those of a small product, or all."""
    size, n_rows = n_lines * len(phi), phi.shape[1]
    if size > (BY_ROW if _by_row(phi) else BY_ENTRY) or size * n_rows <= SMALL:
        return n_rows
    return min(MOST_ROWS, SMALL // size // VECTORS * VECTORS)


def _pieces(lines: Array, width: int) -> tuple[Array, Array]:
    """(n, L, width) and (L, rest): all rows of (L, B) lines; views."""
    n = lines.shape[1] // width
    whole = lines[:, : n * width].reshape(len(lines), n, width).transpose(1, 0, 2)
    return whole, lines[:, n * width :]


def log_joint_product(theta: Array, phi: Array, out: Array) -> None:
    """(K, B) `out`: theta phi of (K, P) and (P, B)."""
    width = _width(len(theta), phi) if _by_row(phi) else phi.shape[1]
    if width == phi.shape[1]:
        np.matmul(theta, phi, out=out)
        return
    theta = np.asfortranarray(theta)  # else its lines are far apart for the small kernels
    for part, own in zip(_pieces(phi, width), _pieces(out, width), strict=True):
        np.matmul(theta, part, out=own)


def feature_sums(responsibilities: Array, phi: Array) -> Array:
    """(K, P) float64: R phi^T of (K, B) and (P, B)."""
    width = _width(len(responsibilities), phi)
    if width == phi.shape[1]:
        return (responsibilities @ phi.T).astype(np.float64, copy=False)
    (shares, shares_left), (parts, left) = _pieces(responsibilities, width), _pieces(phi, width)
    total: Array = np.add.reduce(shares @ parts.transpose(0, 2, 1), axis=0, dtype=np.float64)
    total += shares_left @ left.T
    return total
