"""Reads the opcodes of a pickle itself: plain containers, text, numbers and stand-ins, within limits.

Nothing that a pickle names is imported, called or given attributes; the table of allowed names says what is built.
Stand-ins become values when the whole pickle is read, and nesting and the size of what it holds are known.
"""

from __future__ import annotations

import codecs
import collections
import pickle
import struct
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from closemesh.core.pickle_values import (
    MAX_DEPTH,
    AllowedGlobals,
    Finisher,
    Global,
    StandIn,
    damaged,
    expect_key,
    resolve_global,
    weight,
)

_SPARE_BYTES = 256 << 20
_EXPANSION = 32  # By which values in memory exceed the file; pairs of small integers grow twentyfold.
_PACKED = 8  # By which the pickle of a large packed file is larger.
_MEMO_BYTES = 100
_MAX_OPEN = 1000
_MAX_INTEGER = 1024  # Bytes.


def _refuse_outside(key: Any) -> Any:
    raise damaged("it refers to objects outside")


class PickleReader:
    """Reads one pickle after another from the bytes of a file.

    allowed: what a pickle may name. persistent: what is built for the IDs of objects outside the pickle.
    file_size: of the file that the bytes are unpacked from, or a part of; limits follow from it.
    """

    def __init__(
        self,
        data: bytes,
        allowed: AllowedGlobals,
        persistent: Callable[[Any], Any] = _refuse_outside,
        file_size: int | None = None,
    ) -> None:
        self._data, self._length, self._position = data, len(data), 0
        self.resolve = partial(resolve_global, allowed)
        self.outside = persistent
        size = len(data) if file_size is None else max(file_size, min(len(data), _PACKED * file_size))
        self._limit = self._bytes_left = _SPARE_BYTES + _EXPANSION * size
        self._level = 0

    def load(self) -> Any:
        """Return the value of the next pickle. Raises UnpicklingError and others when it is damaged or refused."""
        return self.finish(self.load_unfinished())

    def finish(self, value: Any) -> Any:
        """Return the value with its stand-ins turned into what they stand for. Raises UnpicklingError, as `load`."""
        return Finisher(self._limit).finish(value)

    def load_unfinished(self) -> Any:
        """Return the value of the next pickle with its stand-ins, as a part of another value. Raises as `load`."""
        self._level += 1
        if self._level > MAX_DEPTH // 10:
            raise damaged("it is nested too deeply")
        value = _Machine(self).run()
        self._level -= 1
        return value

    def read(self, size: int) -> bytes:
        """Return the next bytes. Raises UnpicklingError where the file ends."""
        start, end = self._position, self._position + size
        if size < 0 or end > self._length:
            raise damaged("it is cut short")
        self._position = end
        return self._data[start:end]

    def code(self) -> int:
        """Return the next byte. Raises UnpicklingError where the file ends."""
        position = self._position
        if position >= self._length:
            raise damaged("it is cut short")
        self._position = position + 1
        return self._data[position]

    def line(self) -> bytes:
        """Return the bytes up to the next end of line. Raises UnpicklingError where the file ends."""
        end = self._data.find(b"\n", self._position)
        if end < 0:
            raise damaged("it is cut short")
        return self.read(end + 1 - self._position)[:-1]

    def spend(self, size: int) -> None:
        """Account for bytes in memory that are more than those in the file. Raises UnpicklingError for too many."""
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise damaged("it makes more than a file of its size holds")


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self, reader: PickleReader) -> None:
        self.reader = reader
        self.stack: list[Any] = []
        self.open: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        reader, push, pushed, actions = self.reader, self.stack.append, _PUSHED, _ACTIONS_BY_CODE
        while True:
            code = reader.code()
            value = pushed[code]
            if value is not None:
                push(value(reader))
                continue
            if code == _STOP:
                return self.stack.pop()
            action = actions[code]
            if action is None:
                raise damaged(f"it has the unknown opcode {code}")
            action(self)

    def mark(self) -> None:
        if len(self.open) >= _MAX_OPEN:
            raise damaged("it is nested too deeply")
        self.open.append(len(self.stack))

    def marked(self) -> list[Any]:
        """Take everything after the last mark from the stack."""
        start = self.open.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop(self) -> None:
        if self.open and self.open[-1] == len(self.stack):
            self.open.pop()
        else:
            self.stack.pop()

    def push(self, container: Any) -> None:
        self.reader.spend(sys.getsizeof(container))
        self.stack.append(container)

    def last(self, count: int) -> None:
        """A tuple of the last values."""
        items = tuple(self.stack[-count:])
        if len(items) != count:
            raise damaged()
        self.stack[-count:] = []
        self.push(items)

    def put(self, index: int) -> None:
        self.reader.spend(_MEMO_BYTES)
        self.memo[index] = self.stack[-1]

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif isinstance(target, StandIn):
            target.take(items)
        else:
            raise damaged("it appends to something that is no list")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, StandIn):
            return target.take(items)
        if not isinstance(target, dict) or len(items) % 2:
            raise damaged("it sets entries of something that is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[expect_key(key)] = value

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def dictionary(self) -> None:
        items = self.marked()
        self.push({})
        self.set_items(items)

    def add_items(self) -> None:
        items, target = self.marked(), self.stack[-1]
        if type(target) is not set:
            raise damaged("it adds to something that is no set")
        target.update(expect_key(item) for item in items)

    def named(self) -> None:
        """The name of the two last values."""
        name, module = self.stack.pop(), self.stack.pop()
        if type(module) is not str or type(name) is not str:
            raise damaged()
        self.stack.append(self.reader.resolve(module, name))

    def make(self, named: Any, args: Any, options: Any = None) -> None:
        """What stands for the call of a name."""
        if not isinstance(named, Global) or type(args) is not tuple or options:
            raise damaged("it calls something that is no name")
        self.push(made := named.make(*args))
        self.reader.spend(weight(made))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, collections.OrderedDict):
            return  # The state of a module's parameters: the versions of its layers.
        if not isinstance(target, StandIn):
            raise damaged("it sets the state of something that has none")
        target.build(state, self.reader)
        self.reader.spend(weight(target))

    def instance(self) -> None:
        """A name and arguments since the last mark, in the oldest protocols."""
        named, *args = self.marked()
        self.make(named, tuple(args))


