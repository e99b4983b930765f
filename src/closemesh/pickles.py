"""Pickles read without running what they may say: only arrays, plain containers and named stand-ins are built."""

from __future__ import annotations

import codecs
import collections
import pickle
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

try:
    from numpy._core import multiarray, numeric
except ImportError:  # numpy 1
    from numpy.core import multiarray, numeric  # type: ignore[no-redef]

Allowed = Mapping[tuple[str, str], Callable[..., Any]]
"""What a pickle may name, by module and name, and what is built for it."""


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 pickles bytes in the protocols of Python 2."""
    return codecs.encode(text, "latin1" if encoding == "latin1" else "utf-8")


PLAIN: Allowed = {
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


def find_allowed(allowed: Allowed, module: str, name: str) -> Any:
    """What stands for `module.name`. Raises UnpicklingError for everything that is not in `allowed`."""
    module = _OF_PYTHON_2.get(module, module)
    if (module, name) not in allowed:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is neither array nor plain container")
    return allowed[module, name]


class PlainUnpickler(pickle.Unpickler):
    """Knows no function or class beyond those it is given; Python 2's strings are read as latin1."""

    def __init__(self, file: BinaryIO, allowed: Allowed = PLAIN) -> None:
        super().__init__(file, encoding="latin1")
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        return find_allowed(self._allowed, module, name)
