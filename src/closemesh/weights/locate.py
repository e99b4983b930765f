"""Where model files are: in $CLOSEMESH_MODELS, else in the package, else in the user's cache."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from closemesh.core.errors import ModelFileError


def model_folders() -> list[Path]:
    """Return the folders that are searched, in this order."""
    package = Path(__file__).resolve().parents[1]
    folders = [package / "models", package.parents[1] / "models", user_cache()]
    chosen = os.environ.get("CLOSEMESH_MODELS")
    return [Path(os.path.expanduser(chosen)), *folders] if chosen else folders


def user_cache() -> Path:
    """Return the folder of downloaded files."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "closemesh" / "models"


def find_model(name: str) -> Path:
    """Return the file `name`, a path below a models folder. Raises ModelFileError that lists the searched folders."""
    if found := first_existing(name, model_folders()):
        return found
    searched = ", ".join(str(folder) for folder in model_folders())
    raise ModelFileError(
        f"model file {name} not found; searched {searched}; set CLOSEMESH_MODELS or reinstall closemesh"
    )


def first_existing(name: str, folders: Iterable[Path]) -> Path | None:
    """Return the file `name` in the first of `folders` that has it, or None."""
    return next((folder / name for folder in folders if (folder / name).is_file()), None)
