"""A download into a folder that does not really wait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from file_server import write_manifest

from closemesh.core.http import open_session
from closemesh.core.progress import NullProgress
from closemesh.weights.account import Account
from closemesh.weights.download import Source, download
from closemesh.weights.manifest import read_manifest
from closemesh.weights.transfer import Transfer


class Downloads:
    """Downloads into `folder`; keeps what was noted and how long it would have waited."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.progress = NullProgress()
        self.waits: list[float] = []
        self.sleep: Callable[[float], None] = self.waits.append

    def __call__(
        self, *entries: dict[str, Any], account: Account | None = None, local: Path | None = None
    ) -> list[Path]:
        files = read_manifest(write_manifest(self.folder.parent / "manifest.json", *entries))
        with open_session() as session:
            transfer = Transfer(session, self.progress, sleep=self.sleep)
            return list(download(files, self.folder, Source(transfer, account, local), self.progress))

    @property
    def present(self) -> set[str]:
        """Names of what is in the folder, the record and the lock apart."""
        names = {path.name for path in self.folder.rglob("*") if path.is_file()}
        return names - {"downloaded.json", ".download.lock"}


def stop(seconds: float) -> None:
    """The user stops the run while it waits."""
    raise KeyboardInterrupt
