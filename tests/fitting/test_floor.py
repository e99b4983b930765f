"""The fitted floor is the true one, and the world frame lies on it."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from closemesh.body.landmarks import sole_vertices
from closemesh.body.loading import load_bundled_body, load_landmark_body
from closemesh.body.motion import pose_parameters
from closemesh.fitting.floor import body_axis, fit_floor, floor_support, foot_contact, place_on_floor
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.objective import from_motion
from closemesh.geometry.transforms import invert_transform, transform_points
from closemesh.losses.physics import height_above


def _feet_on(plane: torch.Tensor, frames: int = 20) -> torch.Tensor:
    """Sole points [T, 2, 2, 6, 3] of two people's feet on a plane, a foot's height of 8 cm above included."""
    generator = torch.Generator().manual_seed(0)
    normal = plane[:3]
    side = F.normalize(torch.linalg.cross(normal, torch.tensor([0.0, 0.0, 1.0])), dim=0)
    ahead = torch.linalg.cross(side, normal)
    where = torch.randn(frames, 2, 2, 1, 2, generator=generator) * 0.5
    foot = torch.randn(frames, 2, 2, 6, 2, generator=generator) * 0.05
    height = torch.linspace(0, 0.08, 6)[:, None]
    origin = -plane[3] * normal + 4 * ahead
    flat = (where + foot)[..., :1] * side + (where + foot)[..., 1:] * ahead
    return origin + flat + height * normal


def test_finds_a_known_plane_in_spite_of_jumps():
    normal = F.normalize(torch.tensor([0.1, -0.95, -0.3]), dim=0)
    plane = torch.cat([normal, torch.tensor([1.5])])
    soles = _feet_on(plane)
    soles[:3] += 0.5 * normal  # Three frames in the air, at the turning point of a jump.
    standing = torch.ones(soles.shape[:3])
    found = fit_floor(soles, standing, F.normalize(normal + torch.tensor([0.05, 0.0, 0.05]), dim=0))
    assert torch.rad2deg(torch.acos((found[:3] * normal).sum().clamp(max=1))) < 2.0
    assert height_above(soles[3:], found).amin(-1).abs().max() < 0.05
    assert floor_support(soles, standing, found)


def test_random_feet_are_no_floor():
    soles = torch.randn(20, 2, 2, 6, 3, generator=torch.Generator().manual_seed(0))
    standing = torch.ones(20, 2, 2)
    found = fit_floor(soles, standing, torch.tensor([0.0, -1.0, 0.0]))
    assert not floor_support(soles, standing, found)
    assert not floor_support(soles, torch.zeros(20, 2, 2), found)


def test_the_world_has_its_floor_at_zero_and_the_camera_above(known_scene):
    scene = known_scene
    floor = torch.tensor([0.0, -0.96, -0.28, 1.4])
    points = torch.tensor([[0.2, 0.1, 4.0], [-0.3, 0.2, 3.5]])
    camera = place_on_floor(scene.camera, floor, points, found=True)
    T_world_cam = invert_transform(torch.as_tensor(camera.T_cam_world[0]))
    in_world = transform_points(T_world_cam, points.double())
    assert torch.allclose(in_world[:, 1].float(), height_above(points, floor), atol=1e-5)
    assert torch.allclose(in_world.mean(0)[[0, 2]], torch.zeros(2, dtype=torch.float64), atol=1e-5)
    R = T_world_cam[:3, :3]
    assert torch.allclose(R @ R.T, torch.eye(3, dtype=R.dtype), atol=1e-6) and torch.linalg.det(R) > 0
    eye = T_world_cam[:3, 3]
    assert eye[1] > 1 and eye[2] > 0 and abs(eye[0]) < 1e-5  # Above the floor, on the z side of the people.


def test_soles_lie_under_the_feet_of_their_side():
    body = load_bundled_body("light")
    soles = sole_vertices(body)
    assert (body.v_template[soles[0], 0] > 0).all() and (body.v_template[soles[1], 0] < 0).all()
    assert (body.v_template[soles, 1] < body.v_template[:, 1].min() + 0.02).all()


def test_the_known_scenes_axis_and_foot_contact(known_scene):
    scene = known_scene
    tracks = KeypointTracks.from_observations(scene.observations, scene.clip.times, scene.camera, "cpu")
    points = load_landmark_body(scene.body)
    posed = pose_parameters(points, from_motion(points, scene.motion, "cpu"))
    up = torch.as_tensor(scene.camera.T_cam_world[0, :3, 1], dtype=torch.float32)
    assert (body_axis(posed.joints, tracks.detected) * up).sum() > np.cos(0.1)
    standing = foot_contact(posed.soles, tracks)
    assert standing.min() > 0.95


def test_the_feet_of_a_carried_person_do_not_lift_the_floor():
    normal = torch.tensor([0.0, -1.0, 0.0])
    soles = _feet_on(torch.cat([normal, torch.tensor([1.5])]))
    soles[:, 1] += 0.8 * normal  # The second person's feet hang still in the air.
    found = fit_floor(soles, torch.ones(soles.shape[:3]), normal)
    assert height_above(soles[:, 0], found).amin(-1).abs().max() < 0.05
