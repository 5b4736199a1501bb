"""The digest of a data set: a number that identifies rows, weights, labels and their order.

The digest is sum_i R^(D i) h_i modulo 2^64, where i is the number of a row and D that of features.
h_i is sum_j R^j b_ij plus powers of G times the bits of the weight and of the label or of
responsibilities, where b_ij are the bits of the values. As the terms can be added in any order, the
digest depends neither on threads nor on how the rows are divided into blocks. A change of a single
value always changes it, because R and G are odd. It
detects accidents, not forgeries.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm.sources.block import Block
from emgmm.sources.source import Rows, Source, Sum
from emgmm.typing import Array, Integers

Words = NDArray[np.uint64]

MODULUS = 2**64

# The bits of a number in reverse byte order. The significant bits of small integers, which are in
# the first bytes, thus become the low ones.
WORD = np.dtype(np.uint64).newbyteorder()

# Numbers that are 5 modulo 8: their powers modulo 2^64 have the longest period, 2^62.
R = 0xD1342543DE82EF95
G = 0x9E3779B97F4A7C15

# A power of R is a product of factors from tables with this number of entries.
RADIX = 2**12

# Number of values whose powers are in one table, which remains in a core's fastest cache.
PIECE = 2**10


def digest(block: Block) -> int:
    """Return the sum of the terms of a block's rows."""
    values = np.asarray(block.rows, np.float64)
    if not block.complete:
        values = np.where(np.isnan(values), np.nan, values)  # NaN has several representations
    base = _base_of_rows(len(values))
    first = 1 if block.numbers is not None else pow(base, block.start, MODULUS)
    if block.numbers is None and values.flags.f_contiguous:
        total = _polynomial(values.ravel("F"), R)
    else:
        total = sum(
            pow(R, j, MODULUS) * _sum_of_rows(feature, block.numbers, base)
            for j, feature in enumerate(values)
        )
    if block.weights is not None:
        of_weights = _sum_of_rows(block.weights, block.numbers, base)
        of_ones = _sum_of_rows(np.ones(len(block.weights)), block.numbers, base)
        total += G * (of_weights - of_ones)  # 0 for weights of 1
    if block.known is not None:
        known = block.known.values.reshape(len(block.known), -1).astype(np.float64)
        for k, column in enumerate(np.where(np.isnan(known), np.nan, known).T):
            total += pow(G, 2 + k, MODULUS) * _sum_of_rows(column, block.numbers, base)
    return total * first % MODULUS


def _base_of_rows(n_features: int) -> int:
    """Return the number by whose powers the terms of rows are multiplied."""
    return pow(R, n_features, MODULUS)


def _sum_of_rows(values: Array, numbers: Integers | None, base: int) -> int:
    """Return the sum of the bits of numbers times powers of a base: the first ones, or given."""
    if numbers is None:
        return _polynomial(np.ascontiguousarray(values), base)
    return int(np.ascontiguousarray(values).view(WORD) @ _powers(numbers, base))


def _polynomial(values: Array, base: int) -> int:
    """Return the sum of the bits of numbers times base^i, where i counts the numbers."""
    powers, n_pieces = _first_powers(base, PIECE), len(values) // PIECE
    whole, rest = np.split(values.view(WORD), [n_pieces * PIECE])
    sums = _products(whole.reshape(n_pieces, PIECE), powers)
    step = pow(base, PIECE, MODULUS)
    total = int(sums @ _first_powers(step, n_pieces))
    of_rest = int(_products(rest[None], powers[: len(rest)])[0])
    return total + pow(step, n_pieces, MODULUS) * of_rest


def _products(words: Words, powers: Words) -> Words:
    """Return the sums of the words of each row times some powers."""
    if "numba" in sys.modules:  # otherwise, loading it takes more time than it saves
        from emgmm.sources.digest_compiled import products

        return products(words.view(np.uint64), powers)
    return np.einsum("ij,j->i", words, powers)


@lru_cache(16)
def _first_powers(base: int, n: int) -> Words:
    """Return 1, base, base^2, ..., shape (n,)."""
    factors = np.full(n, base, np.uint64)
    factors[:1] = 1
    return np.multiply.accumulate(factors)


def _powers(numbers: Integers, base: int) -> Words:
    """Return a base to the power of each number."""
    powers = np.ones(len(numbers), np.uint64)
    while numbers.any():
        powers *= _first_powers(base, RADIX)[numbers % RADIX]
        numbers, base = numbers // RADIX, pow(base, RADIX, MODULUS)
    return powers


@dataclass(frozen=True, eq=False)
class Digested:
    """A sum over rows together with the digest of these rows.

    `base` is the number by whose powers the terms of rows are multiplied.
    """

    sum: Any
    digest: int
    base: int

    def __add__(self, other: Digested) -> Digested:
        return Digested(self.sum + other.sum, (self.digest + other.digest) % MODULUS, self.base)

    def after(self, n_rows: int) -> Digested:
        """Return the same value for rows that `n_rows` other rows precede."""
        return replace(self, digest=self.digest * pow(self.base, n_rows, MODULUS) % MODULUS)


def _digested(function: Callable[[Block], Any], block: Block) -> Digested:
    """Return the value of a function of a block, and the digest of the block."""
    own = digest(block)  # before the function, whose arrays would replace the rows in the cache
    return Digested(function(block), own, _base_of_rows(len(block.rows)))


class DigestedSource(Source):
    """A source that computes the digest of its rows during its first pass that sums a function.

    Parameters
    ----------
    source : Source
        Source of the rows.

    Attributes
    ----------
    digest : int or None
        Digest of the rows; None before the first sum.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.n_rows, self.n_features = source.n_rows, source.n_features
        self.dtype, self.feature_names = source.dtype, source.feature_names
        self.has_labels, self.device = source.has_labels, source.device
        self.digest: int | None = None

    @property
    def n_rows_hint(self) -> int:
        return self.source.n_rows_hint

    @property
    def summary_entries(self) -> int:
        return self.source.summary_entries

    @property
    def block_dtype(self) -> np.dtype[Any]:
        return self.source.block_dtype

    def blocks(self, size: int) -> Iterator[Block]:
        return self.source.blocks(size)

    def sample(self, limit: int, random: np.random.RandomState) -> Rows:
        return self.source.sample(limit, random)

    def sum(self, function: Callable[[Block], Sum], size: int) -> Sum:
        if self.digest is not None:
            return self.source.sum(function, size)
        found = self.source.sum(partial(_digested, function), size)
        self.digest = found.digest
        return found.sum
