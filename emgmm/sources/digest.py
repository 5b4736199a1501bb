"""The digest of a data set: a number that identifies rows, weights, labels and their order.

The bits of value j of row i, as an integer, are added modulo 2^64 to sum (i + j s) mod `PERIOD`,
where s is the number of rows per block of the first pass. The weight and the labels are numbered
after the features. The digest is a hash of these sums and of the ranges of the features. As
additions can be made in any order, it depends neither on threads nor on how the rows are divided
into blocks. Rows that precede others rotate the sums of these.

A change of a single value always changes these sums, and so does an exchange of two different rows
of fewer than `PERIOD` values, unless the difference of their numbers is a multiple of `PERIOD`, a
prime number. The sums do not depend on the order of values that belong to the same one. Changes of
several values may cancel within a sum, as two changes of the sign do; the ranges change if the sign
of a whole feature does. The digest detects accidents, not forgeries.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import TypeAlias

import numpy as np

from emgmm.sources.block import Block
from emgmm.sources.source import summary_rows
from emgmm.summary import DataSummary
from emgmm.typing import Array, Integers, Words

# Number of sums; they remain in a core's fastest cache.
PERIOD = 1021

# Function of words (C, B), the sum of the first and the shift between columns.
OfColumns: TypeAlias = Callable[[Words, int, int], Words]


def sums_of_columns(words: Words, first: int, shift: int) -> Words:
    """Return the sums, shape (PERIOD,), to which words (C, B) add.

    Word b of column c is added to sum (first + c shift + b) mod `PERIOD`.
    """
    padding = (shift - words.shape[1]) % PERIOD
    if padding:
        words = np.pad(words, ((0, 0), (0, padding)))
    flat = words.reshape(-1)
    head, others = flat[: PERIOD - first], flat[PERIOD - first :]
    n = len(others) // PERIOD
    sums: Words = np.add.reduce(others[: n * PERIOD].reshape(n, PERIOD), axis=0)
    tail = others[n * PERIOD :]
    sums[first : first + len(head)] += head
    sums[: len(tail)] += tail
    return sums


def sums_of_bits(block: Block, rows: Array, of_columns: OfColumns = sums_of_columns) -> Words:
    """Return the sums of the bits of a block's values, weights and labels, shape (PERIOD,).

    Parameters
    ----------
    block : Block
        The block.
    rows : (D, B) float64
        Copy of its rows in C order, in which NaN is overwritten by a single representation.
    of_columns : callable, optional
        Function that returns the same as `sums_of_columns`.
    """
    D, shift = len(rows), summary_rows(len(rows)) % PERIOD or 1
    if block.numbers is not None:
        quotients = block.numbers // PERIOD  # in NumPy, remainders take twice as long
        of_columns = partial(_sums_at, block.numbers - quotients * PERIOD)

    def of(words: Words, number: int) -> Words:
        """Return the sums of the words of some columns, of which the first has this number."""
        first = number * shift + (block.start if block.numbers is None else 0)
        return of_columns(words, first % PERIOD, shift)

    sums = of(_bits(rows, block.complete), 0)
    if block.weights is not None:
        sums += of(np.ascontiguousarray(block.weights)[None].view(np.uint64), D)
    if block.known is not None:
        labels = np.array(block.known.values.reshape(block.n_rows, -1).T, np.float64, order="C")
        sums += of(_bits(labels, complete=False), D + 1)
    return sums


def _bits(values: Array, complete: bool) -> Words:
    """Return the bits of float64 numbers, after giving NaN one representation."""
    if not complete:
        values[np.isnan(values)] = np.nan
    return values.view(np.uint64)


def _sums_at(places: Integers, words: Words, first: int, shift: int) -> Words:
    """Return `sums_of_columns` of words of rows with the given (B,) places instead of 0, 1, ..."""
    sums = np.zeros(2 * PERIOD, np.uint64)
    for column in words:
        np.add.at(sums[first : first + PERIOD], places, column)
        first = (first + shift) % PERIOD
    return sums[:PERIOD] + sums[PERIOD:]


def digest_of(summary: DataSummary) -> int:
    """Return the digest of the rows of a summary that includes the sums of their bits."""
    assert summary.bits is not None
    ranges = np.array([summary.minimum, summary.maximum]) + 0.0  # -0.0 and 0.0 are equal
    content = summary.bits.astype("<u8").tobytes() + ranges.astype("<f8").tobytes()
    return int(blake2b(content, digest_size=8).hexdigest(), 16)
