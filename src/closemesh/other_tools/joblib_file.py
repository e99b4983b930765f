"""Files of `joblib.dump`, plain or zlib-compressed, read without joblib and without running what they may say.

A joblib file is a pickle in which each array is a small description, followed by the numbers themselves.
"""

from __future__ import annotations

import io
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from closemesh.errors import InputError
from closemesh.pickles import PLAIN, Allowed, find_allowed

_LARGEST = 4 << 30  # Bytes unpacked; more is a bomb or a mistake.
_ZLIB = b"\x78"
_OTHER_PACKINGS = (b"\x1f\x8b", b"BZ", b"\xfd7zXZ", b"\x5d\x00", b"\x04\x22\x4d\x18", b"ZF")


class _ArrayToCome:
    """`joblib.numpy_pickle.NumpyArrayWrapper`: shape, order and dtype of the numbers that stand behind it."""

    shape: tuple[int, ...]
    dtype: np.dtype
    order: str
    numpy_array_alignment_bytes: int | None = None  # Files of joblib before 1.2 have no padding.


def _plain_dict(*_: Any) -> dict[Any, Any]:
    """Stands for defaultdict, whose factory is nobody's business."""
    return {}


_ALLOWED: Allowed = {
    **PLAIN,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _ArrayToCome,
    ("collections", "defaultdict"): _plain_dict,
    ("builtins", "dict"): dict,
}


_InPython: Any = pickle._Unpickler  # type: ignore[attr-defined]  # The one in C cannot be told to read arrays.


class _JoblibUnpickler(_InPython):
    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(_InPython.dispatch)

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")
        self._file = file

    def find_class(self, module: str, name: str) -> Any:
        return find_allowed(_ALLOWED, module, name)

    def _build(self) -> None:
        super().load_build()
        if isinstance(self.stack[-1], _ArrayToCome):
            self.stack.append(self._read_array(self.stack.pop()))

    dispatch[pickle.BUILD[0]] = _build

    def _read_array(self, told: _ArrayToCome) -> np.ndarray:
        if told.dtype.hasobject:
            return _JoblibUnpickler(self._file).load()
        if told.numpy_array_alignment_bytes is not None:
            self._file.read(self._file.read(1)[0])
        size = int(np.prod([int(n) for n in told.shape], dtype=object)) * told.dtype.itemsize
        numbers = self._file.read(size) if 0 <= size <= _LARGEST else b""
        if len(numbers) != size:
            raise pickle.UnpicklingError("it ends within an array")
        return np.frombuffer(numbers, told.dtype).reshape(told.shape, order="F" if told.order == "F" else "C").copy()


def read_joblib(path: Path) -> Any:
    """What `joblib.dump` or `pickle.dump` put in the file: arrays, plain containers, strings and numbers.

    Raises InputError when it is missing, damaged, packed in another way than zlib, or asks for anything else: nothing
    of that is run.
    """
    try:
        packed = path.read_bytes()
        if packed.startswith(_OTHER_PACKINGS):
            raise ValueError("it is packed in a way that is not read; save it with joblib.dump(..., compress=3)")
        return _JoblibUnpickler(io.BytesIO(_unpacked(packed))).load()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except Exception as error:  # A damaged pickle may raise anything.
        raise InputError(f"{path} cannot be read ({error}); make it again with the tool it is from") from error


def _unpacked(packed: bytes) -> bytes:
    if not packed.startswith(_ZLIB):
        return packed
    unpacker = zlib.decompressobj()
    numbers = unpacker.decompress(packed, _LARGEST)
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise ValueError("it is cut short, or larger than any such file")
    return numbers
