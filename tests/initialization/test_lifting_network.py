"""The normalized view of each person: inputs of the lifter do not depend on the lens, or on undetected keypoints."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from known_scenes import KnownScene

from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.initialization.lifting_network import fit_view, from_view, lifter_features, to_view


@pytest.fixture
def tracks(known_scene: KnownScene) -> KeypointTracks:
    scene = known_scene
    tracks = KeypointTracks.from_observations(scene.observations, scene.clip.times, scene.camera, "cpu")
    return tracks.body_keypoints().per_person()


def features(tracks: KeypointTracks) -> torch.Tensor:
    return lifter_features(tracks, fit_view(tracks))


def test_to_view_and_back_to_a_hundredth_of_a_millimeter(tracks: KeypointTracks):
    generator = torch.Generator().manual_seed(0)
    people, frames = tracks.detected.shape
    R = axis_angle_to_matrix(torch.randn(people, frames, 3, generator=generator))
    pelvis = torch.randn(people, frames, 3, generator=generator) * 0.3 + torch.tensor([0.5, -0.2, 4.0])
    view = fit_view(tracks)
    root, ray, log_depth = from_view(view, *to_view(view, R, pelvis))
    back = torch.cat([ray, torch.ones_like(ray[..., :1])], -1) * log_depth.exp()[..., None]
    assert (back - pelvis).abs().max() < 1e-5
    assert (root - R).abs().max() < 1e-5


def test_a_longer_lens_with_an_equally_larger_image_gives_the_same(tracks: KeypointTracks):
    wider = replace(
        tracks,
        points2d=2 * tracks.points2d,
        inv_sigma=tracks.inv_sigma / 2,
        focal=2 * tracks.focal,
        principal_point=2 * tracks.principal_point,
    )
    assert torch.allclose(features(wider), features(tracks), atol=1e-5)


def test_the_position_of_an_undetected_keypoint_does_not_matter(tracks: KeypointTracks):
    undetected = torch.zeros_like(tracks.inv_sigma, dtype=torch.bool)
    undetected[:, :, [9, 15]] = True
    hidden = replace(tracks, inv_sigma=torch.where(undetected, 0.0, tracks.inv_sigma))
    elsewhere = replace(hidden, points2d=torch.where(undetected[..., None], 1e4, hidden.points2d))
    assert torch.equal(features(elsewhere), features(hidden))


def test_frames_without_the_person_take_the_view_of_the_one_before(tracks: KeypointTracks):
    detected = tracks.detected.clone()
    detected[0, :2] = detected[0, 5:7] = False
    missing = replace(tracks, detected=detected)
    view, full = fit_view(missing), fit_view(tracks)
    assert torch.equal(view.R_view_cam[0, 5:7], full.R_view_cam[0, 4:5].expand(2, -1, -1))
    assert torch.equal(view.size[0, :2], full.size[0, 2:3].expand(2))
    assert torch.equal(view.R_view_cam[1], full.R_view_cam[1])
    assert (lifter_features(missing, view)[0, 5, :-4] == 0).all()
