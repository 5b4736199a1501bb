"""The packed form with its sums made by the compiled kernel: the extra `fast`, which is numba.

Nothing here imports numba before a sum is asked for.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from emgmm.covariances import DENSE, DIAGONAL, ISOTROPIC, Structure
from emgmm.estep.expanded import ExpandedEStep, Products
from emgmm.sources.block import Block
from emgmm.typing import Array, Integers

# About so many bytes are kept of a strip, which stay in a second-level cache of 512 KiB. Lines of
# fewer, 312 rows in float64, cost more in visits to the sums than they save; those of more than 384
# drive the monomials of a group out of the nearest cache.
STRIP = 2**18
LINE = (2496, 3072)
MAX_EXPONENT = 1000  # of 2; a float64 goes to 1023

# Components times features beyond which matrix products in NumPy are as fast: the shares of a
# strip, or all sums, leave the caches then.
MOST = 2**13


@cache
def kernel() -> ModuleType | None:
    """The kernel's module; None without numba, or with one that will not have this NumPy."""
    try:
        from emgmm.estep.compiled import kernel
    except ImportError:
        return None
    return kernel


def outperforms_numpy(structure: Structure | None, n_components: int, n_features: int) -> bool:
    """Whether the kernel is faster than two matrix products in NumPy.

    How many times as fast its sums were, both on one thread of a processor with AVX-512, whose
    exponential takes NumPy 0.8 ns; spherical is like tied, and log-joints gain more::

        K                 1    2    4    8   16   32   64  128  256  512
        full, D =   2   1.8  2.1  1.9  2.1  1.5  2.1  1.9  2.0  2.2  2.6
        full, D =   8   1.5  3.9  2.6  2.2  2.1  1.9  1.8  1.4  1.6  1.5
        full, D =  16   1.8  3.4  2.5  2.2  1.9  1.9  1.6  1.4  1.3  1.2
        full, D =  32   2.4  3.7  3.5  2.7  2.3  1.9  1.4  1.1  0.9  1.0
        full, D =  64   2.8  7.5  3.8  3.5  2.6  1.7  1.3  1.1  0.9  0.8
        full, D = 128   5.7  7.0  7.1  4.3  2.5  1.5  1.1  0.9  0.9  0.8
        diag, D =   2   1.4  2.0  1.6  1.9  2.0  2.0  2.3  2.0  2.6  2.4
        diag, D =  16   2.2  3.0  2.5  2.6  2.2  2.0  1.9  1.8  1.7  1.8
        diag, D =  64   2.0  2.6  2.8  2.4  1.9  1.8  1.6  1.3  1.3  0.9
        tied, D =  16   3.1  3.3  3.5  2.6  2.2  2.4  2.1  1.8  1.9  1.9
        tied, D =  64   2.2  2.2  2.9  2.1  2.2  1.9  1.8  1.6  1.7  1.4
        tied, D = 128   2.3  2.7  3.1  2.8  2.5  2.0  1.5  1.4  1.5  1.1

    With AVX2 an exponential takes it 5 ns: there it was 4 to 5 with few features, 2.8 for full and
    diag, 16 x 8 and 16 x 16.
    """
    known = structure in (DENSE, DIAGONAL, ISOTROPIC, None)
    return known and n_components * n_features <= MOST


@lru_cache(maxsize=64)
def pairs(structure: Structure | None, n_features: int, tile: int) -> Integers:
    """(2, pairs): of which two lines each monomial is the product, if it is no line itself.

    The lines are 1, the D features, and as many as `squares`. Pairs are whole tiles.
    """
    known = np.empty((2, 0), dtype=np.intp)
    if structure == DENSE:
        known = 1 + np.stack(np.triu_indices(n_features))
        known = np.pad(known, ((0, 0), (0, -known.shape[1] % tile)))
    known.flags.writeable = False  # whoever asks next gets the same
    return known


def squares(structure: Structure | None, n_features: int) -> int:
    """Lines that the monomials are: the features' squares, or the sum of them, or none."""
    known: dict[Structure | None, int] = {DIAGONAL: n_features, ISOTROPIC: 1}
    return known.get(structure, 0)


def strip_tiles(n_tiles: int, tile: int, vector: int, n_components: int, n_lines: int) -> int:
    """Tiles of rows in a strip, of `n_tiles` in a block; a tile is some vectors of so many bytes.

    All strips are as good as equal: the last takes its visit to the sums, be it ever so short. And
    (K + 1) ** vectors does not overflow.
    """
    best = np.clip(STRIP / n_lines, *LINE) / (tile * vector)
    most = int(MAX_EXPONENT / np.log2(n_components + 1)) // tile
    n_strips = max(1, round(n_tiles / best), math.ceil(n_tiles / most))
    return max(1, math.ceil(n_tiles / n_strips))


