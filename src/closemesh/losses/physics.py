"""Penetration, contact distance, ground, foot skating, acceleration.

How far apart surfaces are that should touch.

How deep one body is inside the other.

Smooth motion: accelerations of points, at true times.

Feet on a floor: not below it, and not sliding while they stand.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.contact.vertex_contacts import Penetrations, SurfacePairs, surface_points


def contact_distance(vertices_a: Tensor, vertices_b: Tensor, faces: Tensor, pairs: SurfacePairs) -> Tensor:
    """Distance [N] in metres of each vertex from its partner on the other surface, differentiable in both meshes.

    vertices_a, vertices_b [T, V, 3] in one frame, faces [F, 3], pairs from `find_meeting`. What
    keeps contact where penetration pushes out; its gradient is zero, not undefined, where the two points meet.
    """
    point, on_surface = surface_points(vertices_a, vertices_b, faces, pairs)
    return torch.linalg.vector_norm(point - on_surface, dim=-1)


def penetration_depth(vertices_a: Tensor, vertices_b: Tensor, faces: Tensor, crossings: Penetrations) -> Tensor:
    """Depth [N] in metres of each crossing vertex, differentiable in both meshes.

    vertices_a, vertices_b [T, V, 3] in one frame, faces [F, 3], crossings from `find_crossings`. Exact, gradient
    included, for the vertices of the query; between two queries the depth is measured along the way out of the last
    one, so that it fades to zero when the vertex comes out.
    """
    point, on_surface = surface_points(vertices_a, vertices_b, faces, crossings)
    return ((on_surface - point) * crossings.normal).sum(-1).clamp(min=0)


def acceleration(points: Tensor, times: Tensor) -> Tensor:
    """Acceleration [T - 2, ..., 3] in m/s^2 of points [T, ..., 3] seen at times [T] in seconds (any spacing)."""
    shape = (-1, *([1] * (points.ndim - 1)))
    steps = (times[1:] - times[:-1]).reshape(shape)
    velocity = (points[1:] - points[:-1]) / steps
    return (velocity[1:] - velocity[:-1]) / ((steps[1:] + steps[:-1]) / 2)


def velocity(points: Tensor, times: Tensor) -> Tensor:
    """Velocity [T - 1, ..., 3] in m/s of points [T, ..., 3] seen at times [T] in seconds."""
    return (points[1:] - points[:-1]) / (times[1:] - times[:-1]).reshape(-1, *([1] * (points.ndim - 1)))


def height_above(points_cam: Tensor, floor: Tensor) -> Tensor:
    """Height [...] in metres of camera-frame points [..., 3] above the plane floor [4]: unit normal up, offset."""
    return points_cam @ floor[:3] + floor[3]


def ground_penetration(points_cam: Tensor, floor: Tensor) -> Tensor:
    """How deep [...] in metres points lie below the floor; 0 above it."""
    return F.relu(-height_above(points_cam, floor))


def foot_skating(points_cam: Tensor, standing: Tensor, times: Tensor) -> Tensor:
    """Speed [T - 1, ..., ] in m/s of points [T, ..., 3] while they stand; standing [T, ...] in 0..1."""
    # A point slides only between two frames in both of which it stands.
    both = torch.minimum(standing[1:], standing[:-1])
    return torch.linalg.vector_norm(velocity(points_cam, times) + 1e-9, dim=-1) * both
