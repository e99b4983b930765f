"""Shapes fitted to skeletons: lengths of bones come back, missing lengths leave the mean shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from closemesh.body.loading import load_bundled_body
from closemesh.body.model import BodyModel
from closemesh.body.skinning import posed_joints, rest_joints
from closemesh.core.errors import InputError
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.motion_files.sequence import SPANS, MotionSequence, fit_betas, span_lengths

LIMBS = slice(0, 8)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_bundled_body("light")


def skeleton(body: BodyModel, betas: np.ndarray, frames: int = 9) -> MotionSequence:
    """People of these shapes who move, with the skeleton at rest."""
    people = len(betas)
    pose = 0.3 * np.random.default_rng(0).normal(size=(frames, people, 55, 3))
    rotations = axis_angle_to_matrix(torch.as_tensor(pose)).float()
    shapes = torch.as_tensor(betas, dtype=torch.float32)
    joints = posed_joints(body, shapes, rotations, torch.zeros(frames, people, 3)).numpy()
    rest = rest_joints(body, shapes)[:, :22].numpy()
    return MotionSequence(
        name="made up",
        fps=30,
        rotations=rotations.numpy(),
        pelvis=joints[:, :, 0],
        valid=np.ones((frames, people), bool),
        joint_valid=np.ones((people, 55), bool),
        rest_joints=rest - rest[:, :1],
        joints=joints[:, :, :22],
    )


def fitted_lengths(body: BodyModel, betas: np.ndarray) -> np.ndarray:
    return span_lengths(skeleton(body, betas))


def test_bones_come_back_from_the_skeleton_and_from_moving_joints(body: BodyModel) -> None:
    betas = 2 * np.random.default_rng(1).normal(size=(3, 10))
    known = skeleton(body, betas)
    truth, mean = fitted_lengths(body, betas), fitted_lengths(body, np.zeros((3, 10)))
    assert np.abs(truth - mean)[:, LIMBS].max() > 0.02  # The shapes are no near misses.
    for sequence in (known, replace(known, rest_joints=None)):
        fitted = fit_betas(sequence, body)
        assert fitted.shape == (3, 10) and fitted.dtype == np.float32
        assert np.abs(fitted_lengths(body, fitted) - truth)[:, LIMBS].max() < 0.008
        # Without a skeleton, raised shoulders and bent trunks lower the precision a little.
        assert np.linalg.norm(fitted) < 1.2 * np.linalg.norm(betas)


def test_the_mean_skeleton_has_the_mean_shape(body: BodyModel) -> None:
    np.testing.assert_allclose(fit_betas(skeleton(body, np.zeros((1, 10))), body), 0, atol=1e-3)


def test_lengths_that_are_not_known_count_for_nothing(body: BodyModel) -> None:
    known = skeleton(body, np.zeros((2, 10)))
    assert known.rest_joints is not None and known.joints is not None
    rest = known.rest_joints.copy()
    rest[0, 7] = rest[0, 4]  # A shin of no length.
    rest[1, 18] = np.nan  # An elbow that was not captured.
    np.testing.assert_allclose(fit_betas(replace(known, rest_joints=rest), body), 0, atol=1e-3)
    never = replace(known, rest_joints=None, valid=np.zeros_like(known.valid))
    np.testing.assert_array_equal(fit_betas(never, body), 0)


def test_a_giant_is_met_as_far_as_shapes_go(body: BodyModel) -> None:
    known = skeleton(body, np.zeros((1, 10)))
    assert known.rest_joints is not None
    giant = replace(known, rest_joints=1.15 * known.rest_joints)
    off, off_mean = (
        np.abs(fitted_lengths(body, b) - span_lengths(giant)) for b in (fit_betas(giant, body), np.zeros((1, 10)))
    )
    assert off.mean() < 0.5 * off_mean.mean() and len(off[0]) == len(SPANS)


def test_without_skeleton_and_joints_there_is_nothing_to_fit(body: BodyModel) -> None:
    with pytest.raises(InputError, match="made up has no skeleton"):
        fit_betas(replace(skeleton(body, np.zeros((1, 10))), rest_joints=None, joints=None), body)
