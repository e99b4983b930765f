"""Acceleration, velocity, height above the floor and foot skating: known answers."""

from __future__ import annotations

import torch

from closemesh.losses.physics import acceleration, foot_skating, ground_penetration, height_above, velocity

DOUBLE = torch.float64


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
