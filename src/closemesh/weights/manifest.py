"""The files that can be downloaded: entries of models/manifest.json, chosen by name or group."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from closemesh.core.errors import InputError
from closemesh.weights.locate import find_model

_NO_OTHER_NAMES = {"extra": "forbid"}  # A misspelled name in the manifest is an error, not ignored.
EVERYTHING = "all"


@dataclass(frozen=True)
class Archive:
    """The zip file that contains a model file."""

    __pydantic_config__ = _NO_OTHER_NAMES

    file: str
    """Name of the zip file."""
    member: str
    """The model file in it: the last part of its path, or more parts."""


@dataclass(frozen=True)
class Downloadable:
    """A file that closemesh can download."""

    __pydantic_config__ = _NO_OTHER_NAMES

    name: str
    purpose: str
    """What it improves."""
    groups: tuple[str, ...]
    """Names for several files at once; `all` is implied."""
    file: str
    """Path below a models folder."""
    size: int | None
    """Bytes of the download, which is the archive if there is one; None if not known."""
    sha256: str | None
    """Of the download; None: recorded on the first download, and compared from then on."""
    licence: str
    accept_licence: bool
    """Whether the user must accept the license first."""
    sources: tuple[str, ...]
    """Addresses, the best first."""
    account: str | None
    """Address of the portal whose account the source needs; None if it needs none."""
    archive: Archive | None

    @property
    def download_name(self) -> str:
        """Name of the downloaded file: the archive, else the model file."""
        return self.archive.file if self.archive else PurePosixPath(self.file).name


def read_manifest(path: Path | None = None) -> tuple[Downloadable, ...]:
    """Return the files of a manifest: `path`, else $CLOSEMESH_MANIFEST, else the bundled one.

    Raises InputError that names the file and its first error.
    """
    from pydantic import TypeAdapter, ValidationError

    chosen = path or (Path(given) if (given := os.environ.get("CLOSEMESH_MANIFEST")) else find_model("manifest.json"))
    try:
        files = TypeAdapter(tuple[Downloadable, ...]).validate_json(chosen.expanduser().read_bytes())
    except OSError as error:
        raise InputError(f"cannot read the list of downloads {chosen}: {error.strerror or error}") from error
    except ValidationError as error:
        raise InputError(f"the list of downloads {chosen} is damaged: {_first_error(error.errors()[0])}") from error
    for file in files:
        _check(file, chosen)
    return files


def select_downloads(files: tuple[Downloadable, ...], names: Iterable[str]) -> tuple[Downloadable, ...]:
    """Return the files with these names or groups, each once, in the manifest's order.

    Raises InputError for an unknown name.
    """
    wanted = set(names)
    known = {EVERYTHING, *(file.name for file in files), *(group for file in files for group in file.groups)}
    for name in sorted(wanted - known):
        similar = difflib.get_close_matches(name, known, n=3)
        advice = f"did you mean {' or '.join(similar)}?" if similar else "closemesh download-weights --list shows them"
        raise InputError(f"there is no download '{name}'; {advice}")
    return tuple(file for file in files if wanted & {EVERYTHING, file.name, *file.groups})


def _check(file: Downloadable, manifest: Path) -> None:
    """Raises InputError for a path outside of the models folder and for a malformed hash."""
    names = [file.file, file.download_name]
    if any(PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts for name in names):
        raise InputError(f"the list of downloads {manifest} is damaged: {file.name} lies outside of the models folder")
    if file.sha256 is not None and not (len(file.sha256) == 64 and set(file.sha256) <= set("0123456789abcdef")):
        raise InputError(f"the list of downloads {manifest} is damaged: {file.name} has no proper sha256")


def _first_error(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    return f"{where}: {error['msg']}" if where else str(error["msg"])
