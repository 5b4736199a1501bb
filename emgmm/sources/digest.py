"""The digest of a data set: a number that identifies rows, weights, labels and their order.

The digest is sum_i h_i R^i modulo 2^64, where i is the number of a row and h_i is a linear function
of the bits of its values, its weight and its label or responsibilities. As the terms can be added
in any order, the digest depends neither on threads nor on how the rows are divided into blocks. A
change of a single value always changes it, because R and the coefficients of h_i are odd. It
detects accidents, not forgeries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emgmm.sources.block import Block
from emgmm.sources.source import Rows, Source, Sum
from emgmm.typing import Array, Integers

Words = NDArray[np.uint64]
Layout = Literal["C", "F"]

MODULUS = 2**64

# Numbers that are 5 modulo 8: their powers modulo 2^64 have the longest period, 2^62.
R = 0xD1342543DE82EF95
G = 0x9E3779B97F4A7C15

# A power of R is a product of factors from tables with this number of entries.
RADIX = 2**12


def digest(block: Block) -> int:
    """Return the sum of the terms of a block's rows."""
    rows = np.asarray(block.rows, np.float64)
    if not block.complete:
        rows = np.where(np.isnan(rows), np.nan, rows)  # NaN has several representations
    layout: Layout = "F" if rows.flags.f_contiguous else "C"
    if block.numbers is None:
        first, powers = block.start, _first_powers(R, rows.shape[1])
        coefficients = _first_coefficients(*rows.shape, layout)
    else:
        first, powers = 0, _powers(block.numbers)
        coefficients = _coefficients(powers, len(rows), layout)
    total = int(np.einsum("i,i->", _bits(rows.ravel(layout)), coefficients))
    if block.weights is not None:
        total += int((_bits(block.weights) ^ _bits(np.ones(1))) @ powers)  # 0 for weights of 1
    if block.known is not None:
        values = block.known.values.reshape(len(block.known), -1).astype(np.float64)
        values = np.where(np.isnan(values), np.nan, values)
        of_columns = _first_powers(G, len(rows) + 1 + values.shape[1])[-values.shape[1] :]
        total += int(np.einsum("nk,n,k->", _bits(values), powers, of_columns))
    return total * pow(R, first, MODULUS) % MODULUS


def _coefficients(powers: Words, n_features: int, layout: Layout) -> Words:
    """Return the coefficients of the values of rows in their order in memory, (D x B,)."""
    of_features = _first_powers(G, n_features + 1)[1:]
    by_layout = (powers, of_features) if layout == "F" else (of_features, powers)
    return np.multiply.outer(*by_layout).ravel()


@lru_cache(16)
def _first_coefficients(n_features: int, n_rows: int, layout: Layout) -> Words:
    """Return the coefficients of the first rows."""
    return _coefficients(_first_powers(R, n_rows), n_features, layout)


def _bits(numbers: Array) -> Words:
    """Return the bits of float64 numbers in reverse byte order.

    The significant bits of small integers, which are in the first bytes, thus become the low ones.
    """
    return numbers.view(np.uint64).byteswap()


@lru_cache(16)
def _first_powers(base: int, n: int) -> Words:
    """Return 1, base, base^2, ..., shape (n,)."""
    factors = np.full(n, base, np.uint64)
    factors[:1] = 1
    return np.multiply.accumulate(factors)


def _powers(numbers: Integers) -> Words:
    """Return R to the power of each number."""
    powers, base = np.ones(len(numbers), np.uint64), R
    while numbers.any():
        powers *= _first_powers(base, RADIX)[numbers % RADIX]
        numbers, base = numbers // RADIX, pow(base, RADIX, MODULUS)
    return powers


@dataclass(frozen=True, eq=False)
class Digested:
    """A sum over rows together with the digest of these rows."""

    sum: Any
    digest: int

    def __add__(self, other: Digested) -> Digested:
        return Digested(self.sum + other.sum, (self.digest + other.digest) % MODULUS)

    def after(self, n_rows: int) -> Digested:
        """Return the same value for rows that `n_rows` other rows precede."""
        return Digested(self.sum, self.digest * pow(R, n_rows, MODULUS) % MODULUS)


def _digested(function: Callable[[Block], Any], block: Block) -> Digested:
    """Return the value of a function of a block, and the digest of the block."""
    return Digested(function(block), digest(block))


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
        self.has_labels = source.has_labels
        self.digest: int | None = None

    @property
    def n_rows_hint(self) -> int:
        return self.source.n_rows_hint

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
