"""Entries of zip archives that are read within limits: what they unpack to follows from the size of the file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

MAX_UNPACKED = 4 << 30
"""Bytes of all entries together; more is an attack or a mistake."""
_SPARE = 512 << 20
_MAX_RATIO = 100  # Of the unpacked to the packed size of large files.
_MAX_DEFLATE_RATIO = 1032  # Of the format itself.
_CHUNK = 1 << 20
_ENCRYPTED = 1


@contextmanager
def open_zip(path: Path, is_packed: bool = True) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """Yield an archive and its entries by name, whose sizes together fit the size of the file.

    is_packed: whether entries may be compressed. Raises ValueError and others when the archive is damaged or too large.
    """
    file_size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) != len(archive.infolist()):
            raise ValueError("it has two entries of one name")
        _check_sizes(list(entries.values()), file_size, is_packed)
        yield archive, entries


def _check_sizes(entries: list[zipfile.ZipInfo], file_size: int, is_packed: bool) -> None:
    limit = min(MAX_UNPACKED, _SPARE + _MAX_RATIO * file_size) if is_packed else file_size
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
