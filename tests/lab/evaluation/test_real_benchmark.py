"""`closemesh benchmark real` on finished results: what is read, reported and compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from embrace import embrace
from finished_result import write_finished_result
from known_scenes import SIZE
from rich.console import Console
from rich.theme import Theme
from typer.testing import CliRunner, Result

from closemesh.body.loading import load_bundled_body
from closemesh.cli.benchmark_tables import real_change_tables
from closemesh.cli.main import app
from closemesh.core.errors import InputError
from closemesh.core.records import save_record
from closemesh.lab.evaluation.real_benchmark import Change, mean_changes, read_real_report, real_changes
from closemesh.lab.evaluation.real_result import load_result
from closemesh.pipeline.cache import load_saved_motion

FRAMES = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`clips` with two clips and their facts, `out` with a result of each."""
    folder = tmp_path_factory.mktemp("real")
    body = load_bundled_body("std")
    (folder / "clips").mkdir()
    write_finished_result(folder / "out" / "hug", embrace(body, FRAMES), body)
    shutil.copytree(folder / "out" / "hug", folder / "out" / "again")
    shutil.rmtree(folder / "out" / "again" / "stages")  # As a result that was copied without its stages.
    saved = load_saved_motion(folder / "out" / "hug", "optimised")
    stages = folder / "out" / "hug" / "stages"
    save_record(stages / "initialise" / "0.Camera.npz", saved.camera)
    for file in ("initialise/1.BodyMotion.npz", "refine/0.BodyMotion.npz"):
        save_record(stages / file, saved.motion)
    boxes = load_result(folder / "out" / "hug").observations.boxes[0]
    for name in ("hug", "again"):
        (folder / "clips" / f"{name}.mp4").write_bytes(b"")
        write_facts(folder / "clips" / f"{name}.facts.json", boxes)
    (folder / "clips" / "hug.masks").mkdir()
    cv2.imwrite(str(folder / "clips" / "hug.masks" / "000002.png"), np.full(SIZE[::-1], 255, np.uint8))
    return folder


def write_facts(path: Path, boxes: np.ndarray) -> None:
    """People at the middles of their boxes [P, 4]; they never touch with their feet."""
    points = [[float(box[[0, 2]].mean()), float(box[1] + 0.3 * (box[3] - box[1]))] for box in boxes]
    values: dict[str, Any] = {
        "clip": path.name.replace(".facts.json", ".mp4"),
        "focal_px": 500,
        "people": {"one": {"frame": 0, "xy": points[0]}, "two": {"frame": 0, "xy": points[1]}},
        "never": [["foot"]],
        "apart": [[1, 5]],
    }
    path.write_text(json.dumps(values))


def command(*arguments: object) -> Result:
    texts = [str(argument) for argument in arguments]
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["benchmark", "real", *texts])


def test_a_result_has_the_motions_of_its_stages(folder: Path) -> None:
    whole, last = load_result(folder / "out" / "hug"), load_result(folder / "out" / "again")
    assert list(whole.motions) == ["initial", "refined", "optimised"]
    assert list(last.motions) == ["optimised"]
    assert list(whole.contacts) == ["initial", "optimised"]  # Of the middle one they were not measured.
    assert np.allclose(last.motions["optimised"].transl, whole.motions["optimised"].transl, atol=1e-4)
    assert (last.clip.frame_indices == whole.clip.frame_indices).all()
    assert whole.observations.num_people == 2


def test_finished_results_are_scored(folder: Path) -> None:
    file = folder / "scores.json"
    done = command(folder / "clips", "--results", folder / "out", "--json", file)
    assert done.exit_code == 0, done.output
    report = read_real_report(file)
    assert report.focal == "results"
    again, hug = report.clips
    assert (again.name, hug.name) == ("again", "hug")
    assert hug.people == {"one": 0, "two": 1}
    assert hug.reference == "masks"
    assert again.reference is None
    assert hug.values["observed"] == {"people-found": 100, "other-tracks": 0}
    assert hug.values["optimised"]["inside"] == 100
    assert 0 < hug.values["optimised"]["body-IoU"] < 100
    # They embrace, but not with their feet: one of two facts holds.
    assert [one.percent["optimised"] for one in hug.facts] == [0, 100]
    assert again.values["optimised"]["facts"] == 50
    assert again.values["optimised"]["focal-error"] == pytest.approx(20)
    assert json.loads(file.read_text())["summary"]["optimised"]["facts"] == {"mean": 50, "deviation": 0, "clips": 2}
    rows = [line.split("│") for line in done.output.splitlines() if "facts ↑" in line]
    assert [row[-2].strip() for row in rows] == ["50.0", "50.0", "50.0 ±0.00"]
    assert any("no two people touch" in line and "1-5" in line for line in done.output.splitlines())
    assert "finished results were scored" in done.output


