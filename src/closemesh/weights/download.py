"""Model files into a models folder: downloaded from their sources in order, or copied from a folder.

Each file is written beside its place (`.part`), verified, unzipped, recorded and only then renamed. One process at a
time works in a folder.
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
from closemesh.core.server_text import shown_address
from closemesh.weights.account import Account
from closemesh.weights.locate import first_existing
from closemesh.weights.manifest import Downloadable
from closemesh.weights.partial_file import PartialFile, new_file, refuse_existing
from closemesh.weights.transfer import DownloadRequest, Transfer
from closemesh.weights.verify import ExpectedFile, WrongFileError, finalize_download, finalize_unpacked, verify_existing

_LOCK = ".download.lock"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Source:
    """Where files come from: servers, or a folder of files that were downloaded on another machine."""

    transfer: Transfer | None = None
    account: Account | None = None
    folder: Path | None = None


def download(
    files: tuple[Downloadable, ...], folder: Path, source: Source, progress: Progress, searched: Iterable[Path] = ()
) -> tuple[Path, ...]:
    """Return the path of each of `files`: below `folder`, or in one of the folders `searched`, where it stays.

    Existing files in `folder` are verified. A file that fails does not stop the others: Raises DownloadError for the
    first failure after all files, and notes the others. Raises OutputError when the folder cannot be written or
    another process works in it.
    """
    paths, errors = [], []
    with _locked(folder):
        for file in files:
            try:
                elsewhere = first_existing(file.file, searched) if not (folder / file.file).exists() else None
                paths.append(elsewhere or _provide(file, folder, source, progress))
            except DownloadError as error:
                errors.append(DownloadError(f"{file.name} ({file.download_name}): {error}"))
    for error in errors[1:]:
        progress.note(str(error))
    if errors:
        raise errors[0]
    return tuple(paths)


def _provide(file: Downloadable, folder: Path, source: Source, progress: Progress) -> Path:
    expected = ExpectedFile.of(file, folder)
    target = expected.target
    if target.is_file():
        return verify_existing(expected, progress)
    refuse_existing(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = PartialFile(target.parent / f"{file.download_name}.part")
    if source.folder:
        return _from_folder(source.folder, partial, expected, progress)
    require_space(target.parent, max(0, (expected.size or 0) - partial.length), file.name)
    return _from_servers(source, partial, expected, progress)


def _from_folder(folder: Path, partial: PartialFile, expected: ExpectedFile, progress: Progress) -> Path:
    found = _find_local(expected.file, folder)
    finalize = finalize_download if found.name == expected.file.download_name else finalize_unpacked
    # Not `partial`: what a server provided of the file stays until the copy is verified.
    copy = PartialFile(partial.path.with_name(f".{found.name}.copy"))
    try:
        _copy(found, copy.path, progress)
        finalize(str(found), copy, expected, progress)
    finally:
        copy.discard()
    partial.discard()
    return expected.target


def _find_local(file: Downloadable, folder: Path) -> Path:
    """The file, or its archive, in `folder`. Raises DownloadError that names the file to put there."""
    for name in (file.download_name, file.file, PurePosixPath(file.file).name):
        if (folder / name).is_file():
            return folder / name
    raise DownloadError(f"it is not in {folder}; put it there, from {' or '.join(map(shown_address, file.sources))}")


def _copy(found: Path, target: Path, progress: Progress) -> None:
    """Raises DownloadError when `found` cannot be read, OutputError when there is no space."""
    size = found.stat().st_size
    require_space(target.parent, size, found.name)
    try:
        source = found.open("rb")
    except OSError as error:
        raise DownloadError(f"cannot read {found}: {error.strerror or error}") from error
    with source, new_file(target) as file, progress.task(found.name, size) as advance:
        while chunk := source.read(_CHUNK):
            file.write(chunk)
            advance(len(chunk))


def _from_servers(source: Source, partial: PartialFile, expected: ExpectedFile, progress: Progress) -> Path:
    errors = []
    for url in expected.file.sources:
        host = urlsplit(url).hostname
        try:
            return _from_server(url, source, partial, expected, progress)
        except DownloadError as error:
            errors.append(f"{host}: {error}")
            if url != expected.file.sources[-1]:
                progress.note(f"{expected.file.name} from {host}: {error}; trying the next source")
    advice = f"fetch {expected.file.download_name} by hand and give its folder with --from-dir"
    raise DownloadError("; ".join([*errors, advice]))


def _from_server(url: str, source: Source, partial: PartialFile, expected: ExpectedFile, progress: Progress) -> Path:
    assert source.transfer, "a source is a folder or has a transfer"
    form = _form(expected.file, source)
    request = DownloadRequest(expected.file.name, url, expected.sha256 is not None, expected.size, form)
    origin, resumed = shown_address(url), partial.length > 0
    try:
        source.transfer.fetch(request, partial)
        return finalize_download(origin, partial, expected, progress)
    except WrongFileError:
        partial.discard()
        if not resumed:
            raise
    # The first part came from an earlier run, perhaps of another version: download once from the start.
    source.transfer.fetch(request, partial)
    try:
        return finalize_download(origin, partial, expected, progress)
    except WrongFileError:
        partial.discard()
        raise


def _form(file: Downloadable, source: Source) -> Mapping[str, str] | None:
    if file.account is None:
        return None
    if source.account is None:
        raise DownloadError(f"it needs an account of {file.account}")
    return source.account.form


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder, created if missing and locked for this process. Raises OutputError."""
    lock = lock_folder(folder / _LOCK, folder, "downloading into", "--to")
    try:
        yield
    except OSError as error:
        raise write_error(folder, error, "--to") from error
    finally:
        lock.release()
