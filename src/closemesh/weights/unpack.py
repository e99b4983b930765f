"""One file out of a zip file that nobody vouches for."""

from __future__ import annotations

import stat
import zlib
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from closemesh.errors import DownloadError
from closemesh.weights.space import require_space

MOST_BYTES = 4 << 30  # Ten times the largest file that is known; more is a bomb or a mistake.
_PIECE = 1 << 20
_ENCRYPTED = 0x1


def unpack_member(archive: Path, member: str, target: Path, most_bytes: int = MOST_BYTES) -> None:
    """Write the file whose path in `archive` ends with `member` to `target`.

    The whole archive is refused when any entry of it would escape, is a link, or when the file is too large. Raises
    DownloadError, and leaves nothing behind.
    """
    try:
        with ZipFile(archive) as zipped:
            for entry in zipped.infolist():
                _refuse_unsafe(entry, archive)
            entry = _find(zipped.infolist(), member, archive)
            if entry.file_size > most_bytes:
                raise DownloadError(
                    f"{entry.filename} in {archive.name} has {entry.file_size / 1e9:.1f} GB unpacked, more than any "
                    "model file; get the archive from its maker"
                )
            require_space(target.parent, entry.file_size, target.name)
            _copy(zipped, entry, target)
    except (BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DownloadError(f"{archive.name} is no whole zip file ({error}); give the same command again") from error


def _refuse_unsafe(entry: ZipInfo, archive: Path) -> None:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    escapes = path.is_absolute() or ".." in path.parts or ":" in entry.filename
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    if escapes or is_link or entry.flag_bits & _ENCRYPTED:
        why = "leads out of the archive" if escapes else "is a link" if is_link else "is encrypted"
        raise DownloadError(f"{entry.filename!r} in {archive.name} {why}; get the archive from its maker")


def _find(entries: list[ZipInfo], member: str, archive: Path) -> ZipInfo:
    wanted = PurePosixPath(member).parts
    found = [entry for entry in entries if PurePosixPath(entry.filename).parts[-len(wanted) :] == wanted]
    if len(found) != 1:
        raise DownloadError(f"{archive.name} has {len(found) or 'no'} files {member}, not one; is it another version?")
    return found[0]


def _copy(zipped: ZipFile, entry: ZipInfo, target: Path) -> None:
    try:
        # At most the declared size comes out, and its checksum is compared at the end.
        with zipped.open(entry) as source, target.open("wb") as file:
            while piece := source.read(_PIECE):
                file.write(piece)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
