"""Frozen dataclasses as .npz files without pickle, and JSON files with a schema number.

The arrays of a record are members of the .npz. Everything else is one JSON string in it: numbers, strings, paths,
None, tuples and small dataclasses without arrays.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import Field, asdict, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from closemesh.core.arrays import MAX_NUMBER, read_result_npz
from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file
from closemesh.core.foreign import parse_json, require_regular, short_reason

Record = TypeVar("Record")

_HEADER = "record"  # The array with the JSON of everything that is no array.
_NUMBER_LIST = re.compile(r"\[\s+((?:-?[\d.e+-]+|null)(?:,\s+(?:-?[\d.e+-]+|null))*)\s+\]")

_NAME, _SHAPE, _MAY_BE_NAN, _POSITIVE = "file", "shape", "may_be_nan", "positive"
_KIND_OF = {np.floating: "f", np.bool_: "b", np.int64: "iu"}
_JSON_TYPES: Mapping[Any, tuple[type, ...]] = {
    **{float: (int, float), int: (int,), bool: (bool,), np.bool_: (bool,), str: (str,), Path: (str,)},
}


def stored_as(name: str) -> Mapping[str, Any]:
    """Return the metadata of a field that has another name in files: `field(metadata=stored_as("name"))`."""
    return {_NAME: name}


def array_of(*shape: int | str, may_be_nan: bool = False) -> Mapping[str, Any]:
    """Return the metadata of a field with an array: its shape, where a letter is the same length in all fields."""
    return {_SHAPE: shape, _MAY_BE_NAN: may_be_nan}


def positive() -> Mapping[str, Any]:
    """Return the metadata of a field whose numbers are above 0."""
    return {_POSITIVE: True}


def may_be_nan() -> Mapping[str, Any]:
    """Return the metadata of a field whose number may be unknown."""
    return {_MAY_BE_NAN: True}


def save_record(path: Path, record: Any) -> None:
    """Write `record` to `path` (.npz, compressed). Raises OutputError when it cannot be written."""
    values = {_name_in_file(f): getattr(record, f.name) for f in fields(record)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in values.items() if name not in arrays}
    header = json.dumps({"type": type(record).__name__, "fields": plain}, default=_to_plain)
    with atomic_file(path) as part:
        np.savez_compressed(part, **{_HEADER: np.array(header), **arrays})  # type: ignore[arg-type]


def load_record(path: Path, kind: type[Record]) -> Record:
    """Return the record of type `kind` that save_record wrote.

    Raises InputError when the file is missing, damaged, or holds another type of record, or values that it cannot have.
    """
    arrays = read_result_npz(path)
    try:
        header = json.loads(str(arrays.pop(_HEADER)))
        found, plain = header["type"], dict(header["fields"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a file of closemesh; give one that `closemesh reconstruct` wrote") from error
    if found != kind.__name__:
        raise InputError(f"{path} holds {str(found)[:40]}, not {kind.__name__}; give the right file")
    name_of = {_name_in_file(f): f.name for f in fields(kind)}  # type: ignore[arg-type]
    values = {name_of.get(str(name), str(name)): value for name, value in {**plain, **arrays}.items()}
    try:
        return kind(**_checked_fields(kind, values))
    except TypeError as error:
        raise InputError(f"{path} was written by another version of closemesh; run reconstruct again") from error
    except ValueError as error:
        raise InputError(f"{path} is damaged ({short_reason(error)}); run `closemesh reconstruct` again") from error


def write_json(path: Path, schema: int, values: dict[str, Any]) -> None:
    """Write `values` under a schema number; nan becomes null. Raises OutputError when it cannot be written."""
    text = json.dumps(_plain({"schema": schema, **values}), indent=1, ensure_ascii=False, allow_nan=False)
    text = _NUMBER_LIST.sub(lambda match: f"[{' '.join(match[1].split())}]", text)  # A list of numbers on one line.
    with atomic_file(path) as part:
        # A name that is not UTF-8 becomes an escape of JSON.
        part.write_bytes((text + "\n").encode("utf-8", errors="backslashreplace"))


def read_json(path: Path, schema: int) -> dict[str, Any]:
    """Return the values of a JSON file of this schema. Raises InputError for a missing, damaged or other file."""
    require_regular(path)
    try:
        values = parse_json(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path} not found; give a folder that `closemesh reconstruct` wrote") from error
    except (OSError, ValueError, MemoryError) as error:
        raise InputError(f"{path} is damaged ({short_reason(error)}); run `closemesh reconstruct` again") from error
    found = values.get("schema") if isinstance(values, dict) else None
    if found != schema:
        raise InputError(
            f"{path} has schema {str(found)[:20]}, this closemesh reads {schema}; run `closemesh reconstruct` again"
        )
    return values


def _name_in_file(one: Field) -> str:
    """Return the name of a field in files."""
    return one.metadata.get(_NAME, one.name)


def _checked_fields(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the fields of a dataclass from arrays and JSON values, which have neither tuples nor paths.

    Raises ValueError when a value is not of the type, shape or range of its field; names of no field pass.
    """
    hints, lengths = get_type_hints(kind), dict[str, int]()
    checked = dict(values)
    for one in fields(kind):
        if one.name in values:
            checked[one.name] = _checked(one.name, values[one.name], hints[one.name], one.metadata)
            if isinstance(checked[one.name], np.ndarray):
                _check_shape(one.name, checked[one.name].shape, one.metadata.get(_SHAPE), lengths)
    return checked


