"""Output folders: own files are replaced together, foreign files are never touched."""

from __future__ import annotations

import os
import random
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from closemesh.core import output_folder
from closemesh.core.errors import OutputError
from closemesh.core.output_folder import (
    MARKER,
    OutputFolder,
    claim_folder,
    require_new_file,
    require_separate,
)
from closemesh.core.records import read_json, write_json

KINDS = {"scene.json": "", "people": r"person_\d+\.npz", "masks": r"\d+\.png", "stages/clip.npz": ""}
TOP = ["scene.json", "people", "masks"]


def publish(out: Path, *names: str, content: str = "own") -> None:
    """What a command does: check, write to a staging folder, move into place."""
    output = OutputFolder(out)
    output.require_free(KINDS)
    output.require_own_folders("stages")
    with output.staging() as staged:
        for name in names:
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            (staged / name).write_bytes(f"{content} {name}".encode(errors="surrogateescape"))
        output.publish(staged, TOP, last="scene.json")


def contents(folder: Path) -> dict[str, str]:
    """Content of each file, target of each link; folders that are links are not entered."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in [*files, *folders]:
            path = Path(root, name)
            if path.is_symlink():
                found[path.relative_to(folder).as_posix()] = f"-> {os.readlink(path)}"
            elif path.is_file():
                found[path.relative_to(folder).as_posix()] = path.read_text()
    return {name: text for name, text in found.items() if name != MARKER}


def test_a_later_result_replaces_the_earlier_one(tmp_path: Path) -> None:
    publish(tmp_path / "out", "scene.json", "people/person_00.npz", "people/person_01.npz")
    publish(tmp_path / "out", "scene.json", "people/person_00.npz", content="new")
    names = ("scene.json", "people/person_00.npz")
    assert contents(tmp_path / "out") == {name: f"new {name}" for name in names}
    listed = (tmp_path / "out" / MARKER).read_text().splitlines()[1:]
    assert [line[66:] for line in listed] == sorted(names)


def test_foreign_files_stay_and_block_only_their_own_names(tmp_path: Path) -> None:
    publish(tmp_path, "scene.json", "people/person_00.npz", "people/person_01.npz")
    (tmp_path / "people" / "notes.txt").write_text("mine")
    (tmp_path / "holidays.mp4").write_text("mine")
    publish(tmp_path, "scene.json", "people/person_01.npz", "masks/000000.png")
    assert contents(tmp_path)["people/notes.txt"] == contents(tmp_path)["holidays.mp4"] == "mine"
    assert not (tmp_path / "people" / "person_00.npz").exists()
    (tmp_path / "masks" / "000001.png").write_text("mine")
    with pytest.raises(OutputError, match=r"000001\.png was not written by closemesh"):
        publish(tmp_path, "scene.json")


@pytest.mark.parametrize(
    "name", ["scene.json", "people/a.jpg", "masks/000000.png", "people", "stages/look/a.npz", MARKER]
)
def test_a_folder_of_the_user_is_refused_before_any_work(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match=r"not written by closemesh.* -o") as caught:
        publish(tmp_path, "scene.json", "people/person_00.npz")
    assert name in str(caught.value) and "\n" not in str(caught.value)
    assert (tmp_path / name).read_text() == "mine"
    assert not list(tmp_path.glob(".closemesh-*"))


def test_two_commands_that_write_at_once_keep_both_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, "scene.json")

    def interrupted(source: Path, target: Path) -> None:
        monkeypatch.setattr(output_folder, "_move", move)
        publish(tmp_path, "side.mp4")
        move(source, target)

    move = output_folder._move
    monkeypatch.setattr(output_folder, "_move", interrupted)
    publish(tmp_path, "top.mp4")
    assert OutputFolder(tmp_path).is_own("side.mp4") and OutputFolder(tmp_path).is_own("top.mp4")


def test_a_changed_file_is_foreign(tmp_path: Path) -> None:
    publish(tmp_path, "scene.json", "people/person_00.npz")
    (tmp_path / "people" / "person_00.npz").write_text("corrected by the user")
    with pytest.raises(OutputError, match="was changed after closemesh wrote it"):
        publish(tmp_path, "scene.json")


@pytest.mark.parametrize("name", ["people", "scene.json", "stages"])
@pytest.mark.parametrize("dangling", [False, True])
def test_links_are_not_written_through(tmp_path: Path, name: str, dangling: bool) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / name).symlink_to(tmp_path / ("missing" if dangling else "elsewhere"))
    with pytest.raises(OutputError, match="symbolic link"):
        publish(tmp_path / "out", "scene.json", "people/person_00.npz", "stages/clip.npz")
    assert not list((tmp_path / "elsewhere").iterdir()) and (tmp_path / "out" / name).is_symlink()


def test_a_forged_marker_reaches_no_file_outside(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    digest = output_folder.sha256_of(tmp_path / "mine.txt")
    out = tmp_path / "out"
    publish(out, "scene.json")
    for name in ("../mine.txt", str(tmp_path / "mine.txt"), "people/../../mine.txt", "people\\..\\mine.txt"):
        with (out / MARKER).open("a") as marker:
            marker.write(f"{digest}  {name}\n")
        assert not OutputFolder(out).is_own(name)
        publish(out, "scene.json")
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("moves", range(4))
def test_a_stop_while_files_are_moved_is_repaired(tmp_path: Path, moves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ("people/person_00.npz", "people/person_01.npz", "scene.json")
    publish(tmp_path, *files)
    left = moves

    def stopped(source: Path, target: Path) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        move(source, target)

    move = output_folder._move
    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(output_folder, "_move", stopped)
        publish(tmp_path, *files, content="new")
    assert (tmp_path / "scene.json").exists() == (moves == 3), "an incomplete result has no scene.json"
    publish(tmp_path, *files, content="new")
    assert contents(tmp_path) == {name: f"new {name}" for name in files}


def test_a_folder_that_was_missing_is_gone_when_nothing_was_written(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), OutputFolder(tmp_path / "a" / "b").staging():
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_single_files(tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    require_new_file(video)
    video.write_text("mine")
    with pytest.raises(OutputError, match=r"video\.mp4 exists; .*--overwrite"):
        require_new_file(video)
    require_new_file(video, overwrite=True)
    with pytest.raises(OutputError, match="is an input"):
        require_new_file(video, overwrite=True, inputs=[tmp_path / "." / "video.mp4"])
    (tmp_path / "link.mp4").symlink_to(video)
    with pytest.raises(OutputError, match="symbolic link"):
        require_new_file(tmp_path / "link.mp4", overwrite=True)
    with pytest.raises(OutputError, match="is a folder"):
        require_new_file(tmp_path, overwrite=True)
    publish(tmp_path / "out", "scene.json", "people/person_00.npz", "side.mp4")
    require_new_file(tmp_path / "out" / "side.mp4")
    for name in ("scene.json", "people/person_00.npz", "people/new.json", "stages/new.json", MARKER):
        with pytest.raises(OutputError, match="is a part of a result"):
            require_new_file(tmp_path / "out" / name, overwrite=True)
    with pytest.raises(OutputError, match="is an input"):
        require_new_file(tmp_path / "out" / "side.mp4", overwrite=True, inputs=[tmp_path / "out"])
    with pytest.raises(OutputError, match="cannot be written in"):
        require_new_file(video / "report.json")


def test_what_is_read_is_not_written(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for out in (images, images / "out", images / "a" / ".." / "out"):
        with pytest.raises(OutputError, match="which is read"):
            require_separate(out, [images], KINDS)
    for name in ("scene.json", "people/person_00.npz"):
        with pytest.raises(OutputError, match="would replace it"):
            require_separate(tmp_path, [tmp_path / name], KINDS)
    require_separate(tmp_path, [tmp_path / "dance.mp4", images], KINDS)


def test_a_staging_folder_in_use_stays(tmp_path: Path) -> None:
    with OutputFolder(tmp_path).staging() as staged:
        OutputFolder(tmp_path).remove_leftovers()
        assert staged.is_dir()
    assert not staged.exists()


def test_unfinished_markers_are_removed(tmp_path: Path) -> None:
    header = output_folder._HEADER
    for name, text in (("0a1b2c3d", ""), ("1a1b2c3d", header), ("2a1b2c3d", "mine")):
        (tmp_path / f"..closemesh.{name}.part").write_text(text)
    OutputFolder(tmp_path).remove_leftovers()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.mp4")
    publish(tmp_path, name, "scene.json")
    assert OutputFolder(tmp_path).is_own(name)
    write_json(tmp_path / "a.json", 1, {"path": name})
    assert read_json(tmp_path / "a.json", 1)["path"] == name


def test_work_folders_are_new_or_marked(tmp_path: Path) -> None:
    claim_folder(tmp_path / "work")
    (tmp_path / "work" / "state.pt").write_text("own")
    claim_folder(tmp_path / "work")
    (tmp_path / "mine").mkdir()
    claim_folder(tmp_path / "mine")
    publish(tmp_path / "result", "scene.json")
    with pytest.raises(OutputError, match="did not write"):
        claim_folder(tmp_path / "result")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "state.pt").write_text("mine")
    with pytest.raises(OutputError, match="choose a new folder with -o"):
        claim_folder(tmp_path / "other")


NAMES = [
    *("scene.json", "people", "masks", "stages", "people/person_00.npz", "people/me.jpg", "masks/000000.png", MARKER),
    *("stages/look", "stages/look/0.Camera.npz", "stages/clip.npz", ".scene.part.json", ".people.part/a", "clip.mp4"),
    *("people/sub/person_00.npz", "masks/sub", "stages/.lock", ".closemesh-0123456789ab/a.txt"),
]


def make_layout(choice: random.Random, out: Path, elsewhere: Path) -> None:
    """Files, folders and links of a user, perhaps beside an earlier result of which some files were changed."""
    if choice.random() < 0.5:
        publish(out, "scene.json", "people/person_00.npz", "people/person_01.npz", "masks/000000.png")
    for name in choice.sample(NAMES, choice.randint(0, 5)):
        path = out / name
        with suppress(OSError):  # A file where a folder should be.
            if path.exists() and path.is_file() and choice.random() < 0.5:
                path.unlink()
            path.parent.mkdir(parents=True, exist_ok=True)
            kind = choice.choice(["file", "file", "folder", "link", "link to a folder", "dangling link"])
            if kind == "file":
                path.write_text(f"mine {choice.random()}")
            elif kind == "folder":
                path.mkdir()
            else:
                target = {"link": "a.txt", "link to a folder": "", "dangling link": "missing"}[kind]
                path.symlink_to(elsewhere / target)


@pytest.mark.parametrize("seed", range(200))
def test_no_foreign_file_is_touched_in_random_layouts(tmp_path: Path, seed: int) -> None:
    choice = random.Random(seed)
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("a.txt", "person_00.npz", "scene.json"):
        (elsewhere / name).write_text("mine")
    make_layout(choice, out, elsewhere)
    own = {name for name in contents(out) if OutputFolder(out).is_own(name)}
    foreign = {name: text for name, text in contents(out).items() if name not in own}
    before = contents(elsewhere)
    for attempt in range(2):
        with suppress(OutputError):
            OutputFolder(out).remove_leftovers()
            names = choice.sample(["people/person_00.npz", "people/person_01.npz", "masks/000000.png"], 2)
            publish(out, "scene.json", *names, content=f"run {attempt}")
        left = contents(out)
        assert {name: left.get(name) for name in foreign} == foreign
    assert contents(elsewhere) == before
