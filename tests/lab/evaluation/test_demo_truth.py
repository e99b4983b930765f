"""The bundled embrace: its truth belongs to its clip, and a result is measured against it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from finished_result import write_finished_result

from closemesh.body.loading import load_bundled_body
from closemesh.body.motion import motion_keypoints
from closemesh.config.schema import ClipConfig
from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.core.records import load_record, save_record
from closemesh.lab.evaluation.demo_truth import (
    DemoTruth,
    demo_scene,
    load_demo_truth,
    score_demo,
    truth_of_result,
)
from closemesh.structures import Clip
from closemesh.video import open_clip
from closemesh.weights.locate import find_model
from closemesh.weights.registry import HUG_CLIP

LARGEST = 1_500_000  # Bytes of the clip and its truth.


@pytest.fixture(scope="module")
def truth() -> DemoTruth:
    return load_demo_truth(find_model(HUG_CLIP))


def test_the_truth_belongs_to_the_clip(truth: DemoTruth) -> None:
    clip = open_clip(find_model(HUG_CLIP), ClipConfig())
    assert clip.sha256 == truth.clip.sha256 and clip.size == truth.camera.size
    assert len(clip) == len(truth.motion.transl) == len(truth.camera.T_cam_world)
    np.testing.assert_allclose(clip.times, truth.clip.times, atol=1e-4)
    files = find_model(HUG_CLIP).parent.glob("hug.*")
    assert sum(file.stat().st_size for file in files) < LARGEST


def test_the_true_people_are_inside_the_frames(truth: DemoTruth) -> None:
    points = motion_keypoints(truth.motion, load_bundled_body())[:, :, :23] @ truth.camera.K.T
    pixels = points[..., :2] / points[..., 2:]  # [T, P, 23, 2]
    assert (pixels >= 0).all() and (pixels < truth.camera.size).all()


def test_the_truth_is_that_of_the_committed_scene(truth: DemoTruth) -> None:
    scene = demo_scene()
    np.testing.assert_allclose(scene.motion.transl, truth.motion.transl, atol=1e-4)
    assert scene.camera.focal == pytest.approx(truth.camera.focal)


def write_moved_truth(out: Path, truth: DemoTruth, meters: float) -> None:
    """A finished result whose second person is farther from the first than in truth; four frames."""
    part = slice(40, 44)
    motion, camera = truth.motion.frames(part), truth.camera.frames(part)
    transl = motion.transl.copy()
    transl[:, 1, 0] += meters
    write_finished_result(out, motion.with_pose(transl=transl), load_bundled_body())
    clip = replace(truth.clip, frame_indices=truth.clip.frame_indices[part], times=truth.clip.times[part])
    save_record(out / "stages" / "clip.npz", clip)
    save_record(out / "stages" / "optimise" / "0.Camera.npz", camera)


def test_the_errors_are_those_of_the_metrics(tmp_path: Path, truth: DemoTruth) -> None:
    write_moved_truth(tmp_path / "same", truth, 0.0)
    same = {metric.name: value for metric, value in score_demo(tmp_path / "same", NullProgress()).items()}
    assert same["MPJPE"] == pytest.approx(0, abs=1e-3) and same["contact-F1@50mm"] == pytest.approx(100)
    write_moved_truth(tmp_path / "moved", truth, 0.5)
    moved = {metric.name: value for metric, value in score_demo(tmp_path / "moved", NullProgress()).items()}
    assert moved["MPJPE"] == pytest.approx(0, abs=1e-3)  # Relative to the root of each person.
    assert moved["Pair-PA-MPJPE"] > 30 and moved["Inter"] > 30 and moved["contact-F1@13mm"] < 50


def test_the_truth_has_the_people_in_the_order_of_the_result(tmp_path: Path, monkeypatch, truth: DemoTruth) -> None:
    part = replace(truth, motion=truth.motion.frames(slice(40, 44)))
    monkeypatch.setattr("closemesh.lab.evaluation.demo_truth.load_demo_truth", lambda video: part)
    write_moved_truth(tmp_path / "out", replace(truth, motion=truth.motion.people([1, 0])), 0.0)
    found = truth_of_result(tmp_path / "out")
    assert found is not None
    np.testing.assert_array_equal(found.transl, part.motion.transl[:, ::-1])
    part = replace(part, motion=truth.motion)
    assert truth_of_result(tmp_path / "out") is None  # Of other frames.


def test_a_result_of_another_clip_is_refused(tmp_path: Path, truth: DemoTruth) -> None:
    write_moved_truth(tmp_path / "out", truth, 0.0)
    clip = load_record(tmp_path / "out" / "stages" / "clip.npz", Clip)
    save_record(tmp_path / "out" / "stages" / "clip.npz", replace(clip, sha256="0" * 64))
    with pytest.raises(InputError, match="is the result of another clip"):
        score_demo(tmp_path / "out", NullProgress())


def test_a_clip_without_truth_is_named(tmp_path: Path) -> None:
    shutil.copy(find_model(HUG_CLIP), tmp_path / "hug.mp4")
    with pytest.raises(InputError, match=r"hug\.Clip\.npz not found"):
        load_demo_truth(tmp_path / "hug.mp4")
