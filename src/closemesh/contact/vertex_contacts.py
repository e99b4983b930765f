"""Penetrating and touching vertices of two bodies, contact patches.

Frame-wise work over two meshes: which frames are near at all, and all cores for those that are.

Which vertices of two bodies lie inside the other or close to it, for many frames; queried without gradient.

Where two bodies cross or touch, with only as much of the body as that needs: for the inner loops of fits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skinning import skin
from closemesh.contact.signed_distance import WatertightMesh
from closemesh.structures import BodyMotion

_CHUNK = 32  # Frames skinned at once, so that memory does not grow with the clip.
_Result = TypeVar("_Result")


def map_frames(function: Callable[[int], _Result], frames: Iterable[int]) -> list[_Result]:
    """`function` of every frame, on all cores: the compiled queries leave the GIL alone."""
    frames = list(frames)
    if len(frames) < 2:
        return [function(frame) for frame in frames]
    with ThreadPoolExecutor(max_workers=min(len(frames), os.cpu_count() or 1)) as pool:
        return list(pool.map(function, frames))


def boxes_within(a: NDArray, b: NDArray, max_distance: float) -> NDArray[np.bool_]:
    """[T] the boxes around vertices a and b [T, V, 3] are no more than `reach` metres apart on any axis."""
    gap = np.maximum(a.min(1) - b.max(1), b.min(1) - a.max(1))  # [T, 3]
    return (gap <= max_distance).all(-1)


def within_box(points: NDArray, vertices: NDArray, margin: float) -> NDArray[np.int64]:
    """Ids of the points [N, 3] in the box around vertices [V, 3], widened by `margin` metres."""
    return np.flatnonzero(_inside_box(points, vertices, margin))


@njit(cache=True, nogil=True)
def _inside_box(points, vertices, margin):
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for n in range(len(vertices)):
        for axis in range(3):
            low[axis] = min(low[axis], vertices[n, axis])
            high[axis] = max(high[axis], vertices[n, axis])
    inside = np.ones(len(points), dtype=np.bool_)
    for n in range(len(points)):
        for axis in range(3):
            if not low[axis] - margin <= points[n, axis] <= high[axis] + margin:
                inside[n] = False
    return inside


def posed_chunks(motion: BodyMotion, body: BodyModel) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """First frame and vertices [t, P, V, 3] of successive pieces of the motion, in its own frame, metres."""
    like = body.v_template

    def tensor(array: NDArray) -> torch.Tensor:
        return torch.as_tensor(array, dtype=like.dtype, device=like.device)

    for first in range(0, len(motion.transl), _CHUNK):
        piece = slice(first, first + _CHUNK)
        pose = tensor(motion.rotations[piece]), tensor(motion.transl[piece]), tensor(motion.expression[piece])
        with torch.no_grad():
            vertices, _ = skin(body, tensor(motion.betas), *pose)
        yield first, vertices.cpu().numpy().astype(np.float64)


_PairsT = TypeVar("_PairsT", bound="SurfacePairs")


@dataclass(frozen=True)
class SurfacePairs:
    """N vertices of one body, each with its closest point on the surface of the other."""

    frame: Tensor  # [N] int64
    from_a: Tensor  # [N] bool: True for a vertex of a and the surface of b, False for the reverse
    vertex: Tensor  # [N] int64
    face: Tensor  # [N] int64
    barycentric: Tensor  # [N, 3] of the closest point in the face
    normal: Tensor  # [N, 3] unit vector away from the other body's inside, when the query was made

    def __len__(self) -> int:
        return len(self.frame)

    def where(self: _PairsT, chosen: Tensor) -> _PairsT:
        """Only the pairs that are `chosen` [N] bool."""
        return replace(self, **{f.name: getattr(self, f.name)[chosen] for f in fields(self)})


class Penetrations(SurfacePairs):
    """Vertices inside the other body."""


class NearSurfacePoints(SurfacePairs):
    """Vertices outside the other body, nearer to it than the reach."""


def find_penetrations(vertices_a: Tensor, vertices_b: Tensor, faces: Tensor) -> Penetrations:
    """The vertices of either body that lie inside the other, with their closest surface points.

    vertices_a, vertices_b [T, V, 3] metres in one frame, faces [F, 3] of a closed mesh that both share (see
    `query_body`). Frames whose boxes are apart cost nothing. Raises ValueError when the mesh is not closed.
    """
    return find_contacts(vertices_a, vertices_b, faces, 0.0)[0]


def find_contacts(
    vertices_a: Tensor, vertices_b: Tensor, faces: Tensor, max_distance: float
) -> tuple[Penetrations, NearSurfacePoints]:
    """The same, and the vertices of either body that are outside the other but nearer than `reach` metres."""
    inside, columns = _search(vertices_a, vertices_b, faces, max_distance)
    found = SurfacePairs(*columns)
    return Penetrations(**vars(found.where(inside))), NearSurfacePoints(**vars(found.where(~inside)))


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
        surface = WatertightMesh(faces.cpu().numpy(), a[frames[0]])

        def one_way(frame: int, from_a: bool) -> _Columns:
            points, target = (a[frame], b[frame]) if from_a else (b[frame], a[frame])
            vertex = within_box(points, target, reach)
            ids, found = surface.closest_within(points[vertex], target, reach)
            origin = np.full(len(ids), frame), np.full(len(ids), from_a), vertex[ids]
            return (found.inside, *origin, found.face, found.barycentric, found.normal)

        both_ways = map_frames(lambda frame: (one_way(frame, True), one_way(frame, False)), frames)
        parts.extend(part for ways in both_ways for part in ways)
    tensors = [torch.as_tensor(np.concatenate(column)) for column in zip(*parts, strict=True)]
    inside, *columns = (t.to(vertices_a) if t.is_floating_point() else t.to(vertices_a.device) for t in tensors)
    return inside, columns


_NOTHING: _Columns = (
    *(np.zeros(0, dtype) for dtype in (np.bool_, np.int64, np.bool_, np.int64, np.int64)),
    *(np.zeros((0, 3)), np.zeros((0, 3))),
)


@dataclass(frozen=True)
class ContactPatch:
    """Pairs of points of two bodies, in terms of a part of the body."""

    body: BodyModel
    """Only the vertices that the pairs need."""
    faces: Tensor  # [F, 3] of the whole body in the vertices of that part; -1 where a corner is not in it
    penetrations: Penetrations
    touching: NearSurfacePoints


def contact_patch(body: BodyModel, crossings: Penetrations, touching: NearSurfacePoints) -> ContactPatch:
    """What was found on `body`; skinning the part costs as much as there are points that meet."""
    vertex = torch.cat([crossings.vertex, touching.vertex])
    corners = body.faces[torch.cat([crossings.face, touching.face])].flatten()
    needed = torch.zeros(len(body.v_template), dtype=torch.bool, device=vertex.device)
    needed[torch.cat([vertex, corners])] = True
    ids = needed.nonzero()[:, 0]
    position = torch.full_like(needed, -1, dtype=torch.int64)
    position[ids] = torch.arange(len(ids), device=ids.device)

    def renumbered(pairs: _PairsT) -> _PairsT:
        return replace(pairs, vertex=position[pairs.vertex])

    return ContactPatch(body.subset(ids), position[body.faces], renumbered(crossings), renumbered(touching))
