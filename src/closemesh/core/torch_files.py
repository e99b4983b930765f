"""Files of `torch.save` read without torch.load: plain tensors from their bytes, and containers; nothing else.

A file is a zip archive of one pickle and of the bytes of each storage, none of them compressed.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from closemesh.core.binary_formats import checked_shape, open_zip, read_entry, size_of
from closemesh.core.pickle_reader import PickleReader
from closemesh.core.pickle_values import ARRAY_GLOBALS, AllowedGlobals, Global, StandIn, damaged

_PICKLE = "/data.pkl"
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # The first two pickles of the format before torch 1.6.
_STORAGES = {
    "Bool": torch.bool,
    **{"Byte": torch.uint8, "Char": torch.int8, "Short": torch.int16, "Int": torch.int32, "Long": torch.int64},
    **{"Half": torch.float16, "BFloat16": torch.bfloat16, "Float": torch.float32, "Double": torch.float64},
    **{"ComplexFloat": torch.complex64, "ComplexDouble": torch.complex128},
}


def read_torch_file(path: Path, device: torch.device) -> Any:
    """The tensors and plain containers of a file of `torch.save`, on `device`.

    Raises ValueError, UnpicklingError and others when it is damaged, or holds anything but dense tensors.
    """
    if not _is_zip(path):
        return _read_before_zip(path, device)
    with open_zip(path, is_packed=False) as (archive, entries):
        storages = _Storages(archive, entries, device)
        return PickleReader(storages.pickle(), _TENSOR_GLOBALS, storages.find, path.stat().st_size).load()


def _read_before_zip(path: Path, device: torch.device) -> Any:
    """As `read_torch_file`, in the format before torch 1.6: pickles, and then the bytes of the storages."""
    storages = _LateStorages(device)
    reader = PickleReader(path.read_bytes(), _TENSOR_GLOBALS, storages.find)
    if reader.load() != _MAGIC or reader.load() != _PROTOCOL:
        raise ValueError("it is no file of torch.save")
    reader.load()  # The computer that wrote it.
    value = reader.load_unfinished()
    storages.read(reader)
    return reader.finish(value)


def check_tensors(path: Path) -> None:
    """Check that the tensors of a file of `torch.save` are no larger than the file, whatever else it holds.

    Raises ValueError, UnpicklingError and others when they are, or when the file is damaged.
    """
    if not _is_zip(path):
        raise ValueError("it is damaged, or of torch before 1.6")
    with open_zip(path, is_packed=False) as (archive, entries):
        storages = _Storages(archive, entries, None)
        PickleReader(storages.pickle(), _AnyGlobal(), storages.find, path.stat().st_size).load_unfinished()


def _is_zip(path: Path) -> bool:
    size_of(path)
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


class _Storage(StandIn):
    """Numbers of one type; only their type and count before they are filled in."""

    numbers: Tensor | None = None

    def __init__(self, dtype: torch.dtype, count: int, device: torch.device | None) -> None:
        self.dtype, self.count, self.device = dtype, count, device

    @property
    def size(self) -> int:
        """Bytes of the numbers."""
        return self.count * self.dtype.itemsize

    def fill(self, raw: bytearray) -> None:
        """Take the bytes of the numbers. Raises UnpicklingError for booleans that are neither true nor false."""
        if self.dtype == torch.bool and raw and max(raw) > 1:
            raise damaged("it has booleans that are neither true nor false")
        self.numbers = torch.frombuffer(raw, dtype=self.dtype) if raw else torch.empty(0, dtype=self.dtype)


class _TensorView(StandIn):
    """A dense tensor on a part of a storage."""

    def __init__(self, storage: _Storage, offset: int, sizes: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self._storage, self._view = storage, (sizes, strides, offset)
        self.nbytes = torch.Size(sizes).numel() * storage.dtype.itemsize

    def finish(self, parts: list[Any]) -> Tensor:
        """The tensor. Raises UnpicklingError when its numbers were not read."""
        if self._storage.numbers is None:
            raise damaged("it has a tensor without numbers")
        return torch.as_strided(self._storage.numbers, *self._view).to(self._storage.device)


class _Storages:
    """The storages of an archive by their keys, read when first asked for; device: None reads none."""

    def __init__(
        self, archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], device: torch.device | None
    ) -> None:
        pickles = [name for name in entries if name.count("/") == 1 and name.endswith(_PICKLE)]
        if len(pickles) != 1:
            raise ValueError("it is no file of torch.save")
        self._archive, self._entries, self._device = archive, entries, device
        self._root = pickles[0].removesuffix(_PICKLE)
        self._read: dict[str, bytearray] = {}
        order = entries.get(f"{self._root}/byteorder")
        if order is not None and bytes(read_entry(archive, order)) != b"little":
            raise ValueError("its bytes are in another order than those of this computer")

    def pickle(self) -> bytes:
        """The pickle of the archive."""
        return bytes(read_entry(self._archive, self._entries[self._root + _PICKLE]))

    def find(self, key: Any) -> _Storage:
        """The storage of a persistent ID. Raises UnpicklingError when its size is not that of its bytes."""
        storage, name = _storage_of(key, 5, self._device)
        entry = self._entries.get(f"{self._root}/data/{name}")
        if entry is None or entry.file_size != storage.size:
            raise damaged(f"it has no storage {name[:20]} of its type and size")
        if self._device is not None:
            if name not in self._read:
                self._read[name] = read_entry(self._archive, entry)
            storage.fill(self._read[name])
        return storage


class _LateStorages:
    """The storages of a file before torch 1.6, whose bytes follow the pickles."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._found: dict[str, _Storage] = {}

    def find(self, key: Any) -> _Storage:
        """The storage of a persistent ID, to be filled. Raises UnpicklingError when the ID is damaged."""
        storage, name = _storage_of(key, 6, self._device)
        found = self._found.setdefault(name, storage)
        if (found.dtype, found.count) != (storage.dtype, storage.count) or key[5] is not None:
            raise damaged("it has a damaged storage")
        return found

    def read(self, reader: PickleReader) -> None:
        """Fill the storages. Raises UnpicklingError and others when their bytes are not those announced."""
        for name in _list_of_text(reader.load()):
            storage = self._found[name]
            if int.from_bytes(reader.read(8), "little") != storage.count:
                raise damaged("it has a damaged storage")
            storage.fill(bytearray(reader.read(storage.size)))


