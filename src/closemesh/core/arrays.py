"""The only reader of .npz files: only the arrays asked for, never pickled, checked for shape and finite values."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from closemesh.core.errors import ClosemeshError, InputError

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]

_NO_SUCH_FILE = ": no such file; check the path"
_DAMAGED = "is damaged or no .npz file"

Z_UP_TO_Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""R_yup_zup [3, 3]: a quarter turn about x, from a world with z up to closemesh's world with y up."""


def read_npz(
    path: Path,
    required: Iterable[str] = (),
    optional: Iterable[str] = (),
    error: type[ClosemeshError] = InputError,
    fault: str | None = None,
    advice: str = "get it again",
) -> dict[str, np.ndarray]:
    """Return the named arrays [...] of an .npz file; other members, perhaps pickled objects, are not read.

    fault: what the message says after the path, such as "is not a pose prior", and `advice` what to do about the file.
    Raises `error`, by default InputError, when the file is missing or damaged, or lacks a required array.
    """
    required, optional = tuple(required), tuple(optional)
    absent = f" {fault} (no such file); {advice}" if fault else _NO_SUCH_FILE
    with _open_npz(path, absent, advice, error, fault or _DAMAGED) as file:
        missing = " and no ".join(key for key in required if key not in file.files)
        if missing and fault:
            raise error(f"{path} {fault} (it has no {missing}); {advice}")
        if missing:
            raise error(f"{path} has no {missing}; is it a file of another data set?")
        return {key: file[key] for key in (*required, *optional) if key in file.files}


def read_unpickled_npz(path: Path, error: type[ClosemeshError] = InputError) -> dict[str, np.ndarray]:
    """Return every array [...] of an .npz file except the pickled ones, which are left out.

    Raises `error`, by default InputError, when the file is missing or damaged.
    """
    arrays: dict[str, np.ndarray] = {}
    with _open_npz(path, _NO_SUCH_FILE, "get it again", error) as file:
        for name in file.files:
            with contextlib.suppress(ValueError):  # An array of objects.
                arrays[name] = file[name]
    return arrays


def read_result_npz(path: Path) -> dict[str, np.ndarray]:
    """Return every array [...] of an .npz file that closemesh wrote.

    Raises InputError when it is missing, damaged or holds pickled objects.
    """
    missing = " not found; run `closemesh reconstruct` first"
    with _open_npz(path, missing, "run `closemesh reconstruct` again") as file:
        return {name: file[name] for name in file.files}


def npz_keys(path: Path) -> frozenset[str]:
    """Return the names of the arrays of an .npz file without reading them. Raises InputError when it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(name.removesuffix(".npy") for name in archive.namelist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is missing, damaged or no .npz file ({error}); get it again") from error


def expect(path: Path, name: str, array: np.ndarray, shape: tuple[int | str, ...]) -> Floats:
    """Return `array` [...] as float64 if it has the shape `shape`, where a letter stands for any length.

    Raises InputError with the file and the name of the array for another shape, other types and values not finite.
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
    """Check that these arrays [T, ...] have the same number of frames, at least one. Raises InputError if not."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"{path}: arrays differ in their number of frames ({listed}); get the file again")
    if 0 in lengths.values():
        raise InputError(f"{path} holds no frames")


# NotImplementedError: the archive uses a feature that zipfile lacks.
_DAMAGES = (
    *(OSError, ValueError, EOFError, TypeError, AttributeError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)


@contextmanager
def _open_npz(
    path: Path, missing: str, advice: str, error: type[ClosemeshError] = InputError, damaged: str = _DAMAGED
) -> Iterator[NpzFile]:
    """An open .npz file. Raises `error`: `missing` or `damaged` follows the path, `advice` is what to do about it."""
    try:
        with np.load(path, allow_pickle=False) as file:
            yield file
    except FileNotFoundError as reason:
        raise error(f"{path}{missing}") from reason
    except _DAMAGES as reason:
        raise error(f"{path} {damaged} ({reason}); {advice}") from reason
