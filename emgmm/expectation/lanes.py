"""Vectors of rows, as numba is to see them: a type, its arithmetic and its exponential.

numba's `math.exp` takes one number at a time, and so does all that is written around it.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.extending import models, register_model

intrinsic: Any = (
    extending.intrinsic
)  # whose types forget that the compiler gives the first argument

WIDTH = 4  # rows to a vector

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

    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, VECTOR)


# -- what vectors can do ------------------------------------------------------------------------
def constant(value: float) -> Any:
    """A number in every lane, known when compiled."""
    return ir.Constant(VECTOR, [value] * WIDTH)


def place(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Pointer to a vector that begins at an element of a flat array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), VECTOR.as_pointer())


def fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Product a * b, plus c: rounded once where the processor can."""
    return builder.fadd(builder.fmul(a, b, flags=CONTRACT), c, flags=CONTRACT)


def spread(builder: Any, scalar: Any) -> Any:
    """A scalar in every lane."""
    single = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), scalar, ir.IntType(32)(0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(single, ir.Constant(VECTOR, ir.Undefined), mask)


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """The vector that begins at an element of a flat array."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(place(context, builder, signature.args[0], *arguments), align=8)

    return lanes(array, types.intp), code


@intrinsic
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """Put a vector where an element of a flat array begins it."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index, vector = arguments
        builder.store(vector, place(context, builder, signature.args[0], array, index), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), code


@intrinsic
def gather(typing: Any, array: Any, index: Any, step: Any) -> Any:
    """Elements `step` apart, as float64."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
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
def every(typing: Any, scalar: Any) -> Any:
    """A scalar in every lane."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return spread(builder, arguments[0])

    return lanes(types.float64), code


@intrinsic
def lane(typing: Any, vector: Any, index: Any) -> Any:
    """The scalar in one lane."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.extract_element(*arguments)

    return types.float64(lanes, types.intp), code


def operation(name: str) -> Any:
    """One of the builder's operations on two vectors."""

    @intrinsic
    def operate(typing: Any, a: Any, b: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, name)(*arguments)

        return lanes(lanes, lanes), code

    return operate


add, subtract, multiply, divide = map(operation, ("fadd", "fsub", "fmul", "fdiv"))


@intrinsic
def at_least(typing: Any, a: Any, b: Any) -> Any:
    """The larger of two; a NaN in `a` stays."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b = arguments
        return builder.select(builder.fcmp_ordered(">", b, a), b, a)

    return lanes(lanes, lanes), code


@intrinsic
def where_above(typing: Any, bound: Any, x: Any, a: Any) -> Any:
    """`a`, but 0 where x <= bound; a NaN in `a` stays where x is one."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bound, x, a = arguments
        return builder.select(builder.fcmp_ordered("<=", x, bound), constant(0.0), a)

    return lanes(lanes, lanes, lanes), code


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
def exponential(typing: Any, x: Any) -> Any:
    """exp(x) for -708 <= x <= 709, to 1.1 ulp; x = n log(2) + r (Cody and Waite)."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
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
