"""The expanded E-step compiled by numba, as functions of a block of rows.

A block is processed in strips of rows: the log-joint of a strip, its softmax, its monomials and its
contribution to the sums all stay in the core's caches. The code is written in terms of vectors of
rows (`simd`), because loops that the compiler vectorises by itself are slower by half. Products may
be contracted into fused multiply-adds; otherwise operations are executed in the order in which they
are written, so that the sums of a block depend on the block alone.

A strip is stored as `inputs`, one array per entry of (1, y, squares), where y are the centred rows;
the other monomials are products of two of these. Consecutive arrays are `length` numbers apart.

Numbers have the precision of the natural parameters. In float32, a lane adds up the rows of one
strip, about a hundred; the sums over strips and the log-likelihood are in float64.

numba's cache on disk is keyed by the text of this file, which includes the others' in `MADE_OF`.
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
    broadcast,
    divide,
    exponential,
    floor_of,
    gather,
    lane,
    least_of,
    load,
    maximum,
    multiply,
    select_above,
    store,
    subtract,
    to_double,
    width_of,
)
from emgmm.estep.compiled.tiles import TILE, linear_2, linear_4, nested_2, nested_4, sums_2, sums_4

# Digest of simd, softmax and tiles; a test fails and prints the new value if they change.
MADE_OF = "ab3efd9b2dce"
VECTOR = REGISTER // 8  # bytes
CACHE_LINE = 64  # bytes
PAIR = 2  # the number of components is padded to a multiple of this
GROUP = 2 * TILE  # monomials that fit into the first-level cache, with four arrays of resp


# -- steps of a pass ----------------------------------------------------------------------------


@njit(nogil=True)
def load_strip(
    rows: Any, start: Any, n: Any, centre: Any, squares: Any, inputs: Any, length: Any
) -> Any:
    """Write y and its squares y_d^2, or y . y if `squares` is 1, into `inputs`.

    The constant 1 is already there. The padding of the last tile keeps the values of earlier rows;
    `softmax` sets its responsibilities to zero.
    """
    D, width = len(rows), width_of(inputs)
    full, tile = n // width * width, width * TILE
    padded = (n + tile - 1) // tile * tile
    across, along = rows.strides[0] // rows.itemsize, rows.strides[1] // rows.itemsize
    for b in range(0, full, width):
        for d in range(D):
            value = gather(rows, d * across + (start + b) * along, along, centre[d], inputs)
            store(inputs, (1 + d) * length + b, value)
    for d in range(D):
        at = (1 + d) * length
        for b in range(full, n):
            inputs[at + b] = np.float64(rows[d, start + b]) - centre[d]
    if squares == D:
        for d in range(D):
            for b in range(0, padded, width):
                value = load(inputs, (1 + d) * length + b)
                store(inputs, (1 + D + d) * length + b, multiply(value, value))
    elif squares == 1:
        for b in range(0, padded, width):
            square = broadcast(0.0, inputs)
            for d in range(D):
                value = load(inputs, (1 + d) * length + b)
                square = add(square, multiply(value, value))
            store(inputs, (1 + D) * length + b, square)
    return padded


@njit(nogil=True)
def multiply_pairs(
    inputs: Any, length: Any, padded: Any, pairs: Any, begin: Any, end: Any, monomials: Any
) -> Any:
    """Write the monomials begin..end, products of pairs of inputs, into `monomials`."""
    width = width_of(inputs)
    for p in range(begin, end):
        left, right, to = pairs[0, p] * length, pairs[1, p] * length, (p - begin) * length
        for i in range(0, padded, width * TILE):
            j, k = i + width, i + 2 * width
            store(monomials, to + i, multiply(load(inputs, left + i), load(inputs, right + i)))
            store(monomials, to + j, multiply(load(inputs, left + j), load(inputs, right + j)))
            store(monomials, to + k, multiply(load(inputs, left + k), load(inputs, right + k)))


@njit(nogil=True)
def softmax(
    log_joint: Any, K: Any, n: Any, padded: Any, length: Any, resp: Any, tops: Any, totals: Any
) -> Any:
    """Write the responsibilities of a strip, as `emgmm.estep.softmax`; return its log-likelihood.

    That of a row is its top plus the logarithm of its total, which are also written. The totals lie
    between 1 and K, and the strip's length is limited so that the product of a lane's totals does
    not overflow float64: one logarithm per lane suffices.
    """
    width, least = width_of(log_joint), least_of(log_joint)
    for k in range(K):  # padding: log-joint 0 for the first component only
        for b in range(n, padded):
            log_joint[k * length + b] = least if k else 0.0
    floor, one = broadcast(floor_of(log_joint), log_joint), broadcast(1.0, log_joint)
    zero, minus_inf = broadcast(0.0, log_joint), broadcast(-math.inf, log_joint)
    sum_of_tops, product = to_double(zero), to_double(one)
    for b in range(0, padded, width * TILE):
        top_0 = top_1 = top_2 = broadcast(least, log_joint)
        for k in range(K):
            at = k * length + b
            top_0 = maximum(load(log_joint, at), top_0)
            top_1 = maximum(load(log_joint, at + width), top_1)
            top_2 = maximum(load(log_joint, at + 2 * width), top_2)
        total_0 = total_1 = total_2 = broadcast(0.0, log_joint)
        for k in range(K):
            at = k * length + b
            gap_0 = subtract(load(log_joint, at), top_0)
            gap_1 = subtract(load(log_joint, at + width), top_1)
            gap_2 = subtract(load(log_joint, at + 2 * width), top_2)
            resp_0 = select_above(floor, gap_0, exponential(maximum(gap_0, floor)), zero)
            resp_1 = select_above(floor, gap_1, exponential(maximum(gap_1, floor)), zero)
            resp_2 = select_above(floor, gap_2, exponential(maximum(gap_2, floor)), zero)
            total_0, total_1 = add(total_0, resp_0), add(total_1, resp_1)
            total_2 = add(total_2, resp_2)
            store(resp, at, resp_0)
            store(resp, at + width, resp_1)
            store(resp, at + 2 * width, resp_2)
        # The total includes exp(0) = 1 of the top; it is 0 if the log-joint is -inf everywhere.
        top_0 = select_above(zero, total_0, top_0, minus_inf)
        top_1 = select_above(zero, total_1, top_1, minus_inf)
        top_2 = select_above(zero, total_2, top_2, minus_inf)
        total_0, total_1 = maximum(total_0, one), maximum(total_1, one)
        total_2 = maximum(total_2, one)
        scale_0, scale_1, scale_2 = divide(one, total_0), divide(one, total_1), divide(one, total_2)
        for k in range(K):
            at = k * length + b
            store(resp, at, multiply(load(resp, at), scale_0))
            store(resp, at + width, multiply(load(resp, at + width), scale_1))
            store(resp, at + 2 * width, multiply(load(resp, at + 2 * width), scale_2))
        product = multiply(
            multiply(product, to_double(total_0)), multiply(to_double(total_1), to_double(total_2))
        )
        sum_of_tops = add(
            add(sum_of_tops, to_double(top_0)), add(to_double(top_1), to_double(top_2))
        )
        store(tops, b, top_0)
        store(tops, b + width, top_1)
        store(tops, b + 2 * width, top_2)
        store(totals, b, total_0)
        store(totals, b + width, total_1)
        store(totals, b + 2 * width, total_2)
    for k in range(K):
        for b in range(n, padded):
            resp[k * length + b] = 0.0
    log_likelihood = 0.0
    for i in range(width):
        log_likelihood += lane(sum_of_tops, i) + math.log(lane(product, i))
    return log_likelihood


@njit(nogil=True)
def apply_weights(
    K: Any, n: Any, length: Any, weights: Any, start: Any, tops: Any, totals: Any, resp: Any
) -> Any:
    """Multiply responsibilities by the rows' weights; return the weighted log-likelihood."""
    log_likelihood = 0.0
    for b in range(n):
        weight = weights[start + b]
        log_likelihood += weight * (tops[b] + math.log(totals[b]))
        for k in range(K):
            resp[k * length + b] *= weight
    return log_likelihood