def test_two_runs_are_compared_clip_by_clip(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "new.json"
    assert command(folder / "clips", "--results", folder / "out", "--json", file).exit_code == 0
    values = json.loads(file.read_text())
    for clip, (facts, residual) in zip(values["clips"], ((40, 1.5), (30, 0.1)), strict=True):
        clip["values"]["optimised"] |= {"facts": facts, "residual": residual}
        clip["values"]["observed"]["identity"] = 1  # Only the old run has it: left out.
    old = tmp_path / "old.json"
    old.write_text(json.dumps(values))
    changes = real_changes(read_real_report(old), read_real_report(file))
    moved = {(one.clip, one.metric): one.new - one.old for one in changes if one.old != one.new}
    assert moved[("again", "facts")] == 10
    assert moved[("hug", "facts")] == 20
    assert {metric for _, metric in moved} == {"facts", "residual"}
    [mean] = [one for one in mean_changes(changes) if (one.stage, one.metric) == ("optimised", "facts")]
    assert (mean.stage, mean.old, mean.new, mean.deviation, mean.clips) == ("optimised", 35, 50, 5, 2)
    done = command(folder / "clips", "--results", folder / "out", "--compare", old)
    assert done.exit_code == 0, done.output
    rows = [line for line in done.output.splitlines() if "facts" in line and ("better" in line or "worse" in line)]
    assert [("better" in row, "+" in row) for row in rows] == [(True, True)] * 3
    assert "±5.00" in rows[-1]


@pytest.mark.parametrize(
    ("metric", "old", "new", "verdict"),
    [
        ("residual", 0.4, 0.9, "better"),
        ("residual", 0.9, 1.5, "worse"),
        ("residual", 4.0, 0.5, "better"),
        ("jitter", 4.0, 0.5, "better"),
        ("facts", 4.0, 0.5, "worse"),
    ],
)
def test_a_residual_is_best_at_one(metric: str, old: float, new: float, verdict: str) -> None:
    console = Console(width=200, theme=Theme({"good": "green", "bad": "red", "title": "bold"}))
    with console.capture() as capture:
        console.print(real_change_tables([Change("hug", "optimised", metric, old, new)]))
    rows = [line for line in capture.get().splitlines() if metric in line]
    assert len(rows) == 2  # The clip, and the mean, for which one clip is no evidence.
    assert all(f"{new - old:+.2f}" in row for row in rows)
    assert [verdict in row for row in rows] == [True, False]


def test_a_mean_is_better_beyond_chance() -> None:
    def mean(*moves: float) -> bool:
        [one] = mean_changes([Change(str(i), "optimised", "facts", 50, 50 + move) for i, move in enumerate(moves)])
        return one.significant

    assert mean(10, 20)
    assert mean(-4, -5, -6)
    assert not mean(10)
    assert not mean(0, 20)
    assert not mean(-10, 5, 20)
    assert not mean(0, 0)


def test_runs_without_a_clip_in_common(folder: Path, tmp_path: Path) -> None:
    for name in ("hug", "again"):
        command(folder / "clips", "--results", folder / "out", "--only", name, "--json", tmp_path / f"{name}.json")
    with pytest.raises(InputError, match="no clip in common"):
        real_changes(read_real_report(tmp_path / "hug.json"), read_real_report(tmp_path / "again.json"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{}/clips --facts {}/nowhere", "nowhere: no such folder"),
        ("{}/clips --only kiss", "no facts of kiss; there are again, hug"),
        ("{}/out", "no clip of"),
        ("{}/clips --results {}/clips", "holds no finished result of a clip"),
        ("{}/clips --results {}/out --compare {}/clips/hug.facts.json", "is no report of this benchmark"),
    ],
)
def test_what_is_missing_is_named_in_one_line(folder: Path, arguments: str, message: str) -> None:
    done = command(*arguments.replace("{}", str(folder)).split())
    assert done.exit_code == 1
    assert message in done.stderr.splitlines()[-1]


def test_clips_without_a_finished_result_are_left_out(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "out" / "again", tmp_path / "again")
    (tmp_path / "hug").mkdir()
    done = command(folder / "clips", "--results", tmp_path, "--json", tmp_path / "new.json")
    assert done.exit_code == 0, done.output
    assert [clip.name for clip in read_real_report(tmp_path / "new.json").clips] == ["again"]
    assert "hug: no finished result" in done.stderr


def test_facts_beyond_the_clip(folder: Path, tmp_path: Path) -> None:
    values = json.loads((folder / "clips" / "hug.facts.json").read_text()) | {"apart": [[0, 6]]}
    (tmp_path / "hug.facts.json").write_text(json.dumps(values))
    done = command(folder / "clips", "--facts", tmp_path, "--results", folder / "out")
    assert done.exit_code == 1
    assert "hug.facts.json: apart[0] names frame 6; the last frame is 5" in done.stderr.replace("\n", "")


def test_keypoints_that_are_not_there(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "hug.facts.json").write_text(json.dumps({"clip": "hug.mp4", "keypoints": "hug.vitpose.json"}))
    done = command(folder / "clips", "--facts", tmp_path, "--results", folder / "out")
    assert done.exit_code == 1
    assert "keypoints names hug.vitpose.json" in done.stderr
