"""The stage store: what is kept, what is made anew, and what a failed or second run leaves."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from closemesh.core.errors import InputError, OutputError
from closemesh.core.progress import NullProgress, Progress
from closemesh.pipeline.cache import open_store
from closemesh.structures import Camera


def camera_of(focal: float) -> Camera:
    return Camera(focal, (1.0, 2.0), (640, 480), "option", np.eye(4)[None])


class Maker:
    """A stage that counts how often it was run."""

    def __init__(self, focal: Callable[[], float] = lambda: 1000.0) -> None:
        self.calls = 0
        self._focal = focal

    def __call__(self, folder: Path, progress: Progress) -> tuple[Camera]:
        self.calls += 1
        progress.note("focal length guessed")
        (folder / "masks").mkdir()
        (folder / "masks" / "000000.png").write_bytes(b"png")
        return (camera_of(self._focal()),)


def run(out: Path, maker: Maker, made_from: dict, *, resume: bool = True, seed: int = 0):
    told = NullProgress()
    with open_store(out, seed=seed, resume=resume, progress=told) as store:
        (camera,) = store.get_or_run("look", made_from, (Camera,), maker)
    return camera, store.reports[0], told.notes


def test_the_same_question_is_answered_from_the_disk(tmp_path: Path) -> None:
    maker = Maker()
    first, report, notes = run(tmp_path, maker, {"clip": "a"})
    second, kept_report, kept_notes = run(tmp_path, maker, {"clip": "a"})
    assert maker.calls == 1
    assert second.focal == first.focal
    assert np.array_equal(second.T_cam_world, first.T_cam_world)
    assert (report.reused, kept_report.reused) == (False, True)
    assert kept_report.seconds == report.seconds
    assert notes == kept_notes == ["focal length guessed"], "a note is told again when its stage is kept"
    assert (tmp_path / "stages" / "look" / "masks" / "000000.png").read_bytes() == b"png"


def test_another_question_or_fresh_is_made_anew(tmp_path: Path) -> None:
    maker = Maker()
    run(tmp_path, maker, {"clip": "a"})
    run(tmp_path, maker, {"clip": "b"})
    run(tmp_path, maker, {"clip": "b"}, resume=False)
    assert maker.calls == 3


@pytest.mark.parametrize("damage", ["stage.json", "0.Camera.npz"])
def test_a_damaged_result_is_made_anew(tmp_path: Path, damage: str) -> None:
    maker = Maker()
    run(tmp_path, maker, {"clip": "a"})
    (tmp_path / "stages" / "look" / damage).write_bytes(b"\x00 not what it was")
    camera, _, _ = run(tmp_path, maker, {"clip": "a"})
    assert maker.calls == 2
    assert camera.focal == 1000


def test_a_stage_is_random_in_the_same_way_whenever_it_runs(tmp_path: Path) -> None:
    draw = Maker(lambda: float(torch.rand(())))
    first, _, _ = run(tmp_path / "a", draw, {})
    torch.rand(3)
    again, _, _ = run(tmp_path / "b", draw, {})
    other, _, _ = run(tmp_path / "c", draw, {}, seed=1)
    assert first.focal == again.focal != other.focal


@pytest.mark.parametrize("fault", [InputError("nobody there"), KeyboardInterrupt()])
def test_a_failed_first_stage_leaves_nothing(tmp_path: Path, fault: BaseException) -> None:
    def fail(folder: Path, progress: Progress) -> tuple[Camera]:
        (folder / "half").write_text("half")
        raise fault

    out = tmp_path / "made" / "out"
    with pytest.raises(type(fault)), open_store(out, seed=0, resume=True, progress=NullProgress()) as store:
        store.get_or_run("look", {}, (Camera,), fail)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_second_stage_leaves_the_first(tmp_path: Path) -> None:
    def stop(folder: Path, progress: Progress) -> tuple[Camera]:
        raise KeyboardInterrupt

    maker = Maker()
    with pytest.raises(KeyboardInterrupt), open_store(tmp_path, seed=0, resume=True, progress=NullProgress()) as store:
        store.get_or_run("look", {}, (Camera,), maker)
        store.get_or_run("fit", {"look": store.key("look")}, (Camera,), stop)
    assert {path.name for path in (tmp_path / "stages").iterdir()} == {".lock", "look"}
    run(tmp_path, maker, {})
    assert maker.calls == 1


def test_an_old_result_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    def full(folder: Path, progress: Progress) -> tuple[Camera]:
        raise OSError(errno.ENOSPC, "No space left on device")

    run(tmp_path, Maker(), {"clip": "a"})
    with (
        pytest.raises(OutputError, match="No space left"),
        open_store(tmp_path, seed=0, resume=True, progress=NullProgress()) as store,
    ):
        store.get_or_run("look", {"clip": "b"}, (Camera,), full)
    assert run(tmp_path, Maker(), {"clip": "a"})[1].reused


def test_one_process_at_a_time(tmp_path: Path) -> None:
    second = (
        "from pathlib import Path\n"
        "from closemesh.pipeline.cache import open_store\n"
        "from closemesh.core.progress import NullProgress\n"
        f"with open_store(Path({str(tmp_path)!r}), seed=0, resume=True, progress=NullProgress()): pass\n"
    )
    with open_store(tmp_path, seed=0, resume=True, progress=NullProgress()):
        ended = subprocess.run([sys.executable, "-c", second], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "another closemesh run is writing into" in ended.stderr


@pytest.mark.parametrize("inside", ["", "below/deeper"])
def test_a_file_in_the_way_is_named(tmp_path: Path, inside: str) -> None:
    (tmp_path / "out").write_text("mine")
    with (
        pytest.raises(OutputError, match="a file is in the way"),
        open_store(tmp_path / "out" / inside, seed=0, resume=True, progress=NullProgress()),
    ):
        pass
    assert (tmp_path / "out").read_text() == "mine"


def test_what_a_stage_cost_is_written_down(tmp_path: Path) -> None:
    _, report, _ = run(tmp_path, Maker(), {})
    told = json.loads((tmp_path / "stages" / "look" / "stage.json").read_text())
    assert told["seconds"] == report.seconds > 0
    assert told["peak_megabytes"] is None or told["peak_megabytes"] > 10
