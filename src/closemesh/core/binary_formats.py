"""Arrays from their bytes, the header of the .npy format, and entries of zip archives, within limits.

No header is evaluated and no type outside a closed list is made, so that bytes of a file are never taken for pointers.
What an archive unpacks to follows from the size of the file.
"""

from __future__ import annotations

import math
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

_TYPE = re.compile(r"([<>|=]?)(?:(\?|b1?|i[1248]|u[1248]|f(?:2|4|8|12|16)|c(?:8|16|24|32))|([SaU])(\d{1,8}))")
_OBJECTS = re.compile(r"[|<>=]?O[48]?")
_MAX_TEXT = 1 << 24  # Characters of one string.
_MAX_CHARACTER = 0x10FFFF
_MAX_DIMENSIONS = 32
_MAX_EMPTY = 1 << 26  # Numbers in the other dimensions of an array that has none; a sum makes an array of that size.

_MAGIC = b"\x93NUMPY"
_MAX_HEADER = 10_000  # Bytes, as in numpy.
_VALUE = r"(?:'[^']*'|True|False|\([\d\s,L]*\)|\[[^\]{}]*\])"
_HEADER = re.compile(rf"\s*\{{(?:\s*'\w+'\s*:\s*{_VALUE}\s*,?){{3}}\s*\}}\s*")
_ENTRY = re.compile(rf"'(\w+)'\s*:\s*({_VALUE})")

MAX_BYTES = 4 << 30
"""Bytes of a file, or of what it unpacks to; more is an attack or a mistake."""
_SPARE = 512 << 20
_MAX_RATIO = 100  # Of the unpacked to the packed size of large files.
_MAX_DEFLATE_RATIO = 1032  # Of the format itself.
_CHUNK = 1 << 20
_ENCRYPTED = 1


class NotPlainError(ValueError):
    """An array holds objects or records of several values."""


class NpyHeader(NamedTuple):
    """What the header of an array in the .npy format announces."""

    type_code: str
    """Such as `<f8`, `|O` for objects, or the text of a list for records."""
    is_fortran: bool
    shape: tuple[int, ...]


def is_object_type(code: str) -> bool:
    """Whether a type code stands for Python objects."""
    return _OBJECTS.fullmatch(code) is not None


def plain_dtype(code: str) -> np.dtype:
    """Return the type of a code such as `<f8`: booleans, numbers, bytes and text of a fixed length.

    Raises NotPlainError for objects and records, ValueError for anything else.
    """
    match = _TYPE.fullmatch(code)
    if match is None:
        raise NotPlainError(f"an array of it holds {code[:40]!r}, neither numbers nor text")
    order, number, text, length = match.groups()
    if number:
        return np.dtype(order + {"b": "b1", "?": "b1"}.get(number, number))
    if not 0 < int(length) <= _MAX_TEXT:
        raise ValueError(f"an array of it holds text of {length} characters")
    return np.dtype(f"{order}{text.replace('a', 'S')}{length}")


def checked_shape(shape: Any) -> tuple[int, ...]:
    """Return a shape as a tuple. Raises ValueError when it is none, or one of an absurd size."""
    if not isinstance(shape, tuple | list) or len(shape) > _MAX_DIMENSIONS:
        raise ValueError("the shape of an array of it is none")
    if not all(isinstance(n, int | np.integer) and not isinstance(n, bool) and 0 <= n < 1 << 48 for n in shape):
        raise ValueError("the shape of an array of it is none")
    sizes = tuple(int(n) for n in shape)
    if 0 in sizes and math.prod(n for n in sizes if n) > _MAX_EMPTY:
        raise ValueError("an array of it is empty, with an absurd shape")
    return sizes


