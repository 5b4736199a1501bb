"""The digest of a data set: a number that identifies rows, weights, labels and their order.

The values are numbered row by row, and the bits of value m, as an integer, are added modulo 2^64 to
sum m mod `PERIOD`. The digest is a hash of these sums. As additions can be made in any order, it
depends neither on threads nor on how the rows are divided into blocks. Rows that precede others
rotate the sums of these.

A change of a single value always changes these sums, and so does an exchange of two different
values, or of two different rows with fewer than `PERIOD` features, unless the difference of their
numbers, in values, is a multiple of `PERIOD`, a prime number. The digest does not depend on the
order of values whose numbers differ by such multiples, nor on changes that cancel within each sum.
It detects accidents, not forgeries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from emgmm.sources.block import Block
from emgmm.sources.source import Rows, Source, Sum
from emgmm.typing import Integers

Words = NDArray[np.uint64]

# Number of sums; they remain in a core's fastest cache.
PERIOD = 1021

# The bits of the weight of row i and of its labels are multiplied by this odd number and added to
# those of values iD, iD + 1, ...
FACTOR = 0x9E3779B97F4A7C15


def sums_of_words(words: Words, first: int = 0) -> Words:
    """Return the sums, shape (..., PERIOD), of words along the last axis, from number `first`."""
    head, others = words[..., : PERIOD - first], words[..., PERIOD - first :]
    n = others.shape[-1] // PERIOD
    whole, tail = others[..., : n * PERIOD], others[..., n * PERIOD :]
    sums = np.add.reduce(whole.reshape(*words.shape[:-1], n, PERIOD), axis=-2)
    sums[..., first : first + head.shape[-1]] += head
    sums[..., : tail.shape[-1]] += tail
    return sums


def sums_of(block: Block, of_words: Callable[..., Words] = sums_of_words) -> Words:
    """Return the sums of the bits of a block's values, weights and labels, shape (PERIOD,).

    `of_words` is a function that returns the same as `sums_of_words`.
    """
    words, D, first = _bits(block.rows, block.complete), len(block.rows), 0
    of_rows: Callable[[Words], Words] = sums_of_words
    if block.numbers is not None:
        words = (of_rows := partial(_sums_at, block.numbers))(words)
    else:
        first = block.start * D % PERIOD
        if not words.flags.f_contiguous and block.n_rows > 8 * PERIOD:
            words = of_rows(words)  # copying so many values row by row would take longer
    sums = of_words(words.ravel("F"), first)
    if block.weights is not None:  # weights of 1 add 0
        _add_column(sums, of_rows(_bits(block.weights) - _bits(1.0)), first, D)
    if block.known is not None:
        columns = _bits(block.known.values.reshape(block.n_rows, -1).T, complete=False)
        for k, column in enumerate(columns, 1):
            _add_column(sums, of_rows(column), first + k, D)
    return sums


def _add_column(sums: Words, of_rows: Words, first: int, n_features: int) -> None:
    """Add the sums of a column of the weights and labels, which are those of rows."""
    places = (np.arange(PERIOD) * n_features + first) % PERIOD
    np.add.at(sums, places, of_rows * np.uint64(FACTOR))


def _bits(values: Any, complete: bool = True) -> Words:
    """Return the bits of numbers, with one representation of NaN."""
    values = np.asarray(values, np.float64)
    return (values if complete else np.where(np.isnan(values), np.nan, values)).view(np.uint64)


def _sums_at(numbers: Integers, words: Words) -> Words:
    """Return the sums, shape (..., PERIOD), of words (..., B) of rows with the given numbers."""
    n_rows = len(numbers)
    entries = np.ones(n_rows, np.uint64), numbers % PERIOD, np.arange(n_rows + 1)
    selection: Any = csc_array(entries, shape=(PERIOD, n_rows))
    sums: Words = (selection @ words.T).T
    return sums


@dataclass(frozen=True, eq=False)
class Digested:
    """A sum over rows together with the sums of their bits, of which the digest is made."""

    sum: Any
    bits: Words
    n_features: int

    def __add__(self, other: Digested) -> Digested:
        return replace(self, sum=self.sum + other.sum, bits=self.bits + other.bits)

    def after(self, n_rows: int) -> Digested:
        """Return the same value for rows that `n_rows` other rows precede."""
        return replace(self, bits=sums_of_words(self.bits, n_rows * self.n_features % PERIOD))

    @property
    def digest(self) -> int:
        """Digest of the rows."""
        return int(blake2b(self.bits.astype("<u8").tobytes(), digest_size=8).hexdigest(), 16)


def _digested(
    function: Callable[[Block], Any], of_words: Callable[..., Words], block: Block
) -> Digested:
    """Return the value of a function of a block together with the sums of its bits."""
    # Before the function, whose arrays would replace the rows in the cache.
    bits = sums_of(block, of_words)
    return Digested(function(block), bits, len(block.rows))


class DigestedSource(Source):
    """A source that computes the digest of its rows during its first pass that sums a function.

    Parameters
    ----------
    source : Source
        Source of the rows.
    of_words : callable, optional
        Function that returns the same as `sums_of_words`.

    Attributes
    ----------
    digest : int or None
        Digest of the rows; None before the first sum.
    """

    def __init__(self, source: Source, of_words: Callable[..., Words] = sums_of_words) -> None:
        self.source, self.of_words = source, of_words
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
        found = self.source.sum(partial(_digested, function, self.of_words), size)
        self.digest = found.digest
        return found.sum
