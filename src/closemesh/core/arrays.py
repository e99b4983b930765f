"""Arrays out of other people's files: only those asked for, never pickled, and of the shape they must have."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from closemesh.core.errors import InputError

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]

Z_UP_TO_Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""R_yup_zup: a quarter turn about x, which takes a world with z up to closemesh's with y up."""


def read_npz(path: Path, required: Iterable[str] = (), optional: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """The named arrays of an .npz file; other members, which may hold pickled objects, are not touched.

    Raises InputError when the file is missing or damaged, or lacks a required array.
    """
    required, optional = tuple(required), tuple(optional)
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [key for key in required if key not in file.files]
            if missing:
                raise InputError(f"{path} has no {' and no '.join(missing)}; is it a file of another dataset?")
            return {key: file[key] for key in (*required, *optional) if key in file.files}
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is damaged or no .npz file ({error}); get it again") from error


def npz_keys(path: Path) -> frozenset[str]:
    """Names of the arrays of an .npz file, without reading them. Raises InputError when it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(name.removesuffix(".npy") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is missing, damaged or no .npz file ({error}); get it again") from error


def expect(path: Path, name: str, array: np.ndarray, shape: tuple[int | str, ...]) -> Floats:
    """`array` as float64 when it has this shape, letters standing for any length, and all of it is finite.

    Raises InputError with the file and the name of the array.
    """
    fits = array.ndim == len(shape) and all(
        isinstance(want, str) or have == want for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(str(length) for length in shape)
        raise InputError(f"{path}: {name} must be [{wanted}], not {list(array.shape)}; the file is not as documented")
    if array.dtype.kind not in "fiub":
        raise InputError(f"{path}: {name} holds {array.dtype}, not numbers; the file is not as documented")
    numbers = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise InputError(f"{path}: {name} holds numbers that are not finite; remove those frames or the file")
    return numbers


def expect_equal_lengths(path: Path, **arrays: np.ndarray) -> None:
    """Raises InputError when these arrays do not tell of the same number of frames."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"{path}: arrays differ in their number of frames ({told}); get the file again")
    if 0 in lengths.values():
        raise InputError(f"{path} holds no frames")
