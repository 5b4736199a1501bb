"""The packed E-step as one compiled pass over rows; needs numba, so `compiled` imports it late.

A strip of rows at a time: its phi, its log-joint, the softmax and its share of the sums, all in the
processor's nearest caches. Everything is written for vectors of rows (`lanes`); loops over rows
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

PAIR = 2  # components are padded to this
CHUNK = 160  # entries of phi at a time: a tile's 15 KiB of them stay in the nearest cache


# -- the pass -----------------------------------------------------------------------------------
OUTER, AXIS, TRACE, NOTHING = range(4)  # what the monomials are


@njit(nogil=True)
def fill(rows: Any, start: Any, stop: Any, centre: Any, kind: Any, phi: Any, length: Any) -> Any:
    """The phi of rows start..stop, one entry to a line of `length`; phi[0] is 1 already.

    What pads the last panel is left over from earlier rows; `softmax` gives it no share.
    """
    D, n, width = len(rows), stop - start, width_of(phi)
    full, panel = n // width * width, width * TILE
    padded = (n + panel - 1) // panel * panel
    across, along = rows.strides[0] // rows.itemsize, rows.strides[1] // rows.itemsize
    for b in range(0, full, width):
        for d in range(D):
            own = gather(rows, d * across + (start + b) * along, along, centre[d], phi)
            store(phi, (1 + d) * length + b, own)
    for d in range(D):
        line = (1 + d) * length
        for b in range(full, n):
            phi[line + b] = np.float64(rows[d, start + b]) - centre[d]
    line = (1 + D) * length
    if kind == OUTER:
        for i in range(D):
            for j in range(i, D):
                for b in range(0, padded, width):
                    left = load(phi, (1 + i) * length + b)
                    store(phi, line + b, multiply(left, load(phi, (1 + j) * length + b)))
                line += length
    elif kind == AXIS:
        for i in range(D):
            for b in range(0, padded, width):
                own = load(phi, (1 + i) * length + b)
                store(phi, line + b, multiply(own, own))
            line += length
    elif kind == TRACE:
        for b in range(0, padded, width):
            square = every(0.0, phi)
            for i in range(D):
                own = load(phi, (1 + i) * length + b)
                square = add(square, multiply(own, own))
            store(phi, line + b, square)
    return padded


@njit(nogil=True)
def softmax(joint: Any, K: Any, n: Any, padded: Any, length: Any, shares: Any) -> Any:
    """The strip's log-joint into responsibilities, as `emgmm.expectation.softmax` has it.

    Its log-likelihood comes back. The totals lie between 1 and K, and the strip's `length` is such
    that the product of a lane's does not overflow float64: one logarithm serves for all.
    """
    width, least = width_of(joint), least_of(joint)
    for k in range(K):  # rows that are not there: all to the first component, at 0
        for b in range(n, padded):
            joint[k * length + b] = least if k else 0.0
    floor, one = every(floor_of(joint), joint), every(1.0, joint)
    tops, product = doubled(every(0.0, joint)), doubled(one)
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
            share_0 = where_above(floor, gap_0, exponential(at_least(gap_0, floor)))
            share_1 = where_above(floor, gap_1, exponential(at_least(gap_1, floor)))
            share_2 = where_above(floor, gap_2, exponential(at_least(gap_2, floor)))
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
        tops = add(add(tops, doubled(top_0)), add(doubled(top_1), doubled(top_2)))
    for k in range(K):
        for b in range(n, padded):
            shares[k * length + b] = 0.0
    log_likelihood = 0.0
    for i in range(width):
        log_likelihood += lane(tops, i) + math.log(lane(product, i))
    return log_likelihood


@njit(nogil=True)
def weigh(joint: Any, K: Any, n: Any, length: Any, weights: Any, start: Any, shares: Any) -> Any:
    """Each row's shares times its weight; the weighted log-likelihood comes back.

    log p(x) is the log-joint of any component less the logarithm of its share: of the largest.
    """
    log_likelihood = 0.0
    for b in range(n):
        top = 0
        for k in range(1, K):
            if shares[k * length + b] > shares[top * length + b]:
                top = k
        weight, at = weights[start + b], top * length + b
        log_likelihood += weight * (joint[at] - math.log(shares[at]))
        for k in range(K):
            shares[k * length + b] *= weight
    return log_likelihood


@njit(nogil=True)
def join(
    rows: Any,
    start: Any,
    stop: Any,
    centre: Any,
    kind: Any,
    phi: Any,
    length: Any,
    theta: Any,
    heights: Any,
    entries: Any,
    joint: Any,
) -> Any:
    """The phi of rows start..stop and their log-joint, a component to a line of `length`."""
    padded = fill(rows, start, stop, centre, kind, phi, length)
    for begin in range(0, entries, CHUNK):
        end = min(entries, begin + CHUNK)
        for b in range(0, padded, width_of(phi) * TILE):
            for k in range(0, heights - 3, 4):
                joint_4(theta, k, entries, begin, end, phi, b, length, joint)
            if heights % 4:
                joint_2(theta, heights - 2, entries, begin, end, phi, b, length, joint)
    return padded


@njit(nogil=True)
def strip(theta: Any, vectors: Any) -> Any:
    """Rows of a strip, its phi and its log-joint, before there is anything in them."""
    heights, entries = theta.shape
    length = vectors * width_of(theta)
    phi = np.zeros(entries * length, theta.dtype)
    phi[:length] = 1.0
    return length, phi, np.empty(heights * length, theta.dtype)


def joint_pass(rows: Any, centre: Any, theta: Any, kind: Any, vectors: Any, joint: Any) -> Any:
    """The log-joint into `joint`; `theta` is padded to whole tiles."""
    K, N = joint.shape
    heights, entries = theta.shape
    flat_theta = theta.reshape(heights * entries)
    length, phi, own = strip(theta, vectors)
    for start in range(0, N, length):
        stop = min(N, start + length)
        join(rows, start, stop, centre, kind, phi, length, flat_theta, heights, entries, own)
        for k in range(K):
            joint[k, start:stop] = own[k * length : k * length + stop - start]


def label_pass(
    rows: Any, centre: Any, theta: Any, kind: Any, vectors: Any, K: Any, labels: Any
) -> Any:
    """The number of each row's largest log-joint into `labels`, the first of equals."""
    N = len(labels)
    heights, entries = theta.shape
    flat_theta = theta.reshape(heights * entries)
    length, phi, joint = strip(theta, vectors)
    top = np.empty(length, theta.dtype)
    for start in range(0, N, length):
        n = min(N, start + length) - start
        join(rows, start, start + n, centre, kind, phi, length, flat_theta, heights, entries, joint)
        own = labels[start : start + n]
        for b in range(n):
            top[b], own[b] = joint[b], 0
        for k in range(1, K):
            for b in range(n):
                above = joint[k * length + b] > top[b]
                own[b] = k if above else own[b]
                top[b] = joint[k * length + b] if above else top[b]


