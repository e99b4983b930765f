"""Files that are complete or absent, their hashes, locked folders, and free space."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from closemesh.core.errors import OutputError

_MIN_FREE = 16 << 20  # Bytes: a system without any free space fails elsewhere with less clear errors.


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it is renamed to `path` when the block ends without an error.

    Raises OutputError when the system refuses: no permission, no space, a folder of the same name. A symbolic link is
    not written through.
    """
    # Writers choose the format by the suffix. A random name is that of no other file.
    part = path.with_name(f".{path.stem[:200]}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        if path.is_symlink():
            raise OutputError(f"cannot write {path}: it is a symbolic link; give the file that it leads to")
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        clear(part)


def remove(path: Path) -> None:
    """Remove a file if it exists. Raises OutputError when the system refuses."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


def lock_folder(lock: Path, folder: Path, activity: str, option: str) -> FileLock:
    """Return the acquired lock of the file `lock`, whose folder is created if missing.

    folder: named in errors. activity: what a process with the lock does, such as `using`. option: the option that
    chooses another folder. Raises OutputError when another process has the lock or the folder cannot be written.
    """
    acquired = FileLock(lock, timeout=0)
    if lock.is_symlink() or (lock.exists() and (not lock.is_file() or lock.stat().st_size > 0)):
        raise OutputError(f"{lock} was not written by closemesh, which needs a file of this name; move it away")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        acquired.acquire()
    except Timeout as error:
        raise OutputError(
            f"another closemesh run is {activity} {folder}; wait for it, or choose another folder with {option}"
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


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits. Raises OSError when it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def clear(path: Path) -> None:
    """Remove a file or folder of closemesh if possible: an error here must not hide the one that caused it."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def format_bytes(count: float) -> str:
    """Return a number of bytes in MB, or in GB if large."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _cannot_write(path: Path, error: OSError) -> OutputError:
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        return OutputError(f"cannot write {path}: something else has its name or that of its folder; choose another")
    reason = error.strerror or str(error)
    return OutputError(f"cannot write {path}: {reason}; free some space or choose another folder with -o")
