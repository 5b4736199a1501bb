"""The expanded E-step with its sums computed by the compiled kernel.

It needs numba, the optional dependency `fast`, which is imported when a kernel is first needed.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from emgmm.covariances import Structure
from emgmm.estep.expanded import ExpandedEStep, ExpandedSums
from emgmm.sources.block import Block
from emgmm.typing import Array, Integers

# Target size of a strip's data in bytes, which fit into a second-level cache of 512 KiB, and the
# bounds of the length of its arrays. Shorter ones than 312 rows in float64 update the sums too
# often; with more than 384, the monomials of a group leave the first-level cache.
STRIP = 2**18
LINE = (2496, 3072)
MAX_EXPONENT = 1000  # of 2; that of float64 is 1023

# Limit of components times features beyond which NumPy's matrix products are as fast, because the
# responsibilities of a strip, or all sums, exceed the caches.
MOST = 2**13


@cache
def kernel() -> ModuleType | None:
    """Return the kernel's module, or None without a numba that supports this version of NumPy."""
    try:
        from emgmm.estep.compiled import kernel
    except ImportError:
        return None
    return kernel


def outperforms_numpy(structure: Structure | None, n_components: int, n_features: int) -> bool:
    """Return whether the kernel supports the structure and is faster than NumPy's products.

    It is faster within `MOST`, up to several times if there are few features or components; see
    the benchmark of kernels in the documentation.
    """
    if structure is not None and structure.pairs_and_squares(n_features) is None:
        return False
    return n_components * n_features <= MOST


@lru_cache(maxsize=64)
def pairs_and_squares(
    structure: Structure | None, n_features: int, tile: int
) -> tuple[Integers, int]:
    """Return a structure's monomials in terms of the kernel's arrays.

    Parameters
    ----------
    structure : Structure or None
        Structure that the kernel supports; None if there are no monomials.
    n_features : int
        Number of features.
    tile : int
        Number of pairs of a tile.

    Returns
    -------
    pairs : (2, n) array of int
        Factors of each monomial, numbered after the constant 1, and padded to whole tiles.
    n_squares : int
        Number of monomials that are squares or their sum.
    """
    known = None if structure is None else structure.pairs_and_squares(n_features)
    pairs, n_squares = (np.empty((2, 0), dtype=np.intp), 0) if known is None else known
    pairs = np.pad(1 + pairs, ((0, 0), (0, -pairs.shape[1] % tile)))
    pairs.flags.writeable = False  # the cache returns the same array again
    return pairs, n_squares


def strip_tiles(n_tiles: int, tile: int, vector: int, n_components: int, n_arrays: int) -> int:
    """Return the number of tiles of a strip.

    Strips have nearly equal lengths, because the cost of updating the sums does not depend on a
    strip's length. They are so short that (K + 1) ** vectors does not overflow.

    Parameters
    ----------
    n_tiles : int
        Number of tiles of the block.
    tile, vector : int
        Number of vectors of a tile, and of bytes of a vector.
    n_components : int
        Number of components, K.
    n_arrays : int
        Number of arrays of a strip: numbers per row of data.
    """
    best = np.clip(STRIP / n_arrays, *LINE) / (tile * vector)
    most = int(MAX_EXPONENT / np.log2(n_components + 1)) // tile
    n_strips = max(1, round(n_tiles / best), math.ceil(n_tiles / most))
    return max(1, math.ceil(n_tiles / n_strips))


