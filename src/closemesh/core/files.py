"""Atomic writes, locks, free space.

Files that are whole or absent: written beside the target and renamed when complete.

Whether a file still fits.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from closemesh.core.errors import OutputError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A file name beside `path` to write to; it takes the place of `path` when the block ends without an error.

    Raises OutputError when the system refuses: no permission, no space, a file in the way.
    """
    part = path.with_name(f".{path.stem}.part{path.suffix}")  # The suffix stays: writers choose the format by it.
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
    """The same for a folder of files: what stood in `folder` before is gone when the block ends without an error."""
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
    """Remove a file if it is there. Raises OutputError when the system refuses."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


def lock_folder(lock: Path, folder: Path, activity: str, option: str) -> FileLock:
    """The lock of this file, taken for this process; its folder is made when it is not there.

    Raises OutputError that names the folder `told`, what another run is `doing` there, and the `option` for another.
    """
    taken = FileLock(lock, timeout=0)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        taken.acquire()
    except Timeout as error:
        raise OutputError(
            f"another closemesh run is {activity} into {folder}; wait for it, or choose another folder with {option}"
        ) from error
    except OSError as error:
        raise write_error(folder, error, option) from error
    return taken


def write_error(folder: Path, error: OSError, option: str) -> OutputError:
    """What the system refused, in one line."""
    in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
    reason = "a file is in the way" if in_the_way else error.strerror or str(error)
    return OutputError(f"cannot write into {folder}: {reason}; free some space or choose another folder with {option}")


def _cannot_write(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"cannot write {path}: {reason}; free some space or choose another folder with -o")


def _clear(path: Path) -> None:
    """Best effort: a leftover must not hide the error that caused it."""
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        pass


_MIN_FREE = 16 << 20  # A system without a free byte fails in worse places.


def require_space(folder: Path, needed: int, name: str) -> None:
    """Raises OutputError when `folder` has no room for `needed` bytes more."""
    free = shutil.disk_usage(folder).free
    if needed + _MIN_FREE > free:
        raise OutputError(
            f"{name} needs {format_bytes(needed)} more and {folder} has {format_bytes(free)} free; free some space or choose "
            "another folder with --to"
        )


def format_bytes(count: float) -> str:
    """Bytes as people read them."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
