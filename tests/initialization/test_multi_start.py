"""Start poses and the choice between them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from closemesh.body.loading import load_landmark_body
from closemesh.body.motion import pose_parameters
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.initialization.multi_start import (
    best_start_path,
    initial_parameters,
    known_directions,
    shortest_arc_rotation,
)


def test_the_shortest_arc_takes_one_direction_to_the_other():
    generator = torch.Generator().manual_seed(0)
    a, b = (F.normalize(torch.randn(50, 3, generator=generator), dim=-1) for _ in range(2))
    R = shortest_arc_rotation(a, b)
    assert torch.allclose((R @ a[..., None])[..., 0], b, atol=1e-4)
    assert torch.allclose(torch.linalg.det(R), torch.ones(50), atol=1e-4)


def test_3d_keypoints_alone_give_limbs_within_centimeters(known_scene):
    scene = known_scene
    tracks = KeypointTracks.from_observations(scene.observations, scene.clip.times, scene.camera, "cpu")
    points = load_landmark_body(scene.body)
    start = initial_parameters(points, tracks, torch.zeros(2, 10))[0]
    posed = pose_parameters(points, start)
    points3d = torch.as_tensor(scene.observations.keypoints3d[..., 5:17, :3])
    found = posed.keypoints[..., 5:17, :] - posed.keypoints[..., 11:13, :].mean(-2, keepdim=True)
    assert (found - points3d).norm(dim=-1).mean() < 0.05
    truth = torch.as_tensor(scene.motion.transl[..., 2])
    assert (start.log_depth.exp() - truth).abs().max() < 0.25


def test_without_3d_keypoints_directions_come_from_the_image(known_scene):
    observations = known_scene.observations
    blind = observations.keypoints3d.copy()
    blind[..., 3] = 0
    changed = type(observations)(**{**observations.__dict__, "keypoints3d": blind})
    tracks = KeypointTracks.from_observations(changed, known_scene.clip.times, known_scene.camera, "cpu")
    directions = known_directions(tracks)
    assert (directions[..., 2] == 0).all()
    assert torch.allclose(directions.norm(dim=-1), torch.ones(directions.shape[:-1]), atol=1e-5)
    assert (directions[:, :, 2, 1] < -0.9).all()  # Trunks run up the image.


def test_the_path_does_not_follow_one_frame_that_flips():
    frames, joints = 9, 22
    poses = np.zeros((frames, 2, joints, 3))
    poses[:, 1] += 1.0  # The second start is another pose altogether.
    energies = np.zeros((frames, 2))
    energies[:, 1] = 5.0
    energies[4] = [8.0, 0.0]  # In one frame the second start is better.
    assert best_start_path(energies, poses).tolist() == [0] * frames


def test_the_path_follows_a_lasting_change():
    poses = np.zeros((10, 2, 22, 3))
    poses[:, 1] += 1.0
    energies = np.zeros((10, 2))
    energies[5:, 0] = energies[:5, 1] = 100.0
    assert best_start_path(energies, poses).tolist() == [0] * 5 + [1] * 5
