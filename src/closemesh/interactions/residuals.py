"""What a correction has to bring about, as linearised residuals: points meet or part, nothing crosses, feet stand."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.energy.limits import beyond_limits
from closemesh.geometry.rotations import matrix_to_axis_angle, skew
from closemesh.interactions.levers import FREE_JOINTS, NUM_PARAMETERS, Points, PosedPairs, vertex_points
from closemesh.interactions.newton import Rows
from closemesh.interactions.pair_motion import PairMotion
from closemesh.interactions.search import NearSearch

_LIMIT = 0.03  # Radians beyond a joint's range: so many are free, so many more cost one.


def meeting_rows(posed: PosedPairs, frames: Tensor, anchors: Tensor, gaps: Tensor, sigma: float) -> Rows:
    """Points that are to meet: anchors [K, 2] of a and b in frames [N], gaps [K, 3] from b to a; three rows each."""
    frame, touch = (grid.flatten() for grid in torch.meshgrid(frames, torch.arange(len(anchors)), indexing="ij"))
    a, b = (vertex_points(frame, torch.full_like(frame, person), anchors[touch, person]) for person in (0, 1))
    gap = posed.positions(a) - posed.positions(b) - gaps[touch]
    parts = []
    for axis in torch.eye(3):
        direction = axis.expand(len(frame), 3)
        parts.append(_difference(posed, a, b, direction, gap @ axis, sigma))
    return Rows.join(parts)


def parting_rows(posed: PosedPairs, frames: Tensor, anchors: Tensor, way: Tensor, least: float, sigma: float) -> Rows:
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


def touch_rows(posed: PosedPairs, one: Points, other: Points, wanted: Tensor, inverse_sigma: Tensor) -> Rows:
    """Points [N] of one person that are to be `wanted` [N, 3] metres from those of the other.

    inverse_sigma [N] in 1 / metres.
    """
    gap = posed.positions(one) - posed.positions(other) - wanted
    parts = [_difference(posed, one, other, axis.expand(len(gap), 3), gap @ axis, 1.0) for axis in torch.eye(3)]
    rows = Rows.join(parts)
    weight = inverse_sigma.repeat(3)
    return Rows(rows.frame, rows.values * weight, rows.derivatives * weight[:, None])


def crossing_rows(posed: PosedPairs, search: NearSearch, faces: Tensor, allowed: float | Tensor, sigma: float) -> Rows:
    """Vertices more than `allowed` metres (of all frames, or of each [F]) inside the other body.

    Below 0 they are also those that are outside but so near.
    """
    margin = 0.0 if isinstance(allowed, Tensor) else max(-allowed, 0.0)
    pairs = search.find(posed.vertices(), margin)
    least = allowed[pairs.frame] if isinstance(allowed, Tensor) else allowed
    person = torch.where(pairs.from_a, 0, 1)
    vertex = vertex_points(pairs.frame, person, pairs.vertex)
    surface = Points(pairs.frame, 1 - person, faces[pairs.face], pairs.barycentric)
    depth = ((posed.positions(surface) - posed.positions(vertex)) * pairs.outward).sum(-1) - least
    deep = depth > 0
    return _difference(posed, _some(surface, deep), _some(vertex, deep), pairs.outward[deep], depth[deep], sigma)


def floor_rows(posed: PosedPairs, points: Points, targets: Tensor, held: Tensor, sigma: float) -> Rows:
    """Points of feet [N] that are `held` [N] at targets [N, 3], and all others not below the floor."""
    positions = posed.positions(points)
    parts = []
    for axis, direction in enumerate(torch.eye(3)):
        missing = positions[:, axis] - targets[:, axis]
        wanted = held if axis != 1 else held | (positions[:, 1] < 0)
        missing = torch.where(held, missing, positions[:, axis]) if axis == 1 else missing
        some = _some(points, wanted)
        derivatives = posed.derivatives(some, direction.expand(len(some.frame), 3)) / sigma
        parts.append(Rows(some.frame, missing[wanted] / sigma, _placed(derivatives, some.person)))
    return Rows.join(parts)


def limit_rows(motion: PairMotion) -> Rows:
    """Joints farther beyond their range than `_LIMIT`."""
    free = [joint - 1 for joint in FREE_JOINTS if joint > 0]
    pose = matrix_to_axis_angle(motion.rotations[:, :, 1:])[:, :, free]  # [F, 2, J - 1, 3]
    excess = (beyond_limits(matrix_to_axis_angle(motion.rotations[:, :, 1:]))[:, :, free] - _LIMIT).clamp(min=0)
    frame, person, joint, axis = excess.nonzero(as_tuple=True)
    number = torch.arange(len(frame))
    derivatives = torch.zeros(len(frame), 2 * NUM_PARAMETERS)
    columns = (person * NUM_PARAMETERS + 3 * (joint + 1))[:, None] + torch.arange(3)
    derivatives[number[:, None], columns] = turning_further(pose[frame, person, joint])[number, axis] / _LIMIT
    values = (excess * pose.sign())[frame, person, joint, axis]
    return Rows(frame, values / _LIMIT, derivatives)


def turning_further(vectors: Tensor) -> Tensor:
    """Change [N, 3, 3] of rotation vectors [N, 3] when a small turn follows in the turned frame (right Jacobian)."""
    squared = vectors.square().sum(-1).clamp(min=1e-8)
    angle = squared.sqrt()
    second = 1 / squared - (1 + angle.cos()) / (2 * angle * angle.sin().clamp(min=1e-4))
    K = skew(vectors)
    return torch.eye(3) + K / 2 + second[:, None, None] * (K @ K)


def _difference(posed: PosedPairs, one: Points, other: Points, direction: Tensor, values: Tensor, sigma: float) -> Rows:
    """Residuals of `one` minus `other` along a direction; the two belong to different people."""
    plus = _placed(posed.derivatives(one, direction), one.person)
    minus = _placed(posed.derivatives(other, direction), other.person)
    return Rows(one.frame, values / sigma, (plus - minus) / sigma)


def _placed(derivatives: Tensor, person: Tensor) -> Tensor:
    """[N, 2 D] the parameters of both people, of derivatives [N, D] with those of one."""
    empty = torch.zeros_like(derivatives)
    first = (person == 0)[:, None]
    return torch.cat([torch.where(first, derivatives, empty), torch.where(first, empty, derivatives)], dim=1)


def _some(points: Points, chosen: Tensor) -> Points:
    return Points(points.frame[chosen], points.person[chosen], points.vertices[chosen], points.shares[chosen])
