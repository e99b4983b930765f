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
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from closemesh.core.arrays import read_result_npz
from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file

Record = TypeVar("Record")

_NAME_IN_FILE = "file"
_HEADER = "record"  # The array with the JSON of everything that is no array.
_NUMBER_LIST = re.compile(r"\[\s+((?:-?[\d.e+-]+|null)(?:,\s+(?:-?[\d.e+-]+|null))*)\s+\]")


def stored_as(name: str) -> Mapping[str, str]:
    """Return the metadata of a field that has another name in files: `field(metadata=stored_as("name"))`."""
    return {_NAME_IN_FILE: name}


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

    Raises InputError when the file is missing, damaged, or holds another type of record.
    """
    arrays = read_result_npz(path)
    try:
        header = json.loads(str(arrays.pop(_HEADER)))
        found, plain = header["type"], header["fields"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a file of closemesh; give one that `closemesh reconstruct` wrote") from error
    if found != kind.__name__:
        raise InputError(f"{path} holds {found}, not {kind.__name__}; give the right file")
    hints = get_type_hints(kind)
    name_of: dict[str, str] = {_name_in_file(f): f.name for f in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {name_of.get(str(name), str(name)): value for name, value in {**plain, **arrays}.items()}
    try:
        return kind(**{name: _from_plain(value, hints.get(name)) for name, value in values.items()})
    except TypeError as error:
        raise InputError(f"{path} was written by another version of closemesh; run reconstruct again") from error


def write_json(path: Path, schema: int, values: dict[str, Any]) -> None:
    """Write `values` under a schema number; nan becomes null. Raises OutputError when it cannot be written."""
    text = json.dumps(_plain({"schema": schema, **values}), indent=1, ensure_ascii=False, allow_nan=False)
    text = _NUMBER_LIST.sub(lambda match: f"[{' '.join(match[1].split())}]", text)  # A list of numbers on one line.
    with atomic_file(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path, schema: int) -> dict[str, Any]:
    """Return the values of a JSON file of this schema. Raises InputError for a missing, damaged or other file."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} not found; give a folder that `closemesh reconstruct` wrote") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); run `closemesh reconstruct` again") from error
    found = values.get("schema") if isinstance(values, dict) else None
    if found != schema:
        raise InputError(f"{path} has schema {found}, this closemesh reads {schema}; run `closemesh reconstruct` again")
    return values


def _name_in_file(one: Field) -> str:
    return one.metadata.get(_NAME_IN_FILE, one.name)


def _to_plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"a record cannot hold {type(value).__name__}")


def _from_plain(value: Any, hint: Any) -> Any:
    """JSON has no tuples, paths and dataclasses: the type hint of the field decides which of them a value becomes."""
    options: list[Any] = [hint, *get_args(hint)]
    if isinstance(value, list):
        inner = next((get_args(option)[0] for option in options if get_origin(option) is tuple), None)
        return tuple(_from_plain(item, inner) for item in value)
    if isinstance(value, dict):
        kind: Any = next((option for option in options if is_dataclass(option)), dict)
        return kind(**value)
    return Path(value) if isinstance(value, str) and Path in options else value


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
