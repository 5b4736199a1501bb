"""The expanded E-step with its sums computed by the compiled kernel.

It needs numba, the optional dependency `fast`, which is imported when a kernel is first needed.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from functools import cache, lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm.covariances import Structure
from emgmm.estep.expanded import ExpandedEStep, ExpandedSums
from emgmm.sources import digest
from emgmm.sources.block import Block
from emgmm.threads import without_forks
from emgmm.typing import Array, Integers, Words

# Target size of a strip's data in bytes, which fit into a second-level cache of 512 KiB, and the
# bounds of the length of its arrays. Shorter ones than 312 rows in float64 update the sums too
# often; with more than 384, the monomials of a group leave the first-level cache.
STRIP = 2**18
LINE = (2496, 3072)
KERNEL = f"{__package__}.kernel"
MAX_EXPONENT = 1000  # of 2; that of float64 is 1023

# Limit of components times features beyond which NumPy's matrix products are as fast, because the
# responsibilities of a strip, or all sums, exceed the caches.
MOST = 2**13


@cache
def kernel() -> ModuleType | None:
    """Return the kernel's module, or None without a numba that supports this version of NumPy."""
    try:
        with without_forks:
            from emgmm.estep.compiled import kernel
    except ImportError:
        return None
    return kernel


@cache
def compiled(name: str, row: str, number: str) -> Any:
    """Return a pass of the kernel that is compiled for the types of rows and parameters."""
    module = kernel()
    assert module is not None
    with without_forks:
        return module.compiled(name, row, number)


def outperforms_numpy(structure: Structure | None, n_components: int, n_features: int) -> bool:
    """Return whether the kernel supports the structure and is faster than NumPy's products.

    It is faster within `MOST`, up to several times if there are few features or components; see
    the benchmark of kernels in the documentation.
    """
    if structure is not None and structure.monomial_pairs(n_features) is None:
        return False
    return n_components * n_features <= MOST


@lru_cache(maxsize=64)
def padded_pairs(structure: Structure | None, n_features: int, tile: int) -> Integers:
    """Return the factors of each monomial that is a product, (2, n).

    They are numbered after the constant 1, and padded to whole tiles of `tile` pairs.
    """
    pairs = None if structure is None else structure.monomial_pairs(n_features)
    if pairs is None:
        pairs = np.empty((2, 0), dtype=np.intp)
    pairs = np.pad(1 + pairs, ((0, 0), (0, -pairs.shape[1] % tile)))
    pairs.flags.writeable = False  # the cache returns the same array again
    return pairs


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


def strip_vectors(
    pairs: Integers,
    size: tuple[int, ...],
    itemsize: int,
    n_features: int,
    n_rows: int,
    n_components: int,
) -> int:
    """Return the number of vectors of a strip, for padded parameters of this size."""
    module = kernel()
    assert module is not None
    n_padded, n_entries = size
    n_arrays = (1 + n_features if pairs.size else n_entries) + 2 * n_padded
    n_tiles = math.ceil(n_rows * itemsize / (module.TILE * module.VECTOR))
    tiles = strip_tiles(n_tiles, module.TILE, module.VECTOR, n_components, n_arrays)
    return int(module.TILE * tiles)


