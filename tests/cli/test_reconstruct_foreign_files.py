"""`reconstruct` replaces nothing that it did not write, and mixes neither runs nor clips."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from closemesh.cli.main import app

Images = list[np.ndarray]
MakeClip = Callable[..., Path]
Command = Callable[..., Result]


def assert_refused(result: Result, *words: str) -> None:
    assert result.exit_code == 1, result.output
    assert "done in" not in result.stderr, "it refuses before any work"
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ") and all(word in last for word in words), last


def test_its_only_input_stays(command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path) -> None:
    clip = make_clip(frames, "overlay.mp4")
    before = clip.read_bytes()
    assert_refused(command(clip, out=tmp_path), "overlay.mp4", "-o")
    assert clip.read_bytes() == before


@pytest.mark.parametrize("name", ["masks/000000.png", "people/me.jpg", "meshes/house.obj", "scene.json", "stages/a/b"])
def test_files_of_the_user_stay(
    command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path, name: str
) -> None:
    mine = tmp_path / "out" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert_refused(command(make_clip(frames)), Path(name).parts[0], "not written by closemesh")
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [mine]


def test_no_result_inside_its_input(command: Command, frames: Images, tmp_path: Path) -> None:
    import cv2

    (tmp_path / "images").mkdir()
    for index, frame in enumerate(frames[:2]):
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), frame)
    for options in ([], ["--photos"]):
        for out in (tmp_path / "images", tmp_path / "images" / "out"):
            assert_refused(command(tmp_path / "images", *options, out=out), "which is read")
    assert len(list((tmp_path / "images").iterdir())) == 2


def test_a_second_run_with_other_options(
    command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped, it leaves the old files, and readers refuse the mixture of stages; repeated, it replaces them."""
    clip, out = make_clip(frames[:3]), tmp_path / "out"
    assert command(clip).exit_code == 0
    (out / "people" / "notes.txt").write_text("mine")
    first = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and "stages" not in path.parts}

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("closemesh.pipeline.reconstruct.write_results", stop)
        assert command(clip, "--seed", "5").exit_code == 130
    now = {path: path.read_bytes() for path in first}
    assert {path for path in first if now[path] != first[path]} <= {out / ".closemesh"}
    mixed = CliRunner().invoke(app, ["render", str(out), "--view", "side"])
    assert mixed.exit_code == 1 and "mixes two runs" in mixed.stderr
    mixed = CliRunner().invoke(app, ["evaluate", str(out), str(out), "--no-meshes"])
    assert mixed.exit_code == 1 and "mixes two runs" in mixed.stderr
    assert command(clip, "--seed", "5").exit_code == 0
    assert CliRunner().invoke(app, ["render", str(out), "--view", "side"]).exit_code == 0
    assert CliRunner().invoke(app, ["evaluate", str(out), str(out), "--no-meshes"]).exit_code == 0
    scene = json.loads((out / "scene.json").read_text())
    for stage in scene["stages"]:
        stored = json.loads((out / "stages" / stage["name"] / "stage.json").read_text())
        assert stored["run"] == stage["run"]
    shutil.rmtree(out / "stages")
    assert CliRunner().invoke(app, ["evaluate", str(out), str(out), "--no-meshes"]).exit_code == 0
    assert scene["seed"] == 5 and (out / "people" / "notes.txt").read_text() == "mine"


def test_masks_are_stored_once(command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path) -> None:
    assert command(make_clip(frames[:2])).exit_code == 0
    for mask in (tmp_path / "out" / "masks").iterdir():
        assert mask.samefile(tmp_path / "out" / "stages" / "observe" / "masks" / mask.name)


def test_a_clip_that_changes_meanwhile_gives_no_result(
    command: Command, make_clip: MakeClip, frames: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from closemesh.pipeline import stages

    clip, other = make_clip(frames[:3]), make_clip(frames[3:], "other.mp4")
    observe = stages.observe

    def replaced(*arguments: object, **more: object) -> object:
        observed = observe(*arguments, **more)  # type: ignore[arg-type]
        shutil.copy(other, clip)
        return observed

    monkeypatch.setattr(stages, "observe", replaced)
    result = command(clip)
    assert result.exit_code == 1 and "clip.mp4 was changed" in result.stderr
    assert not (tmp_path / "out").exists(), "no stage of a mixed clip is kept"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither signal")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_other_signals_end_like_ctrl_c(make_clip: MakeClip, frames: Images, tmp_path: Path, name: str) -> None:
    arguments = ["reconstruct", str(make_clip(frames)), "-o", str(tmp_path / "out"), "--preset", "best"]
    number = getattr(signal, name)
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("the tests run under nohup")
    process = subprocess.Popen([sys.executable, "-m", "closemesh", *arguments], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "done" in line:
            break
    process.send_signal(number)
    output = process.stderr.read()
    assert process.wait() == 128 + number
    assert "stopped; repeat the command to resume" in output
    assert not [path for path in tmp_path.rglob(".*") if path.name.startswith(".closemesh-") or "part" in path.name]
