"""Arrays of numpy in a pickle, made from their bytes: nothing of numpy itself can be named or called."""

from __future__ import annotations

import collections
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from closemesh.core.npy_format import array_from_bytes, checked_shape, is_object_type, plain_dtype
from closemesh.core.pickle_values import AllowedGlobals, Global, StandIn, damaged, expect_key

if TYPE_CHECKING:
    from closemesh.core.pickle_reader import PickleReader

_ORDERS = ("<", ">", "|", "=")


class ArrayType(StandIn):
    """`numpy.dtype`: the code of a type, and its byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        if type(code) is not str:
            raise damaged("it has an array without a type")
        self.has_objects = is_object_type(code)
        self.empty_text = {"S0": np.bytes_(), "U0": np.str_()}.get(code)
        unused = self.has_objects or self.empty_text is not None
        self._dtype = np.dtype(bool) if unused else plain_dtype(code)

    def build(self, state: Any, reader: PickleReader) -> None:
        """Take the byte order. Raises UnpicklingError for types of several values."""
        if type(state) is not tuple or len(state) < 5 or state[1] not in _ORDERS:
            raise damaged("it has an array without a type")
        if any(value is not None for value in state[2:5]):
            raise damaged("it has an array of records")
        self._dtype = self._dtype.newbyteorder(state[1])

    @property
    def dtype(self) -> np.dtype:
        """The type. Raises UnpicklingError when it is that of objects, or of text without characters."""
        if self.has_objects or self.empty_text is not None:
            raise damaged("it has objects or nothing where numbers should be")
        return self._dtype

    def finish(self, parts: list[Any]) -> np.dtype:
        """The type itself."""
        return self.dtype


class Array(StandIn):
    """`numpy.ndarray`: an array of plain values, or a list of what an array of objects holds."""

    def __init__(self) -> None:
        self._value: np.ndarray | None = None
        self._objects: list[Any] = []
        self._shape: tuple[int, ...] | None = None

    @classmethod
    def of(cls, value: np.ndarray) -> Array:
        """A finished array."""
        array = cls()
        array._value = value
        return array

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return 8 * len(self._objects) if self._value is None else self._value.nbytes

    def build(self, state: Any, reader: PickleReader) -> None:
        """Take shape, type, order and bytes, or a list of objects. Raises UnpicklingError or ValueError."""
        if type(state) is not tuple or len(state) not in (4, 5) or not isinstance(state[-3], ArrayType):
            raise damaged("it has a damaged array")
        shape, dtype, is_fortran, content = state[-4:]
        if dtype.has_objects:
            self._take_objects(checked_shape(shape), content)
        else:
            self._value = array_from_bytes(_raw(content), dtype.dtype, checked_shape(shape), bool(is_fortran))

    def _take_objects(self, shape: tuple[int, ...], content: Any) -> None:
        if type(content) is not list or len(content) != math.prod(shape):
            raise damaged("it has a damaged array of objects")
        self._objects, self._shape = list(content), shape

    def parts(self) -> list[Any]:
        """The objects."""
        return self._objects

    def finish(self, parts: list[Any]) -> np.ndarray:
        """The array. Raises UnpicklingError when it was never filled."""
        if self._value is None:
            if self._shape is None:
                raise damaged("it has an array without numbers")
            flat = np.empty(len(parts), object)
            for i, part in enumerate(parts):
                flat[i] = part
            self._value = flat.reshape(self._shape)
        return self._value


def _raw(content: Any) -> bytes:
    """The bytes of an array, which Python 2 keeps as text."""
    if isinstance(content, str):
        return content.encode("latin1")
    if not isinstance(content, bytes | bytearray):
        raise damaged("it has an array without bytes")
    return bytes(content)


def _reconstruct(kind: Any, *_: Any) -> Array:
    if not isinstance(kind, Global) or kind.make is not Array:
        raise damaged("it has an array of another class")
    return Array()


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Array:
    """How arrays are in protocol 5; axes: of `C` order, those of the array in the order of `K`."""
    if not isinstance(dtype, ArrayType) or order not in ("C", "F", "K"):
        raise damaged("it has a damaged array")
    array = array_from_bytes(_raw(content), dtype.dtype, checked_shape(shape), order == "F")
    if axes is None:
        return Array.of(array)
    if order != "K" or type(axes) is not tuple or sorted(axes) != list(range(array.ndim)):
        raise damaged("it has a damaged array")
    return Array.of(array.transpose(axes))


def _scalar(dtype: Any, content: Any) -> Any:
    if not isinstance(dtype, ArrayType):
        raise damaged("it has a number without a type")
    if dtype.empty_text is not None and not content:
        return dtype.empty_text
    return array_from_bytes(_raw(content), dtype.dtype, (1,))[0]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """How Python 3 pickles bytes in the protocols of Python 2."""
    if type(text) is not str or encoding not in ("latin1", "utf-8"):
        raise damaged("it has damaged bytes")
    return text.encode(encoding)


def _no_bytes() -> bytes:
    return b""


def _ordered(pairs: Any = ()) -> collections.OrderedDict[Any, Any]:
    if type(pairs) not in (list, tuple) or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
        raise damaged("it has a damaged dictionary")
    return collections.OrderedDict((expect_key(key), value) for key, value in pairs)


def _set(items: Any = ()) -> set[Any]:
    if type(items) not in (list, tuple):
        raise damaged("it has a damaged set")
    return {expect_key(item) for item in items}


ARRAY_GLOBALS: AllowedGlobals = {
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): ArrayType,
    ("collections", "OrderedDict"): _ordered,
    ("builtins", "set"): _set,
    ("builtins", "bytes"): _no_bytes,
    ("_codecs", "encode"): _encode,
    **{
        (f"numpy.{core}.{module}", name): make
        for core in ("core", "_core")
        for module, name, make in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}
"""What makes up numpy arrays and plain containers."""
