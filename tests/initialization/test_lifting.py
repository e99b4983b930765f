"""The bundled lifter on a scene with known truth: near it, uncertain where it has to be, the same in any order."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from known_scenes import KnownScene

from closemesh.body.skeleton import JOINT_INDEX
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.initialization.lifted_smoothing import smooth_lifted
from closemesh.initialization.lifting import OVERLAP, WINDOW, lift_clip
from closemesh.initialization.lifting_network import Lifter, PoseDistribution, lift, load_lifter

LEGS = [11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22]  # Keypoints from the hips down.
KNEES = [JOINT_INDEX["left_knee"], JOINT_INDEX["right_knee"]]
SHOULDERS = [JOINT_INDEX["left_shoulder"], JOINT_INDEX["right_shoulder"]]


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    return load_lifter("cpu")


@pytest.fixture
def tracks(known_scene: KnownScene) -> KeypointTracks:
    scene = known_scene
    return KeypointTracks.from_observations(scene.observations, scene.clip.times, scene.camera, "cpu")


@pytest.fixture
def people(tracks: KeypointTracks) -> KeypointTracks:
    return tracks.body_keypoints().per_person()


def longer(tracks: KeypointTracks, frames: int) -> KeypointTracks:
    """The same people, forwards and backwards, for so many frames."""
    once = len(tracks.times)
    index = [min(k % (2 * once - 2), 2 * once - 2 - k % (2 * once - 2)) for k in range(frames)]
    step = tracks.times[1] - tracks.times[0]
    return replace(tracks.frames(index), times=torch.arange(frames) * step)


def test_depth_and_roots_are_near_the_truth(lifter: Lifter, people: KeypointTracks, known_scene: KnownScene):
    lifted, truth = lift(lifter, people), known_scene.motion
    depth = torch.as_tensor(truth.transl[..., 2]).T
    assert (lifted.log_depth.exp() - depth).abs().max() < 0.4
    cosine = (lifted.root.transpose(0, 1) * torch.as_tensor(truth.rotations[:, :, 0])).sum((-1, -2)) / 2 - 0.5
    assert cosine.clamp(-1, 1).acos().max() < 0.5


def test_other_people_in_the_batch_do_not_matter(lifter: Lifter, people: KeypointTracks):
    both = lift(lifter, people)
    alone = lift(lifter, people.map(lambda tensor: tensor[1:]))
    for f in fields(PoseDistribution):
        assert torch.allclose(getattr(alone, f.name), getattr(both, f.name)[1:], atol=1e-4), f.name


def test_the_frame_rate_matters_and_the_start_time_does_not(lifter: Lifter, people: KeypointTracks):
    later = lift(lifter, replace(people, times=people.times + 3600.0))
    slower = lift(lifter, replace(people, times=people.times * 4))
    now = lift(lifter, people)
    assert torch.allclose(later.body_pose, now.body_pose, atol=1e-2)
    assert not torch.allclose(slower.body_pose, now.body_pose, atol=1e-3)


def test_undetected_legs_are_more_uncertain(lifter: Lifter, people: KeypointTracks):
    assert people.points3d is not None
    inv_sigma, points3d = people.inv_sigma.clone(), people.points3d.clone()
    inv_sigma[:, :, LEGS], points3d[:, :, LEGS] = 0.0, 0.0
    without = lift(lifter, replace(people, inv_sigma=inv_sigma, points3d=points3d))
    full = lift(lifter, people)
    wider = without.rotation_std / full.rotation_std
    assert (wider[..., KNEES] > 1.1).all()
    assert wider[..., KNEES].mean() > 1.2 * wider[..., SHOULDERS].mean()


def test_a_person_who_is_never_detected_is_finite(lifter: Lifter, tracks: KeypointTracks):
    absent = torch.zeros_like(tracks.detected)
    lifted = lift_clip(lifter, replace(tracks, detected=absent, inv_sigma=torch.zeros_like(tracks.inv_sigma)))
    assert all(getattr(lifted, f.name).isfinite().all() for f in fields(PoseDistribution))


def test_a_short_clip_is_one_window(lifter: Lifter, tracks: KeypointTracks, people: KeypointTracks):
    whole, windowed = smooth_lifted(lift(lifter, people), people.times, people.detected), lift_clip(lifter, tracks)
    for f in fields(PoseDistribution):
        assert torch.allclose(getattr(whole, f.name), getattr(windowed, f.name), atol=1e-3), f.name


def test_windows_of_a_long_clip_meet_without_a_seam(lifter: Lifter, tracks: KeypointTracks):
    frames = 2 * WINDOW - OVERLAP + 20
    lifted = lift_clip(lifter, longer(tracks, frames))
    turns = lifted.body_pose.diff(dim=1).flatten(2).norm(dim=-1)  # [P, T - 1]
    depths = lifted.log_depth.diff(dim=1).abs()
    borders = [WINDOW - OVERLAP, WINDOW, 2 * (WINDOW - OVERLAP), 2 * WINDOW - OVERLAP]
    for steps in (turns, depths):
        inside = torch.ones(frames - 1, dtype=torch.bool)
        for border in borders:
            inside[border - 2 : border + 2] = False
        assert (steps[:, ~inside].amax(1) <= 1.5 * steps[:, inside].amax(1) + 1e-3).all()
