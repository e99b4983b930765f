"""What a pickle is made of: stand-ins for its objects, keys, and the step from stand-ins to values, within limits."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

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
