"""The part of a download that has arrived, with a record of its origin; nothing is written through links."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from closemesh.core.errors import DownloadError
from closemesh.core.foreign import parse_json
from closemesh.core.server_text import shown_address

_NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)  # Windows has the second one only.


@dataclass(frozen=True)
class Origin:
    """Where the bytes of a partial file come from, as the JSON file beside it records."""

    url: str
    validator: str | None
    """Header value that differs between versions of the file."""
    total: int | None
    """Bytes of the whole file."""


@dataclass(frozen=True)
class PartialFile:
    """The file at `path`, which grows until complete; a JSON file beside it records its origin for a later run.

    Links are not written through: Raises DownloadError when a link or a folder is in its place.
    """

    path: Path

    @property
    def length(self) -> int:
        """Bytes so far."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def _record(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def refuse_links(self) -> None:
        """Raises DownloadError when something else than a plain file is in the place of the file or its record."""
        for path in (self.path, self._record):
            if path.is_symlink() or (path.exists() and not path.is_file()):
                raise DownloadError(f"{path} is no plain file; remove it, or choose another folder with --to")

    def range_headers(self, url: str, hash_known: bool) -> dict[str, str]:
        """Return the headers that ask for the rest only, or none when the whole file is needed.

        The rest of another version must not be appended. Either the server compares versions (If-Range), or the hash
        of the whole file is known and is checked afterwards.
        """
        if not self.length:
            return {}
        rest = {"Range": f"bytes={self.length}-"}
        origin = self.origin(url)
        if origin and origin.validator:
            return {**rest, "If-Range": origin.validator}
        return rest if hash_known else {}

    def remember(self, origin: Origin) -> None:
        """Record the origin of the bytes, before the first of them is written."""
        with new_file(self._record) as file:
            file.write(json.dumps(asdict(origin)).encode())

    def origin(self, url: str) -> Origin | None:
        """Return the recorded origin if it is `url`."""
        try:
            record = parse_json(self._record.read_bytes())
            address, validator, total = record["url"], record["validator"], record.get("total")
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None
        is_header = isinstance(validator, str) and validator.isascii() and validator.isprintable()
        is_count = isinstance(total, int) and not isinstance(total, bool) and total >= 0
        if address != shown_address(url):
            return None
        return Origin(address, validator if is_header else None, total if is_count else None)

    def open_at(self, offset: int) -> BinaryIO:
        """Return the file, open to write at `offset` bytes and truncated there."""
        self.refuse_links()
        if not offset:
            return new_file(self.path)
        file = os.fdopen(os.open(self.path, os.O_RDWR | _NO_LINKS), "r+b")
        file.truncate(offset)
        file.seek(offset)
        return file

    def discard(self) -> None:
        """Remove the file and its record."""
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)

    def become(self, target: Path) -> None:
        """Rename the complete and verified file to `target`. Raises DownloadError when something is there already."""
        refuse_existing(target)
        self.path.replace(target)
        self._record.unlink(missing_ok=True)


def new_file(path: Path) -> BinaryIO:
    """Return an empty file at `path`, open to write, in the place of what was there; a link is not written through."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINKS, 0o666), "w+b")


def refuse_existing(target: Path) -> None:
    """Raises DownloadError when `target` exists, also as a link that leads nowhere."""
    if target.is_symlink() or target.exists():
        raise DownloadError(
            f"{target} is there already, and closemesh did not download it; move it, or choose another folder with --to"
        )
