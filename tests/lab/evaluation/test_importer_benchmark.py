"""Simulated results of other tools: their errors, their file, and the comparison with the motion after it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from known_scenes import KnownScene

from closemesh.body.motion import motion_joints
from closemesh.importers.registry import read_imported_result
from closemesh.lab.evaluation.benchmark_run import WindowResult
from closemesh.lab.evaluation.importer_benchmark import (
    IMPORTED,
    JOINT_ERROR,
    Variant,
    import_changes,
    simulate_tool,
    write_tool_result,
)
from closemesh.lab.evaluation.joint_metrics import accel, lsp_joints, mpjpe
from closemesh.lab.evaluation.report import BenchmarkReport
from closemesh.lab.evaluation.scores import Groups
from closemesh.lab.simulation.scene import SimulatedScene
from closemesh.structures import BodyMotion


@pytest.fixture
def scene(known_scene: KnownScene) -> SimulatedScene:
    s = known_scene
    return SimulatedScene(s.clip, s.camera, s.motion, s.body, "known", "test")


def simulated(scene: SimulatedScene, variant: Variant, hidden: np.ndarray | None = None) -> BodyMotion:
    frames, people = scene.motion.valid.shape
    hidden = np.zeros((frames, people, 23), bool) if hidden is None else hidden
    return simulate_tool(scene, hidden, np.zeros(frames, bool), variant, np.random.default_rng(1))


def joints(scene: SimulatedScene, motion: BodyMotion) -> np.ndarray:
    return lsp_joints(motion_joints(motion, scene.body).astype(np.float64))


def test_errors_have_the_size_and_the_jitter_of_the_kind_of_tool(scene: SimulatedScene) -> None:
    truth = joints(scene, scene.motion)
    found = {variant: joints(scene, simulated(scene, variant)) for variant in ("frame", "video")}
    for one in found.values():
        np.testing.assert_allclose(mpjpe(one, truth).mean(), 1000 * JOINT_ERROR, rtol=0.01)
    frame, video = (np.nanmedian(accel(found[variant], truth)) for variant in ("frame", "video"))
    assert 8 < frame < 30 and video < 10 and frame > 2 * video


def test_joints_that_the_image_does_not_show_are_worse(scene: SimulatedScene) -> None:
    hidden = np.zeros((*scene.motion.valid.shape, 23), bool)
    hidden[..., [7, 9]] = True  # The left arm.
    truth = joints(scene, scene.motion)
    errors = [mpjpe(joints(scene, simulated(scene, "video", h)), truth).mean((0, 1)) for h in (None, hidden)]
    left_wrist, right_wrist = 11, 6
    assert errors[1][left_wrist] / errors[1][right_wrist] > 1.2 * errors[0][left_wrist] / errors[0][right_wrist]


def test_the_file_is_read_as_it_was_written(scene: SimulatedScene, tmp_path: Path) -> None:
    motion = simulated(scene, "frame")
    write_tool_result(tmp_path / "results.pkl", motion, scene.body, scene.camera)
    result = read_imported_result(tmp_path / "results.pkl", scene.clip)
    assert result.tool == "PromptHMR" and result.camera is not None
    assert result.camera.focal == pytest.approx(scene.camera.focal)
    pelvis = motion_joints(motion, scene.body)[:, :, 0]
    for person, imported in enumerate(result.people):
        np.testing.assert_allclose(imported.rotations[:, :22], motion.rotations[:, person, :22], atol=1e-6)
        np.testing.assert_allclose(imported.pelvis, pelvis[:, person], atol=1e-5)


def test_changes_are_against_the_tool_itself() -> None:
    def window(name: str, before: float, after: float) -> WindowResult:
        stages: dict[str, Groups] = {
            stage: {"all": {"MPJPE": {"mean": value, "n": 10}}}
            for stage, value in ((IMPORTED, before), ("initial", after))
        }
        return WindowResult(name, "hug", 10, 2, 20, 20, stages, {}, {})

    report = BenchmarkReport(None, 0, "balanced", "keypoints", (window("a", 46, 40), window("b", 48, 41)))
    changes = import_changes(report)
    assert list(changes) == ["initial"]
    change = changes["initial"]["all"]["MPJPE"]
    assert (change.old, change.new, change.significant) == (47, 40.5, True)
