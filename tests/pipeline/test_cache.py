"""Caches of stages: which results are reused, which are made again, and what a failed or second run leaves."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from closemesh.core.errors import InputError, OutputError
from closemesh.core.output_folder import MARKER
from closemesh.core.progress import NullProgress, Progress
from closemesh.pipeline.cache import MemoryCache, StageCache, fingerprint, open_disk_cache
from closemesh.structures import Camera


class CountingStage:
    """A stage that counts its runs, adds a note and writes a further file."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, folder: Path, progress: Progress) -> tuple[Camera]:
        self.runs += 1
        progress.note("focal length guessed")
        (folder / "masks").mkdir(parents=True, exist_ok=True)
        (folder / "masks" / "000000.png").write_bytes(b"png")
        return (Camera(1000.0, (1.0, 2.0), (640, 480), "option", np.eye(4)[None]),)


def run(out: Path, stage: CountingStage, inputs: dict, *, resume: bool = True):
    progress = NullProgress()
    with open_disk_cache(out, resume=resume, progress=progress) as cache:
        (camera,) = cache.get_or_run("look", inputs, (Camera,), stage)
    return camera, cache.reports[0], progress.notes


def test_equal_inputs_are_read_from_disk(tmp_path: Path) -> None:
    stage = CountingStage()
    first, report, notes = run(tmp_path, stage, {"clip": "a"})
    second, cached_report, cached_notes = run(tmp_path, stage, {"clip": "a"})
    assert stage.runs == 1
    assert second.focal == first.focal
    assert np.array_equal(second.T_cam_world, first.T_cam_world)
    assert (report.from_cache, cached_report.from_cache) == (False, True)
    assert cached_report.seconds == report.seconds
    assert notes == cached_notes == ["focal length guessed"], "notes of a cached stage are repeated"
    assert (tmp_path / "stages" / "look" / "masks" / "000000.png").read_bytes() == b"png"


def test_other_inputs_or_fresh_run_again(tmp_path: Path) -> None:
    stage = CountingStage()
    run(tmp_path, stage, {"clip": "a"})
    run(tmp_path, stage, {"clip": "b"})
    run(tmp_path, stage, {"clip": "b"}, resume=False)
    assert stage.runs == 3


@pytest.mark.parametrize("damage", ["stage.json", "0.Camera.npz"])
def test_a_damaged_result_is_made_again(tmp_path: Path, damage: str) -> None:
    stage = CountingStage()
    run(tmp_path, stage, {"clip": "a"})
    (tmp_path / "stages" / "look" / damage).write_bytes(b"\x00 damaged")
    camera, _, _ = run(tmp_path, stage, {"clip": "a"})
    assert stage.runs == 2
    assert camera.focal == 1000


@pytest.mark.parametrize("error", [InputError("no people found"), KeyboardInterrupt()])
def test_a_failed_first_stage_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def fail(folder: Path, progress: Progress) -> tuple[Camera]:
        (folder / "half").write_text("half")
        raise error

    out = tmp_path / "made" / "out"
    with pytest.raises(type(error)), open_disk_cache(out, resume=True, progress=NullProgress()) as cache:
        cache.get_or_run("look", {}, (Camera,), fail)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_second_stage_leaves_the_first(tmp_path: Path) -> None:
    def stop(folder: Path, progress: Progress) -> tuple[Camera]:
        raise KeyboardInterrupt

    stage = CountingStage()
    with pytest.raises(KeyboardInterrupt), open_disk_cache(tmp_path, resume=True, progress=NullProgress()) as cache:
        cache.get_or_run("look", {}, (Camera,), stage)
        cache.get_or_run("fit", {"look": cache.reports[0].key}, (Camera,), stop)
    assert {path.name for path in (tmp_path / "stages").iterdir()} == {".lock", "look"}
    run(tmp_path, stage, {})
    assert stage.runs == 1


def test_an_old_result_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    def full(folder: Path, progress: Progress) -> tuple[Camera]:
        raise OSError(errno.ENOSPC, "No space left on device")

    run(tmp_path, CountingStage(), {"clip": "a"})
    with (
        pytest.raises(OutputError, match="No space left"),
        open_disk_cache(tmp_path, resume=True, progress=NullProgress()) as cache,
    ):
        cache.get_or_run("look", {"clip": "b"}, (Camera,), full)
    assert run(tmp_path, CountingStage(), {"clip": "a"})[1].from_cache


