"""What touches what in each frame of a motion: pairs of points that are to meet again on other bodies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.contact.crossings import SurfacePairs, surface_points
from closemesh.contact.parts import PART_INDEX, PART_NAMES, part_labels
from closemesh.interactions.levers import Points, vertex_points
from closemesh.interactions.pair_motion import PairMotion
from closemesh.interactions.search import NearSearch

TOUCH_DISTANCE = 0.015  # Metres between surfaces that touch.
PALM_DISTANCE = 0.04  # Metres between palms that hold each other; markers tell hands no better.
_CLOSE = 0.006  # Metres within which touching surfaces come.
_SURFACE_REACH, _PALM_REACH = 0.05, 0.40  # Metres; what comes so near keeps its way to the touch.
_CHUNK = 16  # Frames skinned at a time.
_HANDS = (PART_INDEX["left_hand"], PART_INDEX["right_hand"])


@dataclass(frozen=True)
class TouchingPoints:
    """N pairs of points, one on each person, in frames of a motion."""

    one: Points
    other: Points
    gap: Tensor  # [N, 3] metres from the other to the one that are to be left
    weight: Tensor  # [N] 1 where they touch, smaller the farther apart they are
    depth: Tensor  # [T] metres, the deepest crossing in each frame


class TouchFinder:
    """Finds, for each two parts that touch in a frame, where they are nearest; and palms that hold each other."""

    def __init__(self, body: BodyModel) -> None:
        """body: a closed mesh that both people share."""
        self._body, self._search = body, NearSearch(body)
        self._labels = part_labels(body)
        self._palms = torch.tensor([palm_vertex(body, side) for side in ("left", "right")])

    def find(self, motion: PairMotion) -> TouchingPoints:
        """All frames of a motion."""
        parts = [self._chunk(motion, frames) for frames in torch.arange(len(motion)).split(_CHUNK)]
        return TouchingPoints(
            one=_joined([p.one for p in parts]),
            other=_joined([p.other for p in parts]),
            gap=torch.cat([p.gap for p in parts]),
            weight=torch.cat([p.weight for p in parts]),
            depth=torch.cat([p.depth for p in parts]),
        )

    def _chunk(self, motion: PairMotion, frames: Tensor) -> TouchingPoints:
        vertices, _ = motion.frames(frames).skin(self._body)
        pairs = self._search.find(vertices, _SURFACE_REACH)
        point, surface = surface_points(vertices[:, 0], vertices[:, 1], self._body.faces, pairs)
        depth = ((surface - point) * pairs.outward).sum(-1)  # [N] negative outside
        nearest = self._nearest_of_parts(pairs.frame, pairs.from_a, pairs.vertex, pairs.face, depth)
        person = torch.where(pairs.from_a, 0, 1)[nearest]
        frame = pairs.frame[nearest]
        one = vertex_points(frame, person, pairs.vertex[nearest])
        other = Points(frame, 1 - person, self._body.faces[pairs.face[nearest]], pairs.barycentric[nearest])
        gap, weight = _surface_gap(point[nearest] - surface[nearest], -depth[nearest])
        held = self._held_palms(vertices, self._hands_in_touch(pairs, depth, len(frames)))
        deepest = torch.zeros(len(frames)).scatter_reduce(0, pairs.frame, depth.clamp(min=0), "amax")
        points = [_joined([_in_columns(one, 3), held.one]), _joined([other, held.other])]
        shifted = [Points(frames[p.frame], p.person, p.vertices, p.shares) for p in points]
        gaps, weights = torch.cat([gap, held.gap]), torch.cat([weight, held.weight])
        return TouchingPoints(shifted[0], shifted[1], gaps, weights, deepest)

    def _nearest_of_parts(self, frame: Tensor, from_a: Tensor, vertex: Tensor, face: Tensor, depth: Tensor) -> Tensor:
        """Rows of the deepest, or else nearest, pair of every two parts in every frame."""
        own, other = self._labels[vertex], self._labels[self._body.faces[face, 0]]
        a, b = torch.where(from_a, own, other), torch.where(from_a, other, own)
        key = (frame * len(PART_NAMES) + a) * len(PART_NAMES) + b
        order = depth.argsort(descending=True, stable=True)
        order = order[key[order].argsort(stable=True)]
        first = torch.ones(len(order), dtype=torch.bool)
        first[1:] = key[order][1:] != key[order][:-1]
        return order[first]

    def _hands_in_touch(self, pairs: SurfacePairs, depth: Tensor, frames: int) -> Tensor:
        """[F, 2, 2] a hand of a (left, right) and one of b whose surfaces touch."""
        own, other = self._labels[pairs.vertex], self._labels[self._body.faces[pairs.face, 0]]
        a, b = torch.where(pairs.from_a, own, other), torch.where(pairs.from_a, other, own)
        touch = torch.zeros(frames, 2, 2, dtype=torch.bool)
        for i, hand_a in enumerate(_HANDS):
            for j, hand_b in enumerate(_HANDS):
                both = (a == hand_a) & (b == hand_b) & (depth > -TOUCH_DISTANCE)
                touch[pairs.frame[both], i, j] = True
        return touch

    def _held_palms(self, vertices: Tensor, in_touch: Tensor) -> TouchingPoints:
        """Each two palms of different people that are near; in_touch [F, 2, 2]: the hands' surfaces touch already."""
        a, b = vertices[:, 0, self._palms], vertices[:, 1, self._palms]  # [F, 2, 3]
        distance = torch.cdist(a, b)
        frame, hand_a, hand_b = (distance < _PALM_REACH).nonzero(as_tuple=True)
        way = a[frame, hand_a] - b[frame, hand_b]
        gap, weight = _palm_gap(way, in_touch[frame, hand_a, hand_b])
        one = vertex_points(frame, torch.zeros_like(frame), self._palms[hand_a])
        other = vertex_points(frame, torch.ones_like(frame), self._palms[hand_b])
        return TouchingPoints(_in_columns(one, 3), _in_columns(other, 3), gap, weight, distance.new_zeros(0))