def _checked(name: str, value: Any, hint: Any, metadata: Mapping[str, Any]) -> Any:
    """The value as the type hint has it. Raises ValueError when it is of another type or not in its range."""
    if hint is Any:
        return value
    if get_origin(hint) in (Union, UnionType):
        options = get_args(hint)
        hint = NoneType if value is None and NoneType in options else next(o for o in options if o is not NoneType)
    if get_origin(hint) is Literal:
        return _one_of(name, value, get_args(hint))
    if get_origin(hint) is tuple:
        return _tuple(name, value, get_args(hint), metadata)
    if is_dataclass(hint) and isinstance(value, dict):
        return hint(**_checked_fields(hint, value))  # type: ignore[operator]
    if get_origin(hint) is np.ndarray or hint is np.ndarray:
        return _array(name, value, hint, metadata)
    if value is None and hint is NoneType:
        return None
    if value is None or type(value) not in _JSON_TYPES.get(hint, ()):
        raise ValueError(f"{name} is of the wrong type")
    if hint in (int, float):
        _check_number(name, value, metadata)
    return Path(value) if hint is Path else value


def _one_of(name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    if type(value) is not str or value not in choices:
        raise ValueError(f"{name} is none of {', '.join(map(str, choices))}")
    return value


def _tuple(name: str, value: Any, hints: tuple[Any, ...], metadata: Mapping[str, Any]) -> tuple[Any, ...]:
    if type(value) is not list:
        raise ValueError(f"{name} is no list")
    if len(hints) == 2 and hints[1] is ...:
        hints = (hints[0],) * len(value)
    if len(hints) != len(value):
        raise ValueError(f"{name} has {len(value)} values, not {len(hints)}")
    return tuple(_checked(name, item, hint, metadata) for item, hint in zip(value, hints, strict=True))


def _array(name: str, value: Any, hint: Any, metadata: Mapping[str, Any]) -> np.ndarray:
    scalar = get_args(get_args(hint)[1])[0] if get_args(hint) else None
    if not isinstance(value, np.ndarray) or value.dtype.kind not in _KIND_OF.get(scalar, "fiub"):
        raise ValueError(f"{name} is no array of its type")
    if value.dtype.kind == "f" and _SHAPE in metadata and value.size:
        largest = np.abs(value[~np.isnan(value)] if metadata[_MAY_BE_NAN] else value).max(initial=0)
        if not float(largest) <= MAX_NUMBER:  # A comparison with NaN is false.
            raise ValueError(f"{name} has numbers that are not finite, or beyond {MAX_NUMBER:g}")
    return value


def _check_number(name: str, value: float, metadata: Mapping[str, Any]) -> None:
    if metadata.get(_MAY_BE_NAN) and math.isnan(value):
        return
    if not -MAX_NUMBER <= value <= MAX_NUMBER or (metadata.get(_POSITIVE) and value <= 0):
        raise ValueError(f"{name} is {str(value)[:20]}, which it cannot be")


def _check_shape(
    name: str, shape: tuple[int, ...], wanted: tuple[int | str, ...] | None, lengths: dict[str, int]
) -> None:
    """Check a shape; `lengths`: those of the letters so far. Raises ValueError if it is another one."""
    if wanted is None:
        return
    known = [lengths.get(want, want) if isinstance(want, str) else want for want in wanted]
    if len(shape) != len(wanted) or any(k != n for k, n in zip(known, shape, strict=True) if isinstance(k, int)):
        raise ValueError(f"{name} is {list(shape)}, not [{', '.join(map(str, known))}]")
    lengths.update((want, n) for want, n in zip(wanted, shape, strict=True) if isinstance(want, str))


def _to_plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"a record cannot hold {type(value).__name__}")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
