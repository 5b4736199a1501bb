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
    logarithm,
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
MADE_OF = "4cb467ef3add"
VECTOR = REGISTER // 8  # bytes
CACHE_LINE = 64  # bytes
PAIR = 2  # the number of components is padded to a multiple of this
GROUP = 2 * TILE  # monomials that fit into the first-level cache, with four arrays of resp


# -- steps of a pass ----------------------------------------------------------------------------


@njit(nogil=True)
def load_tile(array: Any, at: Any) -> Any:
    """Load the `TILE` vectors that start at an element of a flat array."""
    width = width_of(array)
    return load(array, at), load(array, at + width), load(array, at + 2 * width)


@njit(nogil=True)
def store_tile(array: Any, at: Any, tile: Any) -> Any:
    """Store `TILE` vectors that start at an element of a flat array."""
    for i in range(TILE):
        store(array, at + i * width_of(array), tile[i])


@njit(nogil=True)
def fill_tile(value: Any, array: Any) -> Any:
    """Return `TILE` vectors of an array's type with a scalar in every lane."""
    vector = broadcast(value, array)
    return vector, vector, vector


@njit(nogil=True)
def load_strip(
    rows: Any, start: Any, n: Any, centre: Any, inputs: Any, n_inputs: Any, length: Any
) -> Any:
    """Write y and its squares y_d^2, or y . y if there is one square, into `inputs`.

    The constant 1 is already there. The padding of the last tile keeps the values of earlier rows;
    `softmax` sets its responsibilities to zero.
    """
    D, width = len(rows), width_of(inputs)
    squares = n_inputs - 1 - D
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
    for p in range(begin, end):
        left, right, to = pairs[0, p] * length, pairs[1, p] * length, (p - begin) * length
        for i in range(0, padded, width_of(inputs) * TILE):
            product = multiply(load_tile(inputs, left + i), load_tile(inputs, right + i))
            store_tile(monomials, to + i, product)


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
    floor, one = fill_tile(floor_of(log_joint), log_joint), fill_tile(1.0, log_joint)
    zero, minus_inf = fill_tile(0.0, log_joint), fill_tile(-math.inf, log_joint)
    sum_of_tops, product = to_double(zero[0]), to_double(one[0])
    for b in range(0, padded, width * TILE):
        top, total = fill_tile(least, log_joint), zero
        for k in range(K):
            top = maximum(load_tile(log_joint, k * length + b), top)
        for k in range(K):
            gap = subtract(load_tile(log_joint, k * length + b), top)
            share = select_above(floor, gap, exponential(maximum(gap, floor)), zero)
            total = add(total, share)
            store_tile(resp, k * length + b, share)
        # The total includes exp(0) = 1 of the top; it is 0 if the log-joint is -inf everywhere.
        top, total = select_above(zero, total, top, minus_inf), maximum(total, one)
        scale = divide(one, total)
        for k in range(K):
            at = k * length + b
            store_tile(resp, at, multiply(load_tile(resp, at), scale))
        store_tile(tops, b, top)
        store_tile(totals, b, total)
        first, second, third = to_double(total)
        product = multiply(multiply(product, first), multiply(second, third))
        first, second, third = to_double(top)
        sum_of_tops = add(add(sum_of_tops, first), add(second, third))
    for k in range(K):
        for b in range(n, padded):
            resp[k * length + b] = 0.0
    log_likelihood = 0.0
    for i in range(width):
        log_likelihood += lane(sum_of_tops, i) + math.log(lane(product, i))
    return log_likelihood


@njit(nogil=True)
def log_densities_of(tops: Any, totals: Any, padded: Any) -> Any:
    """Return `tops` after adding the logarithms of `totals`, the log-densities of a strip."""
    for b in range(0, padded, width_of(tops)):
        store(tops, b, add(load(tops, b), logarithm(load(totals, b))))
    return tops


