"""Vectors of rows as a numba type, with their arithmetic, exponential and logarithm.

numba's `math.exp` and `math.log` process one number at a time, and prevent the vectorization of the
code around them. The type of an array's vectors follows from the type of its numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import extending, types
from numba.core import cgutils
from numba.extending import models, register_model

from emgmm.estep.softmax import FLOOR, FLOOR_SINGLE

# Any, because the annotations of `intrinsic` do not account for the first argument.
intrinsic: Any = extending.intrinsic


def register_bits() -> int:
    """Return the number of bits of this processor's vectors, at least 256.

    Vectors that are longer than the processor's are divided by the compiler.
    """
    try:
        return 512 if get_host_cpu_features().get("avx512f") else 256
    except RuntimeError:  # unknown processor
        return 256


REGISTER = register_bits()  # bits of a vector
CONTRACT = ("contract",)


@dataclass(frozen=True)
class Kind:
    """A floating-point type.

    Parameters
    ----------
    scalar : llvmlite type
        Type of a number.
    bits : int
        Number of its bits.
    floor : float
        Lower bound of the arguments of the exponential.
    fraction : int
        Number of explicit bits of the mantissa.
    log2 : (float, float)
        log(2) in two parts; products of the first with an exponent are exact.
    terms : tuple of float
        Coefficients of q in exp(r) = 1 + r + r^2 q(r) for |r| <= log(2)/2, which interpolates at
        the Chebyshev points.
    """

    scalar: Any
    bits: int
    floor: float
    fraction: int
    log2: tuple[float, float]
    terms: tuple[float, ...]


# The relative error of q is 2e-17, and 1e-8 in single precision. exp(0) is exactly 1.
DOUBLE = Kind(
    ir.DoubleType(),
    64,
    FLOOR,
    52,
    (0.6931471805582987, 1.6465949582897082e-12),
    (
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
    ),
)
SINGLE = Kind(
    ir.FloatType(),
    32,
    FLOOR_SINGLE,
    23,
    (0.693145751953125, 1.4286068203094287e-06),
    (0.5, 0.16666577, 0.041666556, 0.008363173, 0.0013926176),
)
KINDS = {types.float64: DOUBLE, types.float32: SINGLE}


class Lanes(types.Type):
    """numba type of a vector: `width` numbers of the type `element`."""

    def __init__(self, element: Any, width: int) -> None:
        super().__init__(name=f"{element}x{width}")
        self.element = element
        self.width = width

    @property
    def kind(self) -> Kind:
        return KINDS[self.element]

    @property
    def vector(self) -> Any:
        return ir.VectorType(self.kind.scalar, self.width)


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """Data model of `Lanes`: an LLVM vector."""

    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, fe_type.vector)


def lanes_of(array_type: Any) -> Lanes:
    """Return the type of an array's vectors."""
    return Lanes(array_type.dtype, REGISTER // array_type.dtype.bitwidth)


def kind_of(vector: Any) -> Kind:
    """Return the type of the numbers of an LLVM type of vectors."""
    return SINGLE if vector.element == SINGLE.scalar else DOUBLE


# -- code generation ----------------------------------------------------------------------------
def vector_of(pointer: Any) -> Any:
    """Return the LLVM type of the vectors of an array, given the pointer to its data."""
    scalar = pointer.type.pointee
    return ir.VectorType(scalar, REGISTER // (32 if scalar == SINGLE.scalar else 64))


def pointer_to(builder: Any, data: Any, index: Any, vector: Any = None) -> Any:
    """Return a pointer to the vector that starts at an element of an array."""
    return builder.bitcast(builder.gep(data, [index]), (vector or vector_of(data)).as_pointer())


def load_at(builder: Any, pointer: Any) -> Any:
    """Load the vector at a pointer, which has the alignment of a number."""
    return builder.load(pointer, align=kind_of(pointer.type.pointee).bits // 8)


def store_at(builder: Any, vector: Any, pointer: Any) -> None:
    """Store a vector at a pointer, which has the alignment of a number."""
    builder.store(vector, pointer, align=kind_of(vector.type).bits // 8)


def constant(vector: Any, value: float) -> Any:
    """Return a compile-time constant in every lane of an LLVM type of vectors."""
    return ir.Constant(vector, [value] * vector.count)


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, with a single rounding if the processor supports it."""
    return builder.fadd(builder.fmul(a, b, flags=CONTRACT), c, flags=CONTRACT)


def shuffle(builder: Any, vector: Any, lanes: Any, other: Any = None) -> Any:
    """Return the given lanes of a vector; lanes of `other` are numbered after its own."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
    other = ir.Constant(vector.type, ir.Undefined) if other is None else other
    return builder.shuffle_vector(vector, other, mask)


def splat(builder: Any, scalar: Any, vector: Any) -> Any:
    """Return a vector of an LLVM type with a scalar in every lane."""
    undefined = ir.Constant(vector, ir.Undefined)
    single = builder.insert_element(undefined, scalar, ir.IntType(32)(0))
    return shuffle(builder, single, [0] * vector.count)


def convert(builder: Any, vector: Any, to: Any) -> Any:
    """Convert a vector to another LLVM type of vectors of the same width."""
    if vector.type == to:
        return vector
    return (builder.fpext if to.element == DOUBLE.scalar else builder.fptrunc)(vector, to)


def adjacent_sums(builder: Any, a: Any, b: Any = None) -> Any:
    """Return the sums of adjacent lanes of `a`, followed by those of `b`."""
    n = a.type.count * (1 if b is None else 2)
    even, odd = (shuffle(builder, a, range(first, n, 2), b) for first in (0, 1))
    return builder.fadd(even, odd)


def horizontal_sums(builder: Any, vectors: list[Any]) -> Any:
    """Return a vector of the sums of the lanes of each vector.

    The number of vectors and that of lanes, which is no smaller, are powers of two.
    """
    n = len(vectors)
    while len(vectors) > 1:
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [adjacent_sums(builder, *pair) for pair in pairs]
    (vector,) = vectors
    while vector.type.count > n:
        vector = adjacent_sums(builder, vector)
    return vector


def fold(builder: Any, vector: Any, to: Any) -> Any:
    """Add the halves of a vector until it has the width of `to`, and convert it to this type."""
    while (width := vector.type.count) > to.count:
        low = shuffle(builder, vector, range(width // 2))
        vector = builder.fadd(low, shuffle(builder, vector, range(width // 2, width)))
    return convert(builder, vector, to)


def constant_of(of: Callable[[Lanes], int | float]) -> Any:
    """Return an intrinsic for a compile-time constant of an array's vectors."""

    @intrinsic
    def number(typing: Any, array: Any) -> Any:
        lanes = lanes_of(array)
        value = of(lanes)
        kind = types.intp if isinstance(value, int) else lanes.element

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return context.get_constant(kind, value)

        return kind(array), code

    return number


width_of = constant_of(lambda lanes: lanes.width)
floor_of = constant_of(lambda lanes: lanes.kind.floor)
least_of = constant_of(lambda lanes: float(np.finfo(str(lanes.element)).min))


def generated(signature_of: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that makes an intrinsic of a function that generates code.

    The function is given the builder, and an LLVM value for each argument: for an array, the
    pointer to its data.

    Parameters
    ----------
    signature_of : callable
        Function that returns the signature, given the types of the arguments.
    """

    def decorated(generate: Callable[..., Any]) -> Any:
        @intrinsic
        @wraps(generate)  # numba takes the number of arguments from its signature
        def apply(typing: Any, *given: Any) -> Any:
            def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                values = list(arguments)
                for i, kind in enumerate(signature.args):
                    if isinstance(kind, types.Array):
                        values[i] = context.make_array(kind)(context, builder, values[i]).data
                result = generate(builder, *values)
                return context.get_dummy_value() if result is None else result

            return signature_of(*given), code

        return apply

    return decorated


def procedure(*given: Any) -> Any:
    """Return the signature of a function of arrays and integers that returns nothing."""
    return types.void(*(kind if isinstance(kind, types.Array) else types.intp for kind in given))


@generated(lambda array, _: lanes_of(array)(array, types.intp))
def load(builder: Any, array: Any, index: Any) -> Any:
    """Load the vector that starts at an element of a flat array."""
    return load_at(builder, pointer_to(builder, array, index))


@generated(lambda array, _, vector: types.void(array, types.intp, vector))
def store(builder: Any, array: Any, index: Any, vector: Any) -> None:
    """Store a vector that starts at an element of a flat array."""
    store_at(builder, vector, pointer_to(builder, array, index))


@generated(
    lambda *given: lanes_of(given[-1])(given[0], types.intp, types.intp, types.float64, given[-1])
)
def gather(builder: Any, array: Any, index: Any, step: Any, centre: Any, target: Any) -> Any:
    """Load elements `step` apart and subtract `centre` in float64; return a vector of `target`."""
    lanes = vector_of(target)
    vector = ir.Constant(ir.VectorType(array.type.pointee, lanes.count), ir.Undefined)
    for i in range(lanes.count):
        element = builder.load(builder.gep(array, [index]))
        vector = builder.insert_element(vector, element, ir.IntType(32)(i))
        index = builder.add(index, step)
    double = ir.VectorType(DOUBLE.scalar, lanes.count)
    centred = builder.fsub(convert(builder, vector, double), splat(builder, centre, double))
    return convert(builder, centred, lanes)


@generated(lambda _, array: lanes_of(array)(array.dtype, array))
def broadcast(builder: Any, scalar: Any, array: Any) -> Any:
    """Return a vector of an array's type with a scalar in every lane."""
    return splat(builder, scalar, vector_of(array))


@generated(lambda vector, _: vector.element(vector, types.intp))
def lane(builder: Any, vector: Any, index: Any) -> Any:
    """Return the scalar in one lane."""
    return builder.extract_element(vector, index)


def elementwise(generate: Callable[..., Any], to: Callable[[Lanes], Lanes] | None = None) -> Any:
    """Return an intrinsic for a function of vectors, or of tuples of as many vectors.

    Parameters
    ----------
    generate : callable
        Function that generates the code for one vector of each argument, given the builder first.
    to : callable, optional
        Function that returns the type of a result; by default, that of the arguments.
    """

    @intrinsic
    @wraps(generate)  # numba takes the number of arguments from its signature
    def apply(typing: Any, *given: Any) -> Any:
        of_tuples = isinstance(given[0], types.UniTuple)
        lanes = given[0].dtype if of_tuples else given[0]
        lanes = lanes if to is None else to(lanes)

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if not of_tuples:
                return generate(builder, *arguments)
            vectors = zip(*(cgutils.unpack_tuple(builder, each) for each in arguments), strict=True)
            results = [generate(builder, *each) for each in vectors]
            return context.make_tuple(builder, signature.return_type, results)

        returned = types.UniTuple(lanes, given[0].count) if of_tuples else lanes
        return returned(*given), code

    return apply


add = elementwise(lambda builder, a, b: builder.fadd(a, b))
subtract = elementwise(lambda builder, a, b: builder.fsub(a, b))
multiply = elementwise(lambda builder, a, b: builder.fmul(a, b))
divide = elementwise(lambda builder, a, b: builder.fdiv(a, b))


@elementwise
def maximum(builder: Any, a: Any, b: Any) -> Any:
    """Return the maximum of a and b; NaN in `a` is kept."""
    return builder.select(builder.fcmp_ordered(">", b, a), b, a)


@elementwise
def select_above(builder: Any, bound: Any, x: Any, a: Any, b: Any) -> Any:
    """Return b where x <= bound, and a elsewhere, also where x is NaN."""
    return builder.select(builder.fcmp_ordered("<=", x, bound), b, a)


def polynomial(builder: Any, x: Any, coefficients: Sequence[float]) -> Any:
    """Return a polynomial of x by Estrin's scheme; the coefficients begin with the constant."""
    power, terms = x, [constant(x.type, each) for each in coefficients]
    while len(terms) > 1:  # pairs, then pairs of pairs
        odd = terms[len(terms) // 2 * 2 :]
        pairs = zip(terms[::2], terms[1::2], strict=False)
        terms = [multiply_add(builder, power, high, low) for low, high in pairs] + odd
        power = builder.fmul(power, power)
    return terms[0]


@elementwise
def exponential(builder: Any, x: Any) -> Any:
    """Return exp(x) for floor <= x <= -floor within 1.1 ulp; x = n log(2) + r (Cody and Waite)."""
    vector, kind = x.type, kind_of(x.type)
    integers = ir.VectorType(ir.IntType(kind.bits), vector.count)
    # Adding this constant rounds a number to an integer, in the lowest bits.
    rounder = constant(vector, 1.5 * 2.0**kind.fraction)
    shifted = multiply_add(builder, x, constant(vector, 1.0 / math.log(2.0)), rounder)
    n = builder.fsub(shifted, rounder)
    r = x
    for part in kind.log2:
        r = multiply_add(builder, n, constant(vector, -part), r)
    square, q = builder.fmul(r, r), polynomial(builder, r, kind.terms)
    mantissa = builder.fadd(multiply_add(builder, square, q, r), constant(vector, 1.0))
    exponent = builder.shl(builder.bitcast(shifted, integers), constant(integers, kind.fraction))
    return builder.bitcast(builder.add(builder.bitcast(mantissa, integers), exponent), vector)


@elementwise
def logarithm(builder: Any, x: Any) -> Any:
    """Return log(x) for x >= 1, which is n log(2) + log(m) if x = 2^n m.

    With s = (m - 1) / (m + 1), log(m) = 2 atanh(s). As m lies between 1 / sqrt(2) and sqrt(2), the
    series of atanh has no more terms than that of the exponential.
    """
    vector, kind = x.type, kind_of(x.type)
    integers = ir.VectorType(ir.IntType(kind.bits), vector.count)
    fraction = constant(integers, kind.fraction)
    bits = builder.bitcast(x, integers)
    least = builder.bitcast(constant(vector, 0.5**0.5), integers)
    exponent = builder.lshr(builder.sub(bits, least), fraction)
    m = builder.bitcast(builder.sub(bits, builder.shl(exponent, fraction)), vector)
    # The inverse of the rounding by `exponential`.
    rounder = constant(vector, 1.5 * 2.0**kind.fraction)
    shifted = builder.bitcast(builder.add(builder.bitcast(rounder, integers), exponent), vector)
    n, one = builder.fsub(shifted, rounder), constant(vector, 1.0)
    s = builder.fdiv(builder.fsub(m, one), builder.fadd(m, one))
    square = builder.fmul(s, s)
    series = polynomial(builder, square, [2.0 / (2 * i + 1) for i in range(1, len(kind.terms) + 1)])
    result = multiply_add(builder, builder.fmul(s, square), series, builder.fadd(s, s))
    for part in reversed(kind.log2):
        result = multiply_add(builder, n, constant(vector, part), result)
    return builder.select(builder.fcmp_unordered("uno", x, x), x, result)  # NaN remains NaN


to_double = elementwise(
    lambda builder, a: convert(builder, a, ir.VectorType(DOUBLE.scalar, a.type.count)),
    lambda lanes: Lanes(types.float64, lanes.width),
)
