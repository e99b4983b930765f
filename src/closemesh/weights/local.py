"""Files from a folder, for machines without internet."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from closemesh.errors import DownloadError
from closemesh.progress import Progress
from closemesh.weights.manifest import Downloadable
from closemesh.weights.space import require_space

_PIECE = 1 << 20


def find_local(file: Downloadable, folder: Path) -> Path:
    """`file`, or the archive it comes in, in `folder`. Raises DownloadError that tells what to put there."""
    names = (file.fetched, file.file, PurePosixPath(file.file).name)
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DownloadError(f"it is not in {folder}; put it there, from {' or '.join(file.sources)}")


def copy_into(found: Path, target: Path, progress: Progress) -> None:
    """A copy of `found`. Raises DownloadError when it cannot be read, OutputError when there is no room."""
    size = found.stat().st_size
    require_space(target.parent, size, found.name)
    try:
        source = found.open("rb")
    except OSError as error:
        raise DownloadError(f"cannot read {found}: {error.strerror or error}") from error
    with source, target.open("wb") as file, progress.task(found.name, size) as advance:
        while piece := source.read(_PIECE):
            file.write(piece)
            advance(len(piece))
