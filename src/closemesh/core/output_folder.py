"""Folders with results: a marker lists what closemesh wrote in them, and it replaces only that.

The marker has the SHA-256 and the name of each file. A file of another name or another content is foreign: it is never
replaced, moved or removed. New files are written to a staging folder first and then moved into place together.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from closemesh.core.errors import OutputError
from closemesh.core.files import atomic_file, clear, sha256_of, write_error

RESULT_FILES = {
    **dict.fromkeys(("scene.json", "contacts.json", "observations.npz", "edits.json", "conversion.json"), ""),
    **dict.fromkeys(("report.html", "overlay.mp4", "overlay.png", "stages/clip.npz"), ""),
    "people": r"person_\d+\.npz",
    "masks": r"\d+\.png",
    "meshes": r"scene\.glb|(ply|obj)/person_\d+/\d+\.(ply|obj)",
}
"""Files and folders of a result -> for a folder, a regular expression of the names of its files."""
MARKER = ".closemesh"
"""Name of the file that lists what closemesh wrote in its folder."""

_HEADER = "# closemesh: SHA-256 and name of each file that it wrote here. It replaces and removes no others."
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_UNFINISHED_MARKER = re.compile(r"\.\.closemesh\.[0-9a-f]{8}\.part")  # Of atomic_file.
_IN_USE = ".lock"  # In a staging folder; the system releases it when a process is killed.
_STAGING = re.compile(r"\.closemesh-[0-9a-f]{12}")
_MOVE = "move it away, or choose another folder with -o"


class OutputFolder:
    """A folder, which may not exist yet, and the files in it that closemesh wrote."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def has_own_files(self) -> bool:
        """Whether the marker lists files that closemesh wrote here."""
        return bool(self._recorded())

    @property
    def is_marked(self) -> bool:
        """Whether the folder has a marker, even one without files."""
        return self._marker_lines() is not None

    def is_own(self, name: str) -> bool:
        """Return True when `name`, relative to the folder, is a file with a content that closemesh wrote here."""
        hashes = self._recorded().get(name)
        return bool(hashes) and self._has_content(name, hashes)

    def require_free(self, kinds: Mapping[str, str]) -> None:
        """Check, before any work, that files of these kinds can be written without replacing a foreign file.

        kinds: name of a file or folder -> for a folder, a regular expression of the names of files in it. A folder of
        an earlier result may hold foreign files of other names, which stay. Raises OutputError.
        """
        recorded = self._recorded()
        self._require_marker_place()
        for name, inner in kinds.items():
            files = list(self._files_below(name))
            foreign = [one for one in files if not self._has_content(one, recorded.get(one, set()))]
            is_own_folder = bool(inner) and len(foreign) < len(files)
            for one in foreign:
                if not is_own_folder or one in recorded or re.fullmatch(inner, one.removeprefix(f"{name}/")):
                    raise self._foreign_error(one, recorded)

    def require_own_folders(self, name: str) -> None:
        """Check that each folder in the folder `name` has only files that closemesh wrote, in whatever state they are.

        Raises OutputError.
        """
        recorded, folder = self._recorded(), self.path / name
        if folder.is_symlink():
            raise self._foreign_error(name, {})
        for inner in sorted(folder.iterdir()) if folder.is_dir() else ():
            if inner.is_symlink() or inner.is_dir():
                self._require_recorded(_relative(inner, self.path), recorded)

    def is_intact(self, name: str) -> bool:
        """Return True when the folder `name` has all files that closemesh wrote there, with their contents."""
        inside = {one: hashes for one, hashes in self._recorded().items() if one.startswith(f"{name}/")}
        return bool(inside) and all(self._has_content(one, hashes) for one, hashes in inside.items())

    def replace_folder(self, name: str, new: Path, trash: Path) -> None:
        """Move the folder `new` to `name`; the old one goes to `trash`, which does not exist yet.

        Raises OutputError when the old one has a file that closemesh did not write.
        """
        recorded, target = self._recorded(), self.path / name
        self._require_marker_place()
        self._require_no_link(name)
        self._require_recorded(name, recorded)
        hashes = {f"{name}/{_relative(path, new)}": {sha256_of(path)} for path in _regular_files(new)}
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._update(hashes)
            if target.exists():
                target.rename(trash)
            new.rename(target)
            self._update({}, gone={one for one in recorded if one.startswith(f"{name}/")} - set(hashes))
        except OSError as error:
            raise write_error(self.path, error, "-o") from error

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield an empty folder inside this one, which is created if missing; it is removed at the end.

        Raises OutputError when the system refuses.
        """
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]  # Deepest first.
        staged = self.path / f".closemesh-{secrets.token_hex(6)}"
        in_use = FileLock(staged / _IN_USE, timeout=0)
        try:
            staged.mkdir(parents=True)
            with in_use:
                (staged / MARKER).write_text(_HEADER + "\n", encoding="utf-8")
                yield staged
        except OSError as error:
            raise write_error(self.path, error, "-o") from error
        finally:
            clear(staged)
            for path in missing:
                with suppress(OSError):  # Not empty: there are results in it.
                    path.rmdir()

    def publish(self, staged: Path, kinds: Iterable[str] = (), last: str | None = None) -> None:
        """Move all files of the folder `staged` into place, and remove own files of `kinds` that are not among them.

        kinds: names of files and folders that this output replaces. last: the file whose presence shows that the result
        is complete; it is removed first and moved last. Raises OutputError when a foreign file is in the way.
        """
        files = sorted(_relative(path, staged) for path in _regular_files(staged) if path.name not in (MARKER, _IN_USE))
        hashes = {name: sha256_of(staged / name) for name in files}
        recorded = self._recorded()
        self._require_marker_place()
        for name in files:
            self._require_no_link(name)
            if os.path.lexists(self.path / name) and not self._has_content(name, recorded.get(name, set())):
                raise self._foreign_error(name, recorded)
        self._update({name: {*recorded.get(name, ()), hashes[name]} for name in files})
        others = {name for name in recorded if name.split("/")[0] in set(kinds)} - set(files)
        try:
            if last in hashes:
                (self.path / last).unlink(missing_ok=True)
            for name in files:
                if name != last:
                    _move(staged / name, self.path / name)
            self._remove_others(others, recorded)
            if last in hashes:
                _move(staged / last, self.path / last)
        except OSError as error:
            raise write_error(self.path, error, "-o") from error
        gone = {name for name in others if not os.path.lexists(self.path / name)}
        self._update({name: {one} for name, one in hashes.items()}, gone)

    def remove_leftovers(self) -> None:
        """Remove the staging folders and unfinished markers of killed runs; what is in use stays."""
        for path in list(self.path.iterdir()) if self.path.is_dir() else ():
            if path.is_symlink():
                continue
            with suppress(OSError, Timeout):
                if _STAGING.fullmatch(path.name) and (path / MARKER).is_file():
                    with FileLock(path / _IN_USE, timeout=0):
                        clear(path)
                elif _STAGING.fullmatch(path.name):
                    path.rmdir()  # Killed before the marker was written: empty.
                elif _UNFINISHED_MARKER.fullmatch(path.name) and path.read_bytes()[: len(_HEADER)] in (
                    b"",
                    _HEADER.encode(),
                ):
                    clear(path)

    def _recorded(self) -> dict[str, set[str]]:
        """The names that the marker lists, with the hashes of their contents; two while a run replaces a file."""
        recorded: dict[str, set[str]] = {}
        for match in map(_LINE.fullmatch, self._marker_lines() or ()):
            if match and _is_inside(match[2]):
                recorded.setdefault(match[2], set()).add(match[1])
        return recorded

    def _marker_lines(self) -> list[str] | None:
        """The lines of the marker below its header; None without a marker of closemesh."""
        marker = self.path / MARKER
        if marker.is_symlink() or not marker.is_file():
            return None
        with suppress(OSError):
            header, *lines = marker.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
            return lines if header == _HEADER else None
        return None

    def _update(self, new: Mapping[str, set[str]], gone: Iterable[str] = ()) -> None:
        """Add or change entries of the marker, and leave out those that are `gone`. Raises OutputError."""
        # Read again: another command may have added a view of the result meanwhile.
        recorded = {name: hashes for name, hashes in {**self._recorded(), **new}.items() if name not in set(gone)}
        lines = [f"{one}  {name}" for name, hashes in sorted(recorded.items()) for one in sorted(hashes)]
        with atomic_file(self.path / MARKER) as part:
            part.write_text("\n".join([_HEADER, *lines]) + "\n", encoding="utf-8", errors="surrogateescape")

    def _require_marker_place(self) -> None:
        """Raises OutputError when a foreign file has the name of the marker."""
        marker = self.path / MARKER
        if os.path.lexists(marker) and not self.is_marked:
            raise OutputError(f"{marker} was not written by closemesh, which needs a file of this name; {_MOVE}")

    def _files_below(self, name: str) -> Iterator[str]:
        """The name itself, or all files below it if it is a folder; links count as files."""
        path = self.path / name
        if path.is_dir() and not path.is_symlink():
            yield from (_relative(file, self.path) for file in _regular_files(path))
        elif os.path.lexists(path):
            yield name

    def _require_recorded(self, name: str, recorded: Mapping[str, object]) -> None:
        """Raises OutputError when something at or below `name` is not listed in the marker."""
        for one in self._files_below(name):
            if one not in recorded or (self.path / one).is_symlink():
                raise self._foreign_error(one, {})

    def _has_content(self, name: str, hashes: Iterable[str]) -> bool:
        path = self.path / name
        try:
            return bool(hashes) and not path.is_symlink() and path.is_file() and sha256_of(path) in hashes
        except OSError:
            return False

    def _require_no_link(self, name: str) -> None:
        """Raises OutputError when a folder between this one and the file is a link, or is no folder."""
        for parent in list((self.path / name).parents)[: name.count("/")]:
            if parent.is_symlink() or (os.path.lexists(parent) and not parent.is_dir()):
                raise self._foreign_error(_relative(parent, self.path), {})

    def _foreign_error(self, name: str, recorded: Mapping[str, object]) -> OutputError:
        path = self.path / name
        if path.is_symlink():
            return OutputError(f"{path} is a symbolic link, and closemesh does not write through links; {_MOVE}")
        reason = "was changed after closemesh wrote it" if name in recorded else "was not written by closemesh"
        if name == "scene.json" and not self.is_marked:
            reason = "was not written by closemesh, or by its version 0.1.0, which kept no list of its files"
        return OutputError(f"{path} {reason}, so it is not replaced; {_MOVE}")

    def _remove_others(self, names: Iterable[str], recorded: Mapping[str, set[str]]) -> None:
        """Remove own files, and folders that are empty then."""
        for name in names:
            if self._has_content(name, recorded[name]):
                (self.path / name).unlink()
                for parent in list((self.path / name).parents)[: name.count("/")]:
                    with suppress(OSError):
                        parent.rmdir()


def claim_folder(folder: Path, option: str = "-o") -> None:
    """Mark a folder for files that a command writes and replaces; it must be new, empty or marked.

    Raises OutputError, with `option` that chooses another folder.
    """
    output = OutputFolder(folder)
    try:
        if output.is_marked and not output.has_own_files:
            return
        if folder.is_symlink() or (folder.is_dir() and any(folder.iterdir())):
            raise OutputError(
                f"{folder} has other files, which this command did not write; choose a new folder with {option}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).write_text(_HEADER + "\n", encoding="utf-8")
    except OSError as error:
        raise write_error(folder, error, option) from error


def require_new_file(
    path: Path,
    overwrite: bool = False,
    inputs: Iterable[Path] = (),
    advice: str = "give another file, or --overwrite to replace it",
) -> None:
    """Check, before any work, that the file `path` can be written without loss.

    A file that closemesh wrote in a folder with its marker may be replaced, another one only with `overwrite`.
    inputs: files and folders that are read. Raises OutputError.
    """
    if path.is_symlink():
        raise OutputError(f"{path} is a symbolic link, and closemesh does not write through links; give another file")
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give the name of a file")
    folder = next(one for one in path.absolute().parents if os.path.lexists(one))
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OutputError(f"{path} cannot be written in {folder}; give another file")
    if _is_part_of_result(path):
        raise OutputError(f"{path} is a part of a result, which is not replaced alone; give another file")
    for one in inputs:
        if path.exists() and one.exists() and (path.samefile(one) or one.resolve() in path.resolve().parents):
            raise OutputError(f"{path} is an input of this command, so it is not replaced; give another file")
    if path.exists() and not overwrite and not OutputFolder(path.parent).is_own(path.name):
        raise OutputError(f"{path} exists; {advice}")


def require_separate(out: Path, inputs: Iterable[Path], kinds: Iterable[str]) -> None:
    """Check that the results do not go into a folder that is read, nor over a file that is read.

    kinds: names of files and folders in `out` that are written. Raises OutputError.
    """
    target = out.resolve()
    written = [target / name for name in kinds]
    for one in inputs:
        source = one.resolve()
        if source.is_dir() and (target == source or source in target.parents):
            raise OutputError(f"{out} is inside {one}, which is read; choose another folder with -o")
        if any(source == name or name in source.parents for name in written):
            raise OutputError(f"{one} is read, and results in {out} would replace it; choose another folder with -o")


def _is_part_of_result(path: Path) -> bool:
    """Whether a path is in the folder of a result and of a name that is replaced only together with the others."""
    target, parts = path.absolute(), {name.split("/")[0] for name in (*RESULT_FILES, MARKER)}
    return any(
        (folder / "scene.json").exists() and name in parts and not name.startswith("overlay.")
        for folder in target.parents
        if (name := target.relative_to(folder).parts[0])
    )


def _regular_files(folder: Path) -> Iterator[Path]:
    """All files and links below a folder; folders that are links are not entered."""
    for root, folders, files in os.walk(folder):
        yield from (Path(root, name) for name in files)
        yield from (Path(root, name) for name in folders if os.path.islink(os.path.join(root, name)))


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _is_inside(name: str) -> bool:
    """Whether a name of a marker, which may come from another machine, stays in the folder."""
    return not PurePosixPath(name).is_absolute() and not {"..", "."} & set(re.split(r"[/\\]", name)) and ":" not in name


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
