"""Damage of the values in a file: it is read, one value in it is replaced or changed, and it is written again."""

from __future__ import annotations

import io
import json
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import torch

from .damage import Mutator

_SCALARS: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 100, 0.5, -0.5, 1e-320, 1e6, 1e10, 1e38, 1e39, 1e308, -1e308),
    *(float("nan"), float("inf"), float("-inf"), 2**31, 2**63, -(2**63), 2**64, 10**400, -(10**400)),
    *("", "x", "nan", "1", "A", "person", "a\nb", "\x1b[31m", "\u2028", "\ud800", "x" * 3000, b"", b"x", b"\xff\xfe"),
)
_CONTAINERS: tuple[Callable[[], Any], ...] = (
    *(list, dict, tuple, lambda: [[]], lambda: [None], lambda: [{}], lambda: {"x": 1}, lambda: {0: 0}),
    *(lambda: [1, 2, 3], lambda: [[1, 2], [3]], lambda: list(range(3000)), lambda: _nested(50), lambda: _nested(400)),
)
_ARRAYS: tuple[Callable[[], np.ndarray], ...] = (
    *(
        lambda: np.zeros(0),
        lambda: np.zeros((0, 3)),
        lambda: np.zeros((3, 0)),
        lambda: np.array(1.0),
        lambda: np.ones(3),
    ),
    *(
        lambda: np.array([None, {}], object),
        lambda: np.array("x"),
        lambda: np.array([b"x", b"y"]),
        lambda: np.array(["1"]),
    ),
    *(lambda: np.zeros(4, [("a", "<f4"), ("b", "<i4")]), lambda: np.zeros(3, complex), lambda: np.zeros(3, "M8[s]")),
    *(lambda: np.zeros((1,) * 30), lambda: np.full((4, 3), np.nan), lambda: np.full((4, 3), np.inf), lambda: np.eye(4)),
    *(
        lambda: np.zeros(3, "V8"),
        lambda: np.array([2**63], np.uint64),
        lambda: np.array(np.nan),
        lambda: np.array(10**400),
    ),
)
_DTYPES = ("<f2", "<f4", ">f8", "<i8", "<i1", "<u1", "|b1", "<c16", "|O", "<U8", "|S8", "<M8[s]", "<f8")


def change(value: Any, random: Random) -> Any:
    """The same tree with one value in it replaced, removed, renamed or changed; `value` itself stays as it is."""
    if isinstance(value, dict) and value and random.random() < 0.92:
        return _change_dict(value, random)
    if isinstance(value, list | tuple) and value and random.random() < 0.88:
        return _change_list(value, random)
    if isinstance(value, np.ndarray) and random.random() < 0.75:
        return change_array(value, random)
    if isinstance(value, torch.Tensor) and random.random() < 0.85:
        return _change_tensor(value, random)
    return other_value(value, random)


def other_value(old: Any, random: Random) -> Any:
    """A value that does not belong here."""
    kind = random.randrange(6)
    if kind < 3:
        return random.choice(_SCALARS)
    if kind == 3:
        return random.choice(_CONTAINERS)()
    if kind == 4:
        return random.choice(_ARRAYS)()
    return random.choice(([old, old], {"x": old}, (old,), str(old)[:50], [[old]], {0: old, "1": old}))


def _change_dict(value: dict[Any, Any], random: Random) -> dict[Any, Any]:
    key = random.choice(list(value))
    changed = dict(value)
    kind = random.randrange(10)
    if kind == 0:
        del changed[key]
    elif kind == 1:
        changed[random.choice((*_SCALARS[:25], "x", "", "fps", "a.b"))] = changed.pop(key)
    elif kind == 2:
        changed[key] = value[random.choice(list(value))]
    else:
        changed[key] = change(value[key], random)
    return changed


def _change_list(value: list[Any] | tuple[Any, ...], random: Random) -> Any:
    place = random.randrange(len(value))
    changed = list(value)
    kind = random.randrange(8)
    if kind == 0:
        del changed[place]
    elif kind == 1:
        changed.insert(place, random.choice((value[place], None, 1)))
    elif kind == 2:
        changed = random.choice(([], changed[:1], changed * 2, changed[::-1]))
    else:
        changed[place] = change(value[place], random)
    return type(value)(changed) if type(value) in (list, tuple) else changed


