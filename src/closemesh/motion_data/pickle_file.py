"""Pickles of data sets, read without running what they may say: only arrays and plain containers are built."""

from __future__ import annotations

import codecs
import collections
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from closemesh.errors import InputError

try:
    from numpy._core import multiarray, numeric
except ImportError:  # numpy 1
    from numpy.core import multiarray, numeric  # type: ignore[no-redef]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 pickles bytes in the protocols of Python 2."""
    return codecs.encode(text, "latin1" if encoding == "latin1" else "utf-8")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("_codecs", "encode"): _encode,
    **{
        (f"numpy.{core}.{module.__name__.split('.')[-1]}", name): getattr(module, name)
        for core in ("core", "_core")
        for module, name in ((multiarray, "_reconstruct"), (multiarray, "scalar"), (numeric, "_frombuffer"))
    },
}


class _PlainUnpickler(pickle.Unpickler):
    """Knows no function or class beyond those that make up numpy arrays."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is neither array nor plain container")
        return _ALLOWED[module, name]


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
            return _PlainUnpickler(file, encoding="latin1").load()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except Exception as error:  # A damaged pickle may raise anything.
        raise InputError(f"{path} cannot be read ({error}); get it again from its publisher") from error


def _skip_npy_header(file: BinaryIO) -> None:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    read(file)
