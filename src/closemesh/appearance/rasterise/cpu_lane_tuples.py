"""Tuples of vectors for compiled functions: a vector for each channel, the loop over them unrolled by the compiler."""

from __future__ import annotations

# Compiled functions carry no hints: numba infers the types.
# pyright: reportMissingParameterType=false
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from closemesh.appearance.rasterise.cpu_lanes import VECTOR, WIDTH, address, lanes, pick, spread_value


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
