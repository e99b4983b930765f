"""Physical losses: penetration and contact distance of two bodies, floor, foot skating, acceleration."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.contact.vertex_contacts import Penetrations, SurfacePairs, surface_points


def contact_distance(vertices_a: Tensor, vertices_b: Tensor, faces: Tensor, pairs: SurfacePairs) -> Tensor:
    """Distance [N] in meters of each vertex to its point on the other surface, differentiable in both meshes.

    vertices_a [T, V, 3], vertices_b [T, V, 3] in one frame, faces [F, 3], pairs from `find_contacts`. Where the two
    points coincide the gradient is zero.
    """
    point, on_surface = surface_points(vertices_a, vertices_b, faces, pairs)
    return torch.linalg.vector_norm(point - on_surface, dim=-1)


def penetration_depth(vertices_a: Tensor, vertices_b: Tensor, faces: Tensor, penetrations: Penetrations) -> Tensor:
    """Depth [N] in meters of each penetrating vertex, differentiable in both meshes.

    vertices_a [T, V, 3], vertices_b [T, V, 3] in one frame, faces [F, 3], penetrations from `find_penetrations`. Depth
    and gradient are exact for the vertices of the query. For moved vertices the depth is measured along the normal of
    the query, and is zero outside.
    """
    point, on_surface = surface_points(vertices_a, vertices_b, faces, penetrations)
    return ((on_surface - point) * penetrations.normal).sum(-1).clamp(min=0)


def acceleration(points: Tensor, times: Tensor) -> Tensor:
    """Acceleration [T - 2, ..., 3] in m/s^2 of points [T, ..., 3] at times [T] in seconds, any spacing."""
    shape = (-1, *([1] * (points.ndim - 1)))
    steps = (times[1:] - times[:-1]).reshape(shape)
    velocity = (points[1:] - points[:-1]) / steps
    return (velocity[1:] - velocity[:-1]) / ((steps[1:] + steps[:-1]) / 2)


def velocity(points: Tensor, times: Tensor) -> Tensor:
    """Velocity [T - 1, ..., 3] in m/s of points [T, ..., 3] at times [T] in seconds."""
    return (points[1:] - points[:-1]) / (times[1:] - times[:-1]).reshape(-1, *([1] * (points.ndim - 1)))


def height_above(points_cam: Tensor, floor: Tensor) -> Tensor:
    """Height [...] in meters of points_cam [..., 3] above floor [4], a plane: unit normal up and offset."""
    return points_cam @ floor[:3] + floor[3]


def ground_penetration(points_cam: Tensor, floor: Tensor) -> Tensor:
    """Depth [...] in meters of points_cam [..., 3] below floor [4]; 0 above it."""
    return F.relu(-height_above(points_cam, floor))


def foot_skating(points_cam: Tensor, foot_contact: Tensor, times: Tensor) -> Tensor:
    """Speed [T - 1, ...] in m/s of points_cam [T, ..., 3] in contact with the floor, at times [T] in seconds.

    foot_contact [T, ...] in 0..1 weights the speed.
    """
    # A point slides only between two frames in both of which it is in contact.
    both = torch.minimum(foot_contact[1:], foot_contact[:-1])
    return torch.linalg.vector_norm(velocity(points_cam, times) + 1e-9, dim=-1) * both
