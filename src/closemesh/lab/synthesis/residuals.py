"""Linearized residuals, near search.

Which vertices lie in the other body or just outside it, for the inner loops: one query tells both.

What a correction has to bring about, as linearised residuals: points meet or part, nothing crosses, feet stand.
"""

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
    LinearResiduals,
    Points,
    PosedPairs,
    vertex_points,
)
from closemesh.lab.synthesis.pair_motion import PairMotion
from closemesh.losses.joint_limits import joint_limit_excess

_DEEPEST = 0.05  # Metres; what lies deeper is not found when a margin is asked for, but what surrounds it is.


class NearSearch:
    """Looks for crossing and nearly crossing vertices of two bodies that share their faces."""

    def __init__(self, body: BodyModel, every: int = 1) -> None:
        """body: a closed mesh; every: only each so manieth vertex is looked at."""
        self._surface = WatertightMesh(body.faces.numpy())
        self._ids = np.arange(0, len(body.v_template), every)

    def find(self, vertices: Tensor, margin: float) -> SurfacePairs:
        """Vertices inside the other body, and outside it but nearer than `margin` metres; vertices [F, 2, V, 3].

        `outward` points out of the other body for both.
        """
        bodies = vertices.double().numpy()
        frames = np.flatnonzero(boxes_within(bodies[:, 0], bodies[:, 1], margin))
        columns = [self._one_way(bodies, int(frame), from_a, margin) for frame in frames for from_a in (True, False)]
        joined = [np.concatenate(column) for column in zip(_NOTHING, *columns, strict=True)]
        frame, from_a, vertex, face, barycentric, outward = map(torch.as_tensor, joined)
        return SurfacePairs(frame, from_a, vertex, face, barycentric.float(), outward.float())

    def _one_way(self, bodies: np.ndarray, frame: int, from_a: bool, margin: float) -> tuple[np.ndarray, ...]:
        own, other = bodies[frame] if from_a else bodies[frame, ::-1]
        vertex = self._ids[within_box(own[self._ids], other, margin)]
        if len(vertex) == 0:
            return _NOTHING
        ids, found = self._surface.closest_within(own[vertex], other, margin)
        if margin > 0:
            shallow = found.distance < _DEEPEST
            ids, found = ids[shallow], found.where(shallow)
        origin = np.full(len(ids), frame), np.full(len(ids), from_a), vertex[ids]
        return (*origin, found.face, found.barycentric, found.normal)


_NOTHING = (
    *(np.zeros(0, dtype) for dtype in (np.int64, np.bool_, np.int64, np.int64)),
    *(np.zeros((0, 3)), np.zeros((0, 3))),
)


_LIMIT = 0.03  # Radians beyond a joint's range: so many are free, so many more cost one.


def contact_residuals(
    posed: PosedPairs, frames: Tensor, anchors: Tensor, gaps: Tensor, sigma: float
) -> LinearResiduals:
    """Points that are to meet: anchors [K, 2] of a and b in frames [N], gaps [K, 3] from b to a; three rows each."""
    frame, touch = (grid.flatten() for grid in torch.meshgrid(frames, torch.arange(len(anchors)), indexing="ij"))
    a, b = (vertex_points(frame, torch.full_like(frame, person), anchors[touch, person]) for person in (0, 1))
    gap = posed.positions(a) - posed.positions(b) - gaps[touch]
    parts = []
    for axis in torch.eye(3):
        direction = axis.expand(len(frame), 3)
        parts.append(_difference(posed, a, b, direction, gap @ axis, sigma))
    return LinearResiduals.join(parts)


def parting_rows(
    posed: PosedPairs, frames: Tensor, anchors: Tensor, way: Tensor, least: float, sigma: float
) -> LinearResiduals:
    """Points nearer than `least` metres along way [N, K, 3], which leads from b to a.

    Points that have slid off to the side are free.
    """
    frame, touch = (grid.flatten() for grid in torch.meshgrid(frames, torch.arange(len(anchors)), indexing="ij"))
    a, b = (vertex_points(frame, torch.full_like(frame, person), anchors[touch, person]) for person in (0, 1))
    way = way.flatten(0, 1)
    gap = posed.positions(a) - posed.positions(b)
    missing = (gap * way).sum(-1) - least
    near = (missing < 0) & (gap.norm(dim=-1) < 2 * least)
    return _difference(posed, _some(a, near), _some(b, near), way[near], missing[near], sigma)


def touch_rows(posed: PosedPairs, one: Points, other: Points, wanted: Tensor, inverse_sigma: Tensor) -> LinearResiduals:
    """Points [N] of one person that are to be `wanted` [N, 3] metres from those of the other.

    inverse_sigma [N] in 1 / metres.
    """
    gap = posed.positions(one) - posed.positions(other) - wanted
    parts = [_difference(posed, one, other, axis.expand(len(gap), 3), gap @ axis, 1.0) for axis in torch.eye(3)]
    rows = LinearResiduals.join(parts)
    weight = inverse_sigma.repeat(3)
    return LinearResiduals(rows.frame, rows.values * weight, rows.derivatives * weight[:, None])


