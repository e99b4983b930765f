"""Focal length and vertical from people: a known camera is found, and the prior and the evidence are combined."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from known_scenes import observe_exactly

from closemesh.body.loading import load_landmark_body
from closemesh.body.motion import change_frame
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


@pytest.mark.parametrize("factor", [0.6, 1.7])
def test_a_wrong_prior_moves_towards_the_true_camera(known_scene, model, lifter, factor: float):
    true = known_scene.camera.focal
    estimate = _estimate(known_scene, model, lifter, _prior(factor * true, 0.4))
    error = abs(math.log(estimate.focal / true))
    assert error < 0.9 * abs(math.log(factor))
    assert error < 1.5 * estimate.focal_log_std < 0.6, "the uncertainty covers the error and is below that of the prior"
    assert _angle(estimate.up_cam, known_scene) < 6 < _angle(np.array([0.0, -1.0, 0.0]), known_scene)


@pytest.mark.parametrize("factor", [0.6, 1.7])
def test_people_alone_show_the_true_camera(known_scene, model, lifter, factor: float, monkeypatch):
    """Without the caution that real errors need, exact keypoints outweigh any prior."""
    monkeypatch.setattr(camera_estimation, "_INDEPENDENT_FRAMES", 100.0)
    estimate = _estimate(known_scene, model, lifter, _prior(factor * known_scene.camera.focal, 0.4))
    assert estimate.focal == pytest.approx(known_scene.camera.focal, rel=0.3)


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


def test_windows_are_few_and_hold_people():
    assert camera_estimation._segments(np.ones(30, bool)) == [slice(0, 30)]
    windows = camera_estimation._segments(np.ones(10_000, bool))
    assert len(windows) == camera_estimation.NUM_SEGMENTS
    assert windows[0].start < 2_500 and windows[-1].stop > 7_500
    late = np.zeros(600, bool)
    late[590:] = True
    [window] = camera_estimation._segments(late)
    assert window.stop == 600 and window.start <= 590


def _rolled(scene, degrees: float):
    """The scene with the camera rotated about its axis: the same people, seen by a camera that is not level."""
    roll = np.eye(4)
    angle = math.radians(degrees)
    roll[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    camera = replace(scene.camera, T_cam_world=roll @ scene.camera.T_cam_world)
    motion = change_frame(scene.motion, roll, scene.body)
    observations = observe_exactly(motion, camera, scene.body)
    return replace(scene, camera=camera, motion=motion, observations=observations)


def test_people_outweigh_the_habit_of_level_cameras(known_scene, model, lifter):
    rolled = _rolled(known_scene, 25.0)
    estimate = _estimate(rolled, model, lifter, _prior(known_scene.camera.focal, 0.0))
    assert _angle(estimate.up_cam, rolled) < 8 < 20 < _angle(np.array([0.0, -1.0, 0.0]), rolled)
    known = tuple(rolled.camera.up[0].tolist())
    exact = _prior(known_scene.camera.focal, 0.0, up_cam=known, up_std=0.01)
    assert _angle(_estimate(rolled, model, lifter, exact).up_cam, rolled) < 1


def _select(observations, frames: slice, people: slice):
    """The observations of some frames and people."""
    arrays = {field.name: getattr(observations, field.name) for field in fields(observations)}
    return replace(
        observations,
        **{name: value[frames, people] for name, value in arrays.items() if isinstance(value, np.ndarray)},
    )


def test_one_frame_is_enough(known_scene, model, lifter):
    clip = replace(known_scene.clip, frame_indices=np.arange(1), times=np.zeros(1))
    observations = _select(known_scene.observations, slice(1), slice(None))
    scene = replace(known_scene, clip=clip, observations=observations)
    estimate = _estimate(scene, model, lifter, _prior(known_scene.camera.focal, 0.3))
    assert _angle(estimate.up_cam, known_scene) < 8
    assert 0.2 < estimate.focal_log_std < 0.35, "one frame shows little"


def test_without_detections_the_prior_holds(known_scene, model, lifter):
    observations = known_scene.observations
    empty = replace(
        observations, detected=np.zeros_like(observations.detected), keypoints=np.zeros_like(observations.keypoints)
    )
    estimate = _estimate(replace(known_scene, observations=empty), model, lifter, _prior(500.0, 0.3))
    assert estimate.focal == pytest.approx(500.0, rel=0.02)
    np.testing.assert_allclose(estimate.up_cam, [0, -1, 0], atol=1e-6)


def test_absent_people_cost_nothing(known_scene, model, lifter):
    """A second person who is never detected leaves the estimate as it is for the first alone."""
    observations = known_scene.observations
    detected = observations.detected.copy()
    detected[:, 1] = False
    keypoints = observations.keypoints * detected[..., None, None]
    hidden = replace(observations, detected=detected, keypoints=keypoints)
    alone = _select(observations, slice(None), slice(1))
    both, one = (
        _estimate(replace(known_scene, observations=some), model, lifter, _prior(600.0, 0.3))
        for some in (hidden, alone)
    )
    assert both.focal == pytest.approx(one.focal, rel=0.02)
    np.testing.assert_allclose(both.up_cam, one.up_cam, atol=0.02)
