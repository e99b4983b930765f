"""Pickles of data sets, read without running what they may say: only arrays and plain containers are built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from closemesh.errors import InputError
from closemesh.pickles import PlainUnpickler


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
            return PlainUnpickler(file).load()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except Exception as error:  # A damaged pickle may raise anything.
        raise InputError(f"{path} cannot be read ({error}); get it again from its publisher") from error


def _skip_npy_header(file: BinaryIO) -> None:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    read(file)
