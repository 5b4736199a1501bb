"""The packed E-step as one compiled pass over rows; needs numba, so `compiled` imports it late.

A strip of rows at a time: its phi, its log-joint, the softmax and its share of the sums, all in the
processor's nearest caches. Everything is written for vectors of four rows (`Lanes`); a loop over
rows that the compiler was left to find vectors in was slower by half, and changed with its mood.
Products may be contracted into fused multiply-adds, and no other liberty is taken: the order of all
additions is the one written here, so a block's sums depend on the block alone.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from emgmm.expectation.softmax import AT_FLOOR, FLOOR, LEAST

WIDTH = 4  # rows to a vector
PAIR = 2  # components are padded to this
TILE = 3  # vectors of a tile: 4 x 3 accumulators, 3 vectors and a scalar fill 16 registers
PANEL = WIDTH * TILE

VECTOR = ir.VectorType(ir.DoubleType(), WIDTH)
BITS = ir.VectorType(ir.IntType(64), WIDTH)
CONTRACT = ("contract",)


class Lanes(types.Type):
    """A vector of `WIDTH` float64."""

    def __init__(self) -> None:
        super().__init__(name=f"float64x{WIDTH}")


lanes = Lanes()


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """Held as the processor holds it."""

    def __init__(self, manager, fe_type) -> None:
        super().__init__(manager, fe_type, VECTOR)


# -- what vectors can do ------------------------------------------------------------------------
def constant(value):
    return ir.Constant(VECTOR, [value] * WIDTH)


def place(context, builder, array_type, array, index):
    """Pointer to a vector that begins at an element of a flat array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), VECTOR.as_pointer())


def fused(builder, a, b, c):
    """a * b + c, rounded once where the processor can."""
    return builder.fadd(builder.fmul(a, b, flags=CONTRACT), c, flags=CONTRACT)


