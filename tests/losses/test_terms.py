"""The terms of one person: known answers, and gradients against finite differences."""

from __future__ import annotations

import math

import torch
from torch.autograd import gradcheck

from closemesh.body.skeleton import JOINT_INDEX
from closemesh.losses.joint_limits import joint_limit_excess
from closemesh.losses.keypoints import (
    OUTLIER_SIGMAS,
    SEGMENTS,
    geman_mcclure,
    limb_confidence,
    limb_direction_error,
    limb_directions,
    pseudo_huber,
    reprojection,
)
from closemesh.losses.physics import acceleration, foot_skating, ground_penetration, height_above, velocity

DOUBLE = torch.float64


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def test_robust_penalty_is_a_square_when_small_and_saturates():
    small, large = torch.tensor([1e-6], dtype=DOUBLE), torch.tensor([1e12], dtype=DOUBLE)
    assert torch.allclose(geman_mcclure(small, 3.0), small)
    assert torch.allclose(geman_mcclure(large, 3.0), torch.tensor([9.0], dtype=DOUBLE))
    assert torch.allclose(pseudo_huber(small, 3.0), small)
    assert torch.allclose(pseudo_huber(large, 3.0), 2 * 3.0 * large.sqrt(), rtol=1e-4)


def test_reprojection_counts_standard_deviations_and_forgets_the_unseen():
    detected = torch.zeros(3, 2)
    projected = torch.tensor([[3.0, 4.0], [3.0, 4.0], [1e6, 0.0]])
    energy = reprojection(projected, detected, torch.tensor([0.2, 0.0, 1.0]))
    assert torch.allclose(energy, torch.tensor([1 / (1 + 1 / 16), 0.0, OUTLIER_SIGMAS**2]), rtol=1e-4)


def test_reprojection_gradient():
    assert gradcheck(lambda x: reprojection(x, x.detach() * 0, torch.ones(5, dtype=DOUBLE)), _random(5, 2))
    at_zero = torch.zeros(1, 2, requires_grad=True)
    reprojection(at_zero, torch.zeros(1, 2), torch.ones(1)).sum().backward()
    assert at_zero.grad is not None and torch.isfinite(at_zero.grad).all()


def test_limb_directions_know_no_scale_and_no_place():
    points = _random(2, 23, 3).detach()
    moved = points * 3.7 + torch.tensor([1.0, -2.0, 0.5])
    assert torch.allclose(limb_directions(points), limb_directions(moved))
    assert torch.allclose(limb_directions(points).norm(dim=-1), torch.ones(2, len(SEGMENTS), dtype=DOUBLE))


def test_limb_direction_error_is_the_angle_for_small_angles():
    angle = 0.01
    a = torch.tensor([[1.0, 0.0, 0.0]], dtype=DOUBLE)
    b = torch.tensor([[math.cos(angle), math.sin(angle), 0.0]], dtype=DOUBLE)
    assert torch.allclose(limb_direction_error(a, b, sigma=angle), torch.tensor([0.9], dtype=DOUBLE), rtol=1e-3)


def test_limb_gradient_and_confidence():
    cue = limb_directions(_random(23, 3, seed=1).detach())
    assert gradcheck(lambda x: limb_direction_error(limb_directions(x), cue, 0.3), _random(23, 3))
    confidence = torch.ones(23)
    confidence[7] = 0.2  # Left elbow: an end of the upper and of the lower arm.
    assert (limb_confidence(confidence) < 1).sum() == 2


def test_acceleration_of_a_fall_is_gravity_at_uneven_times():
    times = torch.tensor([0.0, 0.03, 0.05, 0.11, 0.12], dtype=DOUBLE)
    points = torch.stack([torch.zeros(5, dtype=DOUBLE), -0.5 * 9.81 * times**2, times * 3], dim=-1)
    expected = torch.tensor([0.0, -9.81, 0.0], dtype=DOUBLE).expand(3, 3)
    assert torch.allclose(acceleration(points, times), expected)
    assert torch.allclose(velocity(points, times)[:, 2], torch.full((4,), 3.0, dtype=DOUBLE))


def test_heights_sinking_and_sliding():
    floor = torch.tensor([0.0, -1.0, 0.0, 1.5])  # y down: the floor lies 1.5 m below the camera.
    points = torch.tensor([[0.0, 1.4, 3.0], [0.0, 1.53, 3.0]])
    assert torch.allclose(height_above(points, floor), torch.tensor([0.1, -0.03]), atol=1e-6)
    assert torch.allclose(ground_penetration(points, floor), torch.tensor([0.0, 0.03]), atol=1e-6)
    moving = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0.1, 0, 0]])
    times = torch.tensor([0.0, 0.1, 0.2])
    assert torch.allclose(foot_skating(moving, torch.ones(3), times), torch.tensor([1.0, 0.0]), atol=1e-6)
    assert torch.allclose(foot_skating(moving, torch.tensor([0.0, 1.0, 1.0]), times), torch.zeros(2), atol=1e-6)


def test_limits_mirror_and_measure_the_excess():
    pose = torch.zeros(21, 3, dtype=DOUBLE)
    assert joint_limit_excess(pose).sum() == 0
    knee = JOINT_INDEX["left_knee"] - 1
    pose[knee, 0] = math.radians(-13)  # Bent forwards by ten degrees more than the range allows.
    assert torch.allclose(joint_limit_excess(pose).sum(), torch.tensor(math.radians(10), dtype=DOUBLE))
    left, right = torch.zeros(21, 3, dtype=DOUBLE), torch.zeros(21, 3, dtype=DOUBLE)
    left[JOINT_INDEX["left_elbow"] - 1] = torch.tensor([0.0, 0.5, 1.8], dtype=DOUBLE)
    right[JOINT_INDEX["right_elbow"] - 1] = torch.tensor([0.0, -0.5, -1.8], dtype=DOUBLE)
    assert torch.allclose(joint_limit_excess(left).sum(), joint_limit_excess(right).sum())
    assert joint_limit_excess(left).sum() > 0
    assert gradcheck(joint_limit_excess, _random(21, 3))
