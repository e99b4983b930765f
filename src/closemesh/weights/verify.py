"""From a downloaded file to a model file: check size and hash, unzip, record, rename; compare existing files.

`downloaded.json` of a models folder records every download. A hash that is not published is recorded on the first
download and compared from then on.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from closemesh.core.errors import ClosemeshError, DownloadError, InputError
from closemesh.core.files import require_space, sha256_of
from closemesh.core.foreign import parse_json, short_reason
from closemesh.core.progress import Progress
from closemesh.weights.manifest import Downloadable, is_sha256
from closemesh.weights.partial_file import PartialFile, new_file

RECORD = "downloaded.json"
MAX_UNPACKED = 4 << 30  # Bytes: ten times the largest model file; more is an attack or a mistake.
_CHUNK = 1 << 20
_ENCRYPTED = 0x1
_MAX_NAME = 160  # Characters of a name in an archive that are shown.


class WrongFileError(DownloadError):
    """The download is complete, but it is not the expected file."""


@dataclass(frozen=True)
class DownloadRecord:
    """A file as it was downloaded."""

    source: str
    """Address or path."""
    size: int | None
    sha256: str | None
    """Of the download, which is the archive if there is one; None when only the model file is known."""
    file_sha256: str
    """Of the model file."""


def read_record(folder: Path) -> dict[str, DownloadRecord]:
    """Return the records of a models folder by name. Raises InputError when the file is damaged."""
    path = folder / RECORD
    try:
        return {name: _checked(fields) for name, fields in parse_json(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"the record of downloads {path} is damaged; repair it, or remove it to start anew") from error


def _checked(fields: dict[str, Any]) -> DownloadRecord:
    """Raises TypeError or ValueError when the fields are not those of a record."""
    record = DownloadRecord(**fields)
    is_count = type(record.size) is int and record.size >= 0
    hashes = [record.file_sha256, *([] if record.sha256 is None else [record.sha256])]
    if not (isinstance(record.source, str) and (is_count or record.size is None) and all(map(is_sha256, hashes))):
        raise ValueError("a value of another kind")
    return record


def write_record(folder: Path, name: str, record: DownloadRecord) -> None:
    """Add or replace the record of one file."""
    records = {**read_record(folder), name: record}
    part = folder / f".{RECORD}.part"
    with new_file(part) as file:
        text = json.dumps({name: asdict(one) for name, one in sorted(records.items())}, indent=1)
        file.write(f"{text}\n".encode())
    part.replace(folder / RECORD)


@dataclass(frozen=True)
class ExpectedFile:
    """What is known about one file of a models folder before it is read."""

    file: Downloadable
    folder: Path
    recorded: DownloadRecord | None

    @staticmethod
    def of(file: Downloadable, folder: Path) -> ExpectedFile:
        """Return what the manifest and the records of the folder contain. Raises InputError for damaged records."""
        return ExpectedFile(file, folder, read_record(folder).get(file.name))

    @property
    def target(self) -> Path:
        """Where the model file belongs."""
        return self.folder / self.file.file

    @property
    def size(self) -> int | None:
        """Bytes of the download."""
        recorded = self.recorded.size if self.recorded else None
        return self.file.size if self.file.size is not None else recorded

    @property
    def sha256(self) -> str | None:
        """Hash of the download: as published, else as recorded."""
        return self.file.sha256 or (self.recorded.sha256 if self.recorded else None)

    @property
    def file_sha256(self) -> str | None:
        """Hash of the model file; for a file from an archive only the record has it."""
        if self.file.archive is None:
            return self.sha256
        return self.recorded.file_sha256 if self.recorded else None

    def check_download(self, path: Path) -> str:
        """Return the sha256 of the download at `path`. Raises DownloadError when it is another file."""
        size = path.stat().st_size if path.is_file() else 0
        if self.size is not None and size != self.size:
            raise DownloadError(f"{size} bytes came instead of {self.size}")
        return self._compare(sha256_of(path), self.sha256)

    def check_file(self, path: Path) -> str:
        """Return the sha256 of the model file at `path`. Raises DownloadError when it is another file."""
        return self._compare(sha256_of(path), self.file_sha256)

    def record(self, origin: str, size: int | None, sha256: str | None, file_sha256: str) -> None:
        """Write the record of a download from `origin`."""
        write_record(self.folder, self.file.name, DownloadRecord(origin, size, sha256, file_sha256))

    def record_unpacked(self, origin: str, file_sha256: str) -> None:
        """Write the record of a model file alone; what is known about its archive stays."""
        known = self.recorded
        self.record(origin, known.size if known else None, known.sha256 if known else None, file_sha256)

    def note_unknown(self, progress: Progress) -> None:
        """Report that the hash could not be compared."""
        progress.note(f"{self.file.name}: its hash was not known and is recorded; a change will be an error")

    def _compare(self, found: str, wanted: str | None) -> str:
        if wanted is None or found == wanted:
            return found
        if wanted == self.file.sha256:
            raise DownloadError(f"its sha256 {found[:12]}... is not the published {wanted[:12]}...")
        raise DownloadError(
            f"its sha256 {found[:12]}... is not {wanted[:12]}..., recorded the first time in {self.folder / RECORD}; "
            "if you trust the new file, remove the entry there"
        )


def finalize_download(origin: str, partial: PartialFile, expected: ExpectedFile, progress: Progress) -> Path:
    """Check, unzip and record the complete download `partial` from `origin`, and return the path of the model file.

    Raises WrongFileError when it is another file.
    """
    archive, target = expected.file.archive, expected.target
    unpacked = PartialFile(target.with_name(f".{target.name}.unpacked"))
    try:
        sha256 = file_sha256 = expected.check_download(partial.path)
        if archive:
            unpack_member(partial.path, archive.member, unpacked.path)
            file_sha256 = expected.check_file(unpacked.path)
        if expected.sha256 is None:
            expected.note_unknown(progress)
        # Recorded before it is renamed: the hash of a file without a record would later be recorded as the right one.
        expected.record(origin, partial.length, sha256, file_sha256)
        (unpacked if archive else partial).become(target)
        partial.discard()
        return target
    except DownloadError as error:
        raise WrongFileError(str(error)) from error
    finally:
        unpacked.discard()


def finalize_unpacked(origin: str, partial: PartialFile, expected: ExpectedFile, progress: Progress) -> Path:
    """Check and record a model file that the user took out of its archive, and return its path.

    Raises DownloadError when it is another file.
    """
    file_sha256 = expected.check_file(partial.path)
    if expected.file_sha256 is None:
        expected.note_unknown(progress)
    expected.record_unpacked(origin, file_sha256)
    partial.become(expected.target)
    return expected.target


def verify_existing(expected: ExpectedFile, progress: Progress) -> Path:
    """Return the path of an existing model file. Raises DownloadError when it is not the expected one."""
    target = expected.target
    try:
        found = expected.check_file(target)
    except DownloadError as error:
        advice = "remove the file to download it again"
        if expected.recorded is None:
            advice = "closemesh did not download it: move it, or choose another folder with --to"
        raise DownloadError(f"{target} exists, but {error}; {advice}") from error
    if expected.file_sha256 is None:
        expected.note_unknown(progress)
        if expected.file.archive is not None:
            expected.record_unpacked(str(target), found)
        else:
            expected.record(str(target), target.stat().st_size, found, found)
    return target


def unpack_member(archive: Path, member: str, target: Path, max_bytes: int = MAX_UNPACKED) -> None:
    """Write the file whose path in `archive` ends with `member` to `target`.

    Raises DownloadError, and leaves no file behind, when any entry leads out of the archive, is a link or encrypted,
    or when the file has more than `max_bytes`.
    """
    with _foreign(archive):
        zipped = ZipFile(archive)
    with zipped:
        with _foreign(archive):
            for entry in zipped.infolist():
                _refuse_unsafe(entry, archive)
            entry = _find(zipped.infolist(), member, archive)
        if entry.file_size > max_bytes:
            raise DownloadError(
                f"{_shown(entry)} in {archive.name} has {entry.file_size / 1e9:.1f} GB unpacked, more than any model "
                "file; get the archive from its publisher"
            )
        require_space(target.parent, entry.file_size, target.name)
        _copy(zipped, entry, target, archive)


@contextmanager
def _foreign(archive: Path) -> Iterator[None]:
    """Raises DownloadError in the place of the many exceptions of zipfile on damaged archives."""
    try:
        yield
    except ClosemeshError:
        raise
    except Exception as error:
        reason = short_reason(error)
        raise DownloadError(f"{archive.name} is no whole zip file ({reason}); repeat the command") from error


def _refuse_unsafe(entry: ZipInfo, archive: Path) -> None:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    faults = {
        "leads out of the archive": path.is_absolute() or ".." in path.parts or ":" in entry.filename,
        "is a link": stat.S_ISLNK(entry.external_attr >> 16),
        "is encrypted": entry.flag_bits & _ENCRYPTED,
        # Other methods of zipfile unpack a whole block at once, however large it becomes.
        "is compressed in an unusual way": entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED),
    }
    why = next((reason for reason, found in faults.items() if found), None)
    if why:
        raise DownloadError(f"{_shown(entry)} in {archive.name} {why}; get the archive from its publisher")


def _shown(entry: ZipInfo) -> str:
    return repr(entry.filename[:_MAX_NAME])


def _find(entries: list[ZipInfo], member: str, archive: Path) -> ZipInfo:
    wanted = PurePosixPath(member).parts
    found = [entry for entry in entries if PurePosixPath(entry.filename).parts[-len(wanted) :] == wanted]
    if len(found) != 1:
        raise DownloadError(f"{archive.name} has {len(found) or 'no'} files {member}, not one; is it another version?")
    return found[0]


def _copy(zipped: ZipFile, entry: ZipInfo, target: Path, archive: Path) -> None:
    try:
        with _foreign(archive):
            source = zipped.open(entry)
        with source, new_file(target) as file:
            # zipfile yields at most the declared size and compares the checksum at the end.
            while chunk := _read(source, archive):
                file.write(chunk)
            if file.tell() != entry.file_size:
                raise DownloadError(f"{archive.name} is no whole zip file (an entry is too short); repeat the command")
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _read(source: IO[bytes], archive: Path) -> bytes:
    with _foreign(archive):
        return source.read(_CHUNK)
