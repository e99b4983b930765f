"""The bundled lifter on a scene whose truth is known: near it, sure where it may be, the same in any order."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from closemesh.body.skeleton import JOINT_INDEX
from closemesh.fitting.keypoint_tracks import make_evidence
from closemesh.initialization.lifting import OVERLAP, WINDOW, lift_clip, sightings
from closemesh.initialization.lifting_network import Lifter, PoseDistribution, Sightings, lift, load_lifter

LEGS = [11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22]  # Keypoints from the hips down.
KNEES = [JOINT_INDEX["left_knee"], JOINT_INDEX["right_knee"]]
SHOULDERS = [JOINT_INDEX["left_shoulder"], JOINT_INDEX["right_shoulder"]]


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    return load_lifter("cpu")


@pytest.fixture
def seen(known_scene) -> Sightings:
    scene = known_scene
    evidence = make_evidence(scene.observations, scene.clip.times, scene.camera, "cpu")
    return sightings(evidence, torch.as_tensor(scene.observations.keypoints3d))


def longer(seen: Sightings, frames: int) -> Sightings:
    """The same people, to and fro, for so many frames."""
    once = seen.visible.shape[1]
    index = [min(k % (2 * once - 2), 2 * once - 2 - k % (2 * once - 2)) for k in range(frames)]
    step = seen.times[0, 1] - seen.times[0, 0]
    played = seen.frames(torch.tensor(index))  # type: ignore[arg-type]
    return replace(played, times=(torch.arange(frames) * step).expand(len(seen.times), -1))


def test_depth_and_roots_are_near_the_truth(lifter: Lifter, seen: Sightings, known_scene):
    told, truth = lift(lifter, seen), known_scene.motion
    depth = torch.as_tensor(truth.transl[..., 2]).T
    assert (told.log_depth.exp() - depth).abs().max() < 0.4
    cosine = (told.root.transpose(0, 1) * torch.as_tensor(truth.rotations[:, :, 0])).sum((-1, -2)) / 2 - 0.5
    assert cosine.clamp(-1, 1).acos().max() < 0.5


def test_who_else_is_in_the_batch_does_not_matter(lifter: Lifter, seen: Sightings):
    both = lift(lifter, seen)
    alone = lift(lifter, Sightings(**{f.name: getattr(seen, f.name)[1:] for f in fields(Sightings)}))
    for f in fields(PoseDistribution):
        assert torch.allclose(getattr(alone, f.name), getattr(both, f.name)[1:], atol=1e-4), f.name


def test_it_matters_when_frames_were_seen_but_not_on_what_day(lifter: Lifter, seen: Sightings):
    later = lift(lifter, replace(seen, times=seen.times + 3600.0))
    slower = lift(lifter, replace(seen, times=seen.times * 4))
    now = lift(lifter, seen)
    assert torch.allclose(later.body_pose, now.body_pose, atol=1e-2)
    assert not torch.allclose(slower.body_pose, now.body_pose, atol=1e-3)


def test_legs_that_are_not_seen_are_told_less_surely(lifter: Lifter, seen: Sightings):
    points, cue = seen.inverse_sigmas.clone(), seen.cue_points.clone()
    points[:, :, LEGS], cue[:, :, LEGS] = 0.0, 0.0
    blind = lift(lifter, replace(seen, inverse_sigmas=points, cue_points=cue))
    full = lift(lifter, seen)
    wider = blind.rotation_spread / full.rotation_spread
    assert (wider[..., KNEES] > 1.1).all()
    assert wider[..., KNEES].mean() > 1.2 * wider[..., SHOULDERS].mean()


def test_it_bears_a_person_who_is_never_seen(lifter: Lifter, seen: Sightings):
    gone = replace(seen, visible=torch.zeros_like(seen.visible), inverse_sigmas=torch.zeros_like(seen.inverse_sigmas))
    told = lift_clip(lifter, gone)
    assert all(getattr(told, f.name).isfinite().all() for f in fields(PoseDistribution))


def test_a_short_clip_is_one_window(lifter: Lifter, seen: Sightings):
    whole, windowed = lift(lifter, seen), lift_clip(lifter, seen)
    for f in fields(PoseDistribution):
        assert torch.allclose(getattr(whole, f.name), getattr(windowed, f.name), atol=1e-3), f.name


def test_windows_of_a_long_clip_meet_without_a_seam(lifter: Lifter, seen: Sightings):
    frames = 2 * WINDOW - OVERLAP + 20
    told = lift_clip(lifter, longer(seen, frames))
    turns = told.body_pose.diff(dim=1).flatten(2).norm(dim=-1)  # [P, T - 1]
    away = told.log_depth.diff(dim=1).abs()
    borders = [WINDOW - OVERLAP, WINDOW, 2 * (WINDOW - OVERLAP), 2 * WINDOW - OVERLAP]
    for steps in (turns, away):
        inside = torch.ones(frames - 1, dtype=torch.bool)
        for border in borders:
            inside[border - 2 : border + 2] = False
        assert (steps[:, ~inside].amax(1) <= 1.5 * steps[:, inside].amax(1) + 1e-3).all()
