"""What can be downloaded: the files of models/manifest.json, and how a user names them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from closemesh.core.errors import InputError
from closemesh.weights.locate import find_model

_NO_OTHER_NAMES = {"extra": "forbid"}  # A misspelt name in the manifest is an error, not ignored.
EVERYTHING = "all"


@dataclass(frozen=True)
class Archive:
    """The zip file that a model file comes in."""

    __pydantic_config__ = _NO_OTHER_NAMES

    file: str
    """What it is called."""
    member: str
    """The model file in it: the last part of its path, or more."""


@dataclass(frozen=True)
class Downloadable:
    """A file that closemesh can fetch."""

    __pydantic_config__ = _NO_OTHER_NAMES

    name: str
    purpose: str
    """What it improves."""
    groups: tuple[str, ...]
    """Names for several files at a time; `all` needs no mention."""
    file: str
    """Path below a models folder."""
    size: int | None
    """Bytes of what is fetched, the archive if there is one; None when not known."""
    sha256: str | None
    """Of what is fetched; None: recorded on the first download, and the same ever after."""
    licence: str
    accept_licence: bool
    """Whether the user has to say that the licence is accepted."""
    sources: tuple[str, ...]
    """Addresses, the best first."""
    account: str | None
    """Where the account is made that the source asks for; None when it asks for none."""
    archive: Archive | None

    @property
    def download_name(self) -> str:
        """The name of what is fetched."""
        return self.archive.file if self.archive else PurePosixPath(self.file).name


def read_manifest(path: Path | None = None) -> tuple[Downloadable, ...]:
    """The files of a manifest: `path`, else $CLOSEMESH_MANIFEST, else the one that comes along.

    Raises InputError that names the file and its first fault.
    """
    from pydantic import TypeAdapter, ValidationError

    chosen = path or (Path(given) if (given := os.environ.get("CLOSEMESH_MANIFEST")) else find_model("manifest.json"))
    try:
        files = TypeAdapter(tuple[Downloadable, ...]).validate_json(chosen.expanduser().read_bytes())
    except OSError as error:
        raise InputError(f"cannot read the list of downloads {chosen}: {error.strerror or error}") from error
    except ValidationError as error:
        raise InputError(f"the list of downloads {chosen} is damaged: {_first_fault(error.errors()[0])}") from error
    for file in files:
        _check(file, chosen)
    return files


def select_downloads(files: tuple[Downloadable, ...], names: Iterable[str]) -> tuple[Downloadable, ...]:
    """The files that are named, each once, in the manifest's order. Raises InputError for a name that nothing has."""
    wanted = set(names)
    known = {EVERYTHING, *(file.name for file in files), *(group for file in files for group in file.groups)}
    for name in sorted(wanted - known):
        near = difflib.get_close_matches(name, known, n=3)
        advice = f"did you mean {' or '.join(near)}?" if near else "closemesh download-weights --list tells the names"
        raise InputError(f"there is no download '{name}'; {advice}")
    return tuple(file for file in files if wanted & {EVERYTHING, file.name, *file.groups})


def _check(file: Downloadable, manifest: Path) -> None:
    """Paths stay below the models folder, hashes can be compared."""
    names = [file.file, file.download_name]
    if any(PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts for name in names):
        raise InputError(f"the list of downloads {manifest} is damaged: {file.name} lies outside of the models folder")
    if file.sha256 is not None and not (len(file.sha256) == 64 and set(file.sha256) <= set("0123456789abcdef")):
        raise InputError(f"the list of downloads {manifest} is damaged: {file.name} has no proper sha256")


def _first_fault(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    return f"{where}: {fault['msg']}" if where else str(fault["msg"])
