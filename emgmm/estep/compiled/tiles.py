"""Register tiles of the kernel's two products: a few components by a few vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from emgmm.estep.compiled.simd import (
    DOUBLE,
    constant,
    fold,
    generated,
    horizontal_sums,
    load_at,
    multiply_add,
    pointer_to,
    procedure,
    splat,
    store_at,
    vector_of,
)

TILE = 3  # vectors per tile: 4 x 3 accumulators, 3 vectors and a scalar fill 16 registers


class Tile:
    """A tile of `height` x `TILE` vectors of sums, which the compiler keeps in registers.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
        Builder of the code.
    vector : llvmlite type
        Type of the vectors.
    height : int
        Number of rows of the tile.
    """

    def __init__(self, builder: Any, vector: Any, height: int) -> None:
        self.builder = builder
        self.rows = [
            [cgutils.alloca_once(builder, vector) for _ in range(TILE)] for _ in range(height)
        ]

    def begin(self, firsts: Any) -> None:
        """Initialize the sums of each row of the tile with a vector."""
        for first, row in zip(firsts, self.rows, strict=True):
            for pointer in row:
                self.builder.store(first, pointer)

    def add(self, left: Any, right: Any) -> None:
        """Add the products of a vector for each row and a vector for each column."""
        for factor, row in zip(left, self.rows, strict=True):
            for vector, pointer in zip(right, row, strict=True):
                self._add(factor, vector, pointer)

    def add_scaled(self, other: Tile, vectors: Any) -> None:
        """Add another tile's sums, each multiplied by the vector of its column."""
        for other_sums, row in zip(other.sums(), self.rows, strict=True):
            for total, vector, pointer in zip(other_sums, vectors, row, strict=True):
                self._add(total, vector, pointer)

    def sums(self) -> Any:
        """Return the sums."""
        return [[self.builder.load(pointer) for pointer in row] for row in self.rows]

    def _add(self, a: Any, b: Any, pointer: Any) -> None:
        total = multiply_add(self.builder, a, b, self.builder.load(pointer))
        self.builder.store(total, pointer)


# -- the log-joint ------------------------------------------------------------------------------
Terms = Callable[[Any, Callable[[], Tile], Any, Any, Any], Tile]


def linear(builder: Any, tile: Callable[[], Tile], n_inputs: Any, entry: Any, vectors: Any) -> Tile:
    """Generate the sum over p of params_p input_p, where input_0 is 1."""
    size, sums = n_inputs.type, tile()
    sums.begin(entry(size(0)))
    with cgutils.for_range_slice(builder, size(1), n_inputs, size(1), size) as (p, _):
        sums.add(entry(p), vectors(p))
    return sums


def nested(builder: Any, tile: Callable[[], Tile], n_inputs: Any, entry: Any, vectors: Any) -> Tile:
    """Generate c + sum_i y_i (b_i + sum_{j >= i} a_ij y_j), where params are (c, b, a).

    The number of products is that with the monomials y_i y_j, which need not be computed.
    """
    size, sums, inner = n_inputs.type, tile(), tile()
    sums.begin(entry(size(0)))
    # The parameter a_ij is at offset + j.
    offset = cgutils.alloca_once_value(builder, builder.sub(n_inputs, size(1)))
    with cgutils.for_range_slice(builder, size(1), n_inputs, size(1), size) as (i, _):
        inner.begin(entry(i))
        offset_i = builder.load(offset)
        with cgutils.for_range_slice(builder, i, n_inputs, size(1), size) as (j, _):
            inner.add(entry(builder.add(offset_i, j)), vectors(j))
        sums.add_scaled(inner, vectors(i))
        more = builder.sub(builder.sub(n_inputs, size(1)), i)
        builder.store(builder.add(offset_i, more), offset)
    return sums


def log_joint_tile(terms: Terms, height: int) -> Any:
    """Return an intrinsic for the log-joint of `height` components and `TILE` vectors of rows.

    The components start with `k` and the rows with `b`. Consecutive inputs, and rows of the
    log-joint, are `length` numbers apart; a component has `n_entries` parameters.
    """

    @generated(procedure)
    def tile(
        builder: Any,
        params: Any,
        k: Any,
        n_entries: Any,
        inputs: Any,
        n_inputs: Any,
        log_joint: Any,
        length: Any,
        b: Any,
    ) -> None:
        size, vector = k.type, vector_of(inputs)
        numbers = [builder.add(k, size(i)) for i in range(height)]
        rows = [builder.mul(number, n_entries) for number in numbers]

        def places(array: Any, number: Any) -> Any:
            start = builder.add(builder.mul(number, length), b)
            steps = [builder.add(start, size(vector.count * v)) for v in range(TILE)]
            return [pointer_to(builder, array, step) for step in steps]

        def entry(p: Any) -> Any:
            pointers = [builder.gep(params, [builder.add(row, p)]) for row in rows]
            return [splat(builder, builder.load(pointer), vector) for pointer in pointers]

        def vectors(number: Any) -> Any:
            return [load_at(builder, pointer) for pointer in places(inputs, number)]

        sums = terms(builder, lambda: Tile(builder, vector, height), n_inputs, entry, vectors)
        for number, row in zip(numbers, sums.sums(), strict=True):
            for total, target in zip(row, places(log_joint, number), strict=True):
                store_at(builder, total, target)

    return tile


# -- the sums -----------------------------------------------------------------------------------
def sums_tile(height: int) -> Any:
    """Return an intrinsic that adds R @ features^T for `height` components and `TILE` entries.

    The sums are in float64, (entries, n_components). The components start with `k`, and the entries
    with `p`, whose features start at `at`. Responsibilities and features are arrays of `count`
    numbers, `length` apart.
    """

    @generated(procedure)
    def tile(
        builder: Any,
        resp: Any,
        length: Any,
        k: Any,
        features: Any,
        at: Any,
        p: Any,
        count: Any,
        n_components: Any,
        sums: Any,
    ) -> None:
        size, vector = k.type, vector_of(features)
        doubles, target_doubles = vector_of(sums), ir.VectorType(DOUBLE.scalar, height)
        starts = [builder.mul(builder.add(k, size(i)), length) for i in range(height)]
        entries = [builder.add(at, builder.mul(length, size(j))) for j in range(TILE)]

        def vectors(array: Any, starts: Any, row: Any) -> Any:
            steps = [builder.add(start, row) for start in starts]
            return [load_at(builder, pointer_to(builder, array, step)) for step in steps]

        tile_sums = Tile(builder, vector, height)
        tile_sums.begin([constant(vector, 0.0)] * height)
        with cgutils.for_range_slice(builder, size(0), count, size(vector.count), size) as loop:
            right = vectors(features, entries, loop[0])
            tile_sums.add(vectors(resp, starts, loop[0]), right)
        for j, column in enumerate(zip(*tile_sums.sums(), strict=True)):
            wide = [fold(builder, total, doubles) for total in column]
            index = builder.add(builder.mul(builder.add(p, size(j)), n_components), k)
            target = pointer_to(builder, sums, index, target_doubles)
            total = builder.fadd(load_at(builder, target), horizontal_sums(builder, wide))
            store_at(builder, total, target)

    return tile


linear_4, linear_2 = log_joint_tile(linear, 4), log_joint_tile(linear, 2)
nested_4, nested_2 = log_joint_tile(nested, 4), log_joint_tile(nested, 2)
sums_4, sums_2 = sums_tile(4), sums_tile(2)
