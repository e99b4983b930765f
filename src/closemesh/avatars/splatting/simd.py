"""Vectors of 16 floats for numba, and tuples of them: one AVX-512 register each, or two or four smaller ones."""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

# Compiled functions have no annotations: numba infers the types.
# pyright: reportMissingParameterType=false, reportArgumentType=false, reportCallIssue=false, reportOptionalCall=false


WIDTH = 16
VECTOR = ir.VectorType(ir.FloatType(), WIDTH)
_INDEX = ir.IntType(32)


class SimdVector(types.Type):
    """16 floats."""


class SimdMask(types.Type):
    """16 truth values."""


simd_vector = SimdVector("simd_vector")
simd_mask = SimdMask("simd_mask")


@register_model(SimdVector)
class _SimdVectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type) -> None:
        super().__init__(dmm, fe_type, VECTOR)


@register_model(SimdMask)
class _SimdMaskModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type) -> None:
        super().__init__(dmm, fe_type, ir.VectorType(ir.IntType(1), WIDTH))


def broadcast_value(builder, value):
    """A scalar in all 16 lanes; vectors are returned unchanged."""
    if value.type == VECTOR:
        return value
    single = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, _INDEX(0))
    return builder.shuffle_vector(single, ir.Constant(VECTOR, ir.Undefined), index_constant([0] * WIDTH))


def index_constant(indices):
    """A constant vector of 32-bit indices for `shuffle_vector`."""
    return ir.Constant(ir.VectorType(_INDEX, len(indices)), list(indices))


def _define(function, build, result) -> None:
    """Define `function` for two vectors, or a vector and a scalar."""
    pairs = ((simd_vector, simd_vector), (simd_vector, types.float32), (types.float32, simd_vector))

    class Template(ConcreteTemplate):
        cases = [signature(result, *pair) for pair in pairs]  # noqa: RUF012

    infer_global(function)(Template)

    def lower(context, builder, signature_, values):
        return build(builder, *(broadcast_value(builder, value) for value in values))

    for pair in pairs:
        lower_builtin(function, *pair)(lower)


_define(operator.add, lambda builder, a, b: builder.fadd(a, b), simd_vector)
_define(operator.sub, lambda builder, a, b: builder.fsub(a, b), simd_vector)
_define(operator.mul, lambda builder, a, b: builder.fmul(a, b), simd_vector)
_define(operator.truediv, lambda builder, a, b: builder.fdiv(a, b), simd_vector)
_define(operator.le, lambda builder, a, b: builder.fcmp_ordered("<=", a, b), simd_mask)
_define(operator.gt, lambda builder, a, b: builder.fcmp_ordered(">", a, b), simd_mask)


@infer_global(operator.and_)
class _Both(ConcreteTemplate):
    cases = [signature(simd_mask, simd_mask, simd_mask)]  # noqa: RUF012


@lower_builtin(operator.and_, simd_mask, simd_mask)
def _lower_both(context, builder, signature_, values):
    return builder.and_(*values)


@intrinsic
def select(typingctx, where, yes, no):
    """`yes` in lanes where the mask holds, else `no`; either may be a scalar."""

    def build(context, builder, signature_, values):
        return builder.select(values[0], broadcast_value(builder, values[1]), broadcast_value(builder, values[2]))

    return simd_vector(where, yes, no), build


@intrinsic
def any_lane(typingctx, where):
    """True when the mask holds in any lane."""

    def build(context, builder, signature_, values):
        bits = builder.bitcast(values[0], ir.IntType(WIDTH))
        return builder.icmp_unsigned("!=", bits, bits.type(0))

    return types.boolean(where), build


@intrinsic
def negative_abs(typingctx, vector):
    """-|x| in every lane."""

    def build(context, builder, signature_, values):
        whole = ir.VectorType(_INDEX, WIDTH)
        sign = ir.Constant(whole, [0x80000000] * WIDTH)
        return builder.bitcast(builder.or_(builder.bitcast(values[0], whole), sign), VECTOR)

    return simd_vector(vector), build


def address(context, builder, array_type, array, row, first):
    """Address of array[row, first] of a C-contiguous float32 array [N, C], as a vector pointer."""
    structure = context.make_array(array_type)(context, builder, array)
    width = cgutils.unpack_tuple(builder, structure.shape, 2)[1]
    offset = builder.add(builder.mul(row, width), first)
    return builder.bitcast(builder.gep(structure.data, [offset]), VECTOR.as_pointer())


@intrinsic
def load(typingctx, array, row, first):
    """array[row, first : first + 16] of a C-contiguous float32 array [N, C]."""

    def build(context, builder, signature_, values):
        return builder.load(address(context, builder, signature_.args[0], *values), align=4)

    return simd_vector(array, types.intp, types.intp), build


