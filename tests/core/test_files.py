"""A target is whole or as it was before."""

from __future__ import annotations

from pathlib import Path

import pytest

from closemesh.core.errors import OutputError
from closemesh.core.files import atomic_file, atomic_folder, remove


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


def test_a_folder_replaces_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "people"
    target.mkdir()
    (target / "person_02.npz").write_text("of an earlier run")
    with atomic_folder(target) as part:
        (part / "person_00.npz").write_text("new")
    assert names(target) == {"person_00.npz"}
    assert names(tmp_path) == {"people"}


def test_a_stopped_folder_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "people"
    target.mkdir()
    (target / "a").write_text("old")
    with pytest.raises(RuntimeError), atomic_folder(target) as part:
        (part / "b").write_text("new")
        raise RuntimeError
    assert names(target) == {"a"}
    assert names(tmp_path) == {"people"}


def test_leftovers_of_a_killed_run_do_no_harm(tmp_path: Path) -> None:
    for leftover in (".people.part", ".people.old"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "half").write_text("")
    with atomic_folder(tmp_path / "people") as part:
        (part / "a").write_text("")
    assert names(tmp_path) == {"people"}
    assert names(tmp_path / "people") == {"a"}


@pytest.mark.parametrize("replace", [atomic_file, atomic_folder])
def test_a_file_in_the_way_is_one_line(replace, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="cannot write") as caught, replace(tmp_path / "out" / "x"):
        pytest.fail("nothing can be written here")
    assert "\n" not in str(caught.value)


def test_remove(tmp_path: Path) -> None:
    remove(tmp_path / "absent")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError):
        remove(tmp_path / "folder")
