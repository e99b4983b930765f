"""Smooth motion: accelerations of points, at true times."""

from __future__ import annotations

from torch import Tensor


def acceleration(points: Tensor, times: Tensor) -> Tensor:
    """Acceleration [T - 2, ..., 3] in m/s^2 of points [T, ..., 3] seen at times [T] in seconds (any spacing)."""
    shape = (-1, *([1] * (points.ndim - 1)))
    steps = (times[1:] - times[:-1]).reshape(shape)
    velocity = (points[1:] - points[:-1]) / steps
    return (velocity[1:] - velocity[:-1]) / ((steps[1:] + steps[:-1]) / 2)


def velocity(points: Tensor, times: Tensor) -> Tensor:
    """Velocity [T - 1, ..., 3] in m/s of points [T, ..., 3] seen at times [T] in seconds."""
    return (points[1:] - points[:-1]) / (times[1:] - times[:-1]).reshape(-1, *([1] * (points.ndim - 1)))
