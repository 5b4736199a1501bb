"""The packed E-step as one compiled pass over rows; needs numba, so `compiled` imports it late.

A strip of rows at a time: its phi, its log-joint, the softmax and its share of the sums, all in the
core's own caches. Everything is written for vectors of rows (`lanes`); loops over rows
that the compiler was left to find vectors in were slower by half. Products may be contracted into
fused multiply-adds, and no other liberty is taken: the order of all additions is the one written
here, so a block's sums depend on the block alone.

Numbers are of the type of theta. In float32 a lane adds up the rows of one strip, a hundred or so;
strips are added in float64, and so is the log-likelihood.

What is compiled is kept on disk by the state of this file: after a change to `lanes` or `tiles`
touch it.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numba import njit, types
from numba.np.numpy_support import from_dtype

from emgmm.expectation.lanes import (
    REGISTER,
    add,
    at_least,
    divide,
    doubled,
    every,
    exponential,
    floor_of,
    gather,
    lane,
    least_of,
    load,
    multiply,
    store,
    subtract,
    where_above,
    width_of,
)
from emgmm.expectation.tiles import TILE, joint_2, joint_4, sums_2, sums_4

VECTOR = REGISTER // 8  # bytes
CACHE_LINE = 64  # bytes
PAIR = 2  # components are padded to this
CHUNK = 160  # entries of phi at a time: a tile's 15 or 30 KiB of them stay in the nearest cache
GROUP = 4 * TILE  # entries that sums are made of at a time where phi is not kept, of
BATCH = 64 * TILE  # so many rows: their 19 KiB, with four lines of shares, stay there too


# -- the pass -----------------------------------------------------------------------------------


@njit(nogil=True)
def centred(
    rows: Any, start: Any, n: Any, centre: Any, squared: Any, lines: Any, length: Any
) -> Any:
    """Lines of `length` of which phi's entries are products: 1, the rows less the centre, y . y.

    The first is there already; the last is left at 0 if it is not asked for. What pads the last
    panel is left over from earlier rows; `softmax` gives it no share.
    """
    D, width = len(rows), width_of(lines)
    full, panel = n // width * width, width * TILE
    padded = (n + panel - 1) // panel * panel
    across, along = rows.strides[0] // rows.itemsize, rows.strides[1] // rows.itemsize
    for b in range(0, full, width):
        for d in range(D):
            own = gather(rows, d * across + (start + b) * along, along, centre[d], lines)
            store(lines, (1 + d) * length + b, own)
    for d in range(D):
        line = (1 + d) * length
        for b in range(full, n):
            lines[line + b] = np.float64(rows[d, start + b]) - centre[d]
    if squared:
        for b in range(0, padded, width):
            square = every(0.0, lines)
            for i in range(D):
                own = load(lines, (1 + i) * length + b)
                square = add(square, multiply(own, own))
            store(lines, (1 + D) * length + b, square)
    return padded


@njit(nogil=True)
def fill(
    lines: Any,
    length: Any,
    b: Any,
    factors: Any,
    begin: Any,
    end: Any,
    phi: Any,
    size: Any,
    at: Any,
    count: Any,
) -> Any:
    """Entries begin..end of phi, products of two lines each, of `count` rows from `b` on.

    They come to `phi`, a line of `size` for each, from `at` on.
    """
    width = width_of(lines)
    for p in range(begin, end):
        left, right = factors[0, p] * length + b, factors[1, p] * length + b
        to = (p - begin) * size + at
        for i in range(0, count, width * TILE):
            j, k = i + width, i + 2 * width
            store(phi, to + i, multiply(load(lines, left + i), load(lines, right + i)))
            store(phi, to + j, multiply(load(lines, left + j), load(lines, right + j)))
            store(phi, to + k, multiply(load(lines, left + k), load(lines, right + k)))


@njit(nogil=True)
def softmax(
    joint: Any, K: Any, n: Any, padded: Any, length: Any, shares: Any, tops: Any, totals: Any
) -> Any:
    """The strip's log-joint into responsibilities, as `emgmm.expectation.softmax` has it.

    Its log-likelihood comes back; that of a row is its top plus the logarithm of its total, which
    are left too. The totals lie between 1 and K, and the strip's `length` is such that the product
    of a lane's does not overflow float64: one logarithm serves for all.
    """
    width, least = width_of(joint), least_of(joint)
    for k in range(K):  # rows that are not there: all to the first component, at 0
        for b in range(n, padded):
            joint[k * length + b] = least if k else 0.0
    floor, one = every(floor_of(joint), joint), every(1.0, joint)
    nothing = every(0.0, joint)
    sum_of_tops, product = doubled(nothing), doubled(one)
    for b in range(0, padded, width * TILE):
        top_0 = top_1 = top_2 = every(least, joint)
        for k in range(K):
            at = k * length + b
            top_0 = at_least(load(joint, at), top_0)
            top_1 = at_least(load(joint, at + width), top_1)
            top_2 = at_least(load(joint, at + 2 * width), top_2)
        total_0 = total_1 = total_2 = every(0.0, joint)
        for k in range(K):
            at = k * length + b
            gap_0 = subtract(load(joint, at), top_0)
            gap_1 = subtract(load(joint, at + width), top_1)
            gap_2 = subtract(load(joint, at + 2 * width), top_2)
            share_0 = where_above(floor, gap_0, exponential(at_least(gap_0, floor)), nothing)
            share_1 = where_above(floor, gap_1, exponential(at_least(gap_1, floor)), nothing)
            share_2 = where_above(floor, gap_2, exponential(at_least(gap_2, floor)), nothing)
            total_0, total_1 = add(total_0, share_0), add(total_1, share_1)
            total_2 = add(total_2, share_2)
            store(shares, at, share_0)
            store(shares, at + width, share_1)
            store(shares, at + 2 * width, share_2)
        # The top's share is 1 before it is divided; the total is less where all are out of reach.
        total_0, total_1 = at_least(total_0, one), at_least(total_1, one)
        total_2 = at_least(total_2, one)
        scale_0, scale_1, scale_2 = divide(one, total_0), divide(one, total_1), divide(one, total_2)
        for k in range(K):
            at = k * length + b
            store(shares, at, multiply(load(shares, at), scale_0))
            store(shares, at + width, multiply(load(shares, at + width), scale_1))
            store(shares, at + 2 * width, multiply(load(shares, at + 2 * width), scale_2))
        product = multiply(
            multiply(product, doubled(total_0)), multiply(doubled(total_1), doubled(total_2))
        )
        sum_of_tops = add(add(sum_of_tops, doubled(top_0)), add(doubled(top_1), doubled(top_2)))
        store(tops, b, top_0)
        store(tops, b + width, top_1)
        store(tops, b + 2 * width, top_2)
        store(totals, b, total_0)
        store(totals, b + width, total_1)
        store(totals, b + 2 * width, total_2)
    for k in range(K):
        for b in range(n, padded):
            shares[k * length + b] = 0.0
    log_likelihood = 0.0
    for i in range(width):
        log_likelihood += lane(sum_of_tops, i) + math.log(lane(product, i))
    return log_likelihood


@njit(nogil=True)
def weigh(
    K: Any, n: Any, length: Any, weights: Any, start: Any, tops: Any, totals: Any, shares: Any
) -> Any:
    """Each row's shares times its weight; the weighted log-likelihood comes back."""
    log_likelihood = 0.0
    for b in range(n):
        weight = weights[start + b]
        log_likelihood += weight * (tops[b] + math.log(totals[b]))
        for k in range(K):
            shares[k * length + b] *= weight
    return log_likelihood