def crossing_rows(
    posed: PosedPairs, search: NearSearch, faces: Tensor, allowed: float | Tensor, sigma: float
) -> LinearResiduals:
    """Vertices more than `allowed` metres (of all frames, or of each [F]) inside the other body.

    Below 0 they are also those that are outside but so near.
    """
    margin = 0.0 if isinstance(allowed, Tensor) else max(-allowed, 0.0)
    pairs = search.find(posed.vertices(), margin)
    least = allowed[pairs.frame] if isinstance(allowed, Tensor) else allowed
    person = torch.where(pairs.from_a, 0, 1)
    vertex = vertex_points(pairs.frame, person, pairs.vertex)
    surface = Points(pairs.frame, 1 - person, faces[pairs.face], pairs.barycentric)
    depth = ((posed.positions(surface) - posed.positions(vertex)) * pairs.normal).sum(-1) - least
    deep = depth > 0
    return _difference(posed, _some(surface, deep), _some(vertex, deep), pairs.normal[deep], depth[deep], sigma)


def floor_rows(posed: PosedPairs, points: Points, targets: Tensor, held: Tensor, sigma: float) -> LinearResiduals:
    """Points of feet [N] that are `held` [N] at targets [N, 3], and all others not below the floor."""
    positions = posed.positions(points)
    parts = []
    for axis, direction in enumerate(torch.eye(3)):
        missing = positions[:, axis] - targets[:, axis]
        wanted = held if axis != 1 else held | (positions[:, 1] < 0)
        missing = torch.where(held, missing, positions[:, axis]) if axis == 1 else missing
        some = _some(points, wanted)
        derivatives = posed.derivatives(some, direction.expand(len(some.frame), 3)) / sigma
        parts.append(LinearResiduals(some.frame, missing[wanted] / sigma, _placed(derivatives, some.person)))
    return LinearResiduals.join(parts)


def limit_rows(motion: PairMotion) -> LinearResiduals:
    """Joints farther beyond their range than `_LIMIT`."""
    free = [joint - 1 for joint in FREE_JOINTS if joint > 0]
    pose = matrix_to_axis_angle(motion.rotations[:, :, 1:])[:, :, free]  # [F, 2, J - 1, 3]
    excess = (joint_limit_excess(matrix_to_axis_angle(motion.rotations[:, :, 1:]))[:, :, free] - _LIMIT).clamp(min=0)
    frame, person, joint, axis = excess.nonzero(as_tuple=True)
    number = torch.arange(len(frame))
    derivatives = torch.zeros(len(frame), 2 * NUM_PARAMETERS)
    columns = (person * NUM_PARAMETERS + 3 * (joint + 1))[:, None] + torch.arange(3)
    derivatives[number[:, None], columns] = turning_further(pose[frame, person, joint])[number, axis] / _LIMIT
    values = (excess * pose.sign())[frame, person, joint, axis]
    return LinearResiduals(frame, values / _LIMIT, derivatives)


def turning_further(vectors: Tensor) -> Tensor:
    """Change [N, 3, 3] of rotation vectors [N, 3] when a small turn follows in the turned frame (right Jacobian)."""
    squared = vectors.square().sum(-1).clamp(min=1e-8)
    angle = squared.sqrt()
    second = 1 / squared - (1 + angle.cos()) / (2 * angle * angle.sin().clamp(min=1e-4))
    K = hat(vectors)
    return torch.eye(3) + K / 2 + second[:, None, None] * (K @ K)


def _difference(
    posed: PosedPairs, one: Points, other: Points, direction: Tensor, values: Tensor, sigma: float
) -> LinearResiduals:
    """Residuals of `one` minus `other` along a direction; the two belong to different people."""
    plus = _placed(posed.derivatives(one, direction), one.person)
    minus = _placed(posed.derivatives(other, direction), other.person)
    return LinearResiduals(one.frame, values / sigma, (plus - minus) / sigma)


def _placed(derivatives: Tensor, person: Tensor) -> Tensor:
    """[N, 2 D] the parameters of both people, of derivatives [N, D] with those of one."""
    empty = torch.zeros_like(derivatives)
    first = (person == 0)[:, None]
    return torch.cat([torch.where(first, derivatives, empty), torch.where(first, empty, derivatives)], dim=1)


def _some(points: Points, chosen: Tensor) -> Points:
    return Points(points.frame[chosen], points.person[chosen], points.vertices[chosen], points.shares[chosen])