@njit(nogil=True)
def compute_log_joint(
    inputs: Any, n_inputs: Any, padded: Any, params: Any, pairs: Any, log_joint: Any, length: Any
) -> Any:
    """Write the log-joint of a strip, one array per component."""
    K_padded, entries = params.shape
    flat = params.reshape(K_padded * entries)
    last = K_padded - PAIR
    for b in range(0, padded, width_of(inputs) * TILE):
        if pairs.size:
            for k in range(0, K_padded - 3, 4):
                nested_4(flat, k, entries, inputs, n_inputs, log_joint, length, b)
            if K_padded % 4:
                nested_2(flat, last, entries, inputs, n_inputs, log_joint, length, b)
        else:
            for k in range(0, K_padded - 3, 4):
                linear_4(flat, k, entries, inputs, n_inputs, log_joint, length, b)
            if K_padded % 4:
                linear_2(flat, last, entries, inputs, n_inputs, log_joint, length, b)


@njit(nogil=True)
def add_sums(
    resp: Any,
    length: Any,
    padded: Any,
    features: Any,
    begin: Any,
    end: Any,
    K_padded: Any,
    totals: Any,
) -> Any:
    """Add R @ features^T for the entries begin..end to the totals, (entries, components).

    `features` starts with entry `begin`.
    """
    for k in range(0, K_padded - 3, 4):
        for p in range(begin, end, TILE):
            at = (p - begin) * length
            sums_4(resp, length, k, features, at, p, padded, K_padded, totals)
    if K_padded % 4:
        for p in range(begin, end, TILE):
            at = (p - begin) * length
            sums_2(resp, length, K_padded - PAIR, features, at, p, padded, K_padded, totals)