@njit(nogil=True)
def join(
    lines: Any,
    n_lines: Any,
    padded: Any,
    factors: Any,
    phi: Any,
    size: Any,
    theta: Any,
    joint: Any,
    length: Any,
) -> Any:
    """The log-joint of a strip, a component to a line of `length`.

    Of few entries `phi` holds the whole strip's afterwards, in lines of `size`, of which the first
    `n_lines` are the `lines`; of many it is only as large as a tile's share of them.
    """
    heights, entries = theta.shape
    flat = theta.reshape(heights * entries)
    kept, panel = entries <= CHUNK, width_of(phi) * TILE
    if kept:
        made = phi[n_lines * length :]
        fill(lines, length, 0, factors, n_lines, entries, made, length, 0, padded)
    for begin in range(0, entries, CHUNK):
        end = min(entries, begin + CHUNK)
        for b in range(0, padded, panel):
            at = b if kept else 0
            if not kept:
                fill(lines, length, b, factors, begin, end, phi, size, 0, panel)
            for k in range(0, heights - 3, 4):
                joint_4(flat, k, entries, begin, end, phi, size, at, joint, length, b)
            if heights % 4:
                k = heights - 2
                joint_2(flat, k, entries, begin, end, phi, size, at, joint, length, b)


@njit(nogil=True)
def gathered(
    shares: Any,
    padded: Any,
    length: Any,
    lines: Any,
    factors: Any,
    phi: Any,
    size: Any,
    heights: Any,
    totals: Any,
) -> Any:
    """Add a strip's R @ phi^T to the totals; `phi` holds the strip's, if that has few entries."""
    entries = factors.shape[1]
    kept = entries <= CHUNK
    group, batch = (TILE, padded) if kept else (GROUP, BATCH)
    for begin in range(0, entries, group):
        end = min(entries, begin + group)
        first = 0 if kept else begin
        for b in range(0, padded, batch):
            count = min(batch, padded - b)
            if not kept:
                fill(lines, length, b, factors, begin, end, phi, BATCH, 0, count)
            step = size if kept else BATCH
            for k in range(0, heights - 3, 4):
                for p in range(begin, end, TILE):
                    sums_4(shares, length, b, k, phi, step, 0, first, p, count, entries, totals)
            if heights % 4:
                k = heights - 2
                for p in range(begin, end, TILE):
                    sums_2(shares, length, b, k, phi, step, 0, first, p, count, entries, totals)


