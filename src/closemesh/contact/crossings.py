"""Which vertices of two bodies lie inside the other or close to it, for many frames; queried without gradient."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from closemesh.contact.surface import Array, ClosedSurface, ClosestPoints


@dataclass(frozen=True)
class SurfacePairs:
    """N vertices of one body, each with its closest point on the surface of the other."""

    frame: Tensor  # [N] int64
    from_a: Tensor  # [N] bool: True for a vertex of a and the surface of b, False for the reverse
    vertex: Tensor  # [N] int64
    face: Tensor  # [N] int64
    barycentric: Tensor  # [N, 3] of the closest point in the face
    outward: Tensor  # [N, 3] unit vector away from the other body's inside, when the query was made

    def __len__(self) -> int:
        return len(self.frame)


class Crossings(SurfacePairs):
    """Vertices inside the other body."""


class Touching(SurfacePairs):
    """Vertices outside the other body, nearer to it than the reach."""


def find_crossings(vertices_a: Tensor, vertices_b: Tensor, faces: Tensor) -> Crossings:
    """The vertices of either body that lie inside the other, with their closest surface points.

    vertices_a, vertices_b [T, V, 3] metres in one frame, faces [F, 3] of a closed mesh that both share (see
    `query_body`). Frames whose boxes are apart cost nothing. Raises ValueError when the mesh is not closed.
    """
    return Crossings(*_search(vertices_a, vertices_b, faces, np.inf, lambda found: found.inside))


def find_touching(vertices_a: Tensor, vertices_b: Tensor, faces: Tensor, reach: float) -> Touching:
    """The vertices of either body that are outside the other but nearer than `reach` metres; shapes as above."""
    return Touching(*_search(vertices_a, vertices_b, faces, reach, lambda found: (found.face >= 0) & ~found.inside))


def surface_points(vertices_a: Tensor, vertices_b: Tensor, faces: Tensor, pairs: SurfacePairs) -> tuple[Tensor, Tensor]:
    """The vertices [N, 3] and their partners on the other surface [N, 3], differentiable in both meshes [T, V, 3]."""
    from_a = pairs.from_a[:, None]
    point = torch.where(from_a, vertices_a[pairs.frame, pairs.vertex], vertices_b[pairs.frame, pairs.vertex])
    frame, corner = pairs.frame[:, None], faces[pairs.face]  # [N, 1], [N, 3]
    corners = torch.where(from_a[..., None], vertices_b[frame, corner], vertices_a[frame, corner])  # [N, 3, 3]
    return point, (pairs.barycentric[..., None] * corners).sum(-2)


_Found = TypeVar("_Found")


def map_frames(function: Callable[[int], _Found], frames: list[int]) -> list[_Found]:
    """`function` of every frame, on all cores: the compiled queries leave the GIL alone."""
    if len(frames) < 2:
        return [function(frame) for frame in frames]
    with ThreadPoolExecutor(max_workers=min(len(frames), os.cpu_count() or 1)) as pool:
        return list(pool.map(function, frames))


def frames_within(a: Array, b: Array, reach: float) -> list[int]:
    """The frames in which the boxes around vertices a and b [T, V, 3] are nearer than `reach` metres on every axis."""
    gap = np.maximum(a.min(1) - b.max(1), b.min(1) - a.max(1))  # [T, 3]
    return np.flatnonzero((gap <= reach).all(-1)).tolist()


def within_box(points: Array, vertices: Array, margin: float) -> np.ndarray:
    """Ids of the points [N, 3] in the box around vertices [V, 3], widened by `margin` metres."""
    return np.flatnonzero(((points >= vertices.min(0) - margin) & (points <= vertices.max(0) + margin)).all(-1))


def _search(
    vertices_a: Tensor, vertices_b: Tensor, faces: Tensor, reach: float, keep: Callable[[ClosestPoints], np.ndarray]
) -> list[Tensor]:
    """The fields of SurfacePairs, for the points that `keep` chooses."""
    a, b = (v.detach().to("cpu", torch.float64).numpy() for v in (vertices_a, vertices_b))
    margin = reach if np.isfinite(reach) else 0.0
    frames = frames_within(a, b, margin)
    surface = ClosedSurface(faces.cpu().numpy()) if frames else None

    def one_way(frame: int, from_a: bool) -> tuple[np.ndarray, ...]:
        points, target = (a[frame], b[frame]) if from_a else (b[frame], a[frame])
        vertex = within_box(points, target, margin)
        assert surface is not None
        found = surface.closest(points[vertex], target, reach)
        kept = keep(found)
        count = int(kept.sum())
        ways = np.full(count, frame), np.full(count, from_a)
        return *ways, vertex[kept], found.face[kept], found.barycentric[kept], found.outward[kept]

    def both_ways(frame: int) -> list[tuple[np.ndarray, ...]]:
        return [one_way(frame, True), one_way(frame, False)]

    parts = [part for pair in map_frames(both_ways, frames) for part in pair]
    empty = (
        np.zeros(0, int),
        np.zeros(0, bool),
        np.zeros(0, int),
        np.zeros(0, int),
        np.zeros((0, 3)),
        np.zeros((0, 3)),
    )
    columns = [np.concatenate(column) for column in zip(empty, *parts, strict=True)]
    tensors = [torch.as_tensor(column) for column in columns]
    assert len(tensors) == len(fields(SurfacePairs))
    return [t.to(vertices_a) if t.is_floating_point() else t.to(vertices_a.device) for t in tensors]
