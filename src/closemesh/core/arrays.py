"""The only reader of .npz files: only the arrays asked for, never pickled, checked for shape and finite values."""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from closemesh.core.binary_formats import (
    NotPlainError,
    check_entry,
    expect_size,
    expect_valid,
    fill,
    open_zip,
    plain_dtype,
    read_npy_header,
)
from closemesh.core.errors import ClosemeshError, InputError
from closemesh.core.foreign import short_reason

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]

_NO_SUCH_FILE = ": no such file; check the path"
_DAMAGED = "is damaged or no .npz file"
MAX_NUMBER = 1e12
"""More than meters, pixels, seconds and frames of any recording; its square fits a float32."""

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
        missing = " and no ".join(key for key in required if key not in file)
        if missing and fault:
            raise error(f"{path} {fault} (it has no {missing}); {advice}")
        if missing:
            raise error(f"{path} has no {missing}; is it a file of another data set?")
        return {key: file.read(key) for key in (*required, *optional) if key in file}


def read_unpickled_npz(path: Path, error: type[ClosemeshError] = InputError) -> dict[str, np.ndarray]:
    """Return every array [...] of an .npz file except those of objects and records, which are left out.

    Raises `error`, by default InputError, when the file is missing or damaged.
    """
    arrays: dict[str, np.ndarray] = {}
    with _open_npz(path, _NO_SUCH_FILE, "get it again", error) as file:
        for name in file:
            with contextlib.suppress(NotPlainError):
                arrays[name] = file.read(name)
    return arrays


def read_result_npz(path: Path) -> dict[str, np.ndarray]:
    """Return every array [...] of an .npz file that closemesh wrote.

    Raises InputError when it is missing, damaged or holds pickled objects.
    """
    missing = " not found; run `closemesh reconstruct` first"
    with _open_npz(path, missing, "run `closemesh reconstruct` again") as file:
        return {name: file.read(name) for name in file}


def npz_keys(path: Path) -> frozenset[str]:
    """Return the names of the arrays of an .npz file without reading them. Raises InputError when it is none."""
    with _open_npz(path, _NO_SUCH_FILE, "get it again") as file:
        return frozenset(file)


def expect(path: Path, name: str, array: np.ndarray, shape: tuple[int | str, ...]) -> Floats:
    """Return `array` [...] as float64 if it has the shape `shape`, where a letter stands for any length.

    Raises InputError with the file and the name of the array for another shape, other types, and numbers that are not
    finite or larger than any in a recording.
    """
    fits = array.ndim == len(shape) and all(
        isinstance(want, str) or have == want for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(str(length) for length in shape)
        raise InputError(f"{path}: {name} must be [{wanted}], not {list(array.shape)}; the file is not as documented")
    if array.dtype.kind not in "fiub":
        raise InputError(f"{path}: {name} holds {array.dtype}, not numbers; the file is not as documented")
    with np.errstate(all="ignore"):  # Of long floats and signaling NaNs.
        numbers = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise InputError(f"{path}: {name} holds numbers that are not finite; remove those frames or the file")
    if numbers.size and max(-numbers.min(), numbers.max()) > MAX_NUMBER:
        raise InputError(f"{path}: {name} holds numbers beyond {MAX_NUMBER:g}; remove those frames or the file")
    return numbers


def expect_equal_lengths(path: Path, **arrays: np.ndarray) -> None:
    """Check that these arrays [T, ...] have the same number of frames, at least one. Raises InputError if not."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"{path}: arrays differ in their number of frames ({listed}); get the file again")
    if 0 in lengths.values():
        raise InputError(f"{path} holds no frames")


class _Npz:
    """The arrays of an open .npz file by name, each read when it is asked for."""

    def __init__(self, archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> None:
        self._archive = archive
        names = {name: name.removesuffix(".npy") for name in entries}
        self._entries = {key: entries[name] for name, key in names.items() if key != name}

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def read(self, name: str) -> np.ndarray:
        """An array [...]. Raises NotPlainError for objects and records, ValueError and others when it is damaged."""
        entry = self._entries[name]
        check_entry(entry)
        with self._archive.open(entry) as file:
            header = read_npy_header(file)
            dtype = plain_dtype(header.type_code)
            # Memory is only taken for what the archive announces too, which fits the size of the file.
            expect_size(entry.file_size - file.tell(), dtype, header.shape)
            flat = np.empty(math.prod(header.shape), dtype)
            fill(file, flat.data.cast("B") if flat.size else memoryview(b""))
        return expect_valid(flat).reshape(header.shape, order="F" if header.is_fortran else "C")


@contextmanager
def _open_npz(
    path: Path, missing: str, advice: str, error: type[ClosemeshError] = InputError, damaged: str = _DAMAGED
) -> Iterator[_Npz]:
    """An open .npz file. Raises `error`: `missing` or `damaged` follows the path, `advice` is what to do about it."""
    try:
        with open_zip(path) as (archive, entries):
            yield _Npz(archive, entries)
    except ClosemeshError:
        raise
    except FileNotFoundError as reason:
        raise error(f"{path}{missing}") from reason
    except Exception as reason:  # zipfile raises a dozen types.
        raise error(f"{path} {damaged} ({short_reason(reason)}); {advice}") from reason