@njit(nogil=True)
def room(size: Any, like: Any) -> Any:
    """Zeros of another's type, the first of which begins a line of the cache: so do all vectors.

    A vector as long as a line lies in two of them otherwise, and costs two loads.
    """
    line = CACHE_LINE // like.itemsize
    wide = np.zeros(size + line, like.dtype)
    skipped = -(wide.ctypes.data // like.itemsize) % line
    return wide[skipped : skipped + size]


@njit(nogil=True)
def strip(theta: Any, D: Any, vectors: Any) -> Any:
    """Rows of a strip; its lines, phi and log-joint, before there is anything in them.

    Few entries are kept for the sums, of all rows; many are made twice, each time in a few lines.
    """
    heights, entries = theta.shape
    width = width_of(theta)
    length = vectors * width
    joint = room(heights * length, theta)
    if entries <= CHUNK:
        phi = room(max(entries, D + 2) * length, theta)
        phi[:length] = 1.0
        return length, phi, length, phi, joint
    lines = room((D + 2) * length, theta)
    lines[:length] = 1.0
    size = width * TILE
    return length, lines, size, room(max(CHUNK * size, GROUP * BATCH), theta), joint


def label_pass(
    rows: Any, centre: Any, theta: Any, factors: Any, squared: Any, vectors: Any, K: Any, out: Any
) -> Any:
    """The number of each row's largest log-joint into `out`, as `form.largest` has it."""
    D, N = rows.shape
    length, lines, size, phi, joint = strip(theta, D, vectors)
    numbers, least = np.empty(length, theta.dtype), least_of(theta)
    for start in range(0, N, length):
        n = min(length, N - start)
        padded = centred(rows, start, n, centre, squared, lines, length)
        join(lines, 1 + D, padded, factors, phi, size, theta, joint, length)
        for b in range(0, padded, width_of(joint)):
            top, number = every(least, joint), every(0.0, joint)
            for i in range(1, K + 1):  # from the last to the first, which has it if they are equal
                own = load(joint, (K - i) * length + b)
                number = where_above(own, top, number, every(float(K - i), joint))
                top = at_least(top, own)
            store(numbers, b, number)
        for b in range(n):
            out[start + b] = int(numbers[b])


def share_pass(
    rows: Any, centre: Any, theta: Any, factors: Any, squared: Any, vectors: Any, out: Any
) -> Any:
    """Responsibilities into the (N, K) `out`."""
    D, N = rows.shape
    K = out.shape[1]
    length, lines, size, phi, joint = strip(theta, D, vectors)
    shares, tops, totals = room(len(joint), theta), room(length, theta), room(length, theta)
    for start in range(0, N, length):
        n = min(length, N - start)
        padded = centred(rows, start, n, centre, squared, lines, length)
        join(lines, 1 + D, padded, factors, phi, size, theta, joint, length)
        softmax(joint, K, n, padded, length, shares, tops, totals)
        for b in range(n):
            for k in range(K):
                out[start + b, k] = shares[k * length + b]


def density_pass(
    rows: Any, centre: Any, theta: Any, factors: Any, squared: Any, vectors: Any, K: Any, out: Any
) -> Any:
    """The log-sum-exp of each row's log-joint into `out`."""
    D, N = rows.shape
    length, lines, size, phi, joint = strip(theta, D, vectors)
    shares, tops, totals = room(len(joint), theta), room(length, theta), room(length, theta)
    for start in range(0, N, length):
        n = min(length, N - start)
        padded = centred(rows, start, n, centre, squared, lines, length)
        join(lines, 1 + D, padded, factors, phi, size, theta, joint, length)
        softmax(joint, K, n, padded, length, shares, tops, totals)
        for b in range(n):
            out[start + b] = tops[b] + math.log(totals[b])


def joint_pass(
    rows: Any, centre: Any, theta: Any, factors: Any, squared: Any, vectors: Any, out: Any
) -> Any:
    """The log-joint into the (K, N) `out`."""
    D, N = rows.shape
    length, lines, size, phi, joint = strip(theta, D, vectors)
    for start in range(0, N, length):
        n = min(length, N - start)
        padded = centred(rows, start, n, centre, squared, lines, length)
        join(lines, 1 + D, padded, factors, phi, size, theta, joint, length)
        for k in range(len(out)):
            out[k, start : start + n] = joint[k * length : k * length + n]


def sum_pass(
    rows: Any,
    centre: Any,
    theta: Any,
    factors: Any,
    squared: Any,
    vectors: Any,
    weights: Any,
    out: Any,
) -> Any:
    """R @ phi^T into the (K, P) `out`, the log-likelihood returned; no weights are weights of 1."""
    D, N = rows.shape
    K, P = out.shape
    heights, entries = theta.shape
    length, lines, size, phi, joint = strip(theta, D, vectors)
    shares, tops, totals = room(len(joint), theta), room(length, theta), room(length, theta)
    lanes = width_of(out)
    sums = room(heights * entries * lanes, out)
    log_likelihood = 0.0
    for start in range(0, N, length):
        n = min(length, N - start)
        padded = centred(rows, start, n, centre, squared, lines, length)
        join(lines, 1 + D, padded, factors, phi, size, theta, joint, length)
        own = softmax(joint, K, n, padded, length, shares, tops, totals)
        if len(weights):
            own = weigh(K, n, length, weights, start, tops, totals, shares)
        log_likelihood += own
        gathered(shares, padded, length, lines, factors, phi, size, heights, sums)
    for k in range(K):
        for p in range(P):
            at = (k * entries + p) * lanes
            own = 0.0
            for i in range(lanes):
                own += sums[at + i]
            out[k, p] = own
    return log_likelihood


def passes(number: str) -> dict[str, tuple[Any, ...]]:
    """By name each pass, what it returns, and what it takes after what all of them take."""
    own = from_dtype(np.dtype(number))
    weights = types.Array(types.float64, 1, "C", readonly=True)
    return {
        "labels": (label_pass, types.void, types.intp, types.Array(types.int64, 1, "C")),
        "shares": (share_pass, types.void, types.Array(own, 2, "C")),
        "densities": (density_pass, types.void, types.intp, types.Array(own, 1, "C")),
        "joint": (joint_pass, types.void, types.Array(own, 2, "C")),
        "sums": (sum_pass, types.float64, weights, types.Array(types.float64, 2, "C")),
    }


@cache
def pass_for(name: str, row: str, number: str) -> Any:
    """A pass, compiled for types of rows and of theta; on disk where there is a place."""
    function, returned, *more = passes(number)[name]
    signature = returned(
        types.Array(from_dtype(np.dtype(row)), 2, "A", readonly=True),
        types.Array(types.float64, 1, "C", readonly=True),
        types.Array(from_dtype(np.dtype(number)), 2, "C", readonly=True),
        types.Array(types.intp, 2, "C", readonly=True),
        types.boolean,
        types.intp,
        *more,
    )
    try:
        return njit(signature, nogil=True, cache=True)(function)
    except RuntimeError:  # nowhere to write
        return njit(signature, nogil=True)(function)
