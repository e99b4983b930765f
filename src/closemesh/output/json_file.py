"""JSON files with a schema version: written whole, refused with one line when they are not what they should be."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.errors import InputError
from closemesh.files import replacing

_NUMBER_LIST = re.compile(r"\[\s+((?:-?[\d.e+-]+|null)(?:,\s+(?:-?[\d.e+-]+|null))*)\s+\]")


def write_json(path: Path, schema: int, values: dict[str, Any]) -> None:
    """Write `values` under a schema number; nan becomes null. Raises OutputError when it cannot be written."""
    text = json.dumps(_plain({"schema": schema, **values}), indent=1, ensure_ascii=False, allow_nan=False)
    text = _NUMBER_LIST.sub(lambda match: f"[{' '.join(match[1].split())}]", text)  # A list of numbers on one line.
    with replacing(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path, schema: int) -> dict[str, Any]:
    """The values of a file of this schema. Raises InputError when it is missing, damaged or of another schema."""
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
