"""What was downloaded into a models folder, in its `downloaded.json`: a hash seen once holds for ever after."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from closemesh.errors import InputError

RECORD = "downloaded.json"


@dataclass(frozen=True)
class Downloaded:
    """A file as it came."""

    source: str
    """Address or path."""
    size: int | None
    sha256: str | None
    """Of what was fetched: the archive, if it comes in one; None when only the model file was seen."""
    file_sha256: str
    """Of the model file."""


def read_record(folder: Path) -> dict[str, Downloaded]:
    """What is recorded for `folder`, by name. Raises InputError when the record is damaged."""
    path = folder / RECORD
    try:
        return {name: Downloaded(**fields) for name, fields in json.loads(path.read_text(encoding="utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"the record of downloads {path} is damaged; put it right, or remove it to begin anew"
        ) from error


def write_record(folder: Path, name: str, downloaded: Downloaded) -> None:
    """Add or replace one file of the record."""
    record = {**read_record(folder), name: downloaded}
    part = folder / f".{RECORD}.part"
    part.write_text(json.dumps({name: asdict(file) for name, file in sorted(record.items())}, indent=1) + "\n")
    part.replace(folder / RECORD)
