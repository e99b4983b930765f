"""The half of a file that has come so far, and what it is the half of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True)
class PartFile:
    """`path` grows until it is whole; beside it stands where it is from, for a later run to go on with."""

    path: Path

    @property
    def length(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def _origin(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def range_headers(self, url: str, hash_known: bool) -> dict[str, str]:
        """The headers that ask for the rest only, or none when the whole is needed.

        The rest of another version must not be joined on: either the server compares (If-Range), or the hash of the
        whole is known and tells afterwards.
        """
        if not self.length:
            return {}
        rest = {"Range": f"bytes={self.length}-"}
        validator = self._validator(url)
        if validator:
            return {**rest, "If-Range": validator}
        return rest if hash_known else {}

    def remember(self, url: str, validator: str | None) -> None:
        """Keep where the bytes are from, before the first of them is written."""
        self._origin.write_text(json.dumps({"url": url, "validator": validator}))

    def open_at(self, offset: int) -> BinaryIO:
        """The file to write on from `offset`; what stood after it is cut off."""
        file = self.path.open("r+b" if self.path.exists() else "w+b")
        file.truncate(offset)
        file.seek(offset)
        return file

    def discard(self) -> None:
        """Begin anew."""
        self.path.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)

    def become(self, target: Path) -> None:
        """Whole and checked: take the final name."""
        self.path.replace(target)
        self._origin.unlink(missing_ok=True)

    def _validator(self, url: str) -> str | None:
        try:
            told = json.loads(self._origin.read_text())
            return told["validator"] if told["url"] == url else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
