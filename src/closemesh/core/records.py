"""Frozen dataclasses as .npz files without pickle, and JSON files with a schema number.

The arrays of a record are members of the .npz. Everything else is one JSON string in it: numbers, strings, paths,
None, tuples and small dataclasses without arrays.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from closemesh.core.arrays import read_result_npz
from closemesh.core.errors import InputError
from closemesh.core.field_checks import checked_fields, name_in_file
from closemesh.core.files import atomic_file
from closemesh.core.foreign import read_json_file, short_reason

Record = TypeVar("Record")

_HEADER = "record"  # The array with the JSON of everything that is no array.
_NUMBER_LIST = re.compile(r"\[\s+((?:-?[\d.e+-]+|null)(?:,\s+(?:-?[\d.e+-]+|null))*)\s+\]")


def save_record(path: Path, record: Any) -> None:
    """Write `record` to `path` (.npz, compressed). Raises OutputError when it cannot be written."""
    values = {name_in_file(f): getattr(record, f.name) for f in fields(record)}
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
    name_of = {name_in_file(f): f.name for f in fields(kind)}  # type: ignore[arg-type]
    values = {name_of.get(str(name), str(name)): value for name, value in {**plain, **arrays}.items()}
    try:
        return kind(**checked_fields(kind, values))
    except TypeError as error:
        raise InputError(f"{path} was written by another version of closemesh; run reconstruct again") from error
    except ValueError as error:
        raise InputError(f"{path} is damaged ({short_reason(error)}); run `closemesh reconstruct` again") from error


def write_json(path: Path, schema: int, values: dict[str, Any]) -> None:
    """Write `values` under a schema number; nan becomes null. Raises OutputError when it cannot be written."""
    text = json.dumps(_plain({"schema": schema, **values}), indent=1, ensure_ascii=False, allow_nan=False)
    text = _NUMBER_LIST.sub(lambda match: f"[{' '.join(match[1].split())}]", text)  # A list of numbers on one line.
    with atomic_file(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path, schema: int) -> dict[str, Any]:
    """Return the values of a JSON file of this schema. Raises InputError for a missing, damaged or other file."""
    if not path.exists():
        raise InputError(f"{path} not found; give a folder that `closemesh reconstruct` wrote")
    values = read_json_file(path, "run `closemesh reconstruct` again")
    found = values.get("schema") if isinstance(values, dict) else None
    if found != schema:
        raise InputError(
            f"{path} has schema {str(found)[:20]}, this closemesh reads {schema}; run `closemesh reconstruct` again"
        )
    return values


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