def _surface_gap(way: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """What is to be left [N, 3] of ways [N, 3] to a surface, and the weights [N]; distance [N], negative inside.

    Points inside keep their depth, touching ones come within `_CLOSE`, the rest comes nearer by as much.
    """
    excess = torch.where(distance < TOUCH_DISTANCE, (distance - _CLOSE).clamp(min=0), TOUCH_DISTANCE - _CLOSE)
    share = 1 - excess / distance.clamp(min=_CLOSE)
    return way * share[:, None], TOUCH_DISTANCE / distance.clamp(min=TOUCH_DISTANCE)


def _palm_gap(way: Tensor, in_touch: Tensor) -> tuple[Tensor, Tensor]:
    """The same of ways between palms: those that nearly meet do, unless their hands touch somewhere already."""
    distance = way.norm(dim=-1)
    share = torch.where(in_touch, 1.0, (1 - PALM_DISTANCE / distance.clamp(min=1e-6)).clamp(min=0))
    return way * share[:, None], PALM_DISTANCE / distance.clamp(min=PALM_DISTANCE)


def palm_vertex(body: BodyModel, side: str) -> int:
    """The vertex in the middle of a palm; palms look down in the zero pose."""
    wrist, knuckle = (body.joint_template[JOINT_INDEX[f"{side}_{name}"]] for name in ("wrist", "middle1"))
    middle = (wrist + knuckle) / 2
    flat = body.v_template[:, [0, 2]] - middle[[0, 2]]
    under = (body.v_template[:, 1] < middle[1]) & (flat.norm(dim=-1) < 0.03)
    candidates = under.nonzero()[:, 0]
    return int(candidates[flat[candidates].norm(dim=-1).argmin()])


def _in_columns(points: Points, columns: int) -> Points:
    """The same points as mixtures of `columns` vertices."""
    missing = columns - points.vertices.shape[1]
    vertices = torch.cat([points.vertices, points.vertices[:, :1].expand(-1, missing)], dim=1)
    shares = torch.cat([points.shares, points.shares.new_zeros(len(vertices), missing)], dim=1)
    return Points(points.frame, points.person, vertices, shares)


def _joined(parts: list[Points]) -> Points:
    return Points(*(torch.cat([getattr(p, name) for p in parts]) for name in ("frame", "person", "vertices", "shares")))
