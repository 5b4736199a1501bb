"""The packed form with its sums made by the compiled kernel: the extra `fast`, which is numba.

Nothing here imports numba before a sum is asked for.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from emgmm.block import Block
from emgmm.expectation.packed import Packed, Products
from emgmm.families import AXIS, OUTER, TRACE, Shape
from emgmm.typing import Array, Integers

# What phi holds beyond (1, y); the numbers are the kernel's. None: the covariance is shared.
MONOMIALS: dict[Shape | None, int] = {OUTER: 0, AXIS: 1, TRACE: 2, None: 3}

# Vectors of 32 bytes in the phi of a strip: its 256 KiB stay in a second-level cache of 512. With
# many features they do not, and yet fewer than 51 for an entry of phi, 204 rows in float64, cost
# more in visits to the sums than they save.
STRIP = 2**13
VECTORS = (51, 120)
MAX_EXPONENT = 1000  # of 2; a float64 goes to 1023

# Sums beyond which matrix products in NumPy are as fast.
MOST = 80_000


@cache
def kernel() -> ModuleType | None:
    """The kernel's module; None without numba, or with one that will not have this NumPy."""
    try:
        from emgmm.expectation import kernel
    except ImportError:
        return None
    return kernel


def pays(shape: Shape | None, n_components: int, n_features: int) -> bool:
    """Whether the kernel is faster than two matrix products in NumPy.

    How many times as fast it was, both on one thread of a processor with AVX2 and 512 KiB of
    second-level cache; spherical is like tied::

        K                 1    2    4    8   16   32   64
        full, D =  2    3.0  5.0  4.5  4.2  4.1  4.1  4.1
        full, D =  8    2.2  4.1  3.5  2.7  2.6  2.4  2.3
        full, D = 16    2.6  4.7  4.1  2.8  2.3  2.1  1.6
        full, D = 32    1.9  3.9  3.5  2.4  1.8  1.5  1.3
        full, D = 64    2.0  3.9  3.2  2.2  1.7  1.3  0.9
        diag, D =  2    2.7  5.0  4.6  4.1  4.2  4.0  3.9
        diag, D = 16    3.6  5.2  4.5  3.4  2.9  2.8  2.6
        diag, D = 64    2.9  3.8  3.7  3.1  2.3  2.1  1.7
        tied, D = 16    3.9  5.5  5.1  4.0  3.5  3.3  3.2
        tied, D = 64    2.8  3.8  3.4  3.0  2.6  2.4  2.2

    With both in float32 it is much the same: 2.0 for full, 16 x 16, 1.1 for 32 x 64. What ends it
    is the sums outgrowing the second-level cache several times over.
    """
    n_monomials = 0 if shape is None else shape.n_monomials(n_features)
    return shape in MONOMIALS and n_components * (1 + n_features + n_monomials) <= MOST


def strip_vectors(n_components: int, n_entries: int, tile: int) -> int:
    """Vectors of rows in a strip: whole tiles, and K ** vectors does not overflow."""
    in_cache = int(np.clip(STRIP // n_entries, *VECTORS))
    product = int(MAX_EXPONENT / np.log2(n_components + 1))
    return min(in_cache, product) // tile * tile


def _arguments(rows: Array, centre: Array, theta: Array, shape: Shape | None) -> tuple[Any, ...]:
    """What the kernel's passes begin with: theta is padded to whole tiles."""
    fast = kernel()
    assert fast is not None
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    n_components, n_entries = theta.shape
    heights = -(-n_components // fast.PAIR) * fast.PAIR
    entries = -(-n_entries // fast.TILE) * fast.TILE
    padded = np.zeros((heights, entries), theta.dtype)
    padded[:n_components, :n_entries] = theta
    return (
        np.require(rows, requirements="A"),
        np.ascontiguousarray(centre, dtype=np.float64),
        padded,
        MONOMIALS[shape],
        strip_vectors(n_components, entries, fast.TILE),
    )


def packed_joint(rows: Array, centre: Array, theta: Array, shape: Shape | None) -> Array:
    """(K, B): theta @ phi, the log-joint of a block; the arguments are those of `packed_sums`."""
    fast = kernel()
    assert fast is not None
    joint = np.empty((len(theta), rows.shape[1]), theta.dtype)
    arguments = _arguments(rows, centre, theta, shape)
    fast.joint_for(arguments[0].dtype.char, theta.dtype.char)(*arguments, joint)
    return joint


def packed_labels(rows: Array, centre: Array, theta: Array, shape: Shape | None) -> Integers:
    """(B,): the line of theta @ phi that is largest; the arguments are those of `packed_sums`."""
    fast = kernel()
    assert fast is not None
    labels = np.empty(rows.shape[1], np.int64)
    arguments = _arguments(rows, centre, theta, shape)
    fast.label_for(arguments[0].dtype.char, theta.dtype.char)(*arguments, len(theta), labels)
    return labels


def packed_sums(
    rows: Array,
    centre: Array,
    theta: Array,
    shape: Shape | None,
    weights: Array | None = None,
) -> tuple[Array, float]:
    """R @ phi^T and the sum of log p(x) of a block, R being softmax(theta @ phi).

    Parameters
    ----------
    rows : (D, B)
        A block, read where it lies.
    centre : (D,)
        phi is of the rows less this.
    theta : (K, P) float64 or float32
        The components' coefficients, in the order of phi: 1, y, monomials. Products are made in its
        type, and added in it over a strip of rows.
    shape : Shape or None
        Whose monomials; None if there are none.
    weights : (B,), optional
        Of the rows: each counts so many times.

    Returns
    -------
    sums : (K, P) float64
        R @ phi^T.
    log_likelihood : float
        Sum of the log-sum-exp of theta @ phi over the rows.
    """
    fast = kernel()
    assert fast is not None
    sums = np.empty(theta.shape)
    arguments = _arguments(rows, centre, theta, shape)
    own = np.empty(0) if weights is None else np.ascontiguousarray(weights, dtype=np.float64)
    run = fast.pass_for(arguments[0].dtype.char, theta.dtype.char)
    return sums, run(*arguments, own, sums)


class Compiled(Packed):
    """The packed form, a block's log-joint, labels or sums in one pass over its rows."""

    def _most_rows(self) -> int:
        return 65536  # the kernel cuts them into strips; more would only delay the last thread

    # What was chosen where there is a kernel may be asked of a worker whose machine has none.
    def _linear(self, rows: Array) -> Array:
        if kernel() is None:
            return super()._linear(rows)
        return packed_joint(rows, self.centre, self.theta, self.mixture.quadratic_shape)

    def labels(self, rows: Array) -> Integers:
        if kernel() is None:
            return super().labels(rows)
        return packed_labels(rows, self.centre, self.theta, self.mixture.quadratic_shape)

    def sums(self, block: Block) -> Products:
        if kernel() is None:
            return super().sums(block)
        products, log_likelihood = packed_sums(
            block.rows, self.centre, self.theta, self.mixture.quadratic_shape, block.weights
        )
        return Products(products, log_likelihood, block.weight)