def packed_pass(
    rows: Any, centre: Any, theta: Any, kind: Any, vectors: Any, weights: Any, sums: Any
) -> Any:
    """Sums into `sums`, the log-likelihood returned; no weights are weights of 1."""
    K, P = sums.shape
    N = rows.shape[1]
    heights, entries = theta.shape
    flat_theta = theta.reshape(heights * entries)
    length, phi, joint = strip(theta, vectors)
    shares = np.zeros(heights * length, theta.dtype)
    lanes = width_of(sums)
    totals = np.zeros(heights * entries * lanes)
    log_likelihood = 0.0
    for start in range(0, N, length):
        stop = min(N, start + length)
        padded = join(
            rows, start, stop, centre, kind, phi, length, flat_theta, heights, entries, joint
        )
        own = softmax(joint, K, stop - start, padded, length, shares)
        if len(weights):
            own = weigh(joint, K, stop - start, length, weights, start, shares)
        log_likelihood += own
        for p in range(0, entries, TILE):
            for k in range(0, heights - 3, 4):
                sums_4(shares, k, phi, p, padded, length, entries, totals)
            if heights % 4:
                sums_2(shares, heights - 2, phi, p, padded, length, entries, totals)
    for k in range(K):
        for p in range(P):
            at = (k * entries + p) * lanes
            sums[k, p] = (totals[at] + totals[at + 1]) + (totals[at + 2] + totals[at + 3])
    return log_likelihood


def arguments(row: str, number: str) -> tuple[Any, ...]:
    """What both passes begin with: rows, centre, theta, kind, vectors."""
    return (
        types.Array(from_dtype(np.dtype(row)), 2, "A", readonly=True),
        types.Array(types.float64, 1, "C", readonly=True),
        types.Array(from_dtype(np.dtype(number)), 2, "C", readonly=True),
        types.intp,
        types.intp,
    )


def compiled(function: Any, signature: Any) -> Any:
    """A pass, compiled; on disk where there is a place."""
    try:
        return njit(signature, nogil=True, cache=True)(function)
    except RuntimeError:  # nowhere to write
        return njit(signature, nogil=True)(function)


@cache
def pass_for(row: str, number: str) -> Any:
    """`packed_pass` for types of rows and of theta."""
    weights = types.Array(types.float64, 1, "C", readonly=True)
    sums = types.Array(types.float64, 2, "C")
    return compiled(packed_pass, types.float64(*arguments(row, number), weights, sums))


@cache
def label_for(row: str, number: str) -> Any:
    """`label_pass` for types of rows and of theta."""
    labels = types.Array(types.int64, 1, "C")
    return compiled(label_pass, types.void(*arguments(row, number), types.intp, labels))


@cache
def joint_for(row: str, number: str) -> Any:
    """`joint_pass` for types of rows and of theta."""
    joint = types.Array(from_dtype(np.dtype(number)), 2, "C")
    return compiled(joint_pass, types.void(*arguments(row, number), joint))
