"""The smoothed prediction: certain frames stay, uncertain and hidden ones follow those around them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.initialization.lifted_smoothing import VelocityPrior, path_precision, smooth_lifted
from closemesh.initialization.lifting_network import PoseDistribution

FRAMES = 60
TIMES = torch.arange(FRAMES)[None] / 30
DETECTED = torch.ones(1, FRAMES, dtype=torch.bool)


def still_person(rotation_std: float = 0.05, place_std: float = 0.05) -> PoseDistribution:
    """One person who does not move, 4 m away."""
    identity = torch.eye(3).expand(1, FRAMES, 22, 3, 3)
    return PoseDistribution(
        root=identity[:, :, 0],
        body_pose=identity[:, :, 1:],
        ray=torch.zeros(1, FRAMES, 2),
        log_depth=torch.full((1, FRAMES), 4.0).log(),
        betas=torch.zeros(1, 10),
        rotation_std=torch.full((1, FRAMES, 22), rotation_std),
        place_std=torch.full((1, FRAMES, 3), place_std),
        betas_std=torch.ones(1, 10),
    )


def test_the_precision_is_that_of_an_ornstein_uhlenbeck_velocity() -> None:
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 1, 9))
    prior = VelocityPrior(0.5, 0.3)
    velocity = np.diff(np.eye(9), axis=0) / np.diff(times)[:, None]
    keep = np.exp(-np.diff(times)[1:] / prior.memory)[:, None]
    rows = np.concatenate([velocity[:1], (velocity[1:] - keep * velocity[:-1]) / np.sqrt(1 - keep**2)]) / prior.std
    dense = rows.T @ rows
    bands = path_precision(times, prior)
    for k in range(3):
        assert np.allclose(bands[k, : 9 - k], np.diag(dense, -k), rtol=1e-9)
    assert np.allclose(np.tril(dense, -3), 0)


def test_a_still_person_stays() -> None:
    person = still_person()
    smooth = smooth_lifted(person, TIMES, DETECTED)
    assert torch.allclose(smooth.log_depth, person.log_depth, atol=1e-5)
    assert torch.allclose(smooth.body_pose, person.body_pose, atol=1e-5)
    assert smooth.place_std is person.place_std


def test_a_steady_walk_keeps_its_speed() -> None:
    depth = 6 - TIMES  # 1 m/s towards the camera.
    smooth = smooth_lifted(replace(still_person(), log_depth=depth.log()), TIMES, DETECTED)
    assert (smooth.log_depth.exp() - depth).abs().max() < 0.15


def test_an_isolated_limb_does_not_move_the_person_away() -> None:
    """In a real bed scene the depth of a hand alone was 12 m, with a std of as much."""
    person = still_person()
    detected, depth, std = DETECTED.clone(), person.log_depth.clone(), person.place_std.clone()
    detected[:, 15:45] = False
    detected[:, 30] = True
    depth[:, 15:45] = np.log(12.0)
    std[:, 15:45] = 1.0
    smooth = smooth_lifted(replace(person, log_depth=depth, place_std=std), TIMES, detected)
    assert (smooth.log_depth.exp() - 4).abs().max() < 0.5


def test_noise_is_removed_and_a_blow_stays() -> None:
    generator = torch.Generator().manual_seed(0)
    angle = 1.5 * torch.sigmoid((TIMES - 1) / 0.04)[..., None]  # An elbow stretched within a tenth of a second.
    axis = torch.tensor([0.0, 0.0, 1.0])
    true = axis_angle_to_matrix(angle * axis)
    noisy = axis_angle_to_matrix((angle + 0.05 * torch.randn(1, FRAMES, 1, generator=generator)) * axis)
    person = still_person()
    pose = person.body_pose.clone()
    pose[:, :, 17] = noisy
    smooth = smooth_lifted(replace(person, body_pose=pose), TIMES, DETECTED).body_pose[:, :, 17]
    assert (smooth - true).square().mean() < 0.6 * (noisy - true).square().mean()
    assert (smooth[:, 36:] - true[:, 36:]).abs().max() < 0.15


@pytest.mark.parametrize("frames", [1, 2])
def test_too_short_clips_stay(frames: int) -> None:
    person = still_person()
    short = replace(
        person,
        **{name: value[:, :frames] for name, value in vars(person).items() if not name.startswith("betas")},
    )
    smooth = smooth_lifted(short, TIMES[:, :frames], DETECTED[:, :frames])
    assert torch.allclose(smooth.log_depth, short.log_depth)
