"""The real command on the real clip: what it leaves, and what comes after it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from closemesh.cli.main import app
from closemesh.core.files import sha256_of
from closemesh.weights.locate import find_model
from closemesh.weights.registry import DEMO_CLIP

FRAMES = 5
# The preset `fast` with fewer steps; people and frames are all that the test needs.
SHORT = ("--preset", "fast", "--fps", "10", "--end", "0.5", "--people", "2")
FEWER_STEPS = "[initialise]\niterations = 10\n[optimise]\niterations = 10\n"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copy(find_model(DEMO_CLIP), tmp_path_factory.mktemp("clip") / "dance.mp4"))


@pytest.fixture(scope="module")
def again(clip: Path) -> tuple[str, ...]:
    """The arguments of the run, for running it again."""
    config = clip.with_name("steps.toml")
    config.write_text(FEWER_STEPS)
    return ("reconstruct", str(clip), "-o", str(clip.parent / "results" / "dance"), "--config", str(config), *SHORT)


@pytest.fixture(scope="module")
def out(clip: Path, again: tuple[str, ...]) -> Path:
    """The folder that the command left, run in a process of its own."""
    ended = subprocess.run([sys.executable, "-m", "closemesh", *again], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "2 people" in ended.stdout
    assert "optimised" in ended.stdout
    return clip.parent / "results" / "dance"


def closemesh(*arguments: str | Path) -> Result:
    """The command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_every_file_of_the_contract_is_there(out: Path) -> None:
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file() and "stages" not in path.parts}
    masks = {f"masks/{frame:06d}.png" for frame in range(FRAMES)}
    people = {"people/person_00.npz", "people/person_01.npz"}
    others = {"scene.json", "observations.npz", "contacts.json", "meshes/scene.glb", "overlay.mp4", "report.html"}
    assert files == masks | people | others | {".closemesh"}


def test_people_hold_what_smplx_needs(out: Path) -> None:
    for person in (0, 1):
        with np.load(out / "people" / f"person_{person:02d}.npz") as file:
            assert file["poses"].shape == (FRAMES, 165)
            assert file["joints"].shape == (FRAMES, 55, 3)
            assert np.isfinite(file["joints"]).all()
            assert file["valid"].all()
            assert str(file["surface_model_type"]) == "closemesh_open"


def test_the_scene_records_where_it_came_from(out: Path, clip: Path) -> None:
    scene = json.loads((out / "scene.json").read_text())
    assert scene["input"]["sha256"] == sha256_of(clip)
    assert scene["config"]["preset"] == "fast"
    assert [stage["name"] for stage in scene["stages"]][:4] == ["observe", "initialise", "refine", "optimise"]
    assert all(stage["seconds"] > 0 for stage in scene["stages"])
    for file in scene["weight_files"]:
        assert file["sha256"] == sha256_of(find_model(file["name"]))
        assert file["licence"]
    assert any("focal length" in note for note in scene["notes"])


def test_the_result_lies_over_the_people(out: Path) -> None:
    quality = json.loads((out / "scene.json").read_text())["quality"]
    assert quality["optimised"]["reprojection_median_percent_of_height"] < 3  # Measured 1.0 %.


def test_the_overlay_has_every_frame(out: Path) -> None:
    with av.open(str(out / "overlay.mp4")) as video:
        assert video.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in video.decode(video=0)) == FRAMES


def test_a_second_run_keeps_the_stages_and_gives_the_same_bytes(out: Path, again: tuple[str, ...]) -> None:
    before = {path.name: sha256_of(path) for path in sorted((out / "people").iterdir())}
    ended = closemesh(*again)
    assert ended.exit_code == 0
    cached = [line for line in ended.stderr.splitlines() if "from the cache" in line]
    assert len(cached) == 7
    assert {path.name: sha256_of(path) for path in sorted((out / "people").iterdir())} == before


def test_a_changed_option_reruns_only_what_depends_on_it(out: Path, again: tuple[str, ...]) -> None:
    ended = closemesh(*again, "--no-physics", "--no-overlay", "--no-report")
    assert ended.exit_code == 0
    cached = {line.split(":")[0] for line in ended.stderr.splitlines() if "from the cache" in line}
    assert cached == {"observe", "initialise", "contact_initial"}


@pytest.mark.parametrize(("view", "stage"), [("side", "optimised"), ("top", "initial"), ("overlay", "refined")])
def test_render_shows_a_result_from_elsewhere(out: Path, tmp_path: Path, view: str, stage: str) -> None:
    target = tmp_path / "video.mp4"
    ended = closemesh("render", out, "--view", view, "--stage", stage, "-o", target)
    assert ended.exit_code == 0, ended.stderr
    with av.open(str(target)) as video:
        assert sum(1 for _ in video.decode(video=0)) == FRAMES


def test_render_writes_images(out: Path, tmp_path: Path) -> None:
    ended = closemesh("render", out, "--view", "top", "--format", "png", "-o", tmp_path / "top")
    assert ended.exit_code == 0, ended.stderr
    assert len(list((tmp_path / "top").glob("*.png"))) == FRAMES


def test_render_without_the_clip(out: Path, clip: Path, tmp_path: Path) -> None:
    moved = clip.rename(tmp_path / "moved.mp4")
    try:
        ended = closemesh("render", out, "-o", tmp_path / "video.mp4")
        assert ended.exit_code == 1
        assert "--clip FILE" in ended.stderr.splitlines()[-1]
        ended = closemesh("render", out, "-o", tmp_path / "video.mp4", "--clip", moved)
        assert ended.exit_code == 0, ended.stderr
    finally:
        moved.rename(clip)


def test_render_of_nothing(tmp_path: Path) -> None:
    ended = closemesh("render", tmp_path)
    assert ended.exit_code == 1
    assert "closemesh reconstruct" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