@njit(nogil=True)
def apply_weights(K: Any, length: Any, weights: Any, log_densities: Any, resp: Any) -> Any:
    """Multiply responsibilities by the weights of the rows; return the weighted log-likelihood."""
    log_likelihood = 0.0
    for b in range(len(weights)):
        log_likelihood += weights[b] * log_densities[b]
    for k in range(K):
        of_component = resp[k * length : k * length + len(weights)]
        for b in range(len(weights)):
            of_component[b] *= weights[b]
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
def add_sums_of_strip(
    resp: Any,
    padded: Any,
    length: Any,
    inputs: Any,
    n_inputs: Any,
    pairs: Any,
    monomials: Any,
    K_padded: Any,
    linear: Any,
    paired: Any,
) -> Any:
    """Add R @ phi^T of a strip to the sums of the inputs and to those of the pairs.

    In a function of its own it is faster by 8%, because more of its variables stay in registers.
    """
    for p in range(0, n_inputs, TILE):
        add_sums(resp, length, padded, inputs[p * length :], p, p + TILE, K_padded, linear)
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
def allocate_strip(rows: Any, params: Any, pairs: Any, vectors: Any) -> Any:
    """Return the number of rows of a strip, the length of its arrays, and these.

    The arrays are the inputs, after their number, and the log-joint. The length is an odd number of
    cache lines, so that the same row of all arrays is spread over all sets of the cache.
    """
    max_rows, per_line = vectors * width_of(params), CACHE_LINE // params.itemsize
    length = ((max_rows + per_line - 1) // per_line | 1) * per_line
    n_inputs = 1 + len(rows) if pairs.size else params.shape[1]
    inputs = zeros((n_inputs + TILE - 1) // TILE * TILE * length, params)
    inputs[:length] = 1.0
    return max_rows, length, n_inputs, inputs, zeros(len(params) * length, params)


# -- passes over the rows of a block, for K components, the others being padding -----------------


def label_pass(
    rows: Any, centre: Any, params: Any, pairs: Any, vectors: Any, K: Any, out: Any
) -> Any:
    """Write the most probable component of each row into `out`, as `base.most_probable`."""
    max_rows, length, n_inputs, inputs, log_joint = allocate_strip(rows, params, pairs, vectors)
    numbers, least = np.empty(length, params.dtype), least_of(params)
    for start in range(0, rows.shape[1], max_rows):
        n = min(max_rows, rows.shape[1] - start)
        padded = load_strip(rows, start, n, centre, inputs, n_inputs, length)
        compute_log_joint(inputs, n_inputs, padded, params, pairs, log_joint, length)
        for b in range(0, padded, width_of(log_joint)):
            top, number = broadcast(least, log_joint), broadcast(0.0, log_joint)
            for i in range(1, K + 1):  # descending, so that the first of equals is kept
                value = load(log_joint, (K - i) * length + b)
                number = select_above(value, top, number, broadcast(float(K - i), log_joint))
                top = maximum(top, value)
            store(numbers, b, number)
        for b in range(n):
            out[start + b] = int(numbers[b])


def log_joint_pass(
    rows: Any, centre: Any, params: Any, pairs: Any, vectors: Any, K: Any, out: Any
) -> Any:
    """Write the log-joint into the (K, N) `out`."""
    max_rows, length, n_inputs, inputs, log_joint = allocate_strip(rows, params, pairs, vectors)
    for start in range(0, rows.shape[1], max_rows):
        n = min(max_rows, rows.shape[1] - start)
        padded = load_strip(rows, start, n, centre, inputs, n_inputs, length)
        compute_log_joint(inputs, n_inputs, padded, params, pairs, log_joint, length)
        for k in range(K):
            out[k, start : start + n] = log_joint[k * length : k * length + n]


def softmax_pass(
    rows: Any, centre: Any, params: Any, pairs: Any, vectors: Any, K: Any, out: Any
) -> Any:
    """Write the log-densities into the (N,) `out`, or the responsibilities into the (N, K) one."""
    max_rows, length, n_inputs, inputs, log_joint = allocate_strip(rows, params, pairs, vectors)
    resp, tops, totals = zeros(len(log_joint), params), zeros(length, params), zeros(length, params)
    for start in range(0, rows.shape[1], max_rows):
        n = min(max_rows, rows.shape[1] - start)
        padded = load_strip(rows, start, n, centre, inputs, n_inputs, length)
        compute_log_joint(inputs, n_inputs, padded, params, pairs, log_joint, length)
        softmax(log_joint, K, n, padded, length, resp, tops, totals)
        if out.ndim == 1:
            out[start : start + n] = log_densities_of(tops, totals, padded)[:n]
        else:
            for b in range(n):
                for k in range(K):
                    out[start + b, k] = resp[k * length + b]


def sum_pass(
    rows: Any, centre: Any, params: Any, pairs: Any, vectors: Any, K: Any, weights: Any, out: Any
) -> Any:
    """Write R @ phi^T into the (K, P) `out`; return the log-likelihood.

    An empty array of weights stands for weights of 1.
    """
    max_rows, length, n_inputs, inputs, log_joint = allocate_strip(rows, params, pairs, vectors)
    resp, tops, totals = zeros(len(log_joint), params), zeros(length, params), zeros(length, params)
    K_padded, n_pairs, monomials = len(params), pairs.shape[1], zeros(GROUP * length, params)
    linear, paired = zeros(len(inputs) // length * K_padded, out), zeros(n_pairs * K_padded, out)
    log_likelihood = 0.0
    for start in range(0, rows.shape[1], max_rows):
        n = min(max_rows, rows.shape[1] - start)
        padded = load_strip(rows, start, n, centre, inputs, n_inputs, length)
        compute_log_joint(inputs, n_inputs, padded, params, pairs, log_joint, length)
        strip_log_likelihood = softmax(log_joint, K, n, padded, length, resp, tops, totals)
        if len(weights):
            log_densities = log_densities_of(tops, totals, padded)
            strip_log_likelihood = apply_weights(
                K, length, weights[start : start + n], log_densities, resp
            )
        log_likelihood += strip_log_likelihood
        add_sums_of_strip(
            resp, padded, length, inputs, n_inputs, pairs, monomials, K_padded, linear, paired
        )
    for k in range(K):
        for p in range(n_inputs):
            out[k, p] = linear[p * K_padded + k]
        for p in range(n_inputs, out.shape[1]):
            out[k, p] = paired[(p - n_inputs) * K_padded + k]
    return log_likelihood


sums_of_problem = njit(nogil=True)(sum_pass)


def stacked_sum_pass(
    rows: Any,
    centre: Any,
    params: Any,
    pairs: Any,
    vectors: Any,
    K: Any,
    weights: Any,
    log_likelihoods: Any,
    out: Any,
) -> Any:
    """Write R @ phi^T of each of B problems into the (B, K, P) `out`, and the log-likelihoods.

    The rows are (D, B, N), and the weights (B, N), or (B, 0) for weights of 1.
    """
    for b in range(len(params)):
        log_likelihoods[b] = sums_of_problem(
            rows[:, b], centre, params[b], pairs, vectors, K, weights[b], out[b]
        )


def compiled(name: str, row: str, number: str) -> Any:
    """Return a pass compiled for the types of rows and parameters, from the cache on disk."""
    float_, int_ = from_dtype(np.dtype(number)), types.intp
    weights = types.Array(types.float64, 1, "C", readonly=True)
    weights_of_many = types.Array(types.float64, 2, "C", readonly=True)
    function, *more = {
        "labels": (label_pass, types.int64[::1]),
        "log_joint": (log_joint_pass, float_[:, ::1]),
        "log_densities": (softmax_pass, float_[::1]),
        "responsibilities": (softmax_pass, float_[:, ::1]),
        "sums": (sum_pass, weights, types.float64[:, ::1]),
        "stacked_sums": (
            *(stacked_sum_pass, weights_of_many),
            *(types.float64[::1], types.float64[:, :, ::1]),
        ),
    }[name]
    ndim = 3 if name == "stacked_sums" else 2
    signature = (
        types.Array(from_dtype(np.dtype(row)), ndim, "A", readonly=True),
        types.Array(types.float64, 1, "C", readonly=True),
        types.Array(float_, ndim, "C", readonly=True),
        types.Array(int_, 2, "C", readonly=True),
        *(int_, int_, *more),
    )
    return compiled_for(signature, function)


def compiled_for(signature: Any, function: Any) -> Any:
    """Return a function compiled for a signature, from the cache on disk."""
    try:
        return njit(signature, nogil=True, cache=True)(function)
    except RuntimeError:  # no writable directory for the cache
        return njit(signature, nogil=True)(function)


# -- sums of a digest ---------------------------------------------------------------------------


@njit(nogil=True)
def add_to(sums: Any, words: Any) -> None:
    """Add each word to the sum with the same number."""
    for i in range(len(words)):
        sums[i] += words[i]


@njit(nogil=True)
def add_words(words: Any, first: Any, sums: Any) -> None:
    """Add consecutive words to the sums, cyclically, from number `first` on.

    Memory is read faster in four places at once than in one.
    """
    period = len(sums)
    add_to(sums[first:], words[: period - first])
    words = words[period - first :]
    while len(words) >= 4 * period:
        a, b, words = words[:period], words[period : 2 * period], words[2 * period :]
        c, d, words = words[:period], words[period : 2 * period], words[2 * period :]
        for i in range(period):
            sums[i] += a[i] + b[i] + c[i] + d[i]
    while len(words):
        add_to(sums, words[:period])
        words = words[period:]


def _add_columns(words: Any, first: Any, shift: Any, sums: Any) -> None:
    """Add (C, B) words to the sums, as `digest.sums_of_columns`."""
    if (words.shape[1] - shift) % len(sums) == 0:
        add_words(words.reshape(-1), first, sums)
    else:
        for column in range(len(words)):
            add_words(words[column], (first + column * shift) % len(sums), sums)


# Compiled with the kernel, so that the first digest does not take longer than others.
words_type = types.Array(types.uint64, 2, "C", readonly=True)
add_columns = compiled_for((words_type, types.intp, types.intp, types.uint64[::1]), _add_columns)