def _integer(raw: bytes) -> int:
    if len(raw) > _MAX_INTEGER:
        raise damaged("it has an integer of absurd size")
    return int.from_bytes(raw, "little", signed=True)


def _integer_line(reader: PickleReader) -> int | bool:
    text = reader.line()
    if len(text) > _MAX_INTEGER:
        raise damaged("it has an integer of absurd size")
    return text == b"01" if text in (b"00", b"01") else int(text.rstrip(b"L"), 0)


def _quoted_line(reader: PickleReader) -> str:
    text = reader.line().strip()
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in b"\"'":
        raise damaged()
    return codecs.escape_decode(text[1:-1])[0].decode("latin1")  # type: ignore[attr-defined]


def _unpack(code: str) -> Callable[[PickleReader], Any]:
    """A number of this format of `struct`."""
    form = struct.Struct(code)
    return lambda reader: form.unpack(reader.read(form.size))[0]


def _sized(code: str, convert: Callable[[bytes], Any] = bytes) -> Callable[[PickleReader], Any]:
    """Bytes whose number comes first, as a number of this format of `struct`."""
    length = _unpack(code)
    return lambda reader: convert(reader.read(length(reader)))


def _named(reader: PickleReader) -> Global:
    module, name = (reader.line().decode("utf-8") for _ in range(2))
    return reader.resolve(module, name)


