"""Closest points on a watertight mesh with the sign of inside and outside, without gradient."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from closemesh.contact.aabb_tree import AabbTree, build_aabb_tree, closest_faces, smallest_distance
from closemesh.contact.winding_number import sort_into_columns, winding_numbers
from closemesh.geometry.mesh import face_normals

Array = NDArray[np.float64]
_ON_SURFACE = 1e-9  # Meters; below this the direction to the surface is rounding error, so the face normal is taken.


@dataclass(frozen=True)
class ClosestPoints:
    """Closest surface points of N points."""

    face: NDArray[np.int64]
    """[N], -1 where no surface is near enough; the other fields are undefined there."""
    barycentric: Array
    """[N, 3] of the closest point in that face."""
    distance: Array
    """[N] meters, never negative."""
    inside: NDArray[np.bool_]
    """[N] the point lies inside the mesh."""
    normal: Array
    """[N, 3] unit vector along the line to the closest point, out of the mesh."""

    def where(self, chosen: NDArray) -> ClosestPoints:
        """The record of some of the points: chosen [M] ids, or [N] bool."""
        return ClosestPoints(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})


class WatertightMesh:
    """The faces of a closed mesh, prepared for queries with many frames of vertices."""

    def __init__(self, faces: NDArray[np.integer], vertices: Array | None = None) -> None:
        """faces [F, 3]. Raises ValueError when they are not closed.

        vertices [V, 3]: a pose by which the faces are sorted, by default the first query. Threads that share a mesh
        need it, because the order decides which of two equally near faces is found.
        """
        self.faces = np.ascontiguousarray(faces, dtype=np.int64)
        self._order: NDArray[np.int64] | None = None
        _check_closed(self.faces)
        if vertices is not None:
            self._tree(vertices)

    def closest(self, points: Array, vertices: Array, max_distance: float = np.inf) -> ClosestPoints:
        """Closest points of points [N, 3] on the mesh with vertices [V, 3], meters, one frame of reference.

        Exact. Inside is decided by the winding number, so that meshes that intersect themselves (armpit, bent elbow)
        are handled correctly.
        """
        points = np.ascontiguousarray(points, dtype=np.float64)
        tree = self._tree(vertices)
        row, barycentric = closest_faces(points, tree.boxes, tree.starts, tree.corners, max_distance)
        near = np.flatnonzero(row >= 0)
        inside = np.zeros(len(points), dtype=bool)
        inside[near] = winding_numbers(points[near], sort_into_columns(tree.corners)) > 0
        return _closest_points(points, inside, tree, row, barycentric)

    def closest_within(
        self, points: Array, vertices: Array, max_distance: float
    ) -> tuple[NDArray[np.int64], ClosestPoints]:
        """Ids [M] of the points inside the mesh or nearer than max_distance, and their closest points.

        points [N, 3], vertices [V, 3]. The inside test is much cheaper than the closest point.
        """
        points = np.ascontiguousarray(points, dtype=np.float64)
        if len(points) == 0:
            return np.zeros(0, dtype=np.int64), _NOTHING
        tree = self._tree(vertices)
        inside = winding_numbers(points, sort_into_columns(tree.corners)) > 0
        row, barycentric = np.full(len(points), -1), np.zeros((len(points), 3))
        for chosen, within in ((inside, np.inf), (~inside, max_distance)) if max_distance > 0 else ((inside, np.inf),):
            found = closest_faces(points[chosen], tree.boxes, tree.starts, tree.corners, within)
            row[chosen], barycentric[chosen] = found
        ids = np.flatnonzero(row >= 0)
        return ids, _closest_points(points[ids], inside[ids], tree, row[ids], barycentric[ids])

    def distance(self, points: Array, vertices: Array, max_distance: float = np.inf) -> float:
        """Smallest distance in meters from points [N, 3] to the surface of vertices [V, 3]; inf beyond max_distance."""
        tree = self._tree(vertices)
        outside = np.maximum(np.maximum(tree.boxes[1, :3] - points, points - tree.boxes[1, 3:]), 0)
        # Points near the box first: their distance prunes the search of the others.
        points = np.ascontiguousarray(points[np.argsort((outside * outside).sum(-1))], dtype=np.float64)
        return float(smallest_distance(points, tree.boxes, tree.starts, tree.corners, max_distance))

    def _tree(self, vertices: Array) -> AabbTree:
        tree = build_aabb_tree(np.ascontiguousarray(vertices, dtype=np.float64), self.faces, self._order)
        if self._order is None:
            self._order = tree.order
        return tree


def _closest_points(
    points: Array, inside: NDArray[np.bool_], tree: AabbTree, row: NDArray[np.int64], barycentric: Array
) -> ClosestPoints:
    """The record of points [N, 3] whose closest points lie in the faces `row` [N] of the tree, -1 for none."""
    face = np.where(row >= 0, tree.order[row], -1)
    on_surface = np.einsum("nk,nkd->nd", barycentric, tree.corners[row].reshape(-1, 3, 3))
    offset = points - on_surface
    distance = np.linalg.norm(offset, axis=1)
    inside = inside & (face >= 0)
    off_surface = (distance > _ON_SURFACE)[:, None]
    normal = np.where(off_surface, offset * np.where(inside, -1.0, 1.0)[:, None], _normals(tree.corners[row]))
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), np.finfo(float).tiny)
    return ClosestPoints(face, barycentric, np.where(face >= 0, distance, np.inf), inside, normal)


_NOTHING = ClosestPoints(
    np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros(0), np.zeros(0, dtype=bool), np.zeros((0, 3))
)


def _normals(corners: Array) -> Array:
    """Normals [N, 3] of any length of faces with corners [N, 9]."""
    return np.asarray(face_normals(corners[:, :3], corners[:, 3:6], corners[:, 6:]), np.float64)


def _check_closed(faces: NDArray[np.int64]) -> None:
    """Raises ValueError unless every directed edge occurs once in each direction."""
    starts, ends = faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)
    count = int(faces.max()) + 1
    forward, backward = starts * count + ends, ends * count + starts
    if len(np.unique(forward)) < len(forward) or not np.array_equal(np.sort(forward), np.sort(backward)):
        raise ValueError("the mesh is not closed: every edge must join two faces of the same orientation")
