"""Keypoint losses: known answers, and gradients against finite differences."""

from __future__ import annotations

import math

import torch
from torch.autograd import gradcheck

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
    directions = limb_directions(_random(23, 3, seed=1).detach())
    assert gradcheck(lambda x: limb_direction_error(limb_directions(x), directions, 0.3), _random(23, 3))
    confidence = torch.ones(23)
    confidence[7] = 0.2  # Left elbow: an end of the upper and of the lower arm.
    assert (limb_confidence(confidence) < 1).sum() == 2
