"""What a pickle is made of: stand-ins for its objects and arrays, and the step from stand-ins to values, within limits.

Arrays are made from their bytes: nothing of numpy itself can be named or called.
"""

from __future__ import annotations

import collections
import math
import pickle
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from closemesh.core.binary_formats import array_from_bytes, checked_shape, is_object_type, plain_dtype

if TYPE_CHECKING:
    from closemesh.core.pickle_reader import PickleReader

AllowedGlobals = Mapping[tuple[str, str], Callable[..., Any]]
"""What a pickle may name, by module and name, and what is built for it."""

MAX_DEPTH = 100
"""Of values in values; files of tools have less than ten."""
_MAX_KEY = 16  # Values of a tuple that is a key.
_KEYS = (str, int, float, bool, bytes, type(None), np.generic)
_SCALARS = frozenset({int, float, bool, type(None), complex})
_PYTHON_2_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class StandIn:
    """In the place of an object of the pickle: its state stays plain data, its own class is not imported."""

    def build(self, state: Any, reader: PickleReader) -> None:
        """Take the state of the object. Raises UnpicklingError when it is not as it should be."""
        raise pickle.UnpicklingError("it sets the state of something that has none")

    def take(self, items: list[Any]) -> None:
        """Take items of a list, or keys and values. Raises UnpicklingError when it is neither."""
        raise damaged("it adds to something that is no container")

    def parts(self) -> list[Any]:
        """The values that this one is made of."""
        return []

    def finish(self, parts: list[Any]) -> Any:
        """What takes the place of this, given the finished `parts`. Raises UnpicklingError when there is nothing."""
        return self


class Global(NamedTuple):
    """A name in a pickle, and what is built for it."""

    name: str
    make: Callable[..., Any]


class _Finished(NamedTuple):
    before: Any  # Kept, so that no other value gets the same address.
    value: Any
    size: int
    height: int


def damaged(reason: str = "it is damaged") -> pickle.UnpicklingError:
    """The error for a pickle that no pickler writes."""
    return pickle.UnpicklingError(reason)


def resolve_global(allowed: AllowedGlobals, module: str, name: str) -> Global:
    """What stands for `module.name`. Raises UnpicklingError for everything that is not in `allowed`."""
    module = _PYTHON_2_MODULES.get(module, module)
    if (module, name) not in allowed:
        raise damaged(f"it asks for {module}.{name}, which is neither array nor plain container")
    return Global(f"{module}.{name}", allowed[module, name])


def expect_key(key: Any) -> Any:
    """Return a key of a dictionary or a value of a set. Raises UnpicklingError for any but short plain values."""
    values = key if type(key) is tuple and len(key) <= _MAX_KEY else (key,)
    if not all(isinstance(value, _KEYS) for value in values):
        raise damaged("it has a key that is neither text nor number")
    return key


class Finisher:
    """Turns the stand-ins in a value into what they stand for. Raises UnpicklingError for what could grow or loop."""

    def __init__(self, limit: int) -> None:
        """limit: bytes of the value if nothing in it were shared."""
        self._limit = limit
        self._done: dict[int, _Finished] = {}
        self._open: set[int] = set()

    def finish(self, value: Any) -> Any:
        """Return the value itself with everything in it finished."""
        return self._finish_all([value], 0)[0][0]

    def _finish_all(self, values: list[Any], depth: int) -> tuple[list[Any], int, int]:
        """The finished values, their size and the height of the highest."""
        finished, size, height = [], 8 * len(values), 0
        for value in values:
            if type(value) in _SCALARS:
                finished.append(value)
            elif isinstance(value, str | bytes | np.generic):
                finished.append(value)
                size += weight(value)
            else:
                done = self._container(value, depth)
                finished.append(done.value)
                size, height = size + done.size, max(height, done.height)
        return finished, size, height

    def _container(self, value: Any, depth: int) -> _Finished:
        key = id(value)
        if key in self._open:
            raise damaged("it holds a value that contains itself")
        done = self._done.get(key)
        if done is None:
            if depth >= MAX_DEPTH:
                raise damaged("it is nested too deeply")
            self._open.add(key)
            done = self._done[key] = self._made(value, depth + 1)
            self._open.remove(key)
        if done.height + depth > MAX_DEPTH:
            raise damaged("it is nested too deeply")
        return done

    def _made(self, value: Any, depth: int) -> _Finished:
        """The finished value, with finished parts in the place of its own."""
        parts, size, height = self._finish_all(_parts(value), depth)
        whole = value
        if isinstance(value, StandIn):
            whole = value.finish(parts)
            size += getattr(whole, "nbytes", 8)
        elif isinstance(value, dict):
            value.update(zip(list(value), parts, strict=True))
        elif type(value) is list:
            value[:] = parts
        elif type(value) is tuple:
            whole = tuple(parts)
        if size > self._limit:
            raise damaged("it repeats values without end")
        return _Finished(value, whole, size, height + 1)


def _parts(value: Any) -> list[Any]:
    """The values in a value. Raises UnpicklingError for functions and classes."""
    if isinstance(value, StandIn):
        return value.parts()
    if isinstance(value, dict):
        return list(value.values())
    if type(value) in (list, tuple, set, frozenset):
        return list(value)
    if type(value) is bytearray:
        return []
    raise damaged("it holds a function or class where a value should be")


def weight(value: Any) -> int:
    """Bytes of a value, roughly; of a stand-in those that it gives."""
    if isinstance(value, str | bytes | bytearray):
        return len(value)
    if isinstance(value, list | dict | set | frozenset | tuple):
        return 200 * len(value)
    return getattr(value, "nbytes", 64)


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

    def __init__(self, *args: Any) -> None:
        if args:
            raise damaged("it makes an array in a way that numpy does not")
        self._value: np.ndarray | None = None
        self._objects: list[Any] = []
        self._shape: tuple[int, ...] | None = None

    @classmethod
    def of(cls, value: np.ndarray) -> Array:
        """The stand-in of a finished array, value [...]."""
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
        """The array [...]. Raises UnpicklingError when it was never filled."""
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