def test_one_process_at_a_time(tmp_path: Path) -> None:
    second = (
        "from pathlib import Path\n"
        "from closemesh.pipeline.cache import open_disk_cache\n"
        "from closemesh.core.progress import NullProgress\n"
        f"with open_disk_cache(Path({str(tmp_path)!r}), resume=True, progress=NullProgress()): pass\n"
    )
    with open_disk_cache(tmp_path, resume=True, progress=NullProgress()):
        ended = subprocess.run([sys.executable, "-c", second], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "another closemesh run is using" in ended.stderr


def test_a_damaged_further_file_is_made_again(tmp_path: Path) -> None:
    stage = CountingStage()
    run(tmp_path, stage, {"clip": "a"})
    (tmp_path / "stages" / "look" / "masks" / "000000.png").write_bytes(b"damaged")
    run(tmp_path, stage, {"clip": "a"})
    assert stage.runs == 2
    assert (tmp_path / "stages" / "look" / "masks" / "000000.png").read_bytes() == b"png"


@pytest.mark.parametrize("name", ["stages/look/mine.txt", "stages/look/0.Camera.npz", "stages/mine/a.txt"])
def test_foreign_files_among_stages_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="was not written by closemesh"):
        run(tmp_path, CountingStage(), {})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]


def test_a_stage_of_changed_inputs_is_not_stored(tmp_path: Path) -> None:
    def changed() -> None:
        raise InputError("a.mp4 was changed")

    with (
        pytest.raises(InputError, match="changed"),
        open_disk_cache(tmp_path / "out", resume=True, progress=NullProgress(), check_inputs=changed) as cache,
    ):
        cache.get_or_run("look", {}, (Camera,), CountingStage())
    assert not (tmp_path / "out").exists()


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    run(tmp_path, CountingStage(), {})
    left = tmp_path / ".closemesh-0123456789ab"
    shutil.copytree(tmp_path / "stages" / "look", left / "look")
    shutil.copy(tmp_path / MARKER, left / MARKER)
    mine = tmp_path / ".closemesh-ba9876543210"
    mine.mkdir()
    (mine / "a.txt").write_text("no marker: not of closemesh")
    run(tmp_path, CountingStage(), {})
    assert not left.exists() and (mine / "a.txt").exists()


@pytest.mark.parametrize("inside", ["", "below/deeper"])
def test_a_file_in_the_way_is_named(tmp_path: Path, inside: str) -> None:
    (tmp_path / "out").write_text("mine")
    with (
        pytest.raises(OutputError, match="a file is in the way"),
        open_disk_cache(tmp_path / "out" / inside, resume=True, progress=NullProgress()),
    ):
        pass
    assert (tmp_path / "out").read_text() == "mine"


def test_the_cost_of_a_stage_is_written_by_its_names(tmp_path: Path) -> None:
    _, report, _ = run(tmp_path, CountingStage(), {})
    values = json.loads((tmp_path / "stages" / "look" / "stage.json").read_text())
    assert list(values) == [
        *("name", "key", "seconds", "peak_megabytes", "peak_gpu_megabytes", "notes", "reused", "run", "records"),
    ]
    assert values["seconds"] == report.seconds > 0
    assert values["peak_megabytes"] is None or values["peak_megabytes"] > 10
    assert values["records"] == ["0.Camera.npz"]


def test_a_cache_in_memory_runs_equal_inputs_once(tmp_path: Path) -> None:
    cache, stage = MemoryCache(tmp_path, NullProgress()), CountingStage()
    first = cache.get_or_run("look", {"clip": "a"}, (Camera,), stage)
    other = cache.get_or_run("look", {"clip": "b"}, (Camera,), stage)
    again = cache.get_or_run("look", {"clip": "a"}, (Camera,), stage)
    assert stage.runs == 2
    assert again[0] is first[0] is not other[0]
    assert [report.from_cache for report in cache.reports] == [False, False, True]
    assert cache.reports[2].key == cache.reports[0].key == fingerprint({"clip": "a"})
    assert (tmp_path / "look" / "masks" / "000000.png").is_file()


def test_an_error_is_not_cached_in_memory(tmp_path: Path) -> None:
    def fail(folder: Path, progress: Progress) -> tuple[Camera]:
        raise InputError("no people found")

    cache: StageCache = MemoryCache(tmp_path, NullProgress())
    with pytest.raises(InputError):
        cache.get_or_run("look", {}, (Camera,), fail)
    assert cache.get_or_run("look", {}, (Camera,), CountingStage())[0].focal == 1000


def test_a_fingerprint_depends_on_values_only() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": (2,), "a": 1}) != fingerprint({"a": 1, "b": [3]})