def _run(
    name: str, rows: Array, centre: Array, theta: Array, structure: Structure | None, *more: Any
) -> Any:
    """One of the kernel's passes over rows; theta is padded to whole tiles."""
    fast = kernel()
    assert fast is not None
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    n_components, n_features = len(theta), len(rows)
    heights = -(-n_components // fast.PAIR) * fast.PAIR
    padded = np.zeros((heights, theta.shape[1]), theta.dtype)
    padded[:n_components] = theta
    n_squares = squares(structure, n_features)
    n_lines = 1 + n_features + n_squares + 2 * heights
    n_tiles = math.ceil(rows.shape[1] * theta.itemsize / (fast.TILE * fast.VECTOR))
    return fast.pass_for(name, rows.dtype.char, theta.dtype.char)(
        np.require(rows, requirements="A"),
        np.ascontiguousarray(centre, dtype=np.float64),
        padded,
        pairs(structure, n_features, fast.TILE),
        n_squares,
        fast.TILE * strip_tiles(n_tiles, fast.TILE, fast.VECTOR, n_components, n_lines),
        *more,
    )


def expanded_log_joint(
    rows: Array, centre: Array, theta: Array, structure: Structure | None
) -> Array:
    """(K, B): theta @ phi, the log-joint of a block; the arguments are those of `expanded_sums`."""
    joint = np.empty((len(theta), rows.shape[1]), theta.dtype)
    _run("joint", rows, centre, theta, structure, joint)
    return joint


def expanded_labels(
    rows: Array, centre: Array, theta: Array, structure: Structure | None
) -> Integers:
    """(B,): the line of theta @ phi that is largest; the arguments are those of `expanded_sums`."""
    labels = np.empty(rows.shape[1], np.int64)
    _run("labels", rows, centre, theta, structure, len(theta), labels)
    return labels


def expanded_responsibilities(
    rows: Array, centre: Array, theta: Array, structure: Structure | None
) -> Array:
    """(B, K): softmax of theta @ phi; the arguments are those of `expanded_sums`."""
    shares = np.empty((rows.shape[1], len(theta)), theta.dtype)
    _run("shares", rows, centre, theta, structure, shares)
    return shares


def expanded_log_densities(
    rows: Array, centre: Array, theta: Array, structure: Structure | None
) -> Array:
    """(B,): log-sum-exp of theta @ phi; the arguments are those of `expanded_sums`."""
    densities = np.empty(rows.shape[1], theta.dtype)
    _run("densities", rows, centre, theta, structure, len(theta), densities)
    return densities


def expanded_sums(
    rows: Array,
    centre: Array,
    theta: Array,
    structure: Structure | None,
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
    structure : Shape or None
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
    sums = np.empty(theta.shape)
    own = np.empty(0) if weights is None else np.ascontiguousarray(weights, dtype=np.float64)
    return sums, _run("sums", rows, centre, theta, structure, own, sums)


class CompiledEStep(ExpandedEStep):
    """The packed form, all that is asked of a block in one pass over its rows."""

    @property
    def most_rows(self) -> int:
        return 65536  # the kernel cuts them into strips; more would only delay the last thread

    @property
    def _own(self) -> tuple[Array, Array, Structure | None]:
        """What goes with rows."""
        return self.centre, self.natural_parameters, self.mixture.quadratic_shape

    # What was chosen where there is a kernel may be asked of a worker whose machine has none.
    def relative_log_joint(self, rows: Array) -> Array:
        if kernel() is None:
            return super().relative_log_joint(rows)
        return expanded_log_joint(rows, *self._own)

    def labels(self, rows: Array) -> Integers:
        if kernel() is None:
            return super().labels(rows)
        return expanded_labels(rows, *self._own)

    def responsibilities(self, rows: Array) -> Array:
        if kernel() is None:
            return super().responsibilities(rows)
        return expanded_responsibilities(rows, *self._own)

    def log_densities(self, rows: Array) -> Array:
        if kernel() is None:
            return super().log_densities(rows)
        return self._with_shared(expanded_log_densities(rows, *self._own), rows)

    def sums(self, block: Block) -> Products:
        if kernel() is None:
            return super().sums(block)
        products, log_likelihood = expanded_sums(block.rows, *self._own, block.weights)
        return Products(products, log_likelihood, block.weight)
