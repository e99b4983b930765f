"""16-lane vectors for numba.

Vectors of 16 floats for compiled functions: one SIMD register where AVX-512 is, two or four of them elsewhere.

Tuples of vectors for compiled functions: a vector for each channel, the loop over them unrolled by the compiler.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

# Compiled functions carry no hints: numba infers the types.
# pyright: reportMissingParameterType=false, reportArgumentType=false, reportCallIssue=false, reportOptionalCall=false


WIDTH = 16
VECTOR = ir.VectorType(ir.FloatType(), WIDTH)
_INDEX = ir.IntType(32)


class _LanesType(types.Type):
    pass


class _HitsType(types.Type):
    pass


lanes = _LanesType("lanes")  # 16 floats
hits = _HitsType("hits")  # 16 truths


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type) -> None:
        super().__init__(dmm, fe_type, VECTOR)


@register_model(_HitsType)
class _HitsModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type) -> None:
        super().__init__(dmm, fe_type, ir.VectorType(ir.IntType(1), WIDTH))


def spread_value(builder, value):
    """The vector that holds a scalar 16 times; a vector stays what it is."""
    if value.type == VECTOR:
        return value
    single = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, _INDEX(0))
    return builder.shuffle_vector(single, ir.Constant(VECTOR, ir.Undefined), pick([0] * WIDTH))


def pick(indices):
    return ir.Constant(ir.VectorType(_INDEX, len(indices)), list(indices))


def _define(function, build, result) -> None:
    """Let `function` take two vectors, or a vector and a scalar."""
    pairs = ((lanes, lanes), (lanes, types.float32), (types.float32, lanes))

    class Template(ConcreteTemplate):
        cases = [signature(result, *pair) for pair in pairs]  # noqa: RUF012

    infer_global(function)(Template)

    def lower(context, builder, signature_, values):
        return build(builder, *(spread_value(builder, value) for value in values))

    for pair in pairs:
        lower_builtin(function, *pair)(lower)


_define(operator.add, lambda builder, a, b: builder.fadd(a, b), lanes)
_define(operator.sub, lambda builder, a, b: builder.fsub(a, b), lanes)
_define(operator.mul, lambda builder, a, b: builder.fmul(a, b), lanes)
_define(operator.truediv, lambda builder, a, b: builder.fdiv(a, b), lanes)
_define(operator.le, lambda builder, a, b: builder.fcmp_ordered("<=", a, b), hits)
_define(operator.gt, lambda builder, a, b: builder.fcmp_ordered(">", a, b), hits)


@infer_global(operator.and_)
class _Both(ConcreteTemplate):
    cases = [signature(hits, hits, hits)]  # noqa: RUF012


@lower_builtin(operator.and_, hits, hits)
def _lower_both(context, builder, signature_, values):
    return builder.and_(*values)


@intrinsic
def choose(typingctx, where, yes, no):
    """Lane by lane `yes` where the condition holds, else `no`; either may be a scalar."""

    def build(context, builder, signature_, values):
        return builder.select(values[0], spread_value(builder, values[1]), spread_value(builder, values[2]))

    return lanes(where, yes, no), build


@intrinsic
def any_of(typingctx, where):
    """Whether the condition holds in any lane."""

    def build(context, builder, signature_, values):
        bits = builder.bitcast(values[0], ir.IntType(WIDTH))
        return builder.icmp_unsigned("!=", bits, bits.type(0))

    return types.boolean(where), build


@intrinsic
def minus_size(typingctx, vector):
    """The negative of the absolute values."""

    def build(context, builder, signature_, values):
        whole = ir.VectorType(_INDEX, WIDTH)
        sign = ir.Constant(whole, [0x80000000] * WIDTH)
        return builder.bitcast(builder.or_(builder.bitcast(values[0], whole), sign), VECTOR)

    return lanes(vector), build


def address(context, builder, array_type, array, row, first):
    """Where array[row, first] of a C-contiguous [., .] float32 array stands, as the address of a vector."""
    structure = context.make_array(array_type)(context, builder, array)
    width = cgutils.unpack_tuple(builder, structure.shape, 2)[1]
    offset = builder.add(builder.mul(row, width), first)
    return builder.bitcast(builder.gep(structure.data, [offset]), VECTOR.as_pointer())


@intrinsic
def load(typingctx, array, row, first):
    """array[row, first : first + 16] of float32 [., .] in C order."""

    def build(context, builder, signature_, values):
        return builder.load(address(context, builder, signature_.args[0], *values), align=4)

    return lanes(array, types.intp, types.intp), build


@intrinsic
def store(typingctx, array, row, first, vector):
    """array[row, first : first + 16] = vector."""

    def build(context, builder, signature_, values):
        builder.store(values[3], address(context, builder, signature_.args[0], *values[:3]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, lanes), build


@intrinsic
def spread(typingctx, value):
    """A scalar 16 times over."""

    def build(context, builder, signature_, values):
        return spread_value(builder, values[0])

    return lanes(types.float32), build


# Compiled functions carry no hints: numba infers the types.
# pyright: reportMissingParameterType=false


@intrinsic
def load_all(typingctx, array, row, first, counter):
    """As many vectors as `counter` (a tuple) is long, one behind the other from array[row, first] on."""
    count = len(counter)

    def build(context, builder, signature_, values):
        vectors = []
        for k in range(count):
            place = builder.add(values[2], values[2].type(WIDTH * k))
            where = address(context, builder, signature_.args[0], values[0], values[1], place)
            vectors.append(builder.load(where, align=4))
        return cgutils.pack_array(builder, vectors)

    return types.UniTuple(lanes, count)(array, types.intp, types.intp, counter), build


@intrinsic
def store_all(typingctx, array, row, first, vectors):
    """The vectors one behind the other from array[row, first] on."""
    count = len(vectors)

    def build(context, builder, signature_, values):
        for k, vector in enumerate(cgutils.unpack_tuple(builder, values[3], count)):
            place = builder.add(values[2], values[2].type(WIDTH * k))
            where = address(context, builder, signature_.args[0], values[0], values[1], place)
            builder.store(vector, where, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, vectors), build


@intrinsic
def spread_all(typingctx, array, row, first, counter):
    """For each entry of `counter` the scalar array[row, first + k], 16 times over."""
    count = len(counter)

    def build(context, builder, signature_, values):
        structure = context.make_array(signature_.args[0])(context, builder, values[0])
        width = cgutils.unpack_tuple(builder, structure.shape, 2)[1]
        offset = builder.add(builder.mul(values[1], width), values[2])
        scalars = [
            builder.load(builder.gep(structure.data, [builder.add(offset, offset.type(k))])) for k in range(count)
        ]
        return cgutils.pack_array(builder, [spread_value(builder, scalar) for scalar in scalars])

    return types.UniTuple(lanes, count)(array, types.intp, types.intp, counter), build


@intrinsic
def repeat(typingctx, vector, counter):
    """As many copies of the vector as `counter` is long."""
    count = len(counter)

    def build(context, builder, signature_, values):
        return cgutils.pack_array(builder, [values[0]] * count)

    return types.UniTuple(lanes, count)(vector, counter), build


@intrinsic
def dot(typingctx, ones, others):
    """The sum of the products of two tuples of vectors, lane by lane."""
    count = len(ones)

    def build(context, builder, signature_, values):
        pairs = zip(*(cgutils.unpack_tuple(builder, value, count) for value in values), strict=True)
        products = [builder.fmul(a, b) for a, b in pairs]
        while len(products) > 1:  # In pairs: a chain of additions would wait for itself.
            products = [_sum(builder, products[k : k + 2]) for k in range(0, len(products), 2)]
        return products[0]

    return lanes(ones, others), build


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
def totals(typingctx, vectors):
    """The sum over the lanes of each of n vectors: n scalars in as few vectors as hold them, zeros behind."""
    count = len(vectors)
    blocks = -(-count // WIDTH)

    def build(context, builder, signature_, values):
        rows = cgutils.unpack_tuple(builder, values[0], count)
        rows += [ir.Constant(VECTOR, None)] * (blocks * WIDTH - count)
        even, odd = (pick([2 * k + side for k in range(WIDTH)]) for side in (0, 1))
        while len(rows) > blocks:  # Neighbouring lanes of two vectors are added into one vector.
            pairs = zip(rows[::2], rows[1::2], strict=True)
            rows = [
                builder.fadd(builder.shuffle_vector(a, b, even), builder.shuffle_vector(a, b, odd)) for a, b in pairs
            ]
        return cgutils.pack_array(builder, rows)

    return types.UniTuple(lanes, blocks)(vectors), build
