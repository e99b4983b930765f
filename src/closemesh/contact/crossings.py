"""Which vertices of two bodies lie inside the other or close to it, for many frames; queried without gradient."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from closemesh.contact.frames import boxes_within, map_frames, within_box
from closemesh.contact.surface import ClosedSurface

_Pairs = TypeVar("_Pairs", bound="SurfacePairs")


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

    def where(self: _Pairs, chosen: Tensor) -> _Pairs:
        """Only the pairs that are `chosen` [N] bool."""
        return replace(self, **{f.name: getattr(self, f.name)[chosen] for f in fields(self)})


class Crossings(SurfacePairs):
    """Vertices inside the other body."""


class Touching(SurfacePairs):
    """Vertices outside the other body, nearer to it than the reach."""


def find_crossings(vertices_a: Tensor, vertices_b: Tensor, faces: Tensor) -> Crossings:
    """The vertices of either body that lie inside the other, with their closest surface points.

    vertices_a, vertices_b [T, V, 3] metres in one frame, faces [F, 3] of a closed mesh that both share (see
    `query_body`). Frames whose boxes are apart cost nothing. Raises ValueError when the mesh is not closed.
    """
    return find_meeting(vertices_a, vertices_b, faces, 0.0)[0]


def find_meeting(vertices_a: Tensor, vertices_b: Tensor, faces: Tensor, reach: float) -> tuple[Crossings, Touching]:
    """The same, and the vertices of either body that are outside the other but nearer than `reach` metres."""
    inside, columns = _search(vertices_a, vertices_b, faces, reach)
    found = SurfacePairs(*columns)
    return Crossings(**vars(found.where(inside))), Touching(**vars(found.where(~inside)))


def surface_points(vertices_a: Tensor, vertices_b: Tensor, faces: Tensor, pairs: SurfacePairs) -> tuple[Tensor, Tensor]:
    """The vertices [N, 3] and their partners on the other surface [N, 3], differentiable in both meshes [T, V, 3]."""
    from_a = pairs.from_a[:, None]
    point = torch.where(from_a, vertices_a[pairs.frame, pairs.vertex], vertices_b[pairs.frame, pairs.vertex])
    frame, corner = pairs.frame[:, None], faces[pairs.face]  # [N, 1], [N, 3]
    corners = torch.where(from_a[..., None], vertices_b[frame, corner], vertices_a[frame, corner])  # [N, 3, 3]
    return point, (pairs.barycentric[..., None] * corners).sum(-2)


_Columns = tuple[np.ndarray, ...]  # inside, frame, from_a, vertex, face, barycentric, outward


def _search(vertices_a: Tensor, vertices_b: Tensor, faces: Tensor, reach: float) -> tuple[Tensor, list[Tensor]]:
    """Which points [N] lie inside the other body, and the fields of SurfacePairs of those and of the near ones."""
    a, b = (v.detach().to("cpu", torch.float64).numpy() for v in (vertices_a, vertices_b))
    frames = np.flatnonzero(boxes_within(a, b, reach))
    parts = [_NOTHING]
    if len(frames):
        surface = ClosedSurface(faces.cpu().numpy(), a[frames[0]])

        def one_way(frame: int, from_a: bool) -> _Columns:
            points, target = (a[frame], b[frame]) if from_a else (b[frame], a[frame])
            vertex = within_box(points, target, reach)
            ids, found = surface.meeting(points[vertex], target, reach)
            origin = np.full(len(ids), frame), np.full(len(ids), from_a), vertex[ids]
            return (found.inside, *origin, found.face, found.barycentric, found.outward)

        both_ways = map_frames(lambda frame: (one_way(frame, True), one_way(frame, False)), frames)
        parts.extend(part for ways in both_ways for part in ways)
    tensors = [torch.as_tensor(np.concatenate(column)) for column in zip(*parts, strict=True)]
    inside, *columns = (t.to(vertices_a) if t.is_floating_point() else t.to(vertices_a.device) for t in tensors)
    return inside, columns


_NOTHING: _Columns = (
    *(np.zeros(0, dtype) for dtype in (np.bool_, np.int64, np.bool_, np.int64, np.int64)),
    *(np.zeros((0, 3)), np.zeros((0, 3))),
)
