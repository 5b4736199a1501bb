"""The packed E-step as one compiled pass over rows; needs numba, so `compiled` imports it late.

A strip of rows at a time: its log-joint, the softmax, and its share of the sums with the monomials
that they need, all in the core's own caches. Everything is written for vectors of rows (`lanes`);
loops over rows that the compiler was left to find vectors in were slower by half. Products may be
contracted into fused multiply-adds, and no other liberty is taken: the order of all additions is
the one written here, so a block's sums depend on the block alone.

Numbers are of the type of theta. In float32 a lane adds up the rows of one strip, a hundred or so;
strips are added in float64, and so is the log-likelihood.

What is compiled is kept on disk by what this file says; `MADE_OF` says it of the others.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numba import njit, types
from numba.np.numpy_support import from_dtype

from emgmm.estep.compiled.simd import (
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
from emgmm.estep.compiled.tiles import TILE, linear_2, linear_4, nested_2, nested_4, sums_2, sums_4

MADE_OF = "460973e4a8b7"  # digest of lanes, softmax and tiles; a test tells what it is
VECTOR = REGISTER // 8  # bytes
CACHE_LINE = 64  # bytes
PAIR = 2  # components are padded to this
GROUP = 2 * TILE  # monomials of a strip, which stay in the nearest cache with four lines of shares


# -- the pass -----------------------------------------------------------------------------------


@njit(nogil=True)
def centred(
    rows: Any, start: Any, n: Any, centre: Any, squares: Any, lines: Any, length: Any
) -> Any:
    """Lines: 1, the rows less the centre y, and the `squares` y_d^2, or if that is 1, y . y.

    The first is there already. What pads the last panel is left over from earlier rows; `softmax`
    gives it no share.
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
    if squares == D:
        for d in range(D):
            for b in range(0, padded, width):
                own = load(lines, (1 + d) * length + b)
                store(lines, (1 + D + d) * length + b, multiply(own, own))
    elif squares == 1:
        for b in range(0, padded, width):
            square = every(0.0, lines)
            for d in range(D):
                own = load(lines, (1 + d) * length + b)
                square = add(square, multiply(own, own))
            store(lines, (1 + D) * length + b, square)
    return padded


@njit(nogil=True)
def fill(lines: Any, length: Any, padded: Any, pairs: Any, begin: Any, end: Any, phi: Any) -> Any:
    """Monomials begin..end, products of a pair of lines each, to as many lines of `phi`."""
    width = width_of(lines)
    for p in range(begin, end):
        left, right, to = pairs[0, p] * length, pairs[1, p] * length, (p - begin) * length
        for i in range(0, padded, width * TILE):
            j, k = i + width, i + 2 * width
            store(phi, to + i, multiply(load(lines, left + i), load(lines, right + i)))
            store(phi, to + j, multiply(load(lines, left + j), load(lines, right + j)))
            store(phi, to + k, multiply(load(lines, left + k), load(lines, right + k)))


@njit(nogil=True)
def softmax(
    joint: Any, K: Any, n: Any, padded: Any, length: Any, shares: Any, tops: Any, totals: Any
) -> Any:
    """The strip's log-joint into responsibilities, as `emgmm.estep.softmax` has it.

    Its log-likelihood comes back; that of a row is its top plus the logarithm of its total, which
    are left too. The totals lie between 1 and K, and the strip's `length` is such that the product
    of a lane's does not overflow float64: one logarithm serves for all.
    """
    width, least = width_of(joint), least_of(joint)
    for k in range(K):  # rows that are not there: all to the first component, at 0
        for b in range(n, padded):
            joint[k * length + b] = least if k else 0.0
    floor, one = every(floor_of(joint), joint), every(1.0, joint)
    nothing, unreached = every(0.0, joint), every(-math.inf, joint)
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
        # The top's share is 1 before it is divided; the total is 0 where all are out of reach.
        top_0 = where_above(nothing, total_0, top_0, unreached)
        top_1 = where_above(nothing, total_1, top_1, unreached)
        top_2 = where_above(nothing, total_2, top_2, unreached)
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
    lines: Any, n_lines: Any, padded: Any, theta: Any, pairs: Any, joint: Any, length: Any
) -> Any:
    """The log-joint of a strip, a component to a line of `length`."""
    heights, entries = theta.shape
    flat = theta.reshape(heights * entries)
    last = heights - PAIR
    for b in range(0, padded, width_of(lines) * TILE):
        if pairs.size:
            for k in range(0, heights - 3, 4):
                nested_4(flat, k, entries, lines, n_lines, joint, length, b)
            if heights % 4:
                nested_2(flat, last, entries, lines, n_lines, joint, length, b)
        else:
            for k in range(0, heights - 3, 4):
                linear_4(flat, k, entries, lines, n_lines, joint, length, b)
            if heights % 4:
                linear_2(flat, last, entries, lines, n_lines, joint, length, b)


@njit(nogil=True)
def collect(
    shares: Any, length: Any, padded: Any, phi: Any, begin: Any, end: Any, heights: Any, totals: Any
) -> Any:
    """Add R @ phi^T, for entries begin..end, to the totals, (entries, components), of all.

    Entry `begin` is the first line of `phi`.
    """
    for k in range(0, heights - 3, 4):
        for p in range(begin, end, TILE):
            at = (p - begin) * length
            sums_4(shares, length, k, phi, at, p, padded, heights, totals)
    if heights % 4:
        for p in range(begin, end, TILE):
            at = (p - begin) * length
            sums_2(shares, length, heights - PAIR, phi, at, p, padded, heights, totals)


