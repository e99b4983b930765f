"""The files that can be downloaded: entries of models/manifest.json, chosen by name or group."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from closemesh.core.errors import InputError
from closemesh.core.server_text import server_text
from closemesh.weights.locate import find_model

_NO_OTHER_NAMES = {"extra": "forbid"}  # A misspelled name in the manifest is an error, not ignored.
EVERYTHING = "all"
MAX_DOWNLOAD = 4 << 30  # Bytes: several times the largest file; more is an attack or a mistake.
_NAME = "[A-Za-z0-9][A-Za-z0-9._+-]{0,63}"
_MAX_TEXT = 400  # Characters.
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{device}{n}" for device in ("COM", "LPT") for n in range(1, 10))}


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
        found = TypeAdapter(tuple[Downloadable, ...]).validate_json(
            Path(os.path.expanduser(chosen)).read_bytes(), strict=True
        )
    except OSError as error:
        raise InputError(f"cannot read the list of downloads {chosen}: {error.strerror or error}") from error
    except ValidationError as error:
        raise InputError(f"the list of downloads {chosen} is damaged: {_first_error(error.errors()[0])}") from error
    fault = next((text for file in found if (text := _fault(file))), None) or _conflict(found)
    if fault:
        raise InputError(f"the list of downloads {chosen} is damaged: {fault}")
    return found


def is_sha256(text: object) -> bool:
    """Return whether this is a hash in hexadecimal notation."""
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text) is not None


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


def _fault(file: Downloadable) -> str | None:
    """What is wrong with one file, if anything is: a list of downloads may come from elsewhere."""
    archive = file.archive
    texts = [file.purpose, file.licence, file.account or "", *file.sources]
    if not all(re.fullmatch(_NAME, name) for name in (file.name, *file.groups)):
        return f"{server_text(file.name)!r} or one of its groups is no plain name"
    if not all(map(_is_path_below, [file.file, *((archive.file, archive.member) if archive else ())])):
        return f"{file.name} lies outside of the models folder or has a name that not every system allows"
    if archive and "/" in archive.file:
        return f"{file.name} lies outside of the models folder: its archive is no plain file name"
    if file.sha256 is not None and not is_sha256(file.sha256):
        return f"{file.name} has no proper sha256"
    if file.size is not None and not 0 < file.size <= MAX_DOWNLOAD:
        return f"{file.name} has no proper size"
    if not file.sources or not all(map(_is_address, file.sources)):
        return f"{file.name} has a source that is no http or https address"
    if not all(text.isprintable() and len(text) <= _MAX_TEXT for text in texts):
        return f"{file.name} has texts that cannot be printed on one line"
    return None


def _is_path_below(path: str) -> bool:
    """Whether a path with slashes stays below its folder and is a name of one plain file on every system."""
    parts = path.split("/")
    return len(path) <= _MAX_TEXT and all(
        re.fullmatch(r"[^\x00-\x1f\x7f<>:\"|?*\\/]{1,120}", part)
        and part.isprintable()
        and not part.startswith(".")
        and not part.endswith((".", " ", ".part", ".part.json"))
        and part.partition(".")[0].strip().upper() not in _RESERVED
        and part != "downloaded.json"
        for part in parts
    )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        readable = parts.port is None or parts.port > 0  # Raises ValueError for a port that is no number.
    except ValueError:
        return False
    return readable and parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in url


def _conflict(files: Iterable[Downloadable]) -> str | None:
    """What is wrong between files, if anything is: some systems do not distinguish small and capital letters."""
    names: set[str] = set()
    targets: dict[str, str] = {}
    for file in files:
        target = unicodedata.normalize("NFC", file.file).casefold()
        if file.name in names:
            return f"{file.name} is in it twice"
        for other, name in targets.items():
            if f"{target}/".startswith(f"{other}/") or other.startswith(f"{target}/"):
                return f"{name} and {file.name} have the same place"
        names.add(file.name)
        targets[target] = file.name
    return None


def _first_error(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    return server_text(f"{where}: {error['msg']}" if where else str(error["msg"]))
