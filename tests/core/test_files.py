"""A target is whole or as it was before."""

from __future__ import annotations

from pathlib import Path

import pytest

from closemesh.core.errors import OutputError
from closemesh.core.files import atomic_file, remove


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_appears_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"
    with atomic_file(target) as part:
        part.write_text("all")
        assert not target.exists()
        assert part.suffix == ".txt"
    assert target.read_text() == "all"
    assert names(tmp_path / "new") == {"a.txt"}


def test_a_stopped_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_file(target) as part:
        part.write_text("ne")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert names(tmp_path) == {"a.txt"}


def test_a_symbolic_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "a.txt").symlink_to("mine.txt")
    with pytest.raises(OutputError, match=r"a\.txt: it is a symbolic link"), atomic_file(tmp_path / "a.txt") as part:
        part.write_text("all")
    assert (tmp_path / "a.txt").is_symlink() and (tmp_path / "mine.txt").read_text() == "mine"


def test_files_with_names_of_temporary_files_stay(tmp_path: Path) -> None:
    for name in (".a.part.txt", ".a.txt.part", ".people.part", ".people.old"):
        (tmp_path / name).write_text("mine")
    with atomic_file(tmp_path / "a.txt") as part:
        part.write_text("all")
    assert {path.read_text() for path in tmp_path.glob(".*")} == {"mine"}


def test_a_file_in_the_way_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="cannot write") as caught, atomic_file(tmp_path / "out" / "x"):
        pytest.fail("nothing can be written here")
    assert "\n" not in str(caught.value)


def test_remove(tmp_path: Path) -> None:
    remove(tmp_path / "absent")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError):
        remove(tmp_path / "folder")
