"""Focal length and vertical from people: a known camera is found, and the prior and the evidence are combined."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from closemesh.body.loading import load_landmark_body
from closemesh.core.progress import NullProgress
from closemesh.fitting.objective import FitModel
from closemesh.initialization import camera_estimation
from closemesh.initialization.camera_estimation import CameraEstimate, estimate_camera, estimate_from_people
from closemesh.initialization.intrinsics import CameraPrior
from closemesh.initialization.lifting_network import Lifter, load_lifter
from closemesh.losses.pose_prior import load_pose_prior


@pytest.fixture(scope="module")
def model(known_scene) -> FitModel:
    return FitModel(load_landmark_body(known_scene.body), load_pose_prior())


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    return load_lifter("cpu")


def _prior(focal: float, log_std: float, **changes) -> CameraPrior:
    return CameraPrior(focal, log_std, (320.0, 240.0), "estimated", **changes)


def _estimate(scene, model: FitModel, lifter: Lifter, prior: CameraPrior) -> CameraEstimate:
    steps = []
    estimate = estimate_from_people(prior, scene.observed, model, lifter, steps.append)
    assert sum(steps) == camera_estimation.ITERATIONS
    return estimate


def _angle(up: np.ndarray, scene) -> float:
    return math.degrees(math.acos(np.clip(up @ scene.camera.up[0], -1, 1)))


@pytest.mark.parametrize("factor", [0.75, 1.4])
def test_a_wrong_prior_moves_towards_the_true_camera(known_scene, model, lifter, factor: float):
    true = known_scene.camera.focal
    estimate = _estimate(known_scene, model, lifter, _prior(factor * true, 0.4))
    error = abs(math.log(estimate.focal / true))
    assert error < 0.9 * abs(math.log(factor))
    assert error < estimate.focal_log_std < 0.4, "the uncertainty covers the error and is below that of the prior"
    assert _angle(estimate.up_cam, known_scene) < 6 < _angle(np.array([0.0, -1.0, 0.0]), known_scene)


@pytest.mark.parametrize("factor", [0.75, 1.4])
def test_people_alone_show_the_true_camera(known_scene, model, lifter, factor: float, monkeypatch):
    """Without the caution that real errors need, exact keypoints outweigh any prior."""
    monkeypatch.setattr(camera_estimation, "_INDEPENDENT_FRAMES", 100.0)
    estimate = _estimate(known_scene, model, lifter, _prior(factor * known_scene.camera.focal, 0.4))
    assert estimate.focal == pytest.approx(known_scene.camera.focal, rel=0.2)


def test_an_exact_focal_length_stays_and_a_known_vertical_counts(known_scene, model, lifter):
    true = known_scene.camera.focal
    estimate = _estimate(known_scene, model, lifter, _prior(true, 0.0))
    assert estimate.focal == pytest.approx(true) and estimate.focal_log_std == 0
    known = tuple(known_scene.camera.up[0].tolist())
    with_vertical = _estimate(known_scene, model, lifter, _prior(true, 0.0, up_cam=known, up_std=0.01))
    assert _angle(with_vertical.up_cam, known_scene) < 1
    assert with_vertical.up_std == 0.01


def test_the_camera_of_the_stage_has_the_estimate_and_a_note_says_so(known_scene, model, lifter):
    progress = NullProgress()
    prior = _prior(1.3 * known_scene.camera.focal, 0.3)
    camera = estimate_camera(prior, known_scene.clip, known_scene.observations, model, lifter, progress)
    np.testing.assert_allclose(camera.T_cam_world[0, :3, :3] @ camera.T_cam_world[0, :3, :3].T, np.eye(3), atol=1e-9)
    assert np.linalg.det(camera.T_cam_world[0, :3, :3]) == pytest.approx(1)
    assert _angle(camera.up[0], known_scene) < 6 and camera.up_std > 0
    assert "focal length unknown" in progress.notes[0] and f"{camera.focal_std:.0f} px" in progress.notes[0]


def test_without_the_lifter_the_camera_is_level_and_the_prior_holds(known_scene, model):
    prior = _prior(500.0, 0.3)
    camera = estimate_camera(prior, known_scene.clip, known_scene.observations, model, None, NullProgress())
    assert (camera.focal, camera.focal_std, camera.up_std) == (500.0, pytest.approx(150.0), 0.0)
    np.testing.assert_array_equal(camera.up[0], [0, -1, 0])


def test_evidence_and_prior_are_combined():
    prior = _prior(600.0, 0.3)
    values = math.log(600.0) + np.linspace(-2, 2, 401)
    flat = camera_estimation._posterior(values, np.zeros(401), prior)
    assert flat @ values == pytest.approx(math.log(600.0), abs=1e-3)
    assert np.sqrt(flat @ (values - flat @ values) ** 2) == pytest.approx(0.3, abs=1e-3)
    at, std = math.log(450.0), 0.1
    costs = 0.5 * ((values - at) / std) ** 2 / camera_estimation._INDEPENDENT_FRAMES
    both = camera_estimation._posterior(values, costs, prior)
    expected = (at / std**2 + math.log(600.0) / 0.3**2) / (1 / std**2 + 1 / 0.3**2)
    assert both @ values == pytest.approx(expected, abs=1e-3)


def test_a_fit_in_a_local_minimum_does_not_count():
    values = np.linspace(-1, 1, 8)
    costs = values**2
    np.testing.assert_array_equal(camera_estimation._without_peaks(costs), costs)
    peak = costs.copy()
    peak[4] += 20
    np.testing.assert_allclose(camera_estimation._without_peaks(peak), costs, atol=0.1)


def test_windows_of_a_long_clip_are_few_and_cover_it():
    assert camera_estimation._segments(30) == [slice(0, 30)]
    windows = camera_estimation._segments(10_000)
    assert len(windows) == camera_estimation.NUM_SEGMENTS
    assert windows[0].start == 0 and windows[-1].stop == 10_000


def test_absent_people_cost_nothing(known_scene, model, lifter):
    """A second person who is never detected leaves the estimate as it is for the first alone."""
    observations = known_scene.observations
    detected = observations.detected.copy()
    detected[:, 1] = False
    keypoints = observations.keypoints * detected[..., None, None]
    hidden = replace(observations, detected=detected, keypoints=keypoints)
    prior = _prior(600.0, 0.3)
    estimate = _estimate(replace(known_scene, observations=hidden), model, lifter, prior)
    assert torch.isfinite(torch.tensor(estimate.focal)) and estimate.focal_log_std > 0
