"""Files that are complete or absent, locked folders, and free space."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from closemesh.core.errors import OutputError

_MIN_FREE = 16 << 20  # Bytes: a system without any free space fails elsewhere with less clear errors.


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it is renamed to `path` when the block ends without an error.

    Raises OutputError when the system refuses: no permission, no space, a file of the same name.
    """
    part = path.with_name(f".{path.stem}.part{path.suffix}")  # Writers choose the format by the suffix.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        _clear(part)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; it replaces `folder` when the block ends without an error.

    Raises OutputError when the system refuses.
    """
    part = folder.with_name(f".{folder.name}.part")
    old = folder.with_name(f".{folder.name}.old")
    try:
        _clear(part)
        part.mkdir(parents=True)
        yield part
        _clear(old)
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
        _clear(old)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    finally:
        _clear(part)


def remove(path: Path) -> None:
    """Remove a file if it exists. Raises OutputError when the system refuses."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


def lock_folder(lock: Path, folder: Path, activity: str, option: str) -> FileLock:
    """Return the acquired lock of the file `lock`, whose folder is created if missing.

    folder: named in errors. activity: what a process with the lock does, such as `writing`. option: the option that
    chooses another folder. Raises OutputError when another process has the lock or the folder cannot be written.
    """
    acquired = FileLock(lock, timeout=0)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        acquired.acquire()
    except Timeout as error:
        raise OutputError(
            f"another closemesh run is {activity} into {folder}; wait for it, or choose another folder with {option}"
        ) from error
    except OSError as error:
        raise write_error(folder, error, option) from error
    return acquired


def write_error(folder: Path, error: OSError, option: str) -> OutputError:
    """Return the one-line error for what the system refused; `option` chooses another folder."""
    in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
    reason = "a file is in the way" if in_the_way else error.strerror or str(error)
    return OutputError(f"cannot write into {folder}: {reason}; free some space or choose another folder with {option}")


def require_space(folder: Path, needed: int, name: str) -> None:
    """Check that `folder` has room for `needed` more bytes of the file `name`. Raises OutputError if not."""
    free = shutil.disk_usage(folder).free
    if needed + _MIN_FREE > free:
        raise OutputError(
            f"{name} needs {format_bytes(needed)} more and {folder} has {format_bytes(free)} free; free some space or "
            "choose another folder with --to"
        )


def format_bytes(count: float) -> str:
    """Return a number of bytes in MB, or in GB if large."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _cannot_write(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"cannot write {path}: {reason}; free some space or choose another folder with -o")


def _clear(path: Path) -> None:
    """Remove a file or folder if possible: an error here must not hide the one that caused it."""
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        pass
