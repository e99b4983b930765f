"""`render` and other commands that write: foreign files, inputs and links stay as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from embrace import embrace
from finished_result import write_finished_result
from typer.testing import CliRunner, Result

from closemesh.body.loading import load_bundled_body
from closemesh.cli.main import app


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished result of two frames."""
    body = load_bundled_body()
    write_finished_result(tmp_path / "out", embrace(body, frames=2), body)
    return tmp_path / "out"


def render(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["render", *map(str, arguments), "--view", "side"])


def assert_refused(result: Result, *words: str) -> None:
    assert result.exit_code == 1, result.output
    assert result.stderr.count("\n") == 1 and all(word in result.stderr for word in words), result.stderr


def test_a_video_is_replaced_only_with_overwrite(out: Path, tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    video.write_bytes(b"mine")
    assert_refused(render(out, "-o", video), "video.mp4 exists", "--overwrite")
    assert video.read_bytes() == b"mine"
    assert render(out, "-o", video, "--overwrite").exit_code == 0
    assert video.stat().st_size > 1000


def test_its_own_views_are_replaced(out: Path) -> None:
    for _ in range(2):
        assert render(out).exit_code == 0
    (out / "side.mp4").write_bytes(b"mine")
    assert_refused(render(out), "side.mp4 exists")
    assert render(out, "--overwrite").exit_code == 0


@pytest.mark.parametrize("name", ["scene.json", "contacts.json"])
def test_a_file_of_the_result_is_no_target(out: Path, name: str) -> None:
    before = (out / name).read_bytes()
    assert_refused(render(out, "-o", out / name, "--overwrite"), "is a part of a result")
    for command in (["describe", out, "-o", out / name], ["evaluate", out, out, "--json", out / name, "--overwrite"]):
        assert_refused(CliRunner().invoke(app, list(map(str, command))), "is a part of a result")
    assert (out / name).read_bytes() == before


def test_images_are_not_mixed_with_others(out: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != ".lock"}
    assert_refused(render(out, "--format", "png", "-o", out), "other files")
    album = tmp_path / "album"
    album.mkdir()
    (album / "aunt.jpg").write_bytes(b"mine")
    assert_refused(render(out, "--format", "png", "-o", album), "album has other files")
    assert [path.name for path in album.iterdir()] == ["aunt.jpg"]
    assert {path: path.read_bytes() for path in out.rglob("*") if path in before} == before


def test_own_images_are_replaced_and_others_stay(out: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    assert render(out, "--format", "png", "-o", images).exit_code == 0
    (images / "notes.txt").write_text("mine")
    assert render(out, "--format", "png", "-o", images).exit_code == 0
    assert sorted(path.name for path in images.iterdir()) == [".closemesh", "000000.png", "000001.png", "notes.txt"]
    (images / "000001.png").write_bytes(b"mine")
    assert_refused(render(out, "--format", "png", "-o", images), "000001.png was changed")


def test_links_are_not_written_through(out: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.mp4").write_bytes(b"mine")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "mine.mp4")
    (tmp_path / "album").mkdir()
    (tmp_path / "folder").symlink_to(tmp_path / "album")
    assert_refused(render(out, "-o", tmp_path / "link.mp4", "--overwrite"), "symbolic link")
    assert_refused(render(out, "--format", "png", "-o", tmp_path / "folder"), "folder")
    assert (tmp_path / "mine.mp4").read_bytes() == b"mine" and not list((tmp_path / "album").iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "a.npz", "b.npz", "--json", "mine.json"],
        ["benchmark", "cameras", "--json", "mine.json"],
        ["benchmark", "synthetic", "--json", "mine.json"],
        ["benchmark", "real", "clips", "--json", "mine.json"],
        ["benchmark", "speed", "--json", "mine.json"],
        ["train", "pose-prior", "--data", "data", "-o", "mine.json"],
        ["describe", "out", "-o", "mine.json"],
    ],
)
def test_reports_do_not_replace_files(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.json").write_text("mine")
    Path("data").mkdir()
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 1 and "mine.json exists" in ended.stderr, ended.output
    assert Path("mine.json").read_text() == "mine"


def test_a_report_does_not_replace_what_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clips").mkdir()
    Path("clips/hug.facts.json").write_text("mine")
    arguments = ["benchmark", "real", "clips", "--json", "clips/hug.facts.json", "--overwrite"]
    assert_refused(CliRunner().invoke(app, arguments), "is an input")
    ended = CliRunner().invoke(app, ["benchmark", "synthetic", "--quick", "--json", "report.windows"])
    assert_refused(ended, "name of the cache")


@pytest.mark.parametrize("command", [["train", "lifter", "--data", "data"], ["interactions", "--data", "data"]])
def test_work_folders_are_not_those_of_others(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("mine").mkdir()
    Path("mine/state.pt").write_text("mine")
    ended = CliRunner().invoke(app, [*command, "-o", "mine"])
    assert ended.exit_code == 1 and "did not write" in ended.stderr, ended.output
    assert [path.name for path in Path("mine").iterdir()] == ["state.pt"]
