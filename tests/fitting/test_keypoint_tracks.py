"""People are present between detections that are close in time; the axes of tracks move as documented."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from known_scenes import KnownScene

from closemesh.body.loading import load_landmark_body
from closemesh.body.motion import pose_parameters
from closemesh.fitting.keypoint_tracks import (
    MAX_MISSING_SECONDS,
    KeypointTracks,
    border_planes,
    keypoints3d_in_camera,
    present_frames,
)
from closemesh.fitting.objective import from_motion, image_loss
from closemesh.fitting.optimizer import Weights
from closemesh.losses.keypoints import inside_border


def tracks_of(scene: KnownScene) -> KeypointTracks:
    return KeypointTracks.from_observations(scene.observations, scene.clip.times, scene.camera, "cpu")


def test_only_short_gaps_count_as_present():
    times = np.arange(12) * 0.2
    detected = np.zeros((12, 1), bool)
    detected[[0, 3, 11]] = True
    present = present_frames(detected, np.zeros((12, 1, 4)), times)[:, 0]
    assert 3 * 0.2 <= MAX_MISSING_SECONDS < 8 * 0.2
    assert present.tolist() == [True] * 4 + [False] * 7 + [True]


def test_a_person_occluded_by_another_one_stays_present():
    times = np.arange(12) * 0.2
    detected = np.ones((12, 2), bool)
    detected[4:11, 0] = False
    beside = np.tile([[0.0, 0, 10, 20], [100, 0, 110, 20]], (12, 1, 1))
    behind = np.tile([[0.0, 0, 10, 20], [3, 0, 13, 20]], (12, 1, 1))
    assert not present_frames(detected, beside, times)[4:11, 0].any()
    assert present_frames(detected, behind, times)[:, 0].all()


@pytest.mark.parametrize(("seconds", "left", "present"), [(1.8, 9.0, True), (2.2, 9.0, False), (1.8, 11.0, False)])
def test_a_person_hidden_beside_another_one_stays_present_for_a_while(seconds: float, left: float, present: bool):
    times = np.array([0.0, 0.5 * seconds, seconds])
    detected = np.array([[True, True], [False, True], [True, True]])
    boxes = np.tile([[0.0, 0, 10, 20], [left, 0, left + 10, 20]], (3, 1, 1))
    assert present_frames(detected, boxes, times)[1, 0] == present


def test_sequences_per_person_are_views_of_the_tracks(known_scene: KnownScene):
    tracks = tracks_of(known_scene).body_keypoints()
    people = tracks.per_person()
    frames, count = tracks.detected.shape
    assert people.points2d.shape == (count, frames, 23, 2)
    assert people.times.shape == (count, frames) and people.focal.shape == (count,)
    assert people.points2d.data_ptr() == tracks.points2d.data_ptr()
    assert torch.equal(people.inv_sigma[1], tracks.inv_sigma[:, 1])
    assert people.frames(slice(2, 5)).points2d.shape == (count, 3, 23, 2)


def test_windows_fold_into_the_people_of_one_clip(known_scene: KnownScene):
    tracks = tracks_of(known_scene)
    windows = tracks.windows(torch.tensor([[0, 1, 2], [5, 6, 7], [3, 3, 3]]))
    assert windows.points2d.shape == (3, 3, 2, 133, 2) and windows.principal_point.shape == (3, 2)
    folded = windows.fold_batch()
    assert folded.points2d.shape == (3, 6, 133, 2) and folded.times.shape == (3,)
    assert torch.equal(folded.points2d[1, 3], tracks.points2d[6, 1])  # Window 1, frame 1, person 1.
    assert torch.equal(folded.limb_directions[2, 4], tracks.limb_directions[3, 0])


def test_people_and_frames_of_tracks(known_scene: KnownScene):
    tracks = tracks_of(known_scene)
    part = tracks.people([1]).frames(slice(3, 6))
    assert part.points2d.shape == (3, 1, 133, 2) and part.times.shape == (3,)
    assert torch.equal(part.points3d[:, 0], tracks.points3d[3:6, 1])


def test_joints_outside_the_image_cost_only_where_they_project_into_it(known_scene: KnownScene):
    height = known_scene.camera.size[1]
    observations = known_scene.observations
    keypoints, sigmas = observations.keypoints.copy(), observations.sigmas.copy()
    outside = np.zeros((*observations.detected.shape, 23), bool)
    knee, ankle, wrist = 13, 15, 9
    keypoints[0, 0, [knee, ankle, wrist], :2] = [[100, height + 30], [90, height - 2], [-40, 50]]
    outside[0, 0, [knee, ankle, wrist]] = True
    sigmas[0, 0, :23] = 5
    cut = replace(observations, keypoints=keypoints, sigmas=sigmas, outside=outside)
    planes = border_planes(cut, known_scene.camera.size)
    assert (planes.abs().sum(-1) > 0).sum() == 3
    projected = torch.zeros(23, 2)
    projected[knee], projected[ankle] = torch.tensor([7.0, height - 10.0]), torch.tensor([300.0, height + 80.0])
    projected[wrist] = torch.tensor([5.0, 300.0])
    inside = (projected * planes[0, 0, :, :2]).sum(-1) + planes[0, 0, :, 2]
    torch.testing.assert_close(inside[[knee, ankle, wrist]], torch.tensor([2.0, -16.0, 1.0]))
    loss = inside_border(projected, planes[0, 0])
    assert loss[ankle] == 0 and loss[knee] > loss[wrist] > 0 and (loss > 0).sum() == 2
    assert (
        KeypointTracks.from_observations(observations, known_scene.clip.times, known_scene.camera, "cpu").border is None
    )


def test_normalized_tracks_have_the_same_residuals(known_scene):
    """Reprojection and border losses do not depend on the units of the image."""
    scene = known_scene
    outside = np.zeros((*scene.observations.detected.shape, 23), bool)
    outside[:, :, 15] = True
    observations = replace(scene.observations, outside=outside)
    camera = replace(scene.camera, principal_point=(300.0, 200.0))
    tracks = KeypointTracks.from_observations(observations, scene.clip.times, camera, "cpu")
    normalized = tracks.normalized()
    body = load_landmark_body(scene.body)
    posed = pose_parameters(body, from_motion(body, scene.motion, "cpu"))
    in_pixels, in_tangents = (image_loss(posed, one, Weights(limbs=0.0)) for one in (tracks, normalized))
    assert in_pixels.max() > 1
    torch.testing.assert_close(in_pixels, in_tangents, rtol=1e-3, atol=1e-3)


def test_3d_keypoints_follow_the_viewing_rays_of_the_camera(known_scene):
    camera = known_scene.camera
    usual = replace(known_scene.observations, keypoints3d_focal=2 * camera.focal)
    turned = keypoints3d_in_camera(usual, camera)
    back = keypoints3d_in_camera(
        replace(usual, keypoints3d=turned, keypoints3d_focal=camera.focal), replace(camera, focal=2 * camera.focal)
    )
    assert np.abs(turned - usual.keypoints3d).max() > 0.01
    np.testing.assert_allclose(back, usual.keypoints3d, atol=1e-6)
    np.testing.assert_array_equal(keypoints3d_in_camera(known_scene.observations, camera), usual.keypoints3d)
    center = (usual.boxes[..., :2] + usual.boxes[..., 2:]) / 2
    on_axis = np.zeros_like(usual.keypoints3d)
    on_axis[..., 2:] = 1.0  # A point straight ahead of the crop lies on the viewing ray of either camera.
    rays = keypoints3d_in_camera(replace(usual, keypoints3d=on_axis, keypoints3d_focal=1e9), camera)[:, :, 0, :3]
    np.testing.assert_allclose(rays[..., :2] / rays[..., 2:] * camera.focal + (320, 240), center, atol=1e-3)