@njit(nogil=True)
def gathered(
    shares: Any,
    padded: Any,
    length: Any,
    lines: Any,
    pairs: Any,
    phi: Any,
    single: Any,
    paired: Any,
) -> Any:
    """Add a strip's R @ phi^T to the totals of single lines, and to those of pairs of them."""
    n_lines = len(lines) // length
    heights = len(single) // n_lines
    for p in range(0, n_lines, TILE):
        collect(shares, length, padded, lines[p * length :], p, p + TILE, heights, single)
    for begin in range(0, pairs.shape[1], GROUP):
        end = min(pairs.shape[1], begin + GROUP)
        fill(lines, length, padded, pairs, begin, end, phi)
        collect(shares, length, padded, phi, begin, end, heights, paired)


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
def strip(theta: Any, D: Any, squares: Any, vectors: Any) -> Any:
    """Rows of a strip; its lines, of which the first is 1, and log-joint; how long both are.

    They are an odd number of the cache's lines apart: rows of all of them then lie in all its sets.
    """
    rows, line = vectors * width_of(theta), CACHE_LINE // theta.itemsize
    length = ((rows + line - 1) // line | 1) * line
    lines = room((1 + D + squares + TILE - 1) // TILE * TILE * length, theta)
    lines[:length] = 1.0
    return rows, length, lines, room(len(theta) * length, theta)


def label_pass(
    rows: Any, centre: Any, theta: Any, pairs: Any, squares: Any, vectors: Any, K: Any, out: Any
) -> Any:
    """The number of each row's largest log-joint into `out`, as `form.largest` has it."""
    D, N = rows.shape
    most, length, lines, joint = strip(theta, D, squares, vectors)
    numbers, least = np.empty(length, theta.dtype), least_of(theta)
    for start in range(0, N, most):
        n = min(most, N - start)
        padded = centred(rows, start, n, centre, squares, lines, length)
        join(lines, 1 + D + squares, padded, theta, pairs, joint, length)
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
    rows: Any, centre: Any, theta: Any, pairs: Any, squares: Any, vectors: Any, out: Any
) -> Any:
    """Responsibilities into the (N, K) `out`."""
    D, N = rows.shape
    K = out.shape[1]
    most, length, lines, joint = strip(theta, D, squares, vectors)
    shares, tops, totals = room(len(joint), theta), room(length, theta), room(length, theta)
    for start in range(0, N, most):
        n = min(most, N - start)
        padded = centred(rows, start, n, centre, squares, lines, length)
        join(lines, 1 + D + squares, padded, theta, pairs, joint, length)
        softmax(joint, K, n, padded, length, shares, tops, totals)
        for b in range(n):
            for k in range(K):
                out[start + b, k] = shares[k * length + b]


def density_pass(
    rows: Any, centre: Any, theta: Any, pairs: Any, squares: Any, vectors: Any, K: Any, out: Any
) -> Any:
    """The log-sum-exp of each row's log-joint into `out`."""
    D, N = rows.shape
    most, length, lines, joint = strip(theta, D, squares, vectors)
    shares, tops, totals = room(len(joint), theta), room(length, theta), room(length, theta)
    for start in range(0, N, most):
        n = min(most, N - start)
        padded = centred(rows, start, n, centre, squares, lines, length)
        join(lines, 1 + D + squares, padded, theta, pairs, joint, length)
        softmax(joint, K, n, padded, length, shares, tops, totals)
        for b in range(n):
            out[start + b] = tops[b] + math.log(totals[b])


def joint_pass(
    rows: Any, centre: Any, theta: Any, pairs: Any, squares: Any, vectors: Any, out: Any
) -> Any:
    """The log-joint into the (K, N) `out`."""
    D, N = rows.shape
    most, length, lines, joint = strip(theta, D, squares, vectors)
    for start in range(0, N, most):
        n = min(most, N - start)
        padded = centred(rows, start, n, centre, squares, lines, length)
        join(lines, 1 + D + squares, padded, theta, pairs, joint, length)
        for k in range(len(out)):
            out[k, start : start + n] = joint[k * length : k * length + n]


def sum_pass(
    rows: Any,
    centre: Any,
    theta: Any,
    pairs: Any,
    squares: Any,
    vectors: Any,
    weights: Any,
    out: Any,
) -> Any:
    """R @ phi^T into the (K, P) `out`, the log-likelihood returned; no weights are weights of 1."""
    D, N = rows.shape
    K, P = out.shape
    most, length, lines, joint = strip(theta, D, squares, vectors)
    shares, tops, totals = room(len(joint), theta), room(length, theta), room(length, theta)
    heights, n_lines, n_pairs = len(theta), len(lines) // length, pairs.shape[1]
    single, paired = room(n_lines * heights, out), room(n_pairs * heights, out)
    phi = room(GROUP * length, theta)
    log_likelihood = 0.0
    for start in range(0, N, most):
        n = min(most, N - start)
        padded = centred(rows, start, n, centre, squares, lines, length)
        join(lines, 1 + D + squares, padded, theta, pairs, joint, length)
        own = softmax(joint, K, n, padded, length, shares, tops, totals)
        if len(weights):
            own = weigh(K, n, length, weights, start, tops, totals, shares)
        log_likelihood += own
        gathered(shares, padded, length, lines, pairs, phi, single, paired)
    linear = 1 + D + squares
    for k in range(K):
        for p in range(linear):
            out[k, p] = single[p * heights + k]
        for p in range(linear, P):
            out[k, p] = paired[(p - linear) * heights + k]
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
        types.intp,
        types.intp,
        *more,
    )
    try:
        return njit(signature, nogil=True, cache=True)(function)
    except RuntimeError:  # nowhere to write
        return njit(signature, nogil=True)(function)
