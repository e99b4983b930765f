"""`closemesh benchmark real` on the first frames of the bundled clip, with committed facts and a mask."""

from __future__ import annotations

import json
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from closemesh.cli.main import app
from closemesh.config.schema import ClipConfig
from closemesh.lab.evaluation.real_benchmark import read_real_report
from closemesh.lab.evaluation.real_scores import ClipScores
from closemesh.video import open_clip, read_frames
from closemesh.video.video_files import write_video
from closemesh.weights.locate import find_model
from closemesh.weights.registry import DEMO_CLIP

FACTS = Path(__file__).parent / "facts"
FRAMES = 5
FEWER_STEPS = "[initialise]\niterations = 10\n[optimise]\niterations = 10\n[optimise.appearance]\nenabled = false\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every second frame from the start of the bundled clip, and the facts about them."""
    folder = tmp_path_factory.mktemp("real")
    whole = open_clip(find_model(DEMO_CLIP), ClipConfig())
    write_video(islice(read_frames(whole), FRAMES), folder / "two_people_01.mp4", whole.times[:FRAMES])
    facts = json.loads((FACTS / "two_people_01.facts.json").read_text())
    first = {key: [one for one in facts[key] if one["frame"] == 0] for key in ("identity", "joints")}
    ranges = {"apart": [[0, FRAMES - 1]], "depth_order": [{**facts["depth_order"][0], "frames": [0, FRAMES - 1]}]}
    (folder / "two_people_01.facts.json").write_text(json.dumps(facts | first | ranges))
    (folder / "two_people_01.masks").mkdir()
    shutil.copy(FACTS / "two_people_01.masks" / "000000.png", folder / "two_people_01.masks")
    (folder / "steps.toml").write_text(FEWER_STEPS)
    return folder


def benchmark(folder: Path, *options: str) -> Result:
    arguments = ["benchmark", "real", folder, "--preset", "fast", "--config", folder / "steps.toml", *options]
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def ended(folder: Path) -> Result:
    return benchmark(folder, "--work", str(folder / "work"), "--json", str(folder / "new.json"))


@pytest.fixture(scope="module")
def scores(ended: Result, folder: Path) -> ClipScores:
    assert ended.exit_code == 0, ended.output
    report = read_real_report(folder / "new.json")
    assert (report.focal, report.preset) == ("estimated", "fast")
    [clip] = report.clips
    return clip


def test_people_are_found_on_the_real_clip(scores: ClipScores) -> None:
    assert scores.frames == FRAMES
    assert None not in (scores.people["man"], scores.people["woman"])
    assert scores.people["man"] != scores.people["woman"]
    assert scores.values["observed"]["people-found"] == 100


def test_every_stage_is_scored(scores: ClipScores) -> None:
    expected = {
        "facts",
        "depth-order",
        "joint-distance",
        "joints-near",
        "body-IoU",
        "residual",
        "reprojection",
        "jitter",
    }
    for motion in ("initial", "refined", "optimised"):
        assert expected <= set(scores.values[motion])
        assert all(np.isfinite(value) for value in scores.values[motion].values())


def test_bodies_and_joints_lie_on_the_people(scores: ClipScores) -> None:
    assert scores.reference == "masks"
    assert scores.values["observed"]["keypoint-distance"] < 8
    assert scores.values["observed"]["mask-IoU"] > 60
    for motion in ("initial", "optimised"):
        assert scores.values[motion]["body-IoU"] > 50
        assert scores.values[motion]["joint-distance"] < 10


def test_the_tables_show_facts_and_scores(ended: Result) -> None:
    lines = ended.output.splitlines()
    assert any("no two people touch" in line for line in lines)
    assert any("woman is nearer than man" in line for line in lines)
    assert any("body-IoU" in line for line in lines)
    assert "the focal length was estimated" in ended.output


def test_a_second_run_and_finished_results_give_the_same_scores(
    scores: ClipScores, ended: Result, folder: Path
) -> None:
    again = benchmark(folder, "--work", str(folder / "work"), "--compare", str(folder / "new.json"))
    assert again.exit_code == 0, again.output
    assert "observe: from the cache" in again.stderr
    assert "better" not in again.output
    assert "worse" not in again.output
    done = benchmark(folder, "--results", str(folder / "work"), "--json", str(folder / "results.json"))
    assert done.exit_code == 0, done.output
    assert read_real_report(folder / "results.json").clips == (scores,)


def test_the_focal_length_is_given_on_demand(folder: Path) -> None:
    done = benchmark(folder, "--known-focal", "--json", str(folder / "known.json"))
    assert done.exit_code == 0, done.output
    report = read_real_report(folder / "known.json")
    assert report.focal == "known"
    assert report.clips[0].values["optimised"]["focal-error"] == pytest.approx(0, abs=1e-6)


def test_a_clip_without_people_is_a_result(folder: Path, tmp_path: Path) -> None:
    empty = [np.full((240, 320, 3), 128, np.uint8)] * FRAMES
    write_video(iter(empty), tmp_path / "empty.mp4", np.arange(FRAMES) / 30)
    people = {"one": {"frame": 0, "xy": [10, 10]}}
    (tmp_path / "empty.facts.json").write_text(json.dumps({"clip": "empty.mp4", "people": people}))
    shutil.copy(folder / "steps.toml", tmp_path)
    done = benchmark(tmp_path, "--json", str(tmp_path / "new.json"))
    assert done.exit_code == 0, done.output
    [clip] = read_real_report(tmp_path / "new.json").clips
    assert clip.values == {"observed": {"people-found": 0}}
    assert "no person found" in str(clip.failure)
    assert "without a result: 1" in done.output
