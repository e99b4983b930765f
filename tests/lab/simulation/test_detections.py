"""Simulated observations follow the rules of perception for sigmas, shared keypoints, absence and the image border."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sample_errors import no_errors, uniform
from sample_motion import front_view, two_people

from closemesh.fitting.keypoint_tracks import keypoints3d_in_camera
from closemesh.geometry.camera import default_focal
from closemesh.lab.simulation.detections import nearest_partner, simulate_observations
from closemesh.lab.simulation.scene import SimulatedScene, true_points
from closemesh.perception.keypoints.uncertainty import keypoint_sigmas


@pytest.fixture(scope="module")
def scene() -> SimulatedScene:
    return front_view(two_people(frames=20))


def test_a_perfect_detector_gives_the_ground_truth(scene: SimulatedScene):
    simulated = simulate_observations(scene, 0, no_errors())
    seen, truth = simulated.observations, true_points(scene)
    assert np.allclose(seen.keypoints[:, :, :23, :2], truth.pixels, atol=1e-3)
    assert seen.detected.all()
    assert (seen.keypoints[:, :, 23:, 2] == 0).all()
    hips = truth.points_cam[:, :, 11:13].mean(2, keepdims=True)
    keypoints3d = keypoints3d_in_camera(seen, scene.camera)
    assert np.allclose(keypoints3d[..., :3], truth.points_cam - hips, atol=1e-4)
    assert seen.keypoints3d_focal == default_focal(scene.camera.size), "perception does not know the focal length"
    body = truth.pixels[:, :, :17]
    assert np.allclose(seen.boxes, np.concatenate([body.min(2), body.max(2)], -1), atol=1e-3)


def test_sigmas_are_those_of_perception(scene: SimulatedScene):
    seen = simulate_observations(scene, 0, no_errors(error=uniform(0.1, 23, 2))).observations
    expected = keypoint_sigmas(seen.keypoints, seen.boxes, seen.detected, np.zeros((20, 2, 133)), scene.camera.size)
    assert np.allclose(seen.sigmas, expected)


def test_absent_people_have_no_detections(scene: SimulatedScene):
    seen = simulate_observations(scene, 0, no_errors(absent=torch.full((4,), 0.5))).observations
    gone = ~seen.detected
    assert 0.2 < gone.mean() < 0.8
    for array in (seen.boxes, seen.keypoints[..., 2], seen.keypoints3d, seen.track_confidence):
        assert (array[gone] == 0).all()


def test_nothing_is_detected_outside_the_image():
    near = front_view(two_people(frames=4), distance=1.5)
    seen = simulate_observations(near, 0, no_errors()).observations
    inside = ((seen.keypoints[..., :2] >= 0) & (seen.keypoints[..., :2] < near.camera.size)).all(-1)
    assert (seen.keypoints[~inside, 2] == 0).all()
    assert not inside[:, :, :23].all()
    assert (seen.boxes[..., 2:] <= near.camera.size).all()


def test_the_bundled_errors_make_usual_observations(scene: SimulatedScene):
    one, same, other = (simulate_observations(scene, seed).observations for seed in (1, 1, 2))
    assert np.array_equal(one.keypoints, same.keypoints)
    assert not np.array_equal(one.keypoints, other.keypoints)
    distance = np.linalg.norm(one.keypoints[:, :, :23, :2] - true_points(scene).pixels, axis=-1)
    given = one.keypoints[:, :, :23, 2] > 0
    assert 0.5 < np.median(distance[given]) < 20
    assert given.mean() > 0.6
    assert np.isfinite(one.sigmas).all()


def test_the_nearest_partner_is_the_nearest_who_is_present():
    pixels = torch.tensor([0.0, 10.0, 100.0])[None, :, None, None].expand(1, 3, 23, 2)
    valid = torch.tensor([[True, False, True]])
    assert torch.equal(nearest_partner(pixels, valid)[0, :, 0, 0], torch.tensor([100.0, 0.0, 0.0]))
    assert torch.equal(nearest_partner(pixels, torch.ones(1, 3).bool())[0, :, 0, 0], torch.tensor([10.0, 0.0, 10.0]))
    assert nearest_partner(pixels[:, :1], valid[:, :1]).isnan().all()