def _call(
    name: str,
    rows: Array,
    centre: Array,
    natural_parameters: Array,
    structure: Structure | None,
    *more: Any,
) -> Any:
    """Call one of the kernel's functions; the parameters are padded to whole tiles."""
    module = kernel()
    assert module is not None
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    n_components, n_features = len(natural_parameters), len(rows)
    n_padded = -(-n_components // module.PAIR) * module.PAIR
    padded = np.zeros((n_padded, natural_parameters.shape[1]), natural_parameters.dtype)
    padded[:n_components] = natural_parameters
    pairs, n_squares = pairs_and_squares(structure, n_features, module.TILE)
    n_arrays = 1 + n_features + n_squares + 2 * n_padded
    n_tiles = math.ceil(rows.shape[1] * padded.itemsize / (module.TILE * module.VECTOR))
    return module.compiled(name, rows.dtype.char, padded.dtype.char)(
        np.require(rows, requirements="A"),
        np.ascontiguousarray(centre, dtype=np.float64),
        padded,
        pairs,
        n_squares,
        module.TILE * strip_tiles(n_tiles, module.TILE, module.VECTOR, n_components, n_arrays),
        *more,
    )


def expanded_log_joint(
    rows: Array, centre: Array, natural_parameters: Array, structure: Structure | None
) -> Array:
    """Return the log-joint of a block, (K, B); the parameters are those of `expanded_sums`."""
    log_joint = np.empty((len(natural_parameters), rows.shape[1]), natural_parameters.dtype)
    _call("log_joint", rows, centre, natural_parameters, structure, log_joint)
    return log_joint


def expanded_labels(
    rows: Array, centre: Array, natural_parameters: Array, structure: Structure | None
) -> Integers:
    """Return the most probable component of each row, (B,); see `expanded_sums`."""
    labels = np.empty(rows.shape[1], np.int64)
    n_components = len(natural_parameters)
    _call("labels", rows, centre, natural_parameters, structure, n_components, labels)
    return labels


def expanded_responsibilities(
    rows: Array, centre: Array, natural_parameters: Array, structure: Structure | None
) -> Array:
    """Return the responsibilities of a block, (B, K); see `expanded_sums`."""
    out = np.empty((rows.shape[1], len(natural_parameters)), natural_parameters.dtype)
    _call("responsibilities", rows, centre, natural_parameters, structure, out)
    return out


def expanded_log_densities(
    rows: Array, centre: Array, natural_parameters: Array, structure: Structure | None
) -> Array:
    """Return the log-density of each row, (B,); see `expanded_sums`."""
    out = np.empty(rows.shape[1], natural_parameters.dtype)
    n_components = len(natural_parameters)
    _call("log_densities", rows, centre, natural_parameters, structure, n_components, out)
    return out


def expanded_sums(
    rows: Array,
    centre: Array,
    natural_parameters: Array,
    structure: Structure | None,
    weights: Array | None = None,
) -> tuple[Array, float]:
    """Return R @ phi^T and the log-likelihood of a block, where R = softmax(parameters @ phi).

    Parameters
    ----------
    rows : (D, B)
        The block, of any memory layout.
    centre : (D,)
        Point that is subtracted from the rows.
    natural_parameters : (K, P) array of float64 or float32
        Coefficients of phi: 1, centred features, monomials. Products are computed in this
        precision, and summed in it within a strip of rows.
    structure : Structure or None
        Structure of the monomials; None if there are none.
    weights : (B,), optional
        Weights of the rows.

    Returns
    -------
    sums : (K, P) array of float64
        R @ phi^T, with the columns of R multiplied by the weights.
    log_likelihood : float
        Weighted sum over rows of the log-sum-exp of parameters @ phi.
    """
    sums = np.empty(natural_parameters.shape)
    if weights is None:
        weights = np.empty(0)
    weights = np.ascontiguousarray(weights, dtype=np.float64)
    return sums, _call("sums", rows, centre, natural_parameters, structure, weights, sums)


class CompiledEStep(ExpandedEStep):
    """The expanded E-step in a single compiled pass over the rows of a block.

    It is also unpickled by workers without the compiler, which use NumPy's products instead.
    """

    @property
    def max_block_rows(self) -> int:
        return 65536  # the kernel divides them; larger blocks would unbalance the threads

    @property
    def _arguments(self) -> tuple[Array, Array, Structure | None]:
        return self.centre, self.natural_parameters, self.mixture.quadratic_structure

    def relative_log_joint(self, rows: Array) -> Array:
        if kernel() is None:
            return super().relative_log_joint(rows)
        return expanded_log_joint(rows, *self._arguments)

    def labels(self, rows: Array) -> Integers:
        if kernel() is None:
            return super().labels(rows)
        return expanded_labels(rows, *self._arguments)

    def responsibilities(self, rows: Array) -> Array:
        if kernel() is None:
            return super().responsibilities(rows)
        return expanded_responsibilities(rows, *self._arguments)

    def log_densities(self, rows: Array) -> Array:
        if kernel() is None:
            return super().log_densities(rows)
        return self._add_shared_term(expanded_log_densities(rows, *self._arguments), rows)

    def sums(self, block: Block) -> ExpandedSums:
        if kernel() is None:
            return super().sums(block)
        sums, log_likelihood = expanded_sums(block.rows, *self._arguments, block.weights)
        return ExpandedSums(sums, log_likelihood, block.weight)
