"""The only unpickling policy: pickle, npy, joblib, torch, legacy SMPL-X.

Pickles read without running what they may say: only arrays, plain containers and named stand-ins are built.

Pickles of data sets, read without running what they may say: only arrays and plain containers are built.

Files of `torch.save` that hold tensors and plain containers; nothing else in them is built.

Files of `joblib.dump`, plain or zlib-compressed, read without joblib and without running what they may say.

A joblib file is a pickle in which each array is a small description, followed by the numbers themselves.
"""

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
from closemesh.core.errors import InputError

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


_OF_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}


def resolve_global(allowed: AllowedGlobals, module: str, name: str) -> Any:
    """What stands for `module.name`. Raises UnpicklingError for everything that is not in `allowed`."""
    module = _OF_PYTHON_2.get(module, module)
    if (module, name) not in allowed:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is neither array nor plain container")
    return allowed[module, name]


class RestrictedUnpickler(pickle.Unpickler):
    """Knows no function or class beyond those it is given; Python 2's strings are read as latin1."""

    def __init__(self, file: BinaryIO, allowed: AllowedGlobals = ARRAY_GLOBALS) -> None:
        super().__init__(file, encoding="latin1")
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        return resolve_global(self._allowed, module, name)


def read_pickle(path: Path) -> Any:
    """What a pickle of arrays, lists, tuples, dictionaries, strings and numbers holds; Python 2's too.

    Raises InputError when it is missing or damaged, or asks for anything else: nothing of that is run.
    """
    return _read(path, lambda file: None)


def read_pickled_npy(path: Path) -> Any:
    """The one object that `np.save(path, object)` put in an .npy file, under the same rule."""
    return _read(path, _skip_npy_header)[()]


def _read(path: Path, begin: Callable[[BinaryIO], None]) -> Any:
    try:
        with path.open("rb") as file:
            begin(file)
            return RestrictedUnpickler(file).load()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except Exception as error:  # A damaged pickle may raise anything.
        raise InputError(f"{path} cannot be read ({error}); get it again from its publisher") from error


def _skip_npy_header(file: BinaryIO) -> None:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    read(file)


def read_torch(path: Path) -> Any:
    """What the file holds, on the CPU. Raises InputError when it is missing, damaged, or asks for anything else."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except Exception as error:  # torch raises many kinds, with advice over several lines.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} cannot be read ({reason}); make it again with the tool it is from") from error


def numbers(path: Path, name: str, value: Any, shape: tuple[int | str, ...]) -> Floats:
    """A tensor or array of this shape as float64, see `expect`. Raises InputError."""
    if not isinstance(value, torch.Tensor):
        return expect(path, name, _array(path, name, value), shape)
    return expect(path, name, value.detach().double().numpy(), shape)


def _array(path: Path, name: str, value: Any) -> Any:
    import numpy as np

    try:
        return np.asarray(value)
    except ValueError as error:
        raise InputError(f"{path}: {name} holds no array ({error}); the file is not as documented") from error


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


_ALLOWED: AllowedGlobals = {
    **ARRAY_GLOBALS,
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
        return resolve_global(_ALLOWED, module, name)

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