def expect_size(held: int, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Check that an array of this type and shape has `held` bytes. Raises ValueError if not."""
    needed = math.prod(shape) * dtype.itemsize
    if needed != held:
        raise ValueError(f"an array of it has {held} bytes where its shape needs {needed}")


def expect_valid(array: np.ndarray) -> np.ndarray:
    """Return a contiguous array [...] whose bytes come from a file. Raises ValueError for values that do not exist.

    A boolean of another byte than 0 and 1 would be counted wrongly, and memory overwritten where it selects values.
    """
    if array.dtype.kind == "b" and array.size and array.view(np.uint8).max() > 1:
        raise ValueError("an array of it has booleans that are neither true nor false")
    if array.dtype.kind == "U" and array.size:
        codes = np.frombuffer(array, np.dtype("u4").newbyteorder(array.dtype.byteorder))
        if codes.max() > _MAX_CHARACTER:
            raise ValueError("an array of it has characters that do not exist")
    return array


def array_from_bytes(raw: bytes, dtype: np.dtype, shape: tuple[int, ...], is_fortran: bool = False) -> np.ndarray:
    """Return the array [...] of these bytes, in memory of its own. Raises ValueError when they are too many or few."""
    expect_size(len(raw), dtype, shape)
    if not raw:
        return np.empty(shape, dtype)
    flat = expect_valid(np.frombuffer(raw, dtype))
    return flat.reshape(shape, order="F" if is_fortran else "C").copy(order="K")


def read_npy_header(file: IO[bytes]) -> NpyHeader:
    """Read the header of an array in the .npy format, up to its first number. Raises ValueError when it is damaged."""
    start = file.read(len(_MAGIC) + 2)
    if len(start) != len(_MAGIC) + 2 or not start.startswith(_MAGIC) or start[-2] not in (1, 2, 3):
        raise ValueError("an array of it is not in the format of numpy")
    length = int.from_bytes(file.read(2 if start[-2] == 1 else 4), "little")
    text = file.read(length).decode("utf-8" if start[-2] == 3 else "latin1") if length <= _MAX_HEADER else ""
    entries = dict(_ENTRY.findall(text)) if _HEADER.fullmatch(text) else {}
    if set(entries) != {"descr", "fortran_order", "shape"} or entries["fortran_order"] not in ("True", "False"):
        raise ValueError("the header of an array of it is damaged")
    if not entries["shape"].startswith("(") or entries["descr"][0] not in "'[":
        raise ValueError("the header of an array of it is damaged")
    shape = checked_shape([int(n) for n in re.findall(r"\d+", entries["shape"])])
    return NpyHeader(entries["descr"].strip("'"), entries["fortran_order"] == "True", shape)


def size_of(path: Path, limit: int = MAX_BYTES) -> int:
    """Return the bytes of a file. Raises ValueError when it is larger than `limit`, or a folder, pipe or device."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no regular file")
    if found.st_size > limit:
        raise ValueError("it is larger than any such file")
    return found.st_size


@contextmanager
def open_zip(path: Path, is_packed: bool = True) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """Yield an archive and its entries by name, whose sizes together fit the size of the file.

    is_packed: whether entries may be compressed. Raises ValueError and others when the archive is damaged or too large.
    """
    file_size = size_of(path)
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) != len(archive.infolist()):
            raise ValueError("it has two entries of one name")
        _check_sizes(list(entries.values()), file_size, is_packed)
        yield archive, entries


def _check_sizes(entries: list[zipfile.ZipInfo], file_size: int, is_packed: bool) -> None:
    limit = min(MAX_BYTES, _SPARE + _MAX_RATIO * file_size) if is_packed else file_size
    # Entries that overlap in the file would otherwise count once there and several times in memory.
    if sum(entry.compress_size for entry in entries) > file_size or sum(entry.file_size for entry in entries) > limit:
        raise ValueError("it unpacks to more than a file of its size should")


def check_entry(entry: zipfile.ZipInfo) -> None:
    """Check that an entry can be read. Raises ValueError when it is encrypted, or compressed in a way not read."""
    if entry.flag_bits & _ENCRYPTED:
        raise ValueError(f"{entry.filename} in it is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{entry.filename} in it is compressed in a way that is not read")
    ratio = _MAX_DEFLATE_RATIO if entry.compress_type == zipfile.ZIP_DEFLATED else 1
    if entry.file_size > ratio * entry.compress_size:
        raise ValueError(f"{entry.filename} in it is damaged")


def fill(file: IO[bytes], buffer: memoryview) -> None:
    """Fill `buffer` from an entry, chunk by chunk, and check its checksum. Raises ValueError where it ends early."""
    start = 0
    while start < len(buffer):
        chunk = file.read(min(_CHUNK, len(buffer) - start))
        if not chunk:
            raise ValueError(f"{file.name} in it is cut short")
        buffer[start : start + len(chunk)] = chunk
        start += len(chunk)
    if file.read(1):  # At the end of the entry, zipfile compares the checksum.
        raise ValueError(f"{file.name} in it is longer than announced")


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytearray:
    """Return the bytes of an entry. Raises ValueError, BadZipFile and others when it is damaged."""
    check_entry(entry)
    content = bytearray(entry.file_size)
    with archive.open(entry) as file:
        fill(file, memoryview(content))
    return content
