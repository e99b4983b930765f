"""TOML files of phrases that ship with the package, checked and cached."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from closemesh.config.loading import read_toml
from closemesh.core.errors import InputError, ModelFileError

T = TypeVar("T")
NO_OTHER_KEYS = {"extra": "forbid"}  # As `__pydantic_config__` of a record: a misspelled key is an error.


@lru_cache
def load_phrases(path: Path, kind: type[T]) -> T:
    """The tables of a TOML file as a dataclass `kind`, the same object for every call.

    Raises ModelFileError that names the file when it is missing or its keys and values do not fit `kind`.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(read_toml(path))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise ModelFileError(f"{path}, {where}: {fault['msg']}; reinstall closemesh") from error
    except InputError as error:
        raise ModelFileError(f"cannot read the phrases of {path}; reinstall closemesh") from error
