"""Penetrating and touching vertices of two bodies over many frames, and the patch of the body they need."""

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

_CHUNK = 32  # Frames skinned at once, which limits the memory.
_Result = TypeVar("_Result")


def map_frames(function: Callable[[int], _Result], frames: Iterable[int]) -> list[_Result]:
    """`function` of every frame, in threads on all cores; the compiled queries release the GIL."""
    frames = list(frames)
    if len(frames) < 2:
        return [function(frame) for frame in frames]
    with ThreadPoolExecutor(max_workers=min(len(frames), os.cpu_count() or 1)) as pool:
        return list(pool.map(function, frames))


def boxes_within(a: NDArray, b: NDArray, max_distance: float) -> NDArray[np.bool_]:
    """Frames [T] in which the boxes of a [T, V, 3] and b [T, V, 3] are at most max_distance meters apart per axis."""
    distance = np.maximum(a.min(1) - b.max(1), b.min(1) - a.max(1))  # [T, 3]
    return (distance <= max_distance).all(-1)


def within_box(points: NDArray, vertices: NDArray, margin: float) -> NDArray[np.int64]:
    """Ids [M] of points [N, 3] in the box around vertices [V, 3], enlarged by `margin` meters."""
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
    """First frame and vertices [t, P, V, 3] of consecutive parts of the motion, in its own frame, meters."""
    like = body.v_template

    def tensor(array: NDArray) -> torch.Tensor:
        return torch.as_tensor(array, dtype=like.dtype, device=like.device)

    for first in range(0, len(motion.transl), _CHUNK):
        part = slice(first, first + _CHUNK)
        rotations, transl = tensor(motion.rotations[part]), tensor(motion.transl[part])
        with torch.no_grad():
            vertices, _ = skin(body, tensor(motion.betas), rotations, transl, tensor(motion.expression[part]))
        yield first, vertices.cpu().numpy().astype(np.float64)


_PairsT = TypeVar("_PairsT", bound="SurfacePairs")


@dataclass(frozen=True)
class SurfacePairs:
    """N vertices of two bodies, each with its closest point on the surface of the other body."""

    frame: Tensor  # [N] int64
    from_a: Tensor  # [N] bool: True for a vertex of a and the surface of b, False for the reverse
    vertex: Tensor  # [N] int64
    face: Tensor  # [N] int64
    barycentric: Tensor  # [N, 3] of the closest point in the face
    normal: Tensor  # [N, 3] unit vector out of the other body, at the time of the query

    def __len__(self) -> int:
        return len(self.frame)

    def where(self: _PairsT, chosen: Tensor) -> _PairsT:
        """The pairs where chosen [N] bool is True."""
        return replace(self, **{f.name: getattr(self, f.name)[chosen] for f in fields(self)})


class Penetrations(SurfacePairs):
    """Vertices inside the other body."""


class NearSurfacePoints(SurfacePairs):
    """Vertices outside the other body and near it."""


def find_penetrations(vertices_a: Tensor, vertices_b: Tensor, faces: Tensor) -> Penetrations:
    """The vertices of each body inside the other, with their closest surface points; without gradient.

    vertices_a [T, V, 3], vertices_b [T, V, 3] in meters, one frame of reference; faces [F, 3] of a closed mesh that
    both share, see `watertight_body`. Raises ValueError when the mesh is not closed.
    """
    return find_contacts(vertices_a, vertices_b, faces, 0.0)[0]


def find_contacts(
    vertices_a: Tensor, vertices_b: Tensor, faces: Tensor, max_distance: float
) -> tuple[Penetrations, NearSurfacePoints]:
    """`find_penetrations`, and the vertices of each body outside the other but nearer than max_distance meters.

    vertices_a [T, V, 3], vertices_b [T, V, 3], faces [F, 3]. Raises ValueError when the mesh is not closed.
    """
    inside, found = _search(vertices_a, vertices_b, faces, max_distance)
    return Penetrations(**vars(found.where(inside))), NearSurfacePoints(**vars(found.where(~inside)))