def change_array(array: np.ndarray, random: Random) -> np.ndarray:
    """Another shape, dtype or single number."""
    kind = random.randrange(9)
    if kind < 3 and array.size and array.dtype.kind in "fiu":
        number = random.choice((np.nan, np.inf, -np.inf, -1, 0, 1e5, 1e7, 1e20, 1e308, -1e308, 2**31, 2**53))
        changed = (
            array.astype(random.choice((np.float64, array.dtype, np.float32)))
            if array.dtype.kind == "f"
            else array.copy()
        )
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            places = slice(None) if random.random() < 0.2 else random.randrange(array.size)
            changed.reshape(-1)[places] = np.asarray(number).astype(changed.dtype)
        return changed
    if kind == 3:
        return random.choice((array[None], array.reshape(-1), array.T, array[..., None]))
    if kind == 4 and array.ndim:
        return random.choice(
            (array[:0], array[:1], array[1:], array[..., :0], array[..., :-1], np.concatenate([array, array]))
        )
    if kind == 5 and array.ndim > 1:
        return random.choice((array[0], array.swapaxes(0, -1), array[:, :0], array[:, :1], array[:, 1:]))
    if kind in (6, 7):
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return array.astype(random.choice(_DTYPES))
            except (TypeError, ValueError):
                return array[None]
    return random.choice(_ARRAYS)()


def _change_tensor(tensor: torch.Tensor, random: Random) -> Any:
    kind = random.randrange(12)
    if kind < 6:
        changed = np.ascontiguousarray(change_array(tensor.detach().numpy(), random))
        try:
            return torch.from_numpy(changed)
        except (TypeError, ValueError):
            return changed.tolist() if changed.dtype != object else None
    real = tensor.float()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            real.to_sparse,
            lambda: torch.quantize_per_tensor(real, 0.1, 0, torch.quint8),
            lambda: real.to("meta"),
            lambda: torch.nn.Parameter(real),
            lambda: torch.zeros(1).expand(random.choice((10**6, 10**10)), 3),
            lambda: random.choice(
                (real.bfloat16(), real.to(torch.complex64), real.bool(), real.half(), real.to(torch.int8))
            ),
        )[kind - 6]()


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def _plain(value: Any) -> Any:
    """What JSON can hold of a value."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def json_tree(data: bytes, random: Random) -> bytes:
    """One value of a JSON file changed."""
    tree = change(json.loads(data), random)
    try:
        return json.dumps(_with_text_keys(tree), default=_plain, ensure_ascii=False).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, RecursionError):
        return b"[" * random.choice((1, 1000, 100_000))


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    return [_with_text_keys(item) for item in value] if type(value) is list else value


def pickle_tree(data: bytes, random: Random) -> bytes:
    """One value of a pickle changed, in any protocol."""
    tree = pickle.loads(data, encoding="latin1")
    return pickle.dumps(change(tree, random), protocol=random.choice((2, 2, 4, 5, 0)))


def npz_tree(data: bytes, random: Random) -> bytes:
    """One array of an npz file changed."""
    with np.load(io.BytesIO(data), allow_pickle=True) as file:
        arrays = {name: file[name] for name in file.files}
    changed = _change_dict(arrays, random)
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")
        for name, value in changed.items():
            with archive.open(f"{str(name)!r}.npy" if not isinstance(name, str) else f"{name}.npy", "w") as member:
                np.save(member, _as_array(value), allow_pickle=True)
    return out.getvalue()


def _as_array(value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except (TypeError, ValueError):
        return np.array(None)


def npy_tree(data: bytes, random: Random) -> bytes:
    """The pickled object of an npy file changed."""
    out = io.BytesIO()
    value = np.empty((), object)
    value[()] = change(np.load(io.BytesIO(data), allow_pickle=True)[()], random)
    np.save(out, value, allow_pickle=True)
    return out.getvalue()


def torch_tree(data: bytes, random: Random) -> bytes:
    """One value of a file of torch.save changed."""
    tree = torch.load(io.BytesIO(data), weights_only=False)
    out = io.BytesIO()
    torch.save(change(tree, random), out)
    return out.getvalue()


def safetensors_tree(data: bytes, random: Random) -> bytes:
    """The header of a safetensors file changed, also the JSON texts in its metadata."""
    length = struct.unpack("<Q", data[:8])[0]
    header, tensors = json.loads(data[8 : 8 + length]), data[8 + length :]
    texts = header.get("__metadata__", {})
    if texts and random.random() < 0.5:
        name = random.choice(list(texts))
        header["__metadata__"] = {**texts, name: json_tree(texts[name].encode(), random).decode("utf-8", "replace")}
        text = json.dumps(header).encode()
    else:
        text = json_tree(json.dumps(header).encode(), random)
    size = len(text) if random.random() < 0.9 else random.choice((0, 2**63, len(text) + 1, 2**64 - 1))
    return struct.pack("<Q", size) + text + tensors


TREES: dict[str, Mutator] = {
    ".json": json_tree,
    ".pkl": pickle_tree,
    ".npz": npz_tree,
    ".npy": npy_tree,
    ".pt": torch_tree,
    ".safetensors": safetensors_tree,
}