def expanded(
    name: str,
    rows: Array,
    centre: Array,
    natural_parameters: Array,
    structure: Structure | None,
    weights: Array | None = None,
) -> tuple[NDArray[Any], float]:
    """Return the result of one of the kernel's passes over a block.

    Parameters
    ----------
    name : {"log_joint", "labels", "responsibilities", "log_densities", "sums"}
        Name of the result.
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
        Weights of the rows, for the sums.

    Returns
    -------
    result : array
        The log-joint, (K, B); the most probable component of each row, (B,); the responsibilities,
        (B, K); or the log-density of each row, (B,). The sums are R @ phi^T, (K, P) in float64,
        with the columns of R = softmax(parameters @ phi) multiplied by the weights.
    log_likelihood : float
        Weighted sum of the log-densities; only with the sums.
    """
    module = kernel()
    assert module is not None
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    (n_features, n_rows), (n_components, n_entries) = rows.shape, natural_parameters.shape
    n_padded = -(-n_components // module.PAIR) * module.PAIR  # parameters are padded to whole tiles
    padded = np.zeros((n_padded, n_entries), natural_parameters.dtype)
    padded[:n_components] = natural_parameters
    shape, dtype = {
        "log_joint": ((n_components, n_rows), padded.dtype),
        "labels": (n_rows, np.int64),
        "responsibilities": ((n_rows, n_components), padded.dtype),
        "log_densities": (n_rows, padded.dtype),
        "sums": (natural_parameters.shape, np.float64),
    }[name]
    out, more = np.empty(shape, dtype), []
    if name == "sums":
        weights = np.empty(0) if weights is None else weights
        more = [np.ascontiguousarray(weights, dtype=np.float64)]
    pairs = padded_pairs(structure, n_features, module.TILE)
    log_likelihood = compiled(name, rows.dtype.char, padded.dtype.char)(
        np.require(rows, requirements="A"),
        np.ascontiguousarray(centre, dtype=np.float64),
        padded,
        pairs,
        strip_vectors(pairs, padded.shape, padded.itemsize, n_features, n_rows, n_components),
        n_components,
        *more,
        out,
    )
    return out, log_likelihood


def stacked_sums(
    rows: Array, natural_parameters: Array, structure: Structure | None, weights: Array | None
) -> tuple[Array, Array]:
    """Return the sums of B problems, (B, K, P), and their log-likelihoods, (B,).

    Parameters
    ----------
    rows : (D, B, n)
        Rows of each problem.
    natural_parameters : (B, K, P)
        Coefficients of phi for each problem.
    structure : Structure or None
        Structure of the monomials; None if there are none.
    weights : (B, n), optional
        Weights of the rows.
    """
    module = kernel()
    assert module is not None
    (n_features, n_problems, n_rows), (_, K, n_entries) = rows.shape, natural_parameters.shape
    n_padded = -(-K // module.PAIR) * module.PAIR
    padded = np.zeros((n_problems, n_padded, n_entries))
    padded[:, :K] = natural_parameters
    log_likelihoods, out = np.empty(n_problems), np.empty(natural_parameters.shape)
    pairs = padded_pairs(structure, n_features, module.TILE)
    compiled("stacked_sums", rows.dtype.char, padded.dtype.char)(
        rows,
        np.zeros(n_features),
        padded,
        pairs,
        strip_vectors(pairs, padded.shape[1:], padded.itemsize, n_features, n_rows, K),
        K,
        np.empty((n_problems, 0)) if weights is None else np.ascontiguousarray(weights),
        log_likelihoods,
        out,
    )
    return out, log_likelihoods


def sums_of_columns(words: Words, first: int, shift: int) -> Words:
    """Return `digest.sums_of_columns` of words, by the kernel if it has been imported before."""
    add_columns = getattr(sys.modules.get(KERNEL), "add_columns", None)
    if add_columns is None:
        return digest.sums_of_columns(words, first, shift)
    sums = np.zeros(digest.PERIOD, np.uint64)
    add_columns(words, first, shift, sums)
    return sums


class CompiledEStep(ExpandedEStep):
    """The expanded E-step in a single compiled pass over the rows of a block."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _for_this_process, (self.__dict__,)

    @property
    def max_block_rows(self) -> int:
        return 65536  # the kernel divides them; larger blocks would unbalance the threads

    @property
    def _arguments(self) -> tuple[Array, Array, Structure | None]:
        return self.centre, self.natural_parameters, self.mixture.quadratic_structure

    def relative_log_joint(self, rows: Array) -> Array:
        return expanded("log_joint", rows, *self._arguments)[0]

    def labels(self, rows: Array) -> Integers:
        return expanded("labels", rows, *self._arguments)[0]

    def responsibilities(self, rows: Array) -> Array:
        return expanded("responsibilities", rows, *self._arguments)[0]

    def log_densities(self, rows: Array) -> Array:
        relative = expanded("log_densities", rows, *self._arguments)[0]
        return self._add_shared_term(relative, rows)

    def sums(self, block: Block) -> ExpandedSums:
        if block.known is not None:
            return self._sums_of_both(block, block.known.is_informative)
        sums, log_likelihood = expanded("sums", block.rows, *self._arguments, block.weights)
        return ExpandedSums(sums, log_likelihood, block.weight)

    def _sums_of_both(self, block: Block, labelled: NDArray[np.bool_]) -> ExpandedSums:
        """Return the sums of a block, by NumPy of the labelled rows.

        The kernel does not store responsibilities, which would be replaced there.
        """
        numbers = np.flatnonzero(labelled)
        if len(numbers) == len(labelled):
            return super().sums(block)
        others = replace(block.take(np.flatnonzero(np.logical_not(labelled))), known=None)
        sums = self.sums(others)
        return sums + super().sums(block.take(numbers)) if len(numbers) else sums


def _for_this_process(attributes: dict[str, Any]) -> ExpandedEStep:
    """Return an unpickled E-step; a worker without the compiler uses NumPy's products."""
    e_step = object.__new__(ExpandedEStep if kernel() is None else CompiledEStep)
    e_step.__dict__.update(attributes)
    return e_step