@njit(nogil=True)
def add_strip_sums(
    resp: Any,
    padded: Any,
    length: Any,
    inputs: Any,
    pairs: Any,
    monomials: Any,
    single: Any,
    paired: Any,
) -> Any:
    """Add a strip's R @ inputs^T and R @ monomials^T to the totals `single` and `paired`."""
    n_inputs = len(inputs) // length
    K_padded = len(single) // n_inputs
    for p in range(0, n_inputs, TILE):
        add_sums(resp, length, padded, inputs[p * length :], p, p + TILE, K_padded, single)
    for begin in range(0, pairs.shape[1], GROUP):
        end = min(pairs.shape[1], begin + GROUP)
        multiply_pairs(inputs, length, padded, pairs, begin, end, monomials)
        add_sums(resp, length, padded, monomials, begin, end, K_padded, paired)


@njit(nogil=True)
def zeros(size: Any, like: Any) -> Any:
    """Return zeros of the type of `like`, aligned to the lines of the cache.

    An unaligned vector of the length of a line would need two loads.
    """
    per_line = CACHE_LINE // like.itemsize
    array = np.zeros(size + per_line, like.dtype)
    start = -(array.ctypes.data // like.itemsize) % per_line
    return array[start : start + size]


@njit(nogil=True)
def allocate_strip(params: Any, D: Any, squares: Any, vectors: Any) -> Any:
    """Return the number of rows of a strip, the length of its arrays, its inputs and log-joint.

    The length is an odd number of cache lines, so that the same row of all arrays is spread over
    all sets of the cache.
    """
    rows, per_line = vectors * width_of(params), CACHE_LINE // params.itemsize
    length = ((rows + per_line - 1) // per_line | 1) * per_line
    inputs = zeros((1 + D + squares + TILE - 1) // TILE * TILE * length, params)
    inputs[:length] = 1.0
    return rows, length, inputs, zeros(len(params) * length, params)


def label_pass(
    rows: Any, centre: Any, params: Any, pairs: Any, squares: Any, vectors: Any, K: Any, out: Any
) -> Any:
    """Write the most probable component of each row into `out`, as `base.most_probable`."""
    D, N = rows.shape
    max_rows, length, inputs, log_joint = allocate_strip(params, D, squares, vectors)
    numbers, least = np.empty(length, params.dtype), least_of(params)
    for start in range(0, N, max_rows):
        n = min(max_rows, N - start)
        padded = load_strip(rows, start, n, centre, squares, inputs, length)
        compute_log_joint(inputs, 1 + D + squares, padded, params, pairs, log_joint, length)
        for b in range(0, padded, width_of(log_joint)):
            top, number = broadcast(least, log_joint), broadcast(0.0, log_joint)
            for i in range(1, K + 1):  # descending, so that the first of equals is kept
                value = load(log_joint, (K - i) * length + b)
                number = select_above(value, top, number, broadcast(float(K - i), log_joint))
                top = maximum(top, value)
            store(numbers, b, number)
        for b in range(n):
            out[start + b] = int(numbers[b])


def responsibility_pass(
    rows: Any, centre: Any, params: Any, pairs: Any, squares: Any, vectors: Any, out: Any
) -> Any:
    """Write the responsibilities into the (N, K) `out`."""
    D, N = rows.shape
    K = out.shape[1]
    max_rows, length, inputs, log_joint = allocate_strip(params, D, squares, vectors)
    resp, tops, totals = zeros(len(log_joint), params), zeros(length, params), zeros(length, params)
    for start in range(0, N, max_rows):
        n = min(max_rows, N - start)
        padded = load_strip(rows, start, n, centre, squares, inputs, length)
        compute_log_joint(inputs, 1 + D + squares, padded, params, pairs, log_joint, length)
        softmax(log_joint, K, n, padded, length, resp, tops, totals)
        for b in range(n):
            for k in range(K):
                out[start + b, k] = resp[k * length + b]


def density_pass(
    rows: Any, centre: Any, params: Any, pairs: Any, squares: Any, vectors: Any, K: Any, out: Any
) -> Any:
    """Write the log-density of each row into `out`."""
    D, N = rows.shape
    max_rows, length, inputs, log_joint = allocate_strip(params, D, squares, vectors)
    resp, tops, totals = zeros(len(log_joint), params), zeros(length, params), zeros(length, params)
    for start in range(0, N, max_rows):
        n = min(max_rows, N - start)
        padded = load_strip(rows, start, n, centre, squares, inputs, length)
        compute_log_joint(inputs, 1 + D + squares, padded, params, pairs, log_joint, length)
        softmax(log_joint, K, n, padded, length, resp, tops, totals)
        for b in range(n):
            out[start + b] = tops[b] + math.log(totals[b])


def log_joint_pass(
    rows: Any, centre: Any, params: Any, pairs: Any, squares: Any, vectors: Any, out: Any
) -> Any:
    """Write the log-joint into the (K, N) `out`."""
    D, N = rows.shape
    max_rows, length, inputs, log_joint = allocate_strip(params, D, squares, vectors)
    for start in range(0, N, max_rows):
        n = min(max_rows, N - start)
        padded = load_strip(rows, start, n, centre, squares, inputs, length)
        compute_log_joint(inputs, 1 + D + squares, padded, params, pairs, log_joint, length)
        for k in range(len(out)):
            out[k, start : start + n] = log_joint[k * length : k * length + n]


def sum_pass(
    rows: Any,
    centre: Any,
    params: Any,
    pairs: Any,
    squares: Any,
    vectors: Any,
    weights: Any,
    out: Any,
) -> Any:
    """Write R @ phi^T into the (K, P) `out`; return the log-likelihood.

    An empty array of weights stands for weights of 1.
    """
    D, N = rows.shape
    K, P = out.shape
    max_rows, length, inputs, log_joint = allocate_strip(params, D, squares, vectors)
    resp, tops, totals = zeros(len(log_joint), params), zeros(length, params), zeros(length, params)
    K_padded, n_inputs, n_pairs = len(params), len(inputs) // length, pairs.shape[1]
    single, paired = zeros(n_inputs * K_padded, out), zeros(n_pairs * K_padded, out)
    monomials = zeros(GROUP * length, params)
    log_likelihood = 0.0
    for start in range(0, N, max_rows):
        n = min(max_rows, N - start)
        padded = load_strip(rows, start, n, centre, squares, inputs, length)
        compute_log_joint(inputs, 1 + D + squares, padded, params, pairs, log_joint, length)
        strip_log_likelihood = softmax(log_joint, K, n, padded, length, resp, tops, totals)
        if len(weights):
            strip_log_likelihood = apply_weights(K, n, length, weights, start, tops, totals, resp)
        log_likelihood += strip_log_likelihood
        add_strip_sums(resp, padded, length, inputs, pairs, monomials, single, paired)
    linear = 1 + D + squares
    for k in range(K):
        for p in range(linear):
            out[k, p] = single[p * K_padded + k]
        for p in range(linear, P):
            out[k, p] = paired[(p - linear) * K_padded + k]
    return log_likelihood


def functions(number: str) -> dict[str, tuple[Any, ...]]:
    """Return the functions by name, with the types of the result and of further arguments."""
    number_type = from_dtype(np.dtype(number))
    weights = types.Array(types.float64, 1, "C", readonly=True)
    return {
        "labels": (label_pass, types.void, types.intp, types.Array(types.int64, 1, "C")),
        "responsibilities": (responsibility_pass, types.void, types.Array(number_type, 2, "C")),
        "log_densities": (density_pass, types.void, types.intp, types.Array(number_type, 1, "C")),
        "log_joint": (log_joint_pass, types.void, types.Array(number_type, 2, "C")),
        "sums": (sum_pass, types.float64, weights, types.Array(types.float64, 2, "C")),
    }


@cache
def compiled(name: str, row: str, number: str) -> Any:
    """Return a function compiled for the types of rows and parameters, from the cache on disk."""
    function, returned, *more = functions(number)[name]
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
    except RuntimeError:  # no writable directory for the cache
        return njit(signature, nogil=True)(function)
