"""The benchmark of descriptions on one window of six frames."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from known_scenes import KnownScene
from typer.testing import CliRunner

from closemesh.body.motion import motion_in_world
from closemesh.cli.main import app
from closemesh.config.schema import Config, InitialiseConfig, OptimiseConfig
from closemesh.core.progress import NullProgress
from closemesh.lab.datasets.recording import write_pose_file
from closemesh.lab.evaluation import benchmark_scenes
from closemesh.lab.evaluation.benchmark_runner import RunOptions, benchmark_synthetic
from closemesh.lab.evaluation.benchmark_scenes import Window
from closemesh.lab.evaluation.text_benchmark import CHANNELS, NO_TEXT, as_json, measure_descriptions, rows_of
from closemesh.motion_files.sequence import from_body_motion

QUICK = Config(seed=3, initialise=InitialiseConfig(iterations=6), optimise=OptimiseConfig(iterations=3))


@pytest.fixture(scope="module")
def window(known_scene: KnownScene, tmp_path_factory: pytest.TempPathFactory) -> Window:
    """Six frames of two people who stand at each other."""
    world = motion_in_world(known_scene.motion, known_scene.camera, known_scene.body)
    transl = world.transl.copy()
    transl[:, 1] = transl[:, 0] + [0.3, 0, -0.1]
    made = from_body_motion(world.with_pose(transl=transl), known_scene.body, "w", 30.0).frames(slice(0, 6))
    path = tmp_path_factory.mktemp("windows") / "near.npz"
    write_pose_file(path, replace(made, action="near"))
    return Window("near", path, "near", 0, 6)


def test_rows_have_true_statements_and_fewer_of_them():
    rows = rows_of((0, 30))
    assert [row.name for row in rows[:3]] == [
        NO_TEXT,
        "statements and alignment, 0 % false",
        "statements and alignment, 30 % false",
    ]
    assert len(rows) == 1 + 2 * len(CHANNELS) and not rows[0].channels
    assert [row.name for row in rows_of((20,), ("alignment only",))] == [NO_TEXT, "alignment only, 20 % false"]


def test_one_window_through_both_stages(window: Window):
    report = measure_descriptions([window], QUICK, rows_of((0,)), "optimised", NullProgress(), RunOptions("cpu"))
    plain = benchmark_synthetic([window], QUICK, "keypoints", NullProgress(), RunOptions("cpu"), "estimated").windows[0]
    [without_text] = report.reports[0].windows
    assert without_text.stages == {stage: plain.stages[stage] for stage in ("refined", "optimised")}
    errors = [one.windows[0].stages["refined"]["all"]["MPJPE"]["mean"] for one in report.reports]
    assert len(set(errors)) == len(errors), "every row has other statements"
    values = json.loads(json.dumps(as_json(report)))
    assert values["windows"] == ["near"] and set(values["rows"]) == {row.name for row in rows_of((0,))}
    change = values["rows"]["statements and alignment, 0 % false"]["refined"]["all"]["MPJPE"]
    assert change["new"] - change["old"] == pytest.approx(errors[1] - errors[0])


def test_the_command_prints_the_table_and_goes_on(window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(benchmark_scenes, "find_windows", lambda *_: [window])
    file = tmp_path / "report.json"
    arguments = ["benchmark", "descriptions", "--corrupt", "40", "--preset", "fast", "--jobs", "1", "--json", str(file)]
    run = CliRunner(env={"COLUMNS": "250"}).invoke
    found = run(app, arguments)
    assert found.exit_code == 0, found.output
    assert "alignment only, 40 % false" in found.output and "no statements" in found.output
    written = file.read_text()
    (saved,) = file.with_suffix(".windows").glob("*.json")
    made = saved.stat().st_mtime_ns
    again = run(app, [*arguments, "--resume"])
    assert again.exit_code == 0 and file.read_text() == written and saved.stat().st_mtime_ns == made
    wrong = run(app, ["benchmark", "descriptions", "--corrupt", "20,x"])
    assert wrong.exit_code == 2 and "percentages" in wrong.output
    wrong = run(app, ["benchmark", "descriptions", "--channels", "both,pixels"])
    assert wrong.exit_code == 2 and "pixels" in wrong.output