_index = _unpack("<I")
_latin1 = partial(str, encoding="latin1")
_utf8 = partial(str, encoding="utf-8", errors="surrogatepass")
_VALUES: Mapping[bytes, Callable[[PickleReader], Any]] = {
    pickle.NONE: lambda _: None,
    pickle.NEWTRUE: lambda _: True,
    pickle.NEWFALSE: lambda _: False,
    pickle.INT: _integer_line,
    pickle.LONG: _integer_line,
    pickle.FLOAT: lambda reader: float(reader.line()),
    pickle.BININT: _unpack("<i"),
    pickle.BININT1: PickleReader.code,
    pickle.BININT2: _unpack("<H"),
    pickle.BINFLOAT: _unpack(">d"),
    pickle.LONG1: _sized("<B", _integer),
    pickle.LONG4: _sized("<i", _integer),
    # Text of Python 2 is read as latin1.
    pickle.STRING: _quoted_line,
    pickle.BINSTRING: _sized("<i", _latin1),
    pickle.SHORT_BINSTRING: _sized("<B", _latin1),
    pickle.UNICODE: lambda reader: reader.line().decode("raw-unicode-escape"),
    pickle.BINUNICODE: _sized("<I", _utf8),
    pickle.SHORT_BINUNICODE: lambda reader: _utf8(reader.read(reader.code())),
    pickle.BINUNICODE8: _sized("<Q", _utf8),
    pickle.BINBYTES: _sized("<I"),
    pickle.SHORT_BINBYTES: _sized("<B"),
    pickle.BINBYTES8: _sized("<Q"),
    pickle.BYTEARRAY8: _sized("<Q", bytearray),
    pickle.EMPTY_TUPLE: lambda _: (),
    pickle.GLOBAL: _named,
}
_ACTIONS: Mapping[bytes, Callable[[_Machine], Any]] = {
    pickle.PROTO: lambda machine: machine.reader.read(1),
    pickle.FRAME: lambda machine: machine.reader.read(8),
    pickle.MARK: _Machine.mark,
    pickle.POP: _Machine.pop,
    pickle.POP_MARK: _Machine.marked,
    pickle.DUP: lambda machine: machine.stack.append(machine.stack[-1]),
    pickle.EMPTY_LIST: lambda machine: machine.push([]),
    pickle.EMPTY_DICT: lambda machine: machine.push({}),
    pickle.EMPTY_SET: lambda machine: machine.push(set()),
    pickle.TUPLE: lambda machine: machine.push(tuple(machine.marked())),
    pickle.TUPLE1: lambda machine: machine.last(1),
    pickle.TUPLE2: lambda machine: machine.last(2),
    pickle.TUPLE3: lambda machine: machine.last(3),
    pickle.LIST: lambda machine: machine.push(machine.marked()),
    pickle.DICT: _Machine.dictionary,
    pickle.FROZENSET: lambda machine: machine.push(frozenset(map(expect_key, machine.marked()))),
    pickle.APPEND: lambda machine: machine.append([machine.stack.pop()]),
    pickle.APPENDS: lambda machine: machine.append(machine.marked()),
    pickle.SETITEM: _Machine.set_item,
    pickle.SETITEMS: lambda machine: machine.set_items(machine.marked()),
    pickle.ADDITEMS: _Machine.add_items,
    pickle.PUT: lambda machine: machine.put(_integer_line(machine.reader)),
    pickle.BINPUT: lambda machine: machine.put(machine.reader.code()),
    pickle.LONG_BINPUT: lambda machine: machine.put(_index(machine.reader)),
    pickle.MEMOIZE: lambda machine: machine.put(len(machine.memo)),
    pickle.GET: lambda machine: machine.stack.append(machine.memo[_integer_line(machine.reader)]),
    pickle.BINGET: lambda machine: machine.stack.append(machine.memo[machine.reader.code()]),
    pickle.LONG_BINGET: lambda machine: machine.stack.append(machine.memo[_index(machine.reader)]),
    pickle.STACK_GLOBAL: _Machine.named,
    pickle.REDUCE: lambda machine: machine.make(args=machine.stack.pop(), named=machine.stack.pop()),
    pickle.NEWOBJ: lambda machine: machine.make(args=machine.stack.pop(), named=machine.stack.pop()),
    pickle.NEWOBJ_EX: lambda machine: machine.make(
        options=machine.stack.pop(), args=machine.stack.pop(), named=machine.stack.pop()
    ),
    pickle.OBJ: _Machine.instance,
    pickle.INST: lambda machine: machine.make(_named(machine.reader), tuple(machine.marked())),
    pickle.BUILD: _Machine.build,
    pickle.PERSID: lambda machine: machine.push(machine.reader.outside(_latin1(machine.reader.line()))),
    pickle.BINPERSID: lambda machine: machine.push(machine.reader.outside(machine.stack.pop())),
}
_PUSHED = [_VALUES.get(bytes([code])) for code in range(256)]
_ACTIONS_BY_CODE = [_ACTIONS.get(bytes([code])) for code in range(256)]
_STOP = pickle.STOP[0]