def spread(builder, scalar):
    """A scalar in every lane."""
    single = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), scalar, ir.IntType(32)(0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(single, ir.Constant(VECTOR, ir.Undefined), mask)


@intrinsic
def load(typingctx, array, index):
    def code(context, builder, signature, arguments):
        return builder.load(place(context, builder, signature.args[0], *arguments), align=8)

    return lanes(array, types.intp), code


@intrinsic
def store(typingctx, array, index, vector):
    def code(context, builder, signature, arguments):
        array, index, vector = arguments
        builder.store(vector, place(context, builder, signature.args[0], array, index), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), code


@intrinsic
def gather(typingctx, array, index, step):
    """Elements `step` apart, as float64."""

    def code(context, builder, signature, arguments):
        array, index, step = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        vector = ir.Constant(VECTOR, ir.Undefined)
        for i in range(WIDTH):
            element = builder.load(builder.gep(data, [index]))
            if element.type != ir.DoubleType():
                element = builder.fpext(element, ir.DoubleType())
            vector = builder.insert_element(vector, element, ir.IntType(32)(i))
            index = builder.add(index, step)
        return vector

    return lanes(array, types.intp, types.intp), code


@intrinsic
def every(typingctx, scalar):
    def code(context, builder, signature, arguments):
        return spread(builder, arguments[0])

    return lanes(types.float64), code


@intrinsic
def lane(typingctx, vector, index):
    def code(context, builder, signature, arguments):
        return builder.extract_element(*arguments)

    return types.float64(lanes, types.intp), code


@intrinsic
def add(typingctx, a, b):
    def code(context, builder, signature, arguments):
        return builder.fadd(*arguments)

    return lanes(lanes, lanes), code


@intrinsic
def subtract(typingctx, a, b):
    def code(context, builder, signature, arguments):
        return builder.fsub(*arguments)

    return lanes(lanes, lanes), code


@intrinsic
def multiply(typingctx, a, b):
    def code(context, builder, signature, arguments):
        return builder.fmul(*arguments)

    return lanes(lanes, lanes), code


@intrinsic
def divide(typingctx, a, b):
    def code(context, builder, signature, arguments):
        return builder.fdiv(*arguments)

    return lanes(lanes, lanes), code


@intrinsic
def at_least(typingctx, a, b):
    """The larger of two; a NaN in `a` stays."""

    def code(context, builder, signature, arguments):
        a, b = arguments
        return builder.select(builder.fcmp_ordered(">", b, a), b, a)

    return lanes(lanes, lanes), code


# exp(r) = 1 + r + r^2 q(r) for |r| <= log(2)/2: q interpolates at the Chebyshev points, and what it
# leaves is 2e-17 relative. exp(0) is exactly 1.
EXPONENTIAL = (
    0.5000000000000001,
    0.16666666666666669,
    0.041666666666624164,
    0.008333333333330065,
    0.0013888888917196719,
    0.00019841269863040545,
    2.4801521322368692e-05,
    2.7557268480310024e-06,
    2.7620075879983367e-07,
    2.5100375832561234e-08,
)
LOG2_HIGH, LOG2_LOW = 0.6931471805582987, 1.6465949582897082e-12  # times 10 bits: exact
ROUND = 1.5 * 2.0**52  # added, it leaves a number rounded to an integer, in the lowest bits


@intrinsic
def exponential(typingctx, x):
    """exp(x) for -708 <= x <= 709, to 1.1 ulp; x = n log(2) + r (Cody and Waite)."""

    def code(context, builder, signature, arguments):
        (x,) = arguments
        shifted = fused(builder, x, constant(1.0 / math.log(2.0)), constant(ROUND))
        n = builder.fsub(shifted, constant(ROUND))
        r = fused(builder, n, constant(-LOG2_HIGH), x)
        r = fused(builder, n, constant(-LOG2_LOW), r)
        power, terms = r, [constant(c) for c in EXPONENTIAL]
        while len(terms) > 1:  # Estrin: pairs, then pairs of pairs
            odd = terms[len(terms) // 2 * 2 :]
            pairs = zip(terms[::2], terms[1::2], strict=False)
            terms = [fused(builder, power, high, low) for low, high in pairs] + odd
            power = builder.fmul(power, power)
        square = builder.fmul(r, r)
        mantissa = builder.fadd(fused(builder, square, terms[0], r), constant(1.0))
        exponent = builder.shl(builder.bitcast(shifted, BITS), ir.Constant(BITS, [52] * WIDTH))
        return builder.bitcast(builder.add(builder.bitcast(mantissa, BITS), exponent), VECTOR)

    return lanes(lanes), code


# -- tiles of the two products ------------------------------------------------------------------
def accumulators(builder, height):
    return [[cgutils.alloca_once(builder, VECTOR) for _ in range(TILE)] for _ in range(height)]


def joint_tile(height):
    """Theta @ phi for `height` components and `TILE` vectors of rows."""

    @intrinsic
    def tile(typingctx, theta, k, n_entries, phi, b, length, joint):
        def code(context, builder, signature, arguments):
            theta, k, n_entries, phi, b, length, joint = arguments
            kinds = signature.args
            table = context.make_array(kinds[0])(context, builder, theta).data
            lines = [builder.add(k, k.type(i)) for i in range(height)]
            rows = [builder.mul(line, n_entries) for line in lines]
            sums = accumulators(builder, height)
            for row, line in zip(rows, sums, strict=True):
                first = spread(builder, builder.load(builder.gep(table, [row])))
                for accumulator in line:
                    builder.store(first, accumulator)
            one = k.type(1)
            with cgutils.for_range_slice(builder, one, n_entries, one, k.type) as (p, _):
                begin = builder.add(builder.mul(p, length), b)
                vectors = [
                    builder.load(
                        place(
                            context, builder, kinds[3], phi, builder.add(begin, k.type(WIDTH * v))
                        ),
                        align=8,
                    )
                    for v in range(TILE)
                ]
                for row, line in zip(rows, sums, strict=True):
                    entry = builder.load(builder.gep(table, [builder.add(row, p)]))
                    entry = spread(builder, entry)
                    for vector, accumulator in zip(vectors, line, strict=True):
                        total = fused(builder, entry, vector, builder.load(accumulator))
                        builder.store(total, accumulator)
            for number, line in zip(lines, sums, strict=True):
                begin = builder.add(builder.mul(number, length), b)
                for v, accumulator in enumerate(line):
                    index = builder.add(begin, k.type(WIDTH * v))
                    target = place(context, builder, kinds[6], joint, index)
                    builder.store(builder.load(accumulator), target, align=8)
            return context.get_dummy_value()

        size = types.intp
        return types.void(theta, size, size, phi, size, size, joint), code

    return tile


def sums_tile(height):
    """Add R @ phi^T for `height` components and `TILE` entries, each lane to its own sum."""

    @intrinsic
    def tile(typingctx, shares, k, phi, p, stop, length, n_entries, sums):
        def code(context, builder, signature, arguments):
            shares, k, phi, p, stop, length, n_entries, sums = arguments
            kinds = signature.args
            size = k.type
            lines = [builder.mul(builder.add(k, size(i)), length) for i in range(height)]
            entries = [builder.mul(builder.add(p, size(j)), length) for j in range(TILE)]
            tile = accumulators(builder, height)
            targets = []
            for i, line in enumerate(tile):
                begin = builder.add(builder.mul(builder.add(k, size(i)), n_entries), p)
                for j, accumulator in enumerate(line):
                    index = builder.mul(builder.add(begin, size(j)), size(WIDTH))
                    targets.append(place(context, builder, kinds[7], sums, index))
                    builder.store(constant(0.0), accumulator)
            with cgutils.for_range_slice(builder, size(0), stop, size(WIDTH), size) as (b, _):
                vectors = [
                    builder.load(
                        place(context, builder, kinds[2], phi, builder.add(entry, b)), align=8
                    )
                    for entry in entries
                ]
                for start, line in zip(lines, tile, strict=True):
                    index = builder.add(start, b)
                    share = builder.load(place(context, builder, kinds[0], shares, index), align=8)
                    for vector, accumulator in zip(vectors, line, strict=True):
                        total = fused(builder, share, vector, builder.load(accumulator))
                        builder.store(total, accumulator)
            flat = [accumulator for line in tile for accumulator in line]
            for target, accumulator in zip(targets, flat, strict=True):
                so_far = builder.load(target, align=8)
                builder.store(builder.fadd(so_far, builder.load(accumulator)), target, align=8)
            return context.get_dummy_value()

        size = types.intp
        return types.void(shares, size, phi, size, size, size, size, sums), code

    return tile


joint_4, joint_2 = joint_tile(4), joint_tile(2)
sums_4, sums_2 = sums_tile(4), sums_tile(2)


# -- the pass -----------------------------------------------------------------------------------
OUTER, AXIS, TRACE, NOTHING = range(4)  # what the monomials are


@njit(nogil=True)
def fill(rows, D, start, stop, centre, kind, phi, length):
    """The phi of rows start..stop, one entry to a line of `length`; phi[0] is 1 already."""
    n = stop - start
    full = n // WIDTH * WIDTH
    padded = (n + PANEL - 1) // PANEL * PANEL
    for b in range(0, full, WIDTH):
        for d in range(D):
            own = gather(rows, (start + b) * D + d, D)
            store(phi, (1 + d) * length + b, subtract(own, every(centre[d])))
    for d in range(D):
        line = (1 + d) * length
        for b in range(full, n):
            phi[line + b] = np.float64(rows[(start + b) * D + d]) - centre[d]
        for b in range(n, padded):
            phi[line + b] = 0.0
    line = (1 + D) * length
    if kind == OUTER:
        for i in range(D):
            for j in range(i, D):
                for b in range(0, padded, WIDTH):
                    left = load(phi, (1 + i) * length + b)
                    store(phi, line + b, multiply(left, load(phi, (1 + j) * length + b)))
                line += length
    elif kind == AXIS:
        for i in range(D):
            for b in range(0, padded, WIDTH):
                own = load(phi, (1 + i) * length + b)
                store(phi, line + b, multiply(own, own))
            line += length
    elif kind == TRACE:
        for b in range(0, padded, WIDTH):
            square = every(0.0)
            for i in range(D):
                own = load(phi, (1 + i) * length + b)
                square = add(square, multiply(own, own))
            store(phi, line + b, square)
    return padded


@njit(nogil=True)
def softmax(joint, K, n, padded, length, shares):
    """The strip's log-joint into responsibilities, as `emgmm.expectation.softmax` has it.

    Its log-likelihood comes back. The totals lie between 1 and K, so that a strip's product of them
    is far from overflow and one logarithm serves for all.
    """
    for k in range(K):  # rows that are not there: all to the first component, at 0
        for b in range(n, padded):
            joint[k * length + b] = LEAST if k else 0.0
    tops, product = every(0.0), every(1.0)
    floor, at_floor, one = every(FLOOR), every(AT_FLOOR), every(1.0)
    for b in range(0, padded, PANEL):
        top_0 = top_1 = top_2 = every(LEAST)
        for k in range(K):
            at = k * length + b
            top_0 = at_least(load(joint, at), top_0)
            top_1 = at_least(load(joint, at + WIDTH), top_1)
            top_2 = at_least(load(joint, at + 2 * WIDTH), top_2)
        total_0 = total_1 = total_2 = every(0.0)
        for k in range(K):
            at = k * length + b
            share_0 = exponential(at_least(subtract(load(joint, at), top_0), floor))
            share_1 = exponential(at_least(subtract(load(joint, at + WIDTH), top_1), floor))
            share_2 = exponential(at_least(subtract(load(joint, at + 2 * WIDTH), top_2), floor))
            total_0, total_1 = add(total_0, share_0), add(total_1, share_1)
            total_2 = add(total_2, share_2)
            store(shares, at, subtract(share_0, at_floor))
            store(shares, at + WIDTH, subtract(share_1, at_floor))
            store(shares, at + 2 * WIDTH, subtract(share_2, at_floor))
        scale_0, scale_1, scale_2 = divide(one, total_0), divide(one, total_1), divide(one, total_2)
        for k in range(K):
            at = k * length + b
            store(shares, at, multiply(load(shares, at), scale_0))
            store(shares, at + WIDTH, multiply(load(shares, at + WIDTH), scale_1))
            store(shares, at + 2 * WIDTH, multiply(load(shares, at + 2 * WIDTH), scale_2))
        # Below 1 only where every component is out of reach.
        total_0, total_1 = at_least(total_0, one), at_least(total_1, one)
        product = multiply(multiply(product, total_0), multiply(total_1, at_least(total_2, one)))
        tops = add(add(tops, top_0), add(top_1, top_2))
    for k in range(K):
        for b in range(n, padded):
            shares[k * length + b] = 0.0
    log_likelihood = 0.0
    for i in range(WIDTH):
        log_likelihood += lane(tops, i) + math.log(lane(product, i))
    return log_likelihood


def packed_pass(rows, centre, theta, kind, length, sums):
    """Sums into `sums`, the log-likelihood returned; `theta` is padded to whole tiles."""
    K, P = sums.shape
    N, D = rows.shape
    flat_rows = rows.reshape(N * D)
    heights, entries = theta.shape
    flat_theta = theta.reshape(heights * entries)
    phi = np.zeros(entries * length)
    phi[:length] = 1.0
    joint = np.empty(heights * length)
    shares = np.zeros(heights * length)
    totals = np.zeros(heights * entries * WIDTH)
    log_likelihood = 0.0
    for start in range(0, N, length):
        stop = min(N, start + length)
        padded = fill(flat_rows, D, start, stop, centre, kind, phi, length)
        for b in range(0, padded, PANEL):
            for k in range(0, heights - 3, 4):
                joint_4(flat_theta, k, entries, phi, b, length, joint)
            if heights % 4:
                joint_2(flat_theta, heights - 2, entries, phi, b, length, joint)
        log_likelihood += softmax(joint, K, stop - start, padded, length, shares)
        for p in range(0, entries, TILE):
            for k in range(0, heights - 3, 4):
                sums_4(shares, k, phi, p, padded, length, entries, totals)
            if heights % 4:
                sums_2(shares, heights - 2, phi, p, padded, length, entries, totals)
    for k in range(K):
        for p in range(P):
            at = (k * entries + p) * WIDTH
            sums[k, p] = (totals[at] + totals[at + 1]) + (totals[at + 2] + totals[at + 3])
    return log_likelihood


@cache
def pass_for(code):
    """`packed_pass` compiled for rows of one type; kept on disk where there is a place for it."""
    row_type = types.Array({"d": types.float64, "f": types.float32}[code], 2, "C", readonly=True)
    signature = types.float64(
        row_type,
        types.Array(types.float64, 1, "C", readonly=True),
        types.Array(types.float64, 2, "C", readonly=True),
        types.intp,
        types.intp,
        types.Array(types.float64, 2, "C"),
    )
    try:
        return njit(signature, nogil=True, cache=True)(packed_pass)
    except RuntimeError:  # nowhere to write
        return njit(signature, nogil=True)(packed_pass)


@njit
def exponentials(x):
    """exp of an array, as the kernel takes it: for tests."""
    padded = np.zeros((x.size + WIDTH - 1) // WIDTH * WIDTH)
    padded[: x.size] = x
    for i in range(0, padded.size, WIDTH):
        store(padded, i, exponential(load(padded, i)))
    return padded[: x.size]
