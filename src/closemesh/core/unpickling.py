"""The only place that unpickles. A pickle builds arrays, plain containers and named stand-ins; nothing in it is run."""

from __future__ import annotations

import codecs
import collections
import io
import pickle
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import torch

from closemesh.core.arrays import Floats, expect
from closemesh.core.errors import ClosemeshError, InputError

try:
    from numpy._core import multiarray, numeric
except ImportError:  # numpy 1
    from numpy.core import multiarray, numeric  # type: ignore[no-redef]

AllowedGlobals = Mapping[tuple[str, str], Callable[..., Any]]
"""What a pickle may name, by module and name, and what is built for it."""


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 pickles bytes in the protocols of Python 2."""
    return codecs.encode(text, "latin1" if encoding == "latin1" else "utf-8")


ARRAY_GLOBALS: AllowedGlobals = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("builtins", "set"): set,
    ("_codecs", "encode"): _encode,
    **{
        (f"numpy.{core}.{module.__name__.split('.')[-1]}", name): getattr(module, name)
        for core in ("core", "_core")
        for module, name in ((multiarray, "_reconstruct"), (multiarray, "scalar"), (numeric, "_frombuffer"))
    },
}
"""What makes up numpy arrays and plain containers."""

_PYTHON_2_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}


def resolve_global(allowed: AllowedGlobals, module: str, name: str) -> Any:
    """What stands for `module.name`. Raises UnpicklingError for everything that is not in `allowed`."""
    module = _PYTHON_2_MODULES.get(module, module)
    if (module, name) not in allowed:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is neither array nor plain container")
    return allowed[module, name]


class RestrictedUnpickler(pickle.Unpickler):
    """Resolves no function or class except the allowed ones; strings of Python 2 are read as latin1."""

    def __init__(self, file: BinaryIO, allowed: AllowedGlobals = ARRAY_GLOBALS) -> None:
        super().__init__(file, encoding="latin1")
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        """The allowed global of this name. Raises UnpicklingError, see `resolve_global`."""
        return resolve_global(self._allowed, module, name)


def load_pickle(
    path: Path,
    allowed: AllowedGlobals = ARRAY_GLOBALS,
    error: type[ClosemeshError] = InputError,
    advice: str = "get it again from its publisher",
) -> Any:
    """The content of a pickle of Python 2 or 3: arrays, lists, tuples, dictionaries, strings and numbers.

    Raises `error` with `advice` when the file is missing or damaged, or asks for a global that is not in `allowed`.
    """
    return _load(path, lambda file: RestrictedUnpickler(file, allowed).load(), error, advice)


def load_pickled_npy(path: Path) -> Any:
    """The one object that `np.save(path, object)` stored in an .npy file. Raises InputError, as `load_pickle`."""

    def load(file: BinaryIO) -> Any:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        read(file)
        return RestrictedUnpickler(file).load()[()]

    return _load(path, load)


def _load(
    path: Path,
    load: Callable[[BinaryIO], Any],
    error: type[ClosemeshError] = InputError,
    advice: str = "get it again from its publisher",
) -> Any:
    try:
        with path.open("rb") as file:
            return load(file)
    except FileNotFoundError as reason:
        raise error(f"{path}: no such file; check the path") from reason
    except Exception as reason:  # A damaged pickle may raise anything.
        raise error(f"{path} cannot be read ({reason}); {advice}") from reason


def load_torch(
    path: Path, device: torch.device | str = "cpu", advice: str = "make it again with the tool it is from"
) -> Any:
    """The tensors and plain containers that `torch.save` stored, on `device`.

    Raises InputError with `advice` when the file is missing or damaged, or holds anything else.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except Exception as error:  # torch raises many kinds, with advice over several lines.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} cannot be read ({reason}); {advice}") from error


def expect_numbers(path: Path, name: str, value: Any, shape: tuple[int | str, ...]) -> Floats:
    """A tensor or array of this shape as float64 [...], see `expect`. Raises InputError."""
    if isinstance(value, torch.Tensor):
        return expect(path, name, value.detach().double().numpy(), shape)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"{path}: {name} holds no array ({error}); the file is not as documented") from error
    return expect(path, name, array, shape)


# Joblib: a pickle in which each array is a small header, followed by the raw numbers.

_MAX_BYTES = 4 << 30  # Size of an unpacked file or array; more is an attack or a mistake.
_ZLIB = b"\x78"
_OTHER_COMPRESSIONS = (b"\x1f\x8b", b"BZ", b"\xfd7zXZ", b"\x5d\x00", b"\x04\x22\x4d\x18", b"ZF")


class _ArrayHeader:
    """`joblib.numpy_pickle.NumpyArrayWrapper`: shape, order and dtype of the numbers that follow it."""

    shape: tuple[int, ...]
    dtype: np.dtype
    order: str
    numpy_array_alignment_bytes: int | None = None  # Files of joblib before 1.2 have no padding.


def _plain_dict(*_: Any) -> dict[Any, Any]:
    """In the place of defaultdict, without its factory."""
    return {}


_JOBLIB_GLOBALS: AllowedGlobals = {
    **ARRAY_GLOBALS,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _ArrayHeader,
    ("collections", "defaultdict"): _plain_dict,
    ("builtins", "dict"): dict,
}
_PythonUnpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]  # The C version offers no hook for arrays.


