"""Fetch from servers or from a folder.

Files from a folder, for machines without internet.

Model files into a models folder: from their sources in order, or from a folder; checked, then renamed.

Each file is fetched beside its place (`.part`), compared in size and sha256, unpacked when it came in a zip file,
recorded, and only then gets its name. One run at a time works in a folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from closemesh.core.errors import DownloadError
from closemesh.core.files import lock_folder, require_space, write_error
from closemesh.core.progress import Progress
from closemesh.weights.account import Account
from closemesh.weights.locate import first_existing
from closemesh.weights.manifest import Downloadable
from closemesh.weights.transfer import DownloadRequest, PartialFile, Transfer
from closemesh.weights.verify import ExpectedFile, WrongFileError, finalize_download, finish_unpacked, verify_existing

_PIECE = 1 << 20


def find_local(file: Downloadable, folder: Path) -> Path:
    """`file`, or the archive it comes in, in `folder`. Raises DownloadError that tells what to put there."""
    names = (file.download_name, file.file, PurePosixPath(file.file).name)
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


_LOCK = ".download.lock"


@dataclass(frozen=True)
class Source:
    """Where files come from: servers, or a folder of files that were fetched on another machine."""

    transfer: Transfer | None = None
    account: Account | None = None
    folder: Path | None = None


def download(
    files: tuple[Downloadable, ...], folder: Path, source: Source, progress: Progress, looked_in: Iterable[Path] = ()
) -> tuple[Path, ...]:
    """Where each of `files` is now: below `folder`, or in one of `looked_in`, where it stays as it is.

    Those in `folder` are compared with what is known of them. A file that cannot be had does not keep the others
    from coming. Raises DownloadError that tells of the first such, and notes the others; OutputError when the folder
    cannot be written or another run works in it.
    """
    paths, faults = [], []
    with _writing(folder):
        for file in files:
            try:
                there = first_existing(file.file, looked_in) if not (folder / file.file).exists() else None
                paths.append(there or _bring(file, folder, source, progress))
            except DownloadError as fault:
                faults.append(DownloadError(f"{file.name} ({file.download_name}): {fault}"))
    for fault in faults[1:]:
        progress.note(str(fault))
    if faults:
        raise faults[0]
    return tuple(paths)


def _bring(file: Downloadable, folder: Path, source: Source, progress: Progress) -> Path:
    expected = ExpectedFile.of(file, folder)
    target = folder / file.file
    if target.exists():
        return verify_existing(target, expected, progress)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = PartialFile(target.parent / f"{file.download_name}.part")
    if source.folder:
        return _from_folder(source.folder, part, target, expected, progress)
    require_space(target.parent, max(0, (expected.size or 0) - part.length), file.name)
    return _from_servers(source, part, target, expected, progress)


def _from_folder(folder: Path, part: PartialFile, target: Path, expected: ExpectedFile, progress: Progress) -> Path:
    found = find_local(expected.file, folder)
    finish = finalize_download if found.name == expected.file.download_name else finish_unpacked
    copy = PartialFile(
        part.path.with_name(f".{found.name}.copy")
    )  # What a server gave of it stays until this is checked.
    try:
        copy_into(found, copy.path, progress)
        finish(str(found), copy, target, expected, progress)
    finally:
        copy.discard()
    part.discard()
    return target


def _from_servers(source: Source, part: PartialFile, target: Path, expected: ExpectedFile, progress: Progress) -> Path:
    faults = []
    for url in expected.file.sources:
        host = urlsplit(url).hostname
        try:
            return _from_server(url, source, part, target, expected, progress)
        except DownloadError as fault:
            faults.append(f"{host}: {fault}")
            if url != expected.file.sources[-1]:
                progress.note(f"{expected.file.name} from {host}: {fault}; trying the next source")
    advice = f"fetch {expected.file.download_name} by hand and give its folder with --from-dir"
    raise DownloadError("; ".join([*faults, advice]))


def _from_server(
    url: str, source: Source, part: PartialFile, target: Path, expected: ExpectedFile, progress: Progress
) -> Path:
    wanted = DownloadRequest(expected.file.name, url, expected.sha256 is not None, _form(expected.file, source))
    assert source.transfer, "a source is a folder or has a transfer"
    began_with = part.length
    try:
        source.transfer.fetch(wanted, part)
        return finalize_download(url, part, target, expected, progress)
    except WrongFileError:
        part.discard()
        if not began_with:
            raise
    # The first half was of an earlier run, perhaps of another version: once from the beginning.
    source.transfer.fetch(wanted, part)
    try:
        return finalize_download(url, part, target, expected, progress)
    except WrongFileError:
        part.discard()
        raise


def _form(file: Downloadable, source: Source) -> Mapping[str, str] | None:
    if file.account is None:
        return None
    if source.account is None:
        raise DownloadError(f"it needs an account of {file.account}")
    return source.account.form


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """The folder, made when it is not there, for this run alone."""
    lock = lock_folder(folder / _LOCK, folder, "downloading", "--to")
    try:
        yield
    except OSError as error:
        raise write_error(folder, error, "--to") from error
    finally:
        lock.release()
