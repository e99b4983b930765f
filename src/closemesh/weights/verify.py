"""Size, hash, unzip, download record.

What was downloaded into a models folder, in its `downloaded.json`: a hash seen once holds for ever after.

Whether a file is the one that was published, or the one that came the first time.

One file out of a zip file that nobody vouches for.

From fetched bytes to a model file: check, unpack, record, rename; and what is there already is compared.
"""

from __future__ import annotations

import json
import stat
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from closemesh.core.errors import DownloadError, InputError
from closemesh.core.files import require_space
from closemesh.core.progress import Progress
from closemesh.weights.locate import sha256_of
from closemesh.weights.manifest import Downloadable
from closemesh.weights.transfer import PartialFile

RECORD = "downloaded.json"


@dataclass(frozen=True)
class DownloadRecord:
    """A file as it came."""

    source: str
    """Address or path."""
    size: int | None
    sha256: str | None
    """Of what was fetched: the archive, if it comes in one; None when only the model file was seen."""
    file_sha256: str
    """Of the model file."""


def read_record(folder: Path) -> dict[str, DownloadRecord]:
    """What is recorded for `folder`, by name. Raises InputError when the record is damaged."""
    path = folder / RECORD
    try:
        return {name: DownloadRecord(**fields) for name, fields in json.loads(path.read_text(encoding="utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"the record of downloads {path} is damaged; put it right, or remove it to begin anew"
        ) from error


def write_record(folder: Path, name: str, downloaded: DownloadRecord) -> None:
    """Add or replace one file of the record."""
    record = {**read_record(folder), name: downloaded}
    part = folder / f".{RECORD}.part"
    part.write_text(json.dumps({name: asdict(file) for name, file in sorted(record.items())}, indent=1) + "\n")
    part.replace(folder / RECORD)


@dataclass(frozen=True)
class ExpectedFile:
    """What is known of one file of a models folder before it is looked at."""

    file: Downloadable
    folder: Path
    recorded: DownloadRecord | None

    @staticmethod
    def of(file: Downloadable, folder: Path) -> ExpectedFile:
        """From the manifest and the folder's record."""
        return ExpectedFile(file, folder, read_record(folder).get(file.name))

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


class WrongFileError(DownloadError):
    """What came is whole and is not what was asked for."""


def finalize_download(origin: str, part: PartialFile, target: Path, expected: ExpectedFile, progress: Progress) -> Path:
    """`part`, whole, from `origin`, becomes `target`. Raises WrongFileError when it is another file."""
    archive = expected.file.archive
    unpacked = PartialFile(target.with_name(f".{target.name}.unpacked"))
    try:
        sha256 = file_sha256 = expected.check_fetched(part.path)
        if archive:
            unpack_member(part.path, archive.member, unpacked.path)
            file_sha256 = expected.check_file(unpacked.path)
        if expected.sha256 is None:
            _note_unknown(expected, progress)
        # The record is first: a file without one would later be taken for whatever it is.
        _record(expected, DownloadRecord(origin, part.length, sha256, file_sha256))
        (unpacked if archive else part).become(target)
        part.discard()
        return target
    except DownloadError as fault:
        raise WrongFileError(str(fault)) from fault
    finally:
        unpacked.discard()


def finish_unpacked(origin: str, part: PartialFile, target: Path, expected: ExpectedFile, progress: Progress) -> Path:
    """The same for a model file that someone has taken out of its archive."""
    file_sha256 = expected.check_file(part.path)
    if expected.file_sha256 is None:
        _note_unknown(expected, progress)
    _record(expected, _without_archive(origin, expected, file_sha256))
    part.become(target)
    return target


def verify_existing(target: Path, expected: ExpectedFile, progress: Progress) -> Path:
    """A file that is there stays, when it is the one that is known. Raises DownloadError when it is not."""
    try:
        found = expected.check_file(target)
    except DownloadError as fault:
        raise DownloadError(f"{target} is there, but {fault}; remove the file to fetch it anew") from fault
    if expected.file_sha256 is None:
        _note_unknown(expected, progress)
        in_archive = expected.file.archive is not None
        whole = DownloadRecord(str(target), target.stat().st_size, found, found)
        _record(expected, _without_archive(str(target), expected, found) if in_archive else whole)
    return target


def _without_archive(origin: str, expected: ExpectedFile, file_sha256: str) -> DownloadRecord:
    """What is known of the archive stays as it is: it was not seen."""
    known = expected.recorded
    return DownloadRecord(origin, known.size if known else None, known.sha256 if known else None, file_sha256)


def _note_unknown(expected: ExpectedFile, progress: Progress) -> None:
    progress.note(f"{expected.file.name}: its hash was not known and is recorded; a change will be an error")


def _record(expected: ExpectedFile, downloaded: DownloadRecord) -> None:
    write_record(expected.folder, expected.file.name, downloaded)
