"""A change of frame moves joints and vertices as a rigid transform does, and back again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from closemesh.body.loading import load_bundled_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import change_frame, motion_in_camera, motion_in_world
from closemesh.body.skinning import skin
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.structures import BodyMotion, Camera

FRAMES, PEOPLE = 4, 2


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_bundled_body("light")


@pytest.fixture(scope="module")
def motion(body: BodyModel) -> BodyMotion:
    rng = np.random.default_rng(3)
    axis_angle = torch.as_tensor(rng.normal(0, 0.6, (FRAMES, PEOPLE, 55, 3)))
    return BodyMotion(
        body_model=body.name,
        betas=rng.normal(0, 1.5, (PEOPLE, 10)).astype(np.float32),
        rotations=axis_angle_to_matrix(axis_angle).numpy().astype(np.float32),
        transl=rng.normal(0, 1, (FRAMES, PEOPLE, 3)).astype(np.float32),
        expression=rng.normal(0, 1, (FRAMES, PEOPLE, 10)).astype(np.float32),
        valid=np.ones((FRAMES, PEOPLE), dtype=bool),
        confidence=np.ones((FRAMES, PEOPLE), dtype=np.float32),
    )


@pytest.fixture(scope="module")
def T_cam_world() -> np.ndarray:
    rng = np.random.default_rng(4)
    T = np.tile(np.eye(4), (FRAMES, 1, 1))
    T[:, :3, :3] = axis_angle_to_matrix(torch.as_tensor(rng.normal(0, 1, (FRAMES, 3)))).numpy()
    T[:, :3, 3] = rng.normal(0, 2, (FRAMES, 3))
    return T


def meshes(body: BodyModel, motion: BodyMotion) -> np.ndarray:
    arrays = (motion.betas, motion.rotations, motion.transl, motion.expression)
    vertices, joints = skin(body, *(torch.as_tensor(array) for array in arrays))
    return torch.cat([vertices, joints], dim=-2).numpy()


def test_points_move_as_the_transform_says(body: BodyModel, motion: BodyMotion, T_cam_world: np.ndarray) -> None:
    moved = meshes(body, change_frame(motion, T_cam_world, body))
    expected = np.einsum("tij,tpvj->tpvi", T_cam_world[:, :3, :3], meshes(body, motion))
    expected += T_cam_world[:, None, None, :3, 3]
    np.testing.assert_allclose(moved, expected, atol=2e-5)


def test_one_transform_serves_all_frames(body: BodyModel, motion: BodyMotion, T_cam_world: np.ndarray) -> None:
    one = change_frame(motion, T_cam_world[0], body)
    each = change_frame(motion, np.tile(T_cam_world[0], (FRAMES, 1, 1)), body)
    np.testing.assert_array_equal(one.transl, each.transl)
    np.testing.assert_array_equal(one.rotations, each.rotations)


def test_world_and_back(body: BodyModel, motion: BodyMotion, T_cam_world: np.ndarray) -> None:
    camera = Camera(500.0, (100.0, 100.0), (200, 200), "option", T_cam_world)
    back = motion_in_camera(motion_in_world(motion, camera, body), camera, body)
    np.testing.assert_allclose(back.transl, motion.transl, atol=1e-5)
    np.testing.assert_allclose(back.rotations, motion.rotations, atol=1e-5)
    assert back.transl.dtype == motion.transl.dtype


def test_the_motion_that_was_given_stays(body: BodyModel, motion: BodyMotion, T_cam_world: np.ndarray) -> None:
    before = motion.rotations.copy()
    change_frame(motion, T_cam_world, body)
    np.testing.assert_array_equal(motion.rotations, before)
