"""Tiles of the kernel's two products: a few components by a few vectors, held in registers."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils

from emgmm.expectation.lanes import (
    fetch,
    folded,
    fused,
    intrinsic,
    lanes_of,
    place,
    put,
    spread,
)

TILE = 3  # vectors of a tile: 4 x 3 accumulators, 3 vectors and a scalar fill 16 registers


def accumulators(builder: Any, height: int, lanes: Any) -> Any:
    """Registers, in the end: a vector for each of `TILE` in each of `height` lines."""
    vector = lanes.vector
    return [[cgutils.alloca_once(builder, vector) for _ in range(TILE)] for _ in range(height)]


def joint_tile(height: int) -> Any:
    """Entries begin..end of theta @ phi for `height` components and `TILE` vectors of rows.

    The first entries start the log-joint (with theta[:, 0], as phi[0] is 1), later ones add to it.
    `phi` begins with entry `begin`; its rows from `at` on are those of the log-joint from `b` on.
    """

    @intrinsic
    def tile(
        typing: Any,
        theta: Any,
        k: Any,
        n_entries: Any,
        begin: Any,
        end: Any,
        phi: Any,
        phi_length: Any,
        at: Any,
        joint: Any,
        length: Any,
        b: Any,
    ) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            theta, k, n_entries, begin, end, phi, phi_length, at, joint, length, b = arguments
            kinds, size, lanes = signature.args, k.type, lanes_of(signature.args[5])
            table = context.make_array(kinds[0])(context, builder, theta).data
            numbers = [builder.add(k, size(i)) for i in range(height)]
            rows = [builder.mul(number, n_entries) for number in numbers]
            targets = []
            for number in numbers:
                start = builder.add(builder.mul(number, length), b)
                indices = [builder.add(start, size(lanes.width * v)) for v in range(TILE)]
                targets.append([place(context, builder, kinds[8], joint, i) for i in indices])
            sums = accumulators(builder, height, lanes)
            fresh = builder.icmp_signed("==", begin, size(0))
            with builder.if_else(fresh) as (then, otherwise):
                with then:
                    for row, line in zip(rows, sums, strict=True):
                        first = spread(builder, builder.load(builder.gep(table, [row])), lanes)
                        for accumulator in line:
                            builder.store(first, accumulator)
                with otherwise:
                    for pointers, line in zip(targets, sums, strict=True):
                        for pointer, accumulator in zip(pointers, line, strict=True):
                            builder.store(fetch(builder, pointer), accumulator)
            after = builder.select(fresh, size(1), begin)
            with cgutils.for_range_slice(builder, after, end, size(1), size) as (p, _):
                start = builder.add(builder.mul(builder.sub(p, begin), phi_length), at)
                indices = [builder.add(start, size(lanes.width * v)) for v in range(TILE)]
                pointers = [place(context, builder, kinds[5], phi, i) for i in indices]
                vectors = [fetch(builder, pointer) for pointer in pointers]
                for row, line in zip(rows, sums, strict=True):
                    entry = builder.load(builder.gep(table, [builder.add(row, p)]))
                    entry = spread(builder, entry, lanes)
                    for vector, accumulator in zip(vectors, line, strict=True):
                        total = fused(builder, entry, vector, builder.load(accumulator))
                        builder.store(total, accumulator)
            for pointers, line in zip(targets, sums, strict=True):
                for pointer, accumulator in zip(pointers, line, strict=True):
                    put(builder, builder.load(accumulator), pointer)
            return context.get_dummy_value()

        size = types.intp
        return types.void(theta, size, size, size, size, phi, size, size, joint, size, size), code

    return tile


def sums_tile(height: int) -> Any:
    """Add R @ phi^T for `height` components and `TILE` entries to sums in float64.

    Each lane has its own sum, or with more lanes than float64 has, each few. `phi` begins with
    entry `begin`; its `count` rows from `at` on are those of the shares from `b` on.
    """

    @intrinsic
    def tile(
        typing: Any,
        shares: Any,
        length: Any,
        b: Any,
        k: Any,
        phi: Any,
        phi_length: Any,
        at: Any,
        begin: Any,
        p: Any,
        count: Any,
        n_entries: Any,
        sums: Any,
    ) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            shares, length, b, k, phi, phi_length, at, begin, p, count, n_entries, sums = arguments
            kinds, size, lanes = signature.args, k.type, lanes_of(signature.args[4])
            kept = lanes_of(kinds[11])
            first = builder.sub(p, begin)
            lines, entries = [], []
            for i in range(height):
                lines.append(builder.add(builder.mul(builder.add(k, size(i)), length), b))
            for j in range(TILE):
                start = builder.mul(builder.add(first, size(j)), phi_length)
                entries.append(builder.add(start, at))
            tile = accumulators(builder, height, lanes)
            targets = []
            for i, line in enumerate(tile):
                start = builder.add(builder.mul(builder.add(k, size(i)), n_entries), p)
                for j, accumulator in enumerate(line):
                    index = builder.mul(builder.add(start, size(j)), size(kept.width))
                    targets.append(place(context, builder, kinds[11], sums, index))
                    builder.store(lanes.constant(0.0), accumulator)
            with cgutils.for_range_slice(builder, size(0), count, size(lanes.width), size) as loop:
                row = loop[0]
                indices = [builder.add(entry, row) for entry in entries]
                pointers = [place(context, builder, kinds[4], phi, i) for i in indices]
                vectors = [fetch(builder, pointer) for pointer in pointers]
                for start, line in zip(lines, tile, strict=True):
                    index = builder.add(start, row)
                    share = fetch(builder, place(context, builder, kinds[0], shares, index))
                    for vector, accumulator in zip(vectors, line, strict=True):
                        total = fused(builder, share, vector, builder.load(accumulator))
                        builder.store(total, accumulator)
            flat = [accumulator for line in tile for accumulator in line]
            for target, accumulator in zip(targets, flat, strict=True):
                own = folded(builder, builder.load(accumulator), kept)
                put(builder, builder.fadd(fetch(builder, target), own), target)
            return context.get_dummy_value()

        size = types.intp
        return types.void(
            shares, size, size, size, phi, size, size, size, size, size, size, sums
        ), code

    return tile


joint_4, joint_2 = joint_tile(4), joint_tile(2)
sums_4, sums_2 = sums_tile(4), sums_tile(2)
