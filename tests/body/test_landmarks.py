"""Points without the skin move exactly as the skin does."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from closemesh.body.landmarks import pose_landmarks, sole_vertices
from closemesh.body.loading import load_bundled_body, load_landmark_body
from closemesh.body.skinning import skin, wholebody_keypoints
from closemesh.geometry.rotations import axis_angle_to_matrix


def _random_pose(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    betas = torch.randn(2, 10, generator=generator, dtype=dtype)
    rotations = axis_angle_to_matrix(0.5 * torch.randn(3, 2, 55, 3, generator=generator, dtype=dtype))
    return betas, rotations, torch.randn(3, 2, 3, generator=generator, dtype=dtype)


@pytest.mark.parametrize("variant", ["light", "std"])
def test_points_equal_the_skinned_ones(variant):
    body = load_bundled_body(variant).to("cpu", torch.float64)
    betas, rotations, transl = _random_pose()
    posed = pose_landmarks(load_landmark_body(body), betas, rotations, transl)
    vertices, joints = skin(body, betas, rotations, transl)
    assert torch.allclose(posed.joints, joints, atol=1e-9)
    assert torch.allclose(posed.keypoints, wholebody_keypoints(body, vertices, joints), atol=1e-6)
    assert torch.allclose(posed.soles, vertices[..., sole_vertices(body), :], atol=1e-6)


def test_the_coarse_body_moves_as_the_whole_one_with_fingers_and_face_at_rest():
    points = load_landmark_body(load_bundled_body("light")).to("cpu", torch.float64)
    betas, rotations, transl = _random_pose()
    rotations[:, :, 22:] = torch.eye(3, dtype=torch.float64)
    whole, coarse = (
        pose_landmarks(points, betas, rotations, transl),
        pose_landmarks(points.coarse(23), betas, rotations[:, :, :22], transl),
    )
    assert torch.allclose(coarse.joints, whole.joints[:, :, :22], atol=1e-9)
    assert torch.allclose(coarse.keypoints, whole.keypoints[:, :, :23], atol=1e-9)


def test_landmarks_have_gradients_for_shape_pose_and_translation():
    points = load_landmark_body(load_bundled_body("light")).to("cpu", torch.float64)
    betas, rotations, transl = (tensor.requires_grad_() for tensor in _random_pose())

    def some_points(b: torch.Tensor, r: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        posed = pose_landmarks(points, b, r, t)
        return posed.keypoints[:1, :, [0, 9, 16]].sum(-1) + posed.soles[:1, :, 0, :3].sum(-1)

    assert gradcheck(some_points, (betas, rotations, transl))
