"""The only place that unpickles. A pickle builds arrays, plain containers and named stand-ins; nothing in it is run."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from closemesh.core.arrays import Floats, expect
from closemesh.core.binary_formats import (
    MAX_BYTES,
    array_from_bytes,
    checked_shape,
    is_object_type,
    read_npy_header,
    size_of,
)
from closemesh.core.errors import ClosemeshError, InputError
from closemesh.core.foreign import short_reason
from closemesh.core.pickle_reader import PickleReader
from closemesh.core.pickle_values import ARRAY_GLOBALS, AllowedGlobals, Array, ArrayType, Global, StandIn, damaged
from closemesh.core.torch_files import read_torch_file

_GET_AGAIN = "get it again from its publisher"
_MAKE_AGAIN = "make it again with the tool it is from"


def load_pickle(
    path: Path,
    allowed: AllowedGlobals = ARRAY_GLOBALS,
    error: type[ClosemeshError] = InputError,
    advice: str = _GET_AGAIN,
) -> Any:
    """The content of a pickle of Python 2 or 3: arrays, lists, tuples, dictionaries, strings and numbers.

    Raises `error` with `advice` when the file is missing or damaged, or asks for a global that is not in `allowed`.
    """
    return _load(path, lambda data: PickleReader(data, allowed).load(), error, advice)


def load_pickled_npy(path: Path) -> Any:
    """The one object that `np.save(path, object)` stored in an .npy file. Raises InputError, as `load_pickle`."""

    def load(data: bytes) -> Any:
        file = io.BytesIO(data)
        header = read_npy_header(file)
        array = PickleReader(file.read(), ARRAY_GLOBALS).load() if is_object_type(header.type_code) else None
        if not isinstance(array, np.ndarray) or array.size != 1:
            raise ValueError("it holds no single object")
        return array.reshape(())[()]

    return _load(path, load)


def _load(
    path: Path,
    load: Callable[[bytes], Any],
    error: type[ClosemeshError] = InputError,
    advice: str = _GET_AGAIN,
) -> Any:
    """What `load` makes of the bytes of a file. Raises `error` with `advice` when it is missing or damaged."""
    try:
        size_of(path)
        return load(path.read_bytes())
    except FileNotFoundError as reason:
        raise error(f"{path}: no such file; check the path") from reason
    except Exception as reason:  # A damaged pickle may raise anything.
        raise error(f"{path} cannot be read ({short_reason(reason)}); {advice}") from reason


def load_torch(path: Path, device: torch.device | str = "cpu", advice: str = _MAKE_AGAIN) -> Any:
    """The tensors and plain containers that `torch.save` stored, on `device`.

    Raises InputError with `advice` when the file is missing or damaged, or holds anything else.
    """
    try:
        return read_torch_file(path, torch.device(device))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except Exception as error:  # A damaged file may raise anything.
        raise InputError(f"{path} cannot be read ({short_reason(error)}); {advice}") from error


def expect_numbers(path: Path, name: str, value: Any, shape: tuple[int | str, ...]) -> Floats:
    """A tensor or array of this shape as float64 [...], see `expect`. Raises InputError."""
    if isinstance(value, torch.Tensor):
        if value.is_complex():
            raise InputError(f"{path}: {name} holds complex numbers; the file is not as documented")
        return expect(path, name, value.detach().double().numpy(), shape)
    try:
        array = _as_array(value)
    except (ValueError, TypeError, OverflowError) as error:
        reason = short_reason(error)
        raise InputError(f"{path}: {name} holds no array ({reason}); the file is not as documented") from error
    return expect(path, name, array, shape)


def _as_array(value: Any) -> np.ndarray:
    """An array [...], or the one of nested lists. Raises ValueError and others for lists that make none."""
    _refuse_text(value, set())
    return np.asarray(value)


def _refuse_text(value: Any, seen: set[int]) -> None:
    """One long text among many short ones makes an array of any size. Raises ValueError for lists with text."""
    for part in value if isinstance(value, list | tuple) else ():
        if isinstance(part, str | bytes) or (isinstance(part, np.ndarray) and part.dtype.kind in "SU"):
            raise ValueError("a list of it holds text")
        if isinstance(part, list | tuple) and id(part) not in seen:
            seen.add(id(part))
            _refuse_text(part, seen)


# Joblib: a pickle in which each array is a small header, followed by the raw numbers.

_ZLIB = b"\x78"
_OTHER_COMPRESSIONS = (b"\x1f\x8b", b"BZ", b"\xfd7zXZ", b"\x5d\x00", b"\x04\x22\x4d\x18", b"ZF")
_SPARE_UNPACKED = 256 << 20
_MAX_RATIO = 100  # Of the unpacked to the packed size of large files.


class _ArrayHeader(Array):
    """`joblib.numpy_pickle.NumpyArrayWrapper`: shape, order and dtype of the numbers that follow it."""

    def __init__(self, *_: Any) -> None:
        super().__init__()
        self._nested: list[Any] = []

    def build(self, state: Any, reader: PickleReader) -> None:
        """Read the array that follows. Raises UnpicklingError or ValueError when header or array are damaged."""
        dtype, shape = (state.get(name) if type(state) is dict else None for name in ("dtype", "shape"))
        if not isinstance(dtype, ArrayType):
            raise damaged("it has an array without a type")
        if dtype.has_objects:
            self._nested = [reader.load_unfinished()]
            return
        if state.get("numpy_array_alignment_bytes") is not None:  # Files of joblib before 1.2 have no padding.
            reader.read(reader.read(1)[0])
        sizes = checked_shape(shape)
        raw = reader.read(math.prod(sizes) * dtype.dtype.itemsize)
        self._value = array_from_bytes(raw, dtype.dtype, sizes, state.get("order") == "F")

    def parts(self) -> list[Any]:
        """The array of objects, which is a pickle in the pickle."""
        return self._nested

    def finish(self, parts: list[Any]) -> Any:
        """The array. Raises UnpicklingError when it was never read."""
        return parts[0] if parts else super().finish(parts)


def _plain_dict(*_: Any) -> dict[Any, Any]:
    """In the place of defaultdict, without its factory."""
    return {}


_JOBLIB_GLOBALS: AllowedGlobals = {
    **ARRAY_GLOBALS,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _ArrayHeader,
    ("collections", "defaultdict"): _plain_dict,
    ("builtins", "dict"): _plain_dict,
}


def load_joblib(path: Path) -> Any:
    """The arrays and plain containers that `joblib.dump` or `pickle.dump` stored, uncompressed or with zlib.

    Raises InputError when the file is missing or damaged, compressed in another way, or asks for anything else.
    """

    def load(packed: bytes) -> Any:
        if packed.startswith(_OTHER_COMPRESSIONS):
            raise ValueError("it is packed in a way that is not read; save it with joblib.dump(..., compress=3)")
        return PickleReader(_decompress(packed), _JOBLIB_GLOBALS, file_size=len(packed)).load()

    return _load(path, load, advice=_MAKE_AGAIN)


def _decompress(packed: bytes) -> bytes:
    if not packed.startswith(_ZLIB):
        return packed
    decompressor = zlib.decompressobj()
    raw = decompressor.decompress(packed, min(MAX_BYTES, _SPARE_UNPACKED + _MAX_RATIO * len(packed)))
    if decompressor.unconsumed_tail or not decompressor.eof:
        raise ValueError("it is cut short, or larger than any such file")
    return raw


# The legacy .pkl of SMPL-X: chumpy arrays and sparse matrices, kept as plain data.

_MAX_DENSE = 10_000_000  # Entries of a dense matrix; a body's regressor has 0.6 million.


class _Object(StandIn):
    """An object with a state of plain data."""

    def __init__(self, *_: Any) -> None:
        self._state: Any = None

    def build(self, state: Any, reader: PickleReader) -> None:
        """Take the state."""
        self._state = state

    def parts(self) -> list[Any]:
        """The state."""
        return [self._state]

    def finish(self, parts: list[Any]) -> Any:
        """This, with its finished state."""
        self._state = parts[0]
        return self

    def numbers(self, name: str, kinds: str = "fiub") -> np.ndarray:
        """An array of the state. Raises ValueError when there is none of these kinds of type."""
        array = self._state.get(name) if type(self._state) is dict else None
        if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds:
            raise ValueError(f"an object of it has no numbers under {name}")
        return array


class _ChumpyArray(_Object):
    """`chumpy.ch.Ch`, an array with derivatives; its state has the numbers under `x`."""

    def array(self) -> np.ndarray:
        return self.numbers("x")


class _SparseRows(_Object):
    """A matrix of scipy compressed by rows."""

    by_column = False

    def array(self) -> np.ndarray:
        """The dense matrix. Raises ValueError where its numbers contradict each other."""
        values = self.numbers("data")
        minor, starts = (self.numbers(name, "iu").astype(np.int64) for name in ("indices", "indptr"))
        shape = checked_shape(self._state.get("_shape", self._state.get("shape")))
        if len(shape) != 2 or not 0 < math.prod(shape) <= _MAX_DENSE or {values.ndim, minor.ndim, starts.ndim} != {1}:
            raise ValueError("a sparse matrix of it is damaged")
        counts = np.diff(starts)
        # Checked before they are repeated: counts of a damaged file need any amount of memory.
        if (counts < 0).any() or counts.sum() != len(values) or len(minor) != len(values):
            raise ValueError("a sparse matrix of it is damaged")
        major = np.repeat(np.arange(len(counts)), counts)
        rows, columns = (minor, major) if self.by_column else (major, minor)
        if len(values) and (min(rows.min(), columns.min()) < 0 or rows.max() >= shape[0] or columns.max() >= shape[1]):
            raise ValueError("a sparse matrix of it has entries outside")
        dense = np.zeros(shape)
        np.add.at(dense, (rows, columns), values)
        return dense


class _SparseColumns(_SparseRows):
    by_column = True


def _reconstruct_object(kind: Any, base: Any, state: Any) -> _Object:
    """How a pickle of Python 2 begins an object. Raises ValueError for all but the stand-ins."""
    make = kind.make if isinstance(kind, Global) else None
    if not (isinstance(make, type) and issubclass(make, _Object)):
        raise ValueError("it asks for an object that is neither chumpy array nor sparse matrix")
    return make()


def _refuse_object(*_: Any) -> None:
    raise ValueError("it asks for an object that is neither chumpy array nor sparse matrix")


SMPLX_GLOBALS: AllowedGlobals = {
    **ARRAY_GLOBALS,
    ("copyreg", "_reconstructor"): _reconstruct_object,
    ("builtins", "object"): _refuse_object,
    ("chumpy.ch", "Ch"): _ChumpyArray,
    **{(f"scipy.sparse.{module}", "csc_matrix"): _SparseColumns for module in ("csc", "_csc")},
    **{(f"scipy.sparse.{module}", "csr_matrix"): _SparseRows for module in ("csr", "_csr")},
}
"""Also chumpy arrays and sparse matrices; `dense_array` turns both into arrays."""


def dense_array(value: Any) -> np.ndarray:
    """A value of a pickle loaded with SMPLX_GLOBALS as a numpy array [...].

    Raises ValueError when it holds objects, or numbers that are not finite.
    """
    array = value.array() if isinstance(value, _ChumpyArray | _SparseRows) else _as_array(value)
    if array.dtype.kind not in "biufSU":
        raise ValueError("where numbers should be it has objects")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("it has numbers that are not finite")
    return array
