"""Pose features and the ranges in which statements hold.

People as the few points that statements speak of: differentiable, for the rules and for the energies alike.

What each statement means in numbers: the same ranges write statements from motion and pull motion to statements.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.capsules import CAPSULE_PARTS, NUM_POINTS, CapsuleBody, part_distances
from closemesh.body.landmarks import LandmarkBody, pose_landmarks
from closemesh.body.motion import transl_of
from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.core.arrays import Floats
from closemesh.losses.keypoints import geman_mcclure
from closemesh.structures import BodyMotion
from closemesh.text.statements import (
    ArmHeight,
    DepthOrder,
    Facing,
    JointAngle,
    Placement,
    Posture,
    Spacing,
    Statement,
    Support,
    Touch,
)

_CHUNK = 64  # Frames whose gaps between parts are measured at once.
_PALM = 1.25  # The middle of the hand lies beyond the wrist by a quarter of the forearm.


@dataclass(frozen=True)
class PoseFeatures:
    """P people as body and foot keypoints, camera frame."""

    keypoints: Tensor  # [..., P, 23, 3] metres
    up: Tensor  # [..., 3] unit vector against gravity, cam
    capsules: CapsuleBody
    _gaps: dict[tuple[int, int], Tensor] = field(default_factory=dict, compare=False, repr=False)

    def named(self, person: int, name: str) -> Tensor:
        """A keypoint [..., 3] of a person."""
        return self.keypoints[..., person, KEYPOINT_INDEX[name], :]

    def middle(self, person: int, name: str) -> Tensor:
        """[..., 3] halfway between the left and the right one."""
        return (self.named(person, f"left_{name}") + self.named(person, f"right_{name}")) / 2

    def point(self, person: int, name: str) -> Tensor:
        """A point of the vocabulary [..., 3]."""
        if name == "head":
            return self.middle(person, "ear")
        side, _, limb = name.partition("_")
        if limb == "hand":
            return torch.lerp(self.named(person, f"{side}_elbow"), self.named(person, f"{side}_wrist"), _PALM)
        if limb == "foot":
            return (self.named(person, f"{side}_heel") + self.named(person, f"{side}_big_toe")) / 2
        return self.named(person, name)

    def trunk(self, person: int) -> Tensor:
        """Unit vectors [..., 3, 3] of the trunk: to its left, up along it, to the front."""
        up = F.normalize(self.middle(person, "shoulder") - self.middle(person, "hip"), dim=-1, eps=1e-6)
        across = sum(self.named(person, f"left_{n}") - self.named(person, f"right_{n}") for n in ("shoulder", "hip"))
        front = F.normalize(torch.linalg.cross(across, up), dim=-1, eps=1e-6)
        return torch.stack([torch.linalg.cross(up, front), up, front], dim=-2)

    def trunk_middle(self, person: int) -> Tensor:
        """[..., 3]."""
        return (self.middle(person, "shoulder") + self.middle(person, "hip")) / 2

    def height(self, points: Tensor) -> Tensor:
        """Metres [...] of points [..., 3] along gravity; only differences mean something."""
        return (points * self.up).sum(-1)

    def lowest(self, person: int) -> Tensor:
        """Height [...] of the lowest keypoint."""
        return (self.keypoints[..., person, :, :] * self.up[..., None, :]).sum(-1).amin(-1)

    def gaps(self, a: int, b: int) -> Tensor:
        """Metres [..., 17, 17] between COARSE_PARTS of a and of b; measured once."""
        if a > b:
            return self.gaps(b, a).transpose(-1, -2)
        if (a, b) not in self._gaps:
            self._gaps[a, b] = part_distances(self.keypoints[..., a, :, :], self.keypoints[..., b, :, :], self.capsules)
        return self._gaps[a, b]

    def gap(self, a: int, part_a: str, b: int, part_b: str) -> Tensor:
        """Metres [...] between two parts."""
        return self.gaps(a, b)[..., CAPSULE_PARTS.index(part_a), CAPSULE_PARTS.index(part_b)]


def figures_at(
    rotations: Tensor, pelvis: Tensor, betas: Tensor, up: Tensor, points: LandmarkBody, capsules: CapsuleBody
) -> PoseFeatures:
    """People of N moments that have nothing to do with each other.

    rotations [N, P, 22, 3, 3], pelvis [N, P, 3] metres, betas [N, P, B], up [N, 3]; points: coarse.
    """
    count, people = pelvis.shape[:2]
    transl = transl_of(points, betas, pelvis)
    posed = pose_landmarks(points, betas.flatten(0, 1), rotations.flatten(0, 1)[None], transl.flatten(0, 1)[None])
    return PoseFeatures(posed.keypoints[0, :, :NUM_POINTS].unflatten(0, (count, people)), up, capsules)


def pose_features(
    motion: BodyMotion, points: LandmarkBody, capsules: CapsuleBody, up_cam: Floats
) -> Iterator[PoseFeatures]:
    """Everybody [t, P, 23, 3], some frames at a time. motion: camera frame; points: coarse; up_cam [T, 3]."""

    def tensor(array: Floats) -> Tensor:
        return torch.as_tensor(array, dtype=points.joint_template.dtype)

    joints = points.joint_template.shape[0]
    betas = tensor(motion.betas)[:, : points.num_betas]
    for first in range(0, len(motion.transl), _CHUNK):
        part = slice(first, first + _CHUNK)
        posed = pose_landmarks(points, betas, tensor(motion.rotations[part, :, :joints]), tensor(motion.transl[part]))
        yield PoseFeatures(posed.keypoints[..., :NUM_POINTS, :], tensor(up_cam[part]), capsules)


OUTLIER = 4.0  # A statement that is further off than this many sigmas pulls less and less: it may be wrong.
_INF = math.inf
_ANGLE, _COSINE = math.radians(8), 0.15  # How soft the borders of words are.
_TOUCHING, _TOUCH_SIGMA = 0.02, 0.04  # Metres between capsules.


@dataclass(frozen=True)
class Condition:
    """A statement holds where all its conditions do: a value in a range with soft borders."""

    value: Tensor  # [...]
    low: float
    high: float
    soft: float
    """So far inside a border the value is surely inside, so far outside surely not."""
    sigma: float
    """Standard deviation of the value when the statement is true, beyond the border."""
    inward: float = 0.0
    """So far inside a border the value is likely at least: whoever says something is seldom just about right."""

    def confidence(self) -> Tensor:
        """0..1 [...]: half at a border."""
        inside = torch.minimum(self.value - self.low, self.high - self.value)
        return (0.5 + 0.5 * inside / self.soft).clamp(0, 1)

    def excess(self) -> Tensor:
        """How far outside the likely part of the range [...], in sigmas; 0 inside."""
        inward = min(self.inward, (self.high - self.low) / 2)
        return (F.relu(self.low + inward - self.value) + F.relu(self.value - self.high + inward)) / self.sigma


def confidence(statement: Statement, figures: PoseFeatures) -> Tensor:
    """How surely the statement holds, 0..1 [...]."""
    told = [condition.confidence() for condition in conditions(statement, figures)]
    return torch.stack(told).amin(0)


def violation(statement: Statement, figures: PoseFeatures) -> Tensor:
    """Robust squared distance [...] from where the statement holds, in sigmas: 0 there, never above OUTLIER ** 2."""
    squared = torch.stack([condition.excess().square() for condition in conditions(statement, figures)]).sum(0)
    return geman_mcclure(squared, OUTLIER)


def conditions(statement: Statement, figures: PoseFeatures) -> list[Condition]:
    """The conditions of a statement; its people are places in `figures`."""
    return _CONDITIONS[type(statement)](statement, figures)


def _within(value: Tensor, low: float = -_INF, high: float = _INF, soft: float = _COSINE) -> Condition:
    return Condition(value, low, high, soft, sigma=soft, inward=soft)


def _near(gap: Tensor) -> Condition:
    """Surfaces that touch are at each other, not inside one another."""
    return Condition(gap, -_INF, _TOUCHING, soft=_TOUCHING, sigma=_TOUCH_SIGMA)


def _between(value: Tensor, degrees: tuple[float, float]) -> Condition:
    return _within(value, *(math.radians(border) for border in degrees), soft=_ANGLE)


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Radians [...] between vectors [..., 3]; its gradient is finite everywhere."""
    across = torch.linalg.vector_norm(torch.linalg.cross(a, b), dim=-1)
    return torch.atan2(across, (a * b).sum(-1))


