"""The view of each person: what the lifter is told does not depend on the lens, or on what was not seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from closemesh.fitting.keypoint_tracks import make_evidence
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.initialization.lifting import sightings
from closemesh.initialization.lifting_network import Sightings, fit_view, from_view, lifter_features, to_view


@pytest.fixture
def seen(known_scene) -> Sightings:
    scene = known_scene
    evidence = make_evidence(scene.observations, scene.clip.times, scene.camera, "cpu")
    return sightings(evidence, torch.as_tensor(scene.observations.keypoints3d))


def told(seen: Sightings) -> torch.Tensor:
    return lifter_features(seen, fit_view(seen))


def test_there_and_back_to_a_hundredth_of_a_millimetre(seen: Sightings):
    generator = torch.Generator().manual_seed(0)
    people, frames = seen.visible.shape
    R = axis_angle_to_matrix(torch.randn(people, frames, 3, generator=generator))
    pelvis = torch.randn(people, frames, 3, generator=generator) * 0.3 + torch.tensor([0.5, -0.2, 4.0])
    view = fit_view(seen)
    root, ray, log_depth = from_view(view, *to_view(view, R, pelvis))
    back = torch.cat([ray, torch.ones_like(ray[..., :1])], -1) * log_depth.exp()[..., None]
    assert (back - pelvis).abs().max() < 1e-5
    assert (root - R).abs().max() < 1e-5


def test_a_longer_lens_with_a_picture_as_much_larger_tells_the_same(seen: Sightings):
    wider = replace(
        seen,
        points=2 * seen.points,
        inverse_sigmas=seen.inverse_sigmas / 2,
        focal=2 * seen.focal,
        centre=2 * seen.centre,
    )
    assert torch.allclose(told(wider), told(seen), atol=1e-5)


def test_where_an_unseen_keypoint_is_said_to_be_does_not_matter(seen: Sightings):
    unseen = torch.zeros_like(seen.inverse_sigmas, dtype=torch.bool)
    unseen[:, :, [9, 15]] = True
    hidden = replace(seen, inverse_sigmas=torch.where(unseen, 0.0, seen.inverse_sigmas))
    elsewhere = replace(hidden, points=torch.where(unseen[..., None], 1e4, hidden.points))
    assert torch.equal(told(elsewhere), told(hidden))


def test_frames_without_the_person_are_looked_at_as_the_one_before(seen: Sightings):
    visible = seen.visible.clone()
    visible[0, :2] = visible[0, 5:7] = False
    gone = replace(seen, visible=visible)
    view, full = fit_view(gone), fit_view(seen)
    assert torch.equal(view.R_view_cam[0, 5:7], full.R_view_cam[0, 4:5].expand(2, -1, -1))
    assert torch.equal(view.size[0, :2], full.size[0, 2:3].expand(2))
    assert torch.equal(view.R_view_cam[1], full.R_view_cam[1])
    assert (lifter_features(gone, view)[0, 5, :-4] == 0).all()
