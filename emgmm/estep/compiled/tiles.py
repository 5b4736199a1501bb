"""Tiles of the kernel's two products: a few components by a few vectors, held in registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.core import cgutils

from emgmm.estep.compiled.simd import (
    Lanes,
    across,
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


class Tile:
    """Registers, in the end: `height` lines of `TILE` sums, each a vector.

    Parameters
    ----------
    builder : llvmlite's builder
        Of the code.
    lanes : Lanes
        The vectors.
    height : int
        How many lines.
    """

    def __init__(self, builder: Any, lanes: Lanes, height: int) -> None:
        self.builder = builder
        self.lines = [
            [cgutils.alloca_once(builder, lanes.vector) for _ in range(TILE)] for _ in range(height)
        ]

    def begin(self, firsts: Any) -> None:
        """Each line's sums start with a vector."""
        for first, line in zip(firsts, self.lines, strict=True):
            for place_of_sum in line:
                self.builder.store(first, place_of_sum)

    def add(self, left: Any, right: Any) -> None:
        """Add the products of a vector for each line and a vector for each column."""
        for own, line in zip(left, self.lines, strict=True):
            for vector, place_of_sum in zip(right, line, strict=True):
                self._add(own, vector, place_of_sum)

    def add_scaled(self, other: Tile, vectors: Any) -> None:
        """Add another's sums, each times the vector of its column."""
        for own, line in zip(other.sums(), self.lines, strict=True):
            for total, vector, place_of_sum in zip(own, vectors, line, strict=True):
                self._add(total, vector, place_of_sum)

    def sums(self) -> Any:
        """The vectors."""
        return [[self.builder.load(place_of_sum) for place_of_sum in line] for line in self.lines]

    def _add(self, a: Any, b: Any, place_of_sum: Any) -> None:
        total = fused(self.builder, a, b, self.builder.load(place_of_sum))
        self.builder.store(total, place_of_sum)


# -- the log-joint ------------------------------------------------------------------------------
Terms = Callable[[Any, Callable[[], Tile], Any, Any, Any], Tile]


def linear(builder: Any, tile: Callable[[], Tile], n_lines: Any, entry: Any, line: Any) -> Tile:
    """Sum over p of theta_p line_p; line_0 is 1."""
    size, sums = n_lines.type, tile()
    sums.begin(entry(size(0)))
    with cgutils.for_range_slice(builder, size(1), n_lines, size(1), size) as (p, _):
        sums.add(entry(p), line(p))
    return sums


def nested(builder: Any, tile: Callable[[], Tile], n_lines: Any, entry: Any, line: Any) -> Tile:
    """Sum c + over i of y_i (b_i + over j >= i of a_ij y_j), where theta is (c, b, a).

    As many products as with the monomials y_i y_j, and nobody has to make these.
    """
    size, sums, inner = n_lines.type, tile(), tile()
    sums.begin(entry(size(0)))
    behind = cgutils.alloca_once_value(builder, builder.sub(n_lines, size(1)))  # a_ij lies so by j
    with cgutils.for_range_slice(builder, size(1), n_lines, size(1), size) as (i, _):
        inner.begin(entry(i))
        own = builder.load(behind)
        with cgutils.for_range_slice(builder, i, n_lines, size(1), size) as (j, _):
            inner.add(entry(builder.add(own, j)), line(j))
        sums.add_scaled(inner, line(i))
        more = builder.sub(builder.sub(n_lines, size(1)), i)
        builder.store(builder.add(own, more), behind)
    return sums


def joint_tile(terms: Terms, height: int) -> Any:
    """The log-joint of `height` components from `k` on, and `TILE` vectors of rows from `b` on.

    Lines, and those of the log-joint, are `length` apart; a component has `n_entries` in theta.
    """

    @intrinsic
    def tile(
        typing: Any,
        theta: Any,
        k: Any,
        n_entries: Any,
        lines: Any,
        n_lines: Any,
        joint: Any,
        length: Any,
        b: Any,
    ) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            theta, k, n_entries, lines, n_lines, joint, length, b = arguments
            kinds, size, lanes = signature.args, k.type, lanes_of(signature.args[3])
            table = context.make_array(kinds[0])(context, builder, theta).data
            numbers = [builder.add(k, size(i)) for i in range(height)]
            rows = [builder.mul(number, n_entries) for number in numbers]

            def places(kind: Any, array: Any, line: Any) -> Any:
                start = builder.add(builder.mul(line, length), b)
                steps = [builder.add(start, size(lanes.width * v)) for v in range(TILE)]
                return [place(context, builder, kind, array, step) for step in steps]

            def entry(p: Any) -> Any:
                pointers = [builder.gep(table, [builder.add(row, p)]) for row in rows]
                return [spread(builder, builder.load(pointer), lanes) for pointer in pointers]

            def line(number: Any) -> Any:
                return [fetch(builder, pointer) for pointer in places(kinds[3], lines, number)]

            sums = terms(builder, lambda: Tile(builder, lanes, height), n_lines, entry, line)
            for number, own in zip(numbers, sums.sums(), strict=True):
                for total, target in zip(own, places(kinds[5], joint, number), strict=True):
                    put(builder, total, target)
            return context.get_dummy_value()

        size = types.intp
        return types.void(theta, size, size, lines, size, joint, size, size), code

    return tile


# -- the sums -----------------------------------------------------------------------------------
def sums_tile(height: int) -> Any:
    """Add R @ phi^T for `height` components and `TILE` entries to sums in float64.

    Sums lie by entry, `n_components` of each side by side. Components begin with `k`; entries with
    `p`, which is at `at` of phi. Shares and phi have lines of `length`, with `count` rows.
    """

    @intrinsic
    def tile(
        typing: Any,
        shares: Any,
        length: Any,
        k: Any,
        phi: Any,
        at: Any,
        p: Any,
        count: Any,
        n_components: Any,
        sums: Any,
    ) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            shares, length, k, phi, at, p, count, n_components, sums = arguments
            kinds, size, lanes = signature.args, k.type, lanes_of(signature.args[3])
            doubles, kept = lanes_of(kinds[8]), Lanes(types.float64, height)
            lines = [builder.mul(builder.add(k, size(i)), length) for i in range(height)]
            entries = [builder.add(at, builder.mul(length, size(j))) for j in range(TILE)]

            def vectors(kind: Any, array: Any, starts: Any, row: Any) -> Any:
                steps = [builder.add(start, row) for start in starts]
                return [fetch(builder, place(context, builder, kind, array, i)) for i in steps]

            own = Tile(builder, lanes, height)
            own.begin([lanes.constant(0.0)] * height)
            with cgutils.for_range_slice(builder, size(0), count, size(lanes.width), size) as loop:
                right = vectors(kinds[3], phi, entries, loop[0])
                own.add(vectors(kinds[0], shares, lines, loop[0]), right)
            for j, column in enumerate(zip(*own.sums(), strict=True)):
                wide = [folded(builder, total, doubles) for total in column]
                index = builder.add(builder.mul(builder.add(p, size(j)), n_components), k)
                target = place(context, builder, kinds[8], sums, index, kept)
                put(builder, builder.fadd(fetch(builder, target), across(builder, wide)), target)
            return context.get_dummy_value()

        size = types.intp
        return types.void(shares, size, size, phi, size, size, size, size, sums), code

    return tile


linear_4, linear_2 = joint_tile(linear, 4), joint_tile(linear, 2)
nested_4, nested_2 = joint_tile(nested, 4), joint_tile(nested, 2)
sums_4, sums_2 = sums_tile(4), sums_tile(2)