@intrinsic
def store(typingctx, array, row, first, vector):
    """array[row, first : first + 16] = vector."""

    def build(context, builder, signature_, values):
        builder.store(values[3], address(context, builder, signature_.args[0], *values[:3]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, simd_vector), build


@intrinsic
def broadcast(typingctx, value):
    """A scalar in all 16 lanes."""

    def build(context, builder, signature_, values):
        return broadcast_value(builder, values[0])

    return simd_vector(types.float32), build


@intrinsic
def load_all(typingctx, array, row, first, counter):
    """Consecutive vectors from array[row, first] on, as many as `counter` (a tuple) has entries."""
    count = len(counter)

    def build(context, builder, signature_, values):
        vectors = []
        for k in range(count):
            place = builder.add(values[2], values[2].type(WIDTH * k))
            where = address(context, builder, signature_.args[0], values[0], values[1], place)
            vectors.append(builder.load(where, align=4))
        return cgutils.pack_array(builder, vectors)

    return types.UniTuple(simd_vector, count)(array, types.intp, types.intp, counter), build


@intrinsic
def store_all(typingctx, array, row, first, vectors):
    """Store vectors consecutively from array[row, first] on."""
    count = len(vectors)

    def build(context, builder, signature_, values):
        for k, vector in enumerate(cgutils.unpack_tuple(builder, values[3], count)):
            place = builder.add(values[2], values[2].type(WIDTH * k))
            where = address(context, builder, signature_.args[0], values[0], values[1], place)
            builder.store(vector, where, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, vectors), build


@intrinsic
def broadcast_all(typingctx, array, row, first, counter):
    """For each entry k of `counter` the scalar array[row, first + k] in all 16 lanes."""
    count = len(counter)

    def build(context, builder, signature_, values):
        structure = context.make_array(signature_.args[0])(context, builder, values[0])
        width = cgutils.unpack_tuple(builder, structure.shape, 2)[1]
        offset = builder.add(builder.mul(values[1], width), values[2])
        scalars = [
            builder.load(builder.gep(structure.data, [builder.add(offset, offset.type(k))])) for k in range(count)
        ]
        return cgutils.pack_array(builder, [broadcast_value(builder, scalar) for scalar in scalars])

    return types.UniTuple(simd_vector, count)(array, types.intp, types.intp, counter), build


@intrinsic
def repeat(typingctx, vector, counter):
    """A tuple with one copy of the vector per entry of `counter`."""
    count = len(counter)

    def build(context, builder, signature_, values):
        return cgutils.pack_array(builder, [values[0]] * count)

    return types.UniTuple(simd_vector, count)(vector, counter), build


@intrinsic
def dot(typingctx, ones, others):
    """Dot product of two tuples of vectors in every lane."""
    count = len(ones)

    def build(context, builder, signature_, values):
        pairs = zip(*(cgutils.unpack_tuple(builder, value, count) for value in values), strict=True)
        products = [builder.fmul(a, b) for a, b in pairs]
        while len(products) > 1:  # Pairwise: a chain of additions has a longer latency.
            products = [_sum(builder, products[k : k + 2]) for k in range(0, len(products), 2)]
        return products[0]

    return simd_vector(ones, others), build


def _sum(builder, vectors):
    return vectors[0] if len(vectors) == 1 else builder.fadd(*vectors)


@intrinsic
def add_scaled(typingctx, sums, vectors, scale):
    """sums + scale * vectors, for tuples of vectors and one vector `scale`."""
    count = len(sums)

    def build(context, builder, signature_, values):
        old, new = (cgutils.unpack_tuple(builder, value, count) for value in values[:2])
        added = [builder.fadd(a, builder.fmul(values[2], b)) for a, b in zip(old, new, strict=True)]
        return cgutils.pack_array(builder, added)

    return sums(sums, vectors, scale), build


@intrinsic
def lane_sums(typingctx, vectors):
    """Sum over the lanes of each of n vectors: n scalars in as few vectors as possible, zero-padded."""
    count = len(vectors)
    blocks = -(-count // WIDTH)

    def build(context, builder, signature_, values):
        rows = cgutils.unpack_tuple(builder, values[0], count)
        rows += [ir.Constant(VECTOR, None)] * (blocks * WIDTH - count)
        even, odd = (index_constant([2 * k + side for k in range(WIDTH)]) for side in (0, 1))
        while len(rows) > blocks:  # Adds neighboring lanes of two vectors into one vector.
            pairs = zip(rows[::2], rows[1::2], strict=True)
            rows = [
                builder.fadd(builder.shuffle_vector(a, b, even), builder.shuffle_vector(a, b, odd)) for a, b in pairs
            ]
        return cgutils.pack_array(builder, rows)

    return types.UniTuple(simd_vector, blocks)(vectors), build
