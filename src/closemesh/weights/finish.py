"""From fetched bytes to a model file: check, unpack, record, rename; and what is there already is compared."""

from __future__ import annotations

from pathlib import Path

from closemesh.errors import DownloadError
from closemesh.progress import Progress
from closemesh.weights.check import Expected
from closemesh.weights.part_file import PartFile
from closemesh.weights.record import Downloaded, write_record
from closemesh.weights.unpack import unpack_member


class WrongFileError(DownloadError):
    """What came is whole and is not what was asked for."""


def finish_fetched(origin: str, part: PartFile, target: Path, expected: Expected, progress: Progress) -> Path:
    """`part`, whole, from `origin`, becomes `target`. Raises WrongFileError when it is another file."""
    archive = expected.file.archive
    unpacked = PartFile(target.with_name(f".{target.name}.unpacked"))
    try:
        sha256 = file_sha256 = expected.check_fetched(part.path)
        if archive:
            unpack_member(part.path, archive.member, unpacked.path)
            file_sha256 = expected.check_file(unpacked.path)
        if expected.sha256 is None:
            _note_unknown(expected, progress)
        # The record is first: a file without one would later be taken for whatever it is.
        _record(expected, Downloaded(origin, part.length, sha256, file_sha256))
        (unpacked if archive else part).become(target)
        part.discard()
        return target
    except DownloadError as fault:
        raise WrongFileError(str(fault)) from fault
    finally:
        unpacked.discard()


def finish_unpacked(origin: str, part: PartFile, target: Path, expected: Expected, progress: Progress) -> Path:
    """The same for a model file that someone has taken out of its archive."""
    file_sha256 = expected.check_file(part.path)
    if expected.file_sha256 is None:
        _note_unknown(expected, progress)
    _record(expected, _without_archive(origin, expected, file_sha256))
    part.become(target)
    return target


def keep(target: Path, expected: Expected, progress: Progress) -> Path:
    """A file that is there stays, when it is the one that is known. Raises DownloadError when it is not."""
    try:
        found = expected.check_file(target)
    except DownloadError as fault:
        raise DownloadError(f"{target} is there, but {fault}; remove the file to fetch it anew") from fault
    if expected.file_sha256 is None:
        _note_unknown(expected, progress)
        in_archive = expected.file.archive is not None
        whole = Downloaded(str(target), target.stat().st_size, found, found)
        _record(expected, _without_archive(str(target), expected, found) if in_archive else whole)
    return target


def _without_archive(origin: str, expected: Expected, file_sha256: str) -> Downloaded:
    """What is known of the archive stays as it is: it was not seen."""
    known = expected.recorded
    return Downloaded(origin, known.size if known else None, known.sha256 if known else None, file_sha256)


def _note_unknown(expected: Expected, progress: Progress) -> None:
    progress.note(f"{expected.file.name}: its hash was not known and is recorded; a change will be an error")


def _record(expected: Expected, downloaded: Downloaded) -> None:
    write_record(expected.folder, expected.file.name, downloaded)