_BEND_DEGREES = {"straight": (-_INF, 25), "slightly_bent": (25, 65), "bent": (65, 115), "sharply_bent": (115, _INF)}
_CHAINS = {
    "elbow": ("shoulder", "elbow", "wrist"),
    "knee": ("hip", "knee", "ankle"),
    "hip": ("shoulder", "hip", "knee"),
}


def _joint_angle(said: JointAngle, figures: PoseFeatures) -> list[Condition]:
    side, _, joint = said.joint.partition("_")
    start, middle, end = (figures.named(said.person, f"{side}_{name}") for name in _CHAINS[joint])
    return [_between(_angle(middle - start, end - middle), _BEND_DEGREES[said.bend])]


_ARM_DEGREES = {"down": (-_INF, 25), "low": (25, 60), "shoulder_height": (60, 115), "overhead": (115, _INF)}


def _arm_height(said: ArmHeight, figures: PoseFeatures) -> list[Condition]:
    shoulder, elbow = (figures.named(said.person, f"{said.side}_{name}") for name in ("shoulder", "elbow"))
    down = figures.middle(said.person, "hip") - figures.middle(said.person, "shoulder")
    return [_between(_angle(elbow - shoulder, down), _ARM_DEGREES[said.height])]


_AXES = {"left_of": 0, "in_front_of": 2}  # Of the trunk.


