"""Whether a file is the one that was published, or the one that came the first time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from closemesh.errors import DownloadError
from closemesh.weights.manifest import Downloadable
from closemesh.weights.record import RECORD, Downloaded, read_record
from closemesh.weights.search import sha256_of


@dataclass(frozen=True)
class Expected:
    """What is known of one file of a models folder before it is looked at."""

    file: Downloadable
    folder: Path
    recorded: Downloaded | None

    @staticmethod
    def of(file: Downloadable, folder: Path) -> Expected:
        """From the manifest and the folder's record."""
        return Expected(file, folder, read_record(folder).get(file.name))

    @property
    def size(self) -> int | None:
        """Bytes of what is fetched."""
        recorded = self.recorded.size if self.recorded else None
        return self.file.size if self.file.size is not None else recorded

    @property
    def sha256(self) -> str | None:
        """Of what is fetched: as published, else as recorded."""
        return self.file.sha256 or (self.recorded.sha256 if self.recorded else None)

    @property
    def file_sha256(self) -> str | None:
        """Of the model file itself; for one that comes in an archive only the record can tell."""
        if self.file.archive is None:
            return self.sha256
        return self.recorded.file_sha256 if self.recorded else None

    def check_fetched(self, path: Path) -> str:
        """The sha256 of what was fetched. Raises DownloadError when it is another file."""
        size = path.stat().st_size if path.is_file() else 0
        if self.size is not None and size != self.size:
            raise DownloadError(f"{size} bytes came instead of {self.size}")
        return self._compare(sha256_of(path), self.sha256)

    def check_file(self, path: Path) -> str:
        """The sha256 of the model file. Raises DownloadError when it is another one."""
        return self._compare(sha256_of(path), self.file_sha256)

    def _compare(self, found: str, wanted: str | None) -> str:
        if wanted is None or found == wanted:
            return found
        if wanted == self.file.sha256:
            raise DownloadError(f"its sha256 {found[:12]}... is not the published {wanted[:12]}...")
        raise DownloadError(
            f"its sha256 {found[:12]}... is not {wanted[:12]}..., recorded the first time in {self.folder / RECORD}; "
            "if you trust the new file, remove the entry there"
        )
