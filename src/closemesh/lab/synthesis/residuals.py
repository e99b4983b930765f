"""Linearized residuals of a correction: contact, separation, penetration, floor, joint limits."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.contact.signed_distance import WatertightMesh
from closemesh.contact.vertex_contacts import SurfacePairs, boxes_within, within_box
from closemesh.geometry.rotations import hat, matrix_to_axis_angle
from closemesh.lab.synthesis.least_squares import (
    FREE_JOINTS,
    NUM_PARAMETERS,
    BodyPoints,
    LinearResiduals,
    PosedPairs,
    vertex_points,
)
from closemesh.lab.synthesis.pair_motion import ContactPoints, PairMotion
from closemesh.losses.joint_limits import joint_limit_excess

_MAX_DEPTH = 0.05  # Meters; with a margin, deeper vertices are not returned, only those around them.


class NearSearch:
    """Search for penetrating and nearly penetrating vertices of two bodies with the same faces."""

    def __init__(self, body: BodyModel, step: int = 1) -> None:
        """body: a closed mesh. step: only every `step`-th vertex is searched."""
        self._surface = WatertightMesh(body.faces.numpy())
        self._ids = np.arange(0, len(body.v_template), step)

    def find(self, vertices: Tensor, margin: float) -> SurfacePairs:
        """Vertices inside the other body, and those outside at less than `margin` meters; vertices [F, 2, V, 3].

        The normal of each pair points out of the other body.
        """
        bodies = vertices.double().numpy()
        frames = np.flatnonzero(boxes_within(bodies[:, 0], bodies[:, 1], margin))
        columns = [self._one_way(bodies, int(frame), from_a, margin) for frame in frames for from_a in (True, False)]
        joined = [np.concatenate(column) for column in zip(_EMPTY, *columns, strict=True)]
        frame, from_a, vertex, face, barycentric, normal = map(torch.as_tensor, joined)
        return SurfacePairs(frame, from_a, vertex, face, barycentric.float(), normal.float())

    def _one_way(self, bodies: np.ndarray, frame: int, from_a: bool, margin: float) -> tuple[np.ndarray, ...]:
        """Columns of SurfacePairs for the vertices of one body of a frame; bodies [F, 2, V, 3]."""
        own, other = bodies[frame] if from_a else bodies[frame, ::-1]
        vertex = self._ids[within_box(own[self._ids], other, margin)]
        if len(vertex) == 0:
            return _EMPTY
        ids, found = self._surface.closest_within(own[vertex], other, margin)
        if margin > 0:
            shallow = found.distance < _MAX_DEPTH
            ids, found = ids[shallow], found.where(shallow)
        origin = np.full(len(ids), frame), np.full(len(ids), from_a), vertex[ids]
        return (*origin, found.face, found.barycentric, found.normal)


_EMPTY = (
    *(np.zeros(0, dtype) for dtype in (np.int64, np.bool_, np.int64, np.int64)),
    *(np.zeros((0, 3)), np.zeros((0, 3))),
)

_FREE_EXCESS = 0.03  # Radians beyond a joint's range without cost; the same excess again costs one.


def contact_residuals(posed: PosedPairs, frames: Tensor, contact: ContactPoints, sigma: float) -> LinearResiduals:
    """Three residuals per contact point of each of frames [N]: its offset against the wanted one; sigma in meters."""
    a, b, point = _contact_vertices(frames, contact)
    difference = posed.positions(a) - posed.positions(b) - contact.offsets[point]
    parts = []
    for axis in torch.eye(3):
        direction = axis.expand(len(a.frame), 3)
        parts.append(_difference(posed, a, b, direction, difference @ axis, sigma))
    return LinearResiduals.concat(parts)


def separation_residuals(
    posed: PosedPairs, frames: Tensor, contact: ContactPoints, directions: Tensor, distance: float, sigma: float
) -> LinearResiduals:
    """Contact points of frames [N] closer than `distance` meters along directions [N, K, 3], which lead from b to a.

    Points that slid aside by more than twice the distance are free. sigma in meters.
    """
    a, b, _ = _contact_vertices(frames, contact)
    directions = directions.flatten(0, 1)
    difference = posed.positions(a) - posed.positions(b)
    missing = (difference * directions).sum(-1) - distance
    near = (missing < 0) & (difference.norm(dim=-1) < 2 * distance)
    return _difference(posed, a.frames(near), b.frames(near), directions[near], missing[near], sigma)


def penetration_residuals(
    posed: PosedPairs, search: NearSearch, faces: Tensor, max_depth: float, sigma: float
) -> LinearResiduals:
    """Vertices more than `max_depth` meters inside the other body; faces [F, 3], sigma in meters.

    A negative `max_depth` is a distance that vertices outside must have.
    """
    pairs = search.find(posed.vertices(), max(-max_depth, 0.0))
    person = torch.where(pairs.from_a, 0, 1)
    vertex = vertex_points(pairs.frame, person, pairs.vertex)
    surface = BodyPoints(pairs.frame, 1 - person, faces[pairs.face], pairs.barycentric)
    excess = ((posed.positions(surface) - posed.positions(vertex)) * pairs.normal).sum(-1) - max_depth
    deep = excess > 0
    return _difference(posed, surface.frames(deep), vertex.frames(deep), pairs.normal[deep], excess[deep], sigma)


def floor_residuals(
    posed: PosedPairs, points: BodyPoints, targets: Tensor, fixed: Tensor, sigma: float
) -> LinearResiduals:
    """Foot points [N] away from targets [N, 3] where `fixed` [N] is True, and all others below the floor."""
    positions = posed.positions(points)
    parts = []
    for axis, direction in enumerate(torch.eye(3)):
        difference = positions[:, axis] - targets[:, axis]
        active = fixed if axis != 1 else fixed | (positions[:, 1] < 0)
        difference = torch.where(fixed, difference, positions[:, axis]) if axis == 1 else difference
        some = points.frames(active)
        jacobians = posed.point_jacobians(some, direction.expand(len(some.frame), 3)) / sigma
        parts.append(LinearResiduals(some.frame, difference[active] / sigma, _both_people(jacobians, some.person)))
    return LinearResiduals.concat(parts)


def joint_limit_residuals(motion: PairMotion) -> LinearResiduals:
    """Joint angles more than `_FREE_EXCESS` beyond their range."""
    free = [joint - 1 for joint in FREE_JOINTS if joint > 0]
    body_pose = matrix_to_axis_angle(motion.rotations[:, :, 1:])
    pose = body_pose[:, :, free]  # [F, 2, J - 1, 3]
    excess = (joint_limit_excess(body_pose)[:, :, free] - _FREE_EXCESS).clamp(min=0)
    frame, person, joint, axis = excess.nonzero(as_tuple=True)
    row = torch.arange(len(frame))
    jacobians = torch.zeros(len(frame), 2 * NUM_PARAMETERS)
    columns = (person * NUM_PARAMETERS + 3 * (joint + 1))[:, None] + torch.arange(3)
    jacobians[row[:, None], columns] = inverse_right_jacobian(pose[frame, person, joint])[row, axis] / _FREE_EXCESS
    values = (excess * pose.sign())[frame, person, joint, axis]
    return LinearResiduals(frame, values / _FREE_EXCESS, jacobians)


def inverse_right_jacobian(rotvecs: Tensor) -> Tensor:
    """Inverse right Jacobian [N, 3, 3] of SO(3): change of rotvecs [N, 3] by a small turn in the turned frame."""
    squared = rotvecs.square().sum(-1).clamp(min=1e-8)
    angle = squared.sqrt()
    second = 1 / squared - (1 + angle.cos()) / (2 * angle * angle.sin().clamp(min=1e-4))
    K = hat(rotvecs)
    return torch.eye(3) + K / 2 + second[:, None, None] * (K @ K)


def _contact_vertices(frames: Tensor, contact: ContactPoints) -> tuple[BodyPoints, BodyPoints, Tensor]:
    """Points [N * K] of a and of b for frames [N], and the index [N * K] of each in `contact`."""
    grids = torch.meshgrid(frames, torch.arange(len(contact.anchors)), indexing="ij")
    frame, point = (grid.flatten() for grid in grids)
    a, b = (vertex_points(frame, torch.full_like(frame, p), contact.anchors[point, p]) for p in (0, 1))
    return a, b, point


def _difference(
    posed: PosedPairs, first: BodyPoints, second: BodyPoints, direction: Tensor, values: Tensor, sigma: float
) -> LinearResiduals:
    """Residuals values [N] of `first` minus `second` along direction [N, 3]; the points are of different people."""
    plus = _both_people(posed.point_jacobians(first, direction), first.person)
    minus = _both_people(posed.point_jacobians(second, direction), second.person)
    return LinearResiduals(first.frame, values / sigma, (plus - minus) / sigma)


def _both_people(jacobians: Tensor, person: Tensor) -> Tensor:
    """[N, 2 D] Jacobians for the parameters of both people, from jacobians [N, D] of person [N]."""
    empty = torch.zeros_like(jacobians)
    first = (person == 0)[:, None]
    return torch.cat([torch.where(first, jacobians, empty), torch.where(first, empty, jacobians)], dim=1)
