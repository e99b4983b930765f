"""Where model files are looked for: $CLOSEMESH_MODELS, then the package, then the user's cache."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from closemesh.core.errors import ModelFileError


def model_folders() -> list[Path]:
    """The folders that are searched, first match wins."""
    package = Path(__file__).resolve().parents[1]
    folders = [package / "models", package.parents[1] / "models", user_cache()]
    chosen = os.environ.get("CLOSEMESH_MODELS")
    return [Path(chosen).expanduser(), *folders] if chosen else folders


def user_cache() -> Path:
    """Where downloaded files are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "closemesh" / "models"


def find_model(name: str) -> Path:
    """The file `name` (a path below a models folder). Raises ModelFileError that lists where was looked."""
    if found := first_existing(name, model_folders()):
        return found
    looked = ", ".join(str(folder) for folder in model_folders())
    raise ModelFileError(
        f"model file {name} not found; looked in {looked}; set CLOSEMESH_MODELS or reinstall closemesh"
    )


def first_existing(name: str, folders: Iterable[Path]) -> Path | None:
    """The file `name` in the first of `folders` that has it."""
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
