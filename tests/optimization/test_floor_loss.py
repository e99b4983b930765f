"""The loss of feet below, on and above the floor."""

from __future__ import annotations

import pytest
import torch
from known_scenes import KnownScene

from closemesh.body.loading import load_landmark_body
from closemesh.body.motion import pose_parameters
from closemesh.fitting.floor import Ground, ground_loss
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.objective import from_motion
from closemesh.fitting.optimizer import Weights


def gradient(scene: KnownScene, sunk: float) -> float:
    """Size of the force on one person's height, feet in the air as far as standing goes, at a depth in meters."""
    tracks = KeypointTracks.from_observations(scene.observations, scene.clip.times, scene.camera, "cpu")
    points = load_landmark_body(scene.body)
    parameters = from_motion(points, scene.motion, torch.device("cpu"))
    R, t = scene.camera.T_cam_world[0, :3, :3], scene.camera.T_cam_world[0, :3, 3]
    normal = torch.as_tensor(R[:, 1], dtype=torch.float32)
    raised = torch.cat([normal, -(normal @ torch.as_tensor(t, dtype=torch.float32))[None] - sunk])
    ground = Ground(raised, torch.zeros(len(scene.clip), 2, 2))
    depth = parameters.log_depth.detach().clone().requires_grad_()
    posed = pose_parameters(points, parameters.with_tensors(log_depth=depth))
    (force,) = torch.autograd.grad(ground_loss(posed, ground, tracks, Weights(floor=1.0)), depth)
    return float(force.abs().mean())


def test_feet_on_the_floor_are_left_alone(known_scene: KnownScene):
    assert gradient(known_scene, -0.05) == 0


def test_a_foot_far_below_pulls_hardly_harder_than_one_that_is_a_little_below(known_scene: KnownScene):
    """A wrong floor, or a carried person, must not pull two people apart."""
    little, far = gradient(known_scene, 0.06), gradient(known_scene, 0.6)
    assert little > 0
    assert far == pytest.approx(little, rel=0.6)
