"""Estimated standard deviations of imported poses, and their fusion with those of the lifter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from known_scenes import KnownScene

from closemesh.body.loading import load_landmark_body
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.importers.fusion import fuse_poses
from closemesh.importers.uncertainty import (
    ROTATION_LIMITS,
    Gaussian,
    compare_limbs,
    fuse,
    fuse_rotations,
    overconfidence,
    rotation_differences,
    rotation_std,
    unseen_joints,
)
from closemesh.initialization.lifting import lifted_parameters
from closemesh.initialization.lifting_network import PoseDistribution

T, P, J = 90, 2, 22
TIMES = np.arange(T) / 30
OWN_STD = 0.1
SEEN = np.zeros((T, P, J), bool)
VALID = np.ones((T, P), bool)


def turned(rotations: np.ndarray, std: float | np.ndarray, seed: int) -> np.ndarray:
    noise = std * np.random.default_rng(seed).standard_normal((*rotations.shape[:-2], 3))
    return rotations @ axis_angle_to_matrix(torch.as_tensor(noise)).numpy()


TRUE = turned(np.tile(np.eye(3), (1, P, J, 1, 1)), 1.0, 0).repeat(T, axis=0)
OWN = Gaussian(turned(TRUE, OWN_STD, 1), np.full((T, P, J), OWN_STD))


@pytest.mark.parametrize("std", [0.06, 0.2, 0.5])
def test_known_noise_is_found(std: float) -> None:
    found = rotation_std(turned(TRUE, std, 2), OWN, VALID, SEEN, TIMES)
    assert found.shape == (T, P, J)
    ratio = np.median(found, axis=0) / std
    assert ((ratio > 1 / 1.5) & (ratio < 1.5)).all()


def test_each_joint_has_its_own() -> None:
    std = np.where(np.arange(J) % 2, 0.4, 0.08)[:, None]
    found = np.median(rotation_std(turned(TRUE, std, 2), OWN, VALID, SEEN, TIMES), axis=(0, 1))
    assert found[1::2].min() > 3 * found[::2].max()


def test_poses_that_match_exactly_get_the_smallest() -> None:
    exact = replace(OWN, mean=TRUE, std=np.full((T, P, J), 0.02))
    np.testing.assert_allclose(rotation_std(TRUE, exact, VALID, SEEN, TIMES), ROTATION_LIMITS[0], rtol=0.05)


def test_an_outlier_frame_is_wide_and_alone() -> None:
    imported = turned(TRUE, 0.06, 2)
    imported[40, 0] = turned(imported[40, 0], 1.0, 3)
    found = rotation_std(imported, OWN, VALID, SEEN, TIMES)
    assert np.median(found[40, 0]) > 5 * np.median(found[20, 0])
    assert np.median(found[40, 1]) < 2 * np.median(found[20, 1])


def test_a_jump_in_time_is_wide_where_the_lifter_says_little() -> None:
    vague = replace(OWN, std=np.full((T, P, J), 1.0))
    imported = TRUE.copy()
    imported[40, 0, 5] = turned(imported[40, 0, 5], 0.5, 3)
    found = rotation_std(imported, vague, VALID, SEEN, TIMES)
    assert found[40, 0, 5] > found[20, 0, 5] + 0.05 and found[40, 1, 5] == found[20, 1, 5]


def test_unseen_joints_are_wider() -> None:
    unseen = SEEN.copy()
    unseen[60:, :, 4] = True
    found = rotation_std(turned(TRUE, 0.1, 2), OWN, VALID, unseen, TIMES)
    assert np.median(found[60:, :, 4]) > 1.3 * np.median(found[:60, :, 4])


def test_keypoints_show_which_joints_are_unseen_and_which_limbs_are_turned(known_scene: KnownScene) -> None:
    observations = known_scene.observations
    keypoints = observations.keypoints.copy()
    keypoints[3, 0, 9, 2] = 0.1  # The left wrist.
    unseen = unseen_joints(replace(observations, keypoints=keypoints))
    assert unseen[3, 0, [18, 20]].all() and unseen.sum() == 2
    pixels = observations.keypoints[:, :, :23, :2].astype(np.float64)
    assert compare_limbs(pixels, observations).squared.max() < 1e-9
    elbow, wrist = pixels[:, :, 7], pixels[:, :, 9]
    pixels[:, :, 9] = elbow + (wrist - elbow) @ np.array([[0.0, 1.0], [-1.0, 0.0]])
    limbs = compare_limbs(pixels, observations)
    np.testing.assert_allclose(limbs.squared[..., 18], (np.pi / 2) ** 2, rtol=1e-6)
    assert not limbs.squared[..., 19].any()


def test_fusion_is_nearer_to_the_one_that_is_known_better() -> None:
    imported = Gaussian(turned(TRUE, 0.05, 2), np.full((T, P, J), 0.05))
    fused = fuse_rotations(imported, OWN)
    theirs, mine, both = (np.square(rotation_differences(x.mean, TRUE)).mean() ** 0.5 for x in (imported, OWN, fused))
    assert both < theirs < mine
    np.testing.assert_allclose(both, fused.std.mean(), rtol=0.1)
    number = fuse(Gaussian(np.array(1.0), np.array(1.0)), Gaussian(np.array(2.0), np.array(1.0)))
    np.testing.assert_allclose([number.mean, number.std], [1.5, 0.5**0.5])


def lifted_distribution() -> PoseDistribution:
    rotations = torch.as_tensor(OWN.mean, dtype=torch.float32).transpose(0, 1)
    ones = torch.ones(P, T)
    return PoseDistribution(
        root=rotations[:, :, 0],
        body_pose=rotations[:, :, 1:],
        ray=torch.zeros(P, T, 2),
        log_depth=ones,
        betas=torch.zeros(P, 10),
        rotation_std=OWN_STD * torch.ones(P, T, J),
        place_std=0.05 * torch.ones(P, T, 3),
        betas_std=0.7 * torch.ones(P, 10),
    )


def test_people_without_an_imported_pose_keep_their_own(known_scene: KnownScene) -> None:
    lifted = lifted_distribution()
    own = lifted_parameters(load_landmark_body(known_scene.body), lifted)
    imported = own.with_tensors(log_depth=own.log_depth + 0.1)
    valid = VALID.copy()
    valid[:, 1] = False
    fused = fuse_poses(imported, lifted, valid, SEEN, TIMES)
    np.testing.assert_allclose(fused.uncertainty.rotation_std[:, 1], OWN_STD, rtol=1e-5)
    np.testing.assert_allclose(fused.parameters.rotations()[:, 1, :22], own.rotations()[:, 1, :22], atol=1e-5)
    np.testing.assert_allclose(fused.parameters.log_depth[:, 1], 1.0, rtol=1e-6)
    assert (fused.uncertainty.rotation_std[:, 0] < OWN_STD).all()
    assert ((fused.parameters.log_depth[:, 0] > 1.0) & (fused.parameters.log_depth[:, 0] < 1.1)).all()


def test_people_of_one_world_keep_their_distance_in_depth(known_scene: KnownScene) -> None:
    own = lifted_parameters(load_landmark_body(known_scene.body), lifted_distribution())
    apart = torch.tensor([0.3, 0.1])
    imported = own.with_tensors(log_depth=own.log_depth + apart)
    fused = fuse_poses(imported, lifted_distribution(), VALID, SEEN, TIMES, one_world=True).parameters
    before, after = imported.log_depth.exp(), fused.log_depth.exp()
    np.testing.assert_allclose(after[:, 0] - after[:, 1], before[:, 0] - before[:, 1], atol=1e-5)
    assert (after < before).all()


def test_limbs_off_the_keypoints_widen_an_estimate(known_scene: KnownScene) -> None:
    pixels = known_scene.observations.keypoints[:, :, :23, :2].astype(np.float64)
    limbs = compare_limbs(pixels, known_scene.observations)
    assert (overconfidence(limbs) == 1).all()
    beyond = replace(limbs, squared=9 * limbs.std**2)
    np.testing.assert_allclose(overconfidence(beyond), 3 / 0.455**0.5, rtol=1e-6)
    assert (overconfidence(replace(beyond, counted=np.zeros_like(limbs.counted))) == 1).all()
