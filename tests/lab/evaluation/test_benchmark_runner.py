"""The synthetic benchmark on scenes of six frames."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from known_scenes import KnownScene
from typer.testing import CliRunner

from closemesh.body.motion import motion_in_world
from closemesh.cli.main import app
from closemesh.config.loading import override
from closemesh.config.schema import Config, InitialiseConfig, OptimiseConfig
from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.lab.datasets.recording import write_pose_file
from closemesh.lab.evaluation import benchmark_runner
from closemesh.lab.evaluation.ablation import run_configs
from closemesh.lab.evaluation.benchmark_run import WindowResult, run_window
from closemesh.lab.evaluation.benchmark_runner import RunOptions, benchmark_synthetic, one_thread
from closemesh.lab.evaluation.benchmark_scenes import QUICK_WINDOWS, WINDOW, Window, find_windows
from closemesh.lab.evaluation.report import differences, read_report, write_report
from closemesh.motion_files.sequence import MotionSequence, from_body_motion
from closemesh.pipeline.stages import Initialise, Optimise, Refine

COMMITTED = Path(__file__).resolve().parents[2] / "benchmark"
QUICK = Config(seed=3, initialise=InitialiseConfig(iterations=6), optimise=OptimiseConfig(iterations=3))


@pytest.fixture(scope="module")
def sequence(known_scene: KnownScene) -> MotionSequence:
    """Six frames of two people, an arm of one behind the other."""
    world = motion_in_world(known_scene.motion, known_scene.camera, known_scene.body)
    transl = world.transl.copy()
    transl[:, 1] = transl[:, 0] + [0.3, 0, -0.1]
    return from_body_motion(world.with_pose(transl=transl), known_scene.body, "w", 30.0).frames(slice(0, 6))


@pytest.fixture(scope="module")
def windows(sequence: MotionSequence, tmp_path_factory: pytest.TempPathFactory) -> list[Window]:
    folder = tmp_path_factory.mktemp("windows")
    for name, kind in (("a", "near"), ("b", "far")):
        shifted = replace(sequence, pelvis=sequence.pelvis + np.array([0, 0, -1.0])[None, None] * (name == "b"))
        write_pose_file(folder / f"{name}.npz", replace(shifted, action=kind))
    return [Window(name, folder / f"{name}.npz", kind, 0, 6) for name, kind in (("a", "near"), ("b", "far"))]


@pytest.fixture(scope="module")
def report(windows: list[Window]):
    """Of two processes."""
    return benchmark_synthetic(windows, QUICK, "keypoints", NullProgress(), RunOptions("cpu", jobs=2), "known")


def test_every_stage_is_scored(report) -> None:
    assert report.stages == ["initial", "refined", "optimised"]
    for stage in report.stages:
        summary = report.summary(stage)
        assert set(summary) == {"all", "occluded", "contact", "near", "far"}
        assert 5 < summary["all"]["PA-MPJPE"].mean < 300
        assert summary["contact"]["PCC@20cm"].n <= 12
    assert set(report.summary("truth")["all"]) == {
        *("A-PD", "depth-max", "depth-mean", "volume", "jitter", "foot-sliding")
    }
    assert report.found == report.expected == 24
    assert all(set(window.seconds) == {"observe", "measure", *report.stages} for window in report.windows)


def test_neither_order_nor_processes_change_a_result(report, windows: list[Window]) -> None:
    alone = benchmark_synthetic(windows[1:], QUICK, "keypoints", NullProgress(), RunOptions("cpu"), "known").windows[0]
    assert (alone.stages, alone.truth) == (report.windows[1].stages, report.windows[1].truth)


def test_a_part_is_removed_and_no_stage_runs_twice(
    report, windows: list[Window], monkeypatch: pytest.MonkeyPatch
) -> None:
    run: list[str] = []
    for stage in (Initialise, Refine, Optimise):
        monkeypatch.setattr(stage, "run", counted(stage, run))
    configs = [override(QUICK, settings) for settings in ({}, {"refine": {"prior": False}}, {})]
    with one_thread():
        whole, without, again = run_configs(windows[0], configs, "keypoints", "known", "cpu")
    assert run == ["initialise", "refine", "optimise", "refine", "optimise"]
    assert (whole.stages, whole.truth) == (report.windows[0].stages, report.windows[0].truth)
    assert again.stages == whole.stages
    with one_thread():
        alone = run_window(windows[0], configs[1], "keypoints", "known", "cpu")
    assert without.stages == alone.stages


def counted(stage: type, run: list[str]):
    """The method `run` of a stage that also writes down its name."""
    original = stage.run  # type: ignore[attr-defined]

    def run_and_count(self, *given):
        run.append(self.name)
        return original(self, *given)

    return run_and_count


def test_the_report_comes_back(report, tmp_path: Path) -> None:
    write_report(tmp_path / "report.json", report)
    assert read_report(tmp_path / "report.json") == report
    expected = json.loads((tmp_path / "report.json").read_text())
    assert {"commit", "seed", "preset", "from", "stages"} <= set(expected)
    assert set(expected["stages"]["optimised"]["occluded"]["MPJPE"]) == {"mean", "low", "high", "n"}


def test_the_focal_length_is_estimated_unless_it_is_given(report, windows: list[Window], tmp_path: Path) -> None:
    assert report.focal == "known"
    assert report.focal_error == pytest.approx(0, abs=1e-4)
    found = benchmark_synthetic(windows[:1], QUICK, "keypoints", NullProgress(), RunOptions("cpu"))
    assert found.focal == "estimated"
    assert found.focal_error is not None
    assert found.focal_error > 1  # The random cameras are not the pipeline's assumption.
    depth = [one.windows[0].stages["initial"]["all"]["root-depth"]["mean"] for one in (found, report)]
    assert depth[0] != pytest.approx(depth[1], rel=0.01)
    write_report(tmp_path / "found.json", found)
    assert read_report(tmp_path / "found.json") == found
    with pytest.raises(InputError, match="run with --focal known"):
        differences(report, found)


def test_earlier_reports_are_read(report, tmp_path: Path) -> None:
    """They were made with the true focal length and do not hold its error."""
    write_report(tmp_path / "report.json", report)
    values = json.loads((tmp_path / "report.json").read_text())
    values["focal"] = "the true one is given"
    del values["focal_error"]
    for window in values["windows"]:
        del window["focal_error"]
    (tmp_path / "report.json").write_text(json.dumps(values))
    earlier = read_report(tmp_path / "report.json")
    assert earlier.focal == "known"
    assert earlier.focal_error is None
    assert differences(earlier, report)["optimised"]["all"]["MPJPE"].old == pytest.approx(
        differences(earlier, report)["optimised"]["all"]["MPJPE"].new
    )


@pytest.mark.parametrize("file", sorted(COMMITTED.glob("baseline*.json")), ids=lambda file: file.name)
def test_committed_reports_are_read(file: Path) -> None:
    assert read_report(file).windows


def test_a_stopped_run_goes_on(windows: list[Window], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def run(window: Window, *_) -> WindowResult:
        made.append(window.name)
        if len(made) == 2:
            raise KeyboardInterrupt
        return WindowResult(window.name, window.kind, 6, 2, 12, 12, {"initial": {}}, {}, {})

    monkeypatch.setattr(benchmark_runner, "run_window", run)
    start = lambda config=QUICK, resume=True: benchmark_synthetic(  # noqa: E731
        windows, config, "keypoints", NullProgress(), RunOptions("cpu", cache=tmp_path / "cache", resume=resume)
    )
    with pytest.raises(KeyboardInterrupt):
        start(resume=False)
    assert [window.name for window in start().windows] == ["a", "b"]
    assert made == ["a", "b", "b"]  # The first was kept.
    start(replace(QUICK, seed=4))
    assert made[3:] == ["a", "b"]  # Other scenes: nothing is kept.
    start(replace(QUICK, seed=4), resume=False)
    assert made[5:] == ["a", "b"]


def worse(report, by: float):
    """The same run with a larger error in every window."""
    text = json.loads(json.dumps([asdict(window) for window in report.windows]))
    for window in text:
        for groups in window["stages"].values():
            groups["all"]["MPJPE"]["mean"] += by
    return replace(report, windows=tuple(WindowResult(**window) for window in text))


def test_two_runs_are_compared_window_by_window(report) -> None:
    changes = differences(report, worse(report, 5.0))
    change = changes["optimised"]["all"]["MPJPE"]
    assert change.new - change.old == pytest.approx(5)
    assert change.significant
    assert not changes["optimised"]["all"]["Inter"].significant
    assert changes["optimised"]["near"]["MPJPE"].windows == 1
    with pytest.raises(InputError, match="seed 3 from keypoints, now 3 from pixels"):
        differences(report, replace(report, source="pixels"))
    with pytest.raises(InputError, match="no window in common"):
        differences(report, replace(report, windows=()))


def test_pixels_go_through_the_detector(windows: list[Window]) -> None:
    found = benchmark_synthetic(windows[:1], QUICK, "pixels", NullProgress(), RunOptions("cpu")).windows[0]
    assert found.frames == 6
    assert found.found <= found.expected == 12
    assert bool(found.stages) == (found.found > 0)


def test_windows_of_a_users_data(sequence: MotionSequence, tmp_path: Path) -> None:
    """Of a held-out trial of two people only what both are in; singles and what may be learned from are left."""
    (tmp_path / "pairs").mkdir()
    long = sequence.frames(np.arange(3 * WINDOW + 5) % 6)
    valid = long.valid.copy()
    valid[WINDOW + 3, 1] = False
    for name in ("cmu_60_61_03", "cmu_60_61_04"):
        write_pose_file(tmp_path / "pairs" / f"{name}.npz", replace(long, valid=valid, action="salsa (he leads)"))
    for k in range(10):
        write_pose_file(tmp_path / f"single_{k}.npz", long.people([0]))
    found = [window for window in find_windows(tmp_path) if window.path.is_relative_to(tmp_path)]
    assert [window.name for window in found] == ["cmu_60_61_03_00000", f"cmu_60_61_03_{2 * WINDOW:05d}"]
    assert {window.kind for window in found} == {"salsa"}
    assert len(found[1].read()) == WINDOW


def test_windows_are_chosen(sequence: MotionSequence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "benchmark").mkdir()
    for name, kind in (("a1", "hug"), ("a2", "hug"), ("b1", "lift"), *((f"c{k}", "push") for k in range(9))):
        write_pose_file(tmp_path / "benchmark" / f"{name}.npz", replace(sequence, action=kind))
    monkeypatch.setenv("CLOSEMESH_MODELS", str(tmp_path))
    assert [window.name for window in find_windows(None, kinds=("hug", "lift"))] == ["a1", "a2", "b1"]
    assert [window.name for window in find_windows(None, limit=2)] == ["a1", "a2"]
    quick = [window.name for window in find_windows(None, quick=True)]
    assert len(quick) == QUICK_WINDOWS
    assert {"a1", "a2", "b1"} <= set(quick)
    with pytest.raises(InputError, match="kind fly; there are hug, lift, push"):
        find_windows(None, kinds=("fly",))


def test_the_command_prints_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("{}")
    for arguments, code, expected in (
        (["--resume"], 2, "--json"),
        (["--from", "smell"], 2, "pixels"),
        (["--compare", str(tmp_path / "old.json")], 1, "no report"),
        (["--compare", str(tmp_path / "gone.json")], 1, "cannot read"),
        (["--kinds", "flying,falling"], 1, "flying"),
    ):
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["benchmark", "synthetic", *arguments])
        assert result.exit_code == code
        assert expected in result.output