def _list_of_text(value: Any) -> list[str]:
    """Return a list of strings. Raises UnpicklingError when it is none."""
    if type(value) is not list or not all(type(item) is str for item in value):
        raise damaged("it has no list of its storages")
    return value


def _storage_of(key: Any, length: int, device: torch.device | None) -> tuple[_Storage, str]:
    """The unfilled storage and the name of a persistent ID. Raises UnpicklingError when it is damaged."""
    if type(key) is not tuple or len(key) != length or key[0] != "storage" or not isinstance(key[1], Global):
        raise damaged("it refers to something that is no storage")
    dtype, name, count = _TYPE_OF.get(key[1].name), key[2], key[4]
    if dtype is None or type(name) is not str or type(count) is not int or count < 0:
        raise damaged("it refers to something that is no storage")
    return _Storage(dtype, count, device), name


def _tensor(storage: Any, offset: Any, sizes: Any, strides: Any, *_: Any) -> _TensorView:
    """A view of a storage. Raises UnpicklingError when it reaches outside."""
    shape, steps = checked_shape(sizes), checked_shape(strides)
    if not isinstance(storage, _Storage) or type(offset) is not int or offset < 0 or len(shape) != len(steps):
        raise damaged("it has a damaged tensor")
    last = offset + sum((size - 1) * step for size, step in zip(shape, steps, strict=True))
    if (last >= storage.count and 0 not in shape) or offset > storage.count:
        raise damaged("it has a tensor that is larger than its storage")
    return _TensorView(storage, offset, shape, steps)


def _parameter(tensor: Any, *_: Any) -> _TensorView:
    if not isinstance(tensor, _TensorView):
        raise damaged("it has a parameter that is no tensor")
    return tensor


def _size(sizes: Any = ()) -> tuple[int, ...]:
    return checked_shape(sizes)


def _storage_kind(*_: Any) -> None:
    raise damaged("it makes a storage of its own")


_TYPE_OF: Mapping[str, torch.dtype] = {f"torch.{name}Storage": dtype for name, dtype in _STORAGES.items()}
_TENSOR_GLOBALS: AllowedGlobals = {
    **ARRAY_GLOBALS,
    **{("torch", f"{name}Storage"): _storage_kind for name in _STORAGES},
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): _size,
}


class _Anything(StandIn):
    """An object of any class, of which nothing is kept."""

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def build(self, state: Any, reader: PickleReader) -> None:
        """Forget the state."""

    def take(self, items: list[Any]) -> None:
        """Forget the items."""


class _AnyGlobal(dict[tuple[str, str], Any]):
    """Allows every name; those of tensors are checked."""

    def __init__(self) -> None:
        super().__init__(_TENSOR_GLOBALS)

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: tuple[str, str]) -> Any:
        return _Anything