def surface_points(vertices_a: Tensor, vertices_b: Tensor, faces: Tensor, pairs: SurfacePairs) -> tuple[Tensor, Tensor]:
    """The vertices [N, 3] and their closest surface points [N, 3], differentiable in both meshes.

    vertices_a [T, V, 3], vertices_b [T, V, 3], faces [F, 3].
    """
    from_a = pairs.from_a[:, None]
    point = torch.where(from_a, vertices_a[pairs.frame, pairs.vertex], vertices_b[pairs.frame, pairs.vertex])
    frame, corner = pairs.frame[:, None], faces[pairs.face]  # [N, 1], [N, 3]
    corners = torch.where(from_a[..., None], vertices_b[frame, corner], vertices_a[frame, corner])  # [N, 3, 3]
    return point, (pairs.barycentric[..., None] * corners).sum(-2)


_Columns = tuple[np.ndarray, ...]  # inside, frame, from_a, vertex, face, barycentric, normal


def _search(vertices_a: Tensor, vertices_b: Tensor, faces: Tensor, max_distance: float) -> tuple[Tensor, SurfacePairs]:
    """Which vertices [N] lie inside the other body, and the pairs of those and of the near ones."""
    a, b = (v.detach().to("cpu", torch.float64).numpy() for v in (vertices_a, vertices_b))
    frames = np.flatnonzero(boxes_within(a, b, max_distance))
    parts = [_NOTHING]
    if len(frames):
        surface = WatertightMesh(faces.cpu().numpy(), a[frames[0]])

        def one_way(frame: int, from_a: bool) -> _Columns:
            points, target = (a[frame], b[frame]) if from_a else (b[frame], a[frame])
            vertex = within_box(points, target, max_distance)
            ids, found = surface.closest_within(points[vertex], target, max_distance)
            frames_of, from_a_of = np.full(len(ids), frame), np.full(len(ids), from_a)
            return found.inside, frames_of, from_a_of, vertex[ids], found.face, found.barycentric, found.normal

        both_ways = map_frames(lambda frame: (one_way(frame, True), one_way(frame, False)), frames)
        parts.extend(part for ways in both_ways for part in ways)
    tensors = [torch.as_tensor(np.concatenate(column)) for column in zip(*parts, strict=True)]
    inside, frame, from_a, vertex, face, barycentric, normal = (
        t.to(vertices_a) if t.is_floating_point() else t.to(vertices_a.device) for t in tensors
    )
    return inside, SurfacePairs(frame, from_a, vertex, face, barycentric, normal)


_NOTHING: _Columns = (
    *(np.zeros(0, dtype) for dtype in (np.bool_, np.int64, np.bool_, np.int64, np.int64)),
    *(np.zeros((0, 3)), np.zeros((0, 3))),
)


@dataclass(frozen=True)
class ContactPatch:
    """Penetrating and touching vertices of two bodies on the part of the body that they need."""

    body: BodyModel
    """The body with only the vertices that the pairs need."""
    faces: Tensor  # [F, 3] of the whole body in the vertices of the part; -1 where a corner is not in it
    penetrations: Penetrations
    touching: NearSurfacePoints


def contact_patch(body: BodyModel, penetrations: Penetrations, touching: NearSurfacePoints) -> ContactPatch:
    """The patch for vertices found on `body`; the cost of skinning it grows with their number only."""
    vertex = torch.cat([penetrations.vertex, touching.vertex])
    corners = body.faces[torch.cat([penetrations.face, touching.face])].flatten()
    needed = torch.zeros(len(body.v_template), dtype=torch.bool, device=vertex.device)
    needed[torch.cat([vertex, corners])] = True
    ids = needed.nonzero()[:, 0]
    position = torch.full_like(needed, -1, dtype=torch.int64)
    position[ids] = torch.arange(len(ids), device=ids.device)

    def on_patch(pairs: _PairsT) -> _PairsT:
        return replace(pairs, vertex=position[pairs.vertex])

    return ContactPatch(body.subset(ids), position[body.faces], on_patch(penetrations), on_patch(touching))
