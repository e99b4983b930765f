"""People are present between detections that are close in time; the axes of tracks move as documented."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from known_scenes import KnownScene

from closemesh.fitting.keypoint_tracks import MAX_MISSING_SECONDS, KeypointTracks, border_planes, present_frames
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