def _placement(said: Placement, figures: PoseFeatures) -> list[Condition]:
    away = figures.point(said.person, said.point) - figures.point(said.of_person, said.of_point)
    if said.relation == "above":
        value = figures.height(away)
    else:
        value = (away * figures.trunk(said.person)[..., _AXES[said.relation], :]).sum(-1)
    return [_within(value, low=0.05, soft=0.05)]


_SHARES = {"close": (-_INF, 0.65), "shoulder_width": (0.65, 1.5), "wide": (1.5, _INF)}
"""Of the person's own shoulder width."""


def _spacing(said: Spacing, figures: PoseFeatures) -> list[Condition]:
    limb = {"hands": "hand", "elbows": "elbow", "knees": "knee", "feet": "foot"}[said.limbs]
    ends = [figures.point(said.person, f"{side}_{limb}") for side in ("left", "right")]
    shoulders = [figures.named(said.person, f"{side}_shoulder") for side in ("left", "right")]
    apart, width = (torch.linalg.vector_norm(a - b, dim=-1) for a, b in (ends, shoulders))
    low, high = _SHARES[said.apart]
    return [_within(apart / width, low, high, soft=0.15)]


_POSTURES: dict[str, tuple[tuple[float, float], str, float]] = {
    "upright": ((-_INF, 35), "", 0),
    "leaning_forward": ((35, 70), "front", -0.35),
    "leaning_back": ((35, 70), "front", 0.35),
    "face_up": ((70, 130), "front", 0.6),
    "face_down": ((70, 130), "front", -0.6),
    "on_left_side": ((70, 130), "left", -0.6),
    "on_right_side": ((70, 130), "left", 0.6),
    "upside_down": ((130, _INF), "", 0),
}
"""Degrees of the trunk from upright, and how far the chest, or the left side, looks up."""


def _posture(said: Posture, figures: PoseFeatures) -> list[Condition]:
    left, along, front = figures.trunk(said.person).unbind(-2)
    degrees, which, border = _POSTURES[said.posture]
    found = [_between(_angle(along, figures.up), degrees)]
    if which:
        upward = figures.height(front if which == "front" else left)
        found.append(_within(upward * math.copysign(1, border), low=abs(border)))
    return found


def _facing(said: Facing, figures: PoseFeatures) -> list[Condition]:
    a, b = said.person_a, said.person_b
    to_b = F.normalize(figures.trunk_middle(b) - figures.trunk_middle(a), dim=-1, eps=1e-6)
    fronts = [figures.trunk(person)[..., 2, :] for person in (a, b)]
    of_a, of_b = (fronts[0] * to_b).sum(-1), -(fronts[1] * to_b).sum(-1)  # 1: looks at the other; -1: away.
    if said.how == "facing_each_other":
        return [_within(of_a, low=0.6), _within(of_b, low=0.6)]
    if said.how == "back_to_back":
        return [_within(of_a, high=-0.6), _within(of_b, high=-0.6)]
    if said.how == "behind":
        return [_within(of_a, low=0.6), _within(of_b, high=-0.6)]
    same_way = (fronts[0] * fronts[1]).sum(-1)
    return [_within(of_a, -0.5, 0.5), _within(of_b, -0.5, 0.5), _within(same_way, low=0.6)]


def _touch(said: Touch, figures: PoseFeatures) -> list[Condition]:
    gap = figures.gap(said.person_a, said.part_a, said.person_b, said.part_b)
    return [_near(gap)]


def _depth_order(said: DepthOrder, figures: PoseFeatures) -> list[Condition]:
    behind = figures.trunk_middle(said.farther)[..., 2] - figures.trunk_middle(said.nearer)[..., 2]
    return [_within(behind, low=0.1, soft=0.1)]


def _support(said: Support, figures: PoseFeatures) -> list[Condition]:
    above = figures.lowest(said.carried) - figures.lowest(said.carrier)
    gap = figures.gaps(said.carrier, said.carried).amin((-1, -2))
    return [_within(above, low=0.25, soft=0.1), _near(gap)]


_CONDITIONS: Mapping[type, Callable[[Any, PoseFeatures], list[Condition]]] = {
    JointAngle: _joint_angle,
    ArmHeight: _arm_height,
    Placement: _placement,
    Spacing: _spacing,
    Posture: _posture,
    Facing: _facing,
    Touch: _touch,
    DepthOrder: _depth_order,
    Support: _support,
}