class _JoblibUnpickler(_PythonUnpickler):
    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(_PythonUnpickler.dispatch)

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")
        self._file = file

    def find_class(self, module: str, name: str) -> Any:
        return resolve_global(_JOBLIB_GLOBALS, module, name)

    def _build(self) -> None:
        super().load_build()
        if isinstance(self.stack[-1], _ArrayHeader):
            self.stack.append(self._read_array(self.stack.pop()))

    dispatch[pickle.BUILD[0]] = _build

    def _read_array(self, header: _ArrayHeader) -> np.ndarray:
        if header.dtype.hasobject:
            return _JoblibUnpickler(self._file).load()
        if header.numpy_array_alignment_bytes is not None:
            self._file.read(self._file.read(1)[0])
        size = int(np.prod([int(n) for n in header.shape], dtype=object)) * header.dtype.itemsize
        raw = self._file.read(size) if 0 <= size <= _MAX_BYTES else b""
        if len(raw) != size:
            raise pickle.UnpicklingError("it ends within an array")
        return np.frombuffer(raw, header.dtype).reshape(header.shape, order="F" if header.order == "F" else "C").copy()


def load_joblib(path: Path) -> Any:
    """The arrays and plain containers that `joblib.dump` or `pickle.dump` stored, uncompressed or with zlib.

    Raises InputError when the file is missing or damaged, compressed in another way, or asks for anything else.
    """

    def load(file: BinaryIO) -> Any:
        packed = file.read()
        if packed.startswith(_OTHER_COMPRESSIONS):
            raise ValueError("it is packed in a way that is not read; save it with joblib.dump(..., compress=3)")
        return _JoblibUnpickler(io.BytesIO(_decompress(packed))).load()

    return _load(path, load, advice="make it again with the tool it is from")


def _decompress(packed: bytes) -> bytes:
    if not packed.startswith(_ZLIB):
        return packed
    decompressor = zlib.decompressobj()
    raw = decompressor.decompress(packed, _MAX_BYTES)
    if decompressor.unconsumed_tail or not decompressor.eof:
        raise ValueError("it is cut short, or larger than any such file")
    return raw


# The legacy .pkl of SMPL-X: chumpy arrays and sparse matrices, kept as plain data.

_MAX_DENSE = 100_000_000  # Entries of a dense matrix; a body's regressor has 0.6 million.


class _StandIn:
    """In the place of an object of the pickle: its state stays plain data, its own class is not imported."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _ChumpyArray(_StandIn):
    """`chumpy.ch.Ch`, an array with derivatives; its state has the numbers under `x`."""

    def array(self) -> np.ndarray:
        return np.asarray(self.state["x"])


class _SparseRows(_StandIn):
    """A matrix of scipy compressed by rows."""

    by_column = False

    def array(self) -> np.ndarray:
        """The dense matrix. Raises ValueError where its numbers contradict each other."""
        state = self.state
        shape = tuple(int(n) for n in state["_shape" if "_shape" in state else "shape"])
        values, minor, starts = (np.asarray(state[name]) for name in ("data", "indices", "indptr"))
        major = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        rows, columns = (minor, major) if self.by_column else (major, minor)
        if len(shape) != 2 or not 0 < shape[0] * shape[1] <= _MAX_DENSE or not len(values) == len(rows) == len(columns):
            raise ValueError("a sparse matrix of it is damaged")
        if len(values) and (min(rows.min(), columns.min()) < 0 or rows.max() >= shape[0] or columns.max() >= shape[1]):
            raise ValueError("a sparse matrix of it has entries outside")
        dense = np.zeros(shape)
        np.add.at(dense, (rows, columns), values)
        return dense


class _SparseColumns(_SparseRows):
    by_column = True


def _reconstruct_stand_in(kind: Any, base: Any, state: Any) -> _StandIn:
    """How a pickle of Python 2 begins an object. Raises ValueError for all but the stand-ins."""
    if not (isinstance(kind, type) and issubclass(kind, _StandIn)):
        raise ValueError("it asks for an object that is neither chumpy array nor sparse matrix")
    return kind()


SMPLX_GLOBALS: AllowedGlobals = {
    **ARRAY_GLOBALS,
    ("copyreg", "_reconstructor"): _reconstruct_stand_in,
    ("builtins", "object"): object,
    ("chumpy.ch", "Ch"): _ChumpyArray,
    **{(f"scipy.sparse.{module}", "csc_matrix"): _SparseColumns for module in ("csc", "_csc")},
    **{(f"scipy.sparse.{module}", "csr_matrix"): _SparseRows for module in ("csr", "_csr")},
}
"""Also chumpy arrays and sparse matrices; `dense_array` turns both into arrays."""


def dense_array(value: Any) -> np.ndarray:
    """A value of a pickle loaded with SMPLX_GLOBALS as a numpy array [...]. Raises ValueError when it holds objects."""
    array = value.array() if isinstance(value, _ChumpyArray | _SparseRows) else np.asarray(value)
    if array.dtype.hasobject:
        raise ValueError("where numbers should be it has objects")
    return array
