"""Vectors of sixteen float32 numbers inside numba kernels, with the elementary functions that the scan needs.

Numba relies on LLVM to vectorise loops, which often fails for those of the scan. Here the vector is a type of its own:
LLVM puts it into one AVX-512 register, two of AVX2, or four of SSE or NEON.

    a = load(array, i)           # array.ravel()[i : i + LANES] of a C-contiguous float32 array, no bounds check
    store(array, i, fma(a, b, c))
    splat(x)                     # x in every lane
    total(a)                     # the sum of the lanes
    a + b, a - b, a * b, a / b, maximum(a, b), exp(a), power_of_two(a), softplus(a), sigmoid(a)
"""

from __future__ import annotations

import math
import operator

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, models, overload, register_model

LANES = 16
LOG2E, LN2 = math.log2(math.e), math.log(2.0)

_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_INTS = ir.VectorType(ir.IntType(32), LANES)
_CONTRACT = ("contract", "nsz")  # a product and a sum may become one instruction; nothing else is reordered


class VectorType(types.Type):
    """Numba type of a vector of LANES float32."""

    def __init__(self):
        super().__init__(name=f"float32x{LANES}")


vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _FLOATS)


# ---- memory


def _pointer(context, builder, signature, array, index):
    data = context.make_array(signature.args[0])(context, builder, value=array).data
    return builder.bitcast(builder.gep(data, [index]), _FLOATS.as_pointer())


@intrinsic
def load(typing, array, index):
    """Read LANES numbers of a C-contiguous float32 array from flat position `index`."""

    def generate(context, builder, signature, arguments):
        return builder.load(_pointer(context, builder, signature, *arguments), align=4)

    return vector(array, types.intp), generate


@intrinsic
def store(typing, array, index, value):
    """Write a vector to a C-contiguous float32 array from flat position `index`."""

    def generate(context, builder, signature, arguments):
        array, index, value = arguments
        builder.store(value, _pointer(context, builder, signature, array, index), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def prefetch(typing, array, index):
    """Prefetch the cache line of flat position `index`, which may lie outside the array.

    The hardware does not prefetch the strides of the scan by itself.
    """

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, value=arguments[0]).data
        place = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        i32 = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, i32, i32, i32])
        name = "llvm.prefetch.p0"
        ask = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        builder.call(ask, [place, i32(0), i32(3), i32(1)])  # to read, into the nearest cache, data
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def splat(typing, number):
    """Return a vector with a float32 in every lane."""

    def generate(context, builder, signature, arguments):
        first = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), arguments[0], ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(_INTS, [0] * LANES)
        return builder.shuffle_vector(first, ir.Constant(_FLOATS, ir.Undefined), zeros)

    return vector(types.float32), generate


@intrinsic
def total(typing, value):
    """Return the sum of the lanes."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), _FLOATS])
        name = f"llvm.vector.reduce.fadd.v{LANES}f32"
        reduce = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        return builder.call(reduce, [ir.Constant(ir.FloatType(), -0.0), arguments[0]], fastmath=("reassoc",))

    return types.float32(vector), generate


# ---- arithmetic


def _binary(name: str):
    """Return the intrinsic of the operation `name` of LLVM's builder."""

    @intrinsic
    def operation(typing, a, b):
        def generate(context, builder, signature, arguments):
            return getattr(builder, name)(*arguments, flags=_CONTRACT)

        return vector(vector, vector), generate

    return operation


def _operator(python_operator, name: str) -> None:
    operation = _binary(name)

    @overload(python_operator, inline="always")
    def implement(a, b):
        if a is vector and b is vector:
            return lambda a, b: operation(a, b)
        return None


for _python_operator, _name in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(_python_operator, _name)


@intrinsic
def fma(typing, a, b, c):
    """Return a * b + c, with a single rounding where the processor has such an instruction."""

    def generate(context, builder, signature, arguments):
        a, b, c = arguments
        return builder.fadd(builder.fmul(a, b, flags=_CONTRACT), c, flags=_CONTRACT)

    return vector(vector, vector, vector), generate


@intrinsic
def maximum(typing, a, b):
    """Return the greater of each pair of lanes."""

    def generate(context, builder, signature, arguments):
        a, b = arguments
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

    return vector(vector, vector), generate


@intrinsic
def _shift_exponent(typing, value, whole):
    """Return value * 2^k, with k in the lowest bits of `whole` = k + 1.5 * 2^23; results must be normal numbers."""

    def generate(context, builder, signature, arguments):
        value, whole = (builder.bitcast(argument, _INTS) for argument in arguments)
        exponents = builder.shl(whole, ir.Constant(_INTS, [23] * LANES))
        return builder.bitcast(builder.add(value, exponents), _FLOATS)

    return vector(vector, vector), generate


# ---- elementary functions


@njit(inline="always")
def constant(number):
    """Return a vector with a compile-time constant in every lane."""
    return splat(np.float32(number))


@njit
def _power_of_two(r, whole):
    """Return 2^r * 2^k for |r| <= 1/2; the polynomial is the Chebyshev fit of degree 5, relative error 1.1e-7."""
    p = constant(1.340043216540429e-3)
    p = fma(p, r, constant(9.676037097864609e-3))
    p = fma(p, r, constant(5.550327214209104e-2))
    p = fma(p, r, constant(2.402210735583060e-1))
    p = fma(p, r, constant(6.931472067106204e-1))
    p = fma(p, r, constant(1.0))
    return _shift_exponent(p, whole)


@njit
def power_of_two(t):
    """Return 2^t for t <= 126, with relative error below 2e-7; 2^-126 for t below -126."""
    t = maximum(t, constant(-126.0))
    whole = t + constant(12582912.0)  # 1.5 * 2^23: the sum cannot hold a fraction, so it is rounded to an integer
    return _power_of_two(t - (whole - constant(12582912.0)), whole)


@njit
def exp(x):
    """Return exp(x) for x <= 87, relative error below 3e-7."""
    t = maximum(x * constant(LOG2E), constant(-126.0))
    whole = t + constant(12582912.0)
    k = whole - constant(12582912.0)
    # The remainder in two steps (Cody and Waite), so that large arguments keep their precision.
    r = fma(k, constant(-0.693359375), maximum(x, constant(-87.336544)))
    r = fma(k, constant(2.12194440e-4), r)
    return _power_of_two(r * constant(LOG2E), whole)


@njit
def magnitude(x):
    """Return |x|."""
    return maximum(x, constant(0.0) - x)


@njit
def softplus(x):
    """Return log(1 + exp(x)) = max(x, 0) + 2 artanh(e / (2 + e)) with e = exp(-|x|)."""
    e = exp(constant(0.0) - magnitude(x))
    s = e / (constant(2.0) + e)
    q = s * s
    p = constant(1.0 / 13.0)
    p = fma(p, q, constant(1.0 / 11.0))
    p = fma(p, q, constant(1.0 / 9.0))
    p = fma(p, q, constant(1.0 / 7.0))
    p = fma(p, q, constant(1.0 / 5.0))
    p = fma(p, q, constant(1.0 / 3.0))
    p = fma(p, q, constant(1.0))
    return fma(constant(2.0) * s, p, maximum(x, constant(0.0)))


@njit
def sigmoid(x):
    """Return 1 / (1 + exp(-x))."""
    return constant(1.0) / (constant(1.0) + exp(constant(0.0) - maximum(x, constant(-87.0))))
