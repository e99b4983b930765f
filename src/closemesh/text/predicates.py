"""Pose features, and the ranges of them in which statements hold: for captions and for losses alike."""

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

OUTLIER = 4.0  # Sigmas from which on the gradient of a violation decreases: the statement may be wrong.
_CHUNK = 64  # Frames for which distances between parts are computed at once.
_PALM = 1.25  # The palm lies beyond the wrist by a quarter of the forearm.
_INF = math.inf
_ANGLE, _COSINE = math.radians(8), 0.15  # Half widths of the soft borders between words.
_TOUCHING, _TOUCH_SIGMA = 0.02, 0.04  # Meters between capsules.


@dataclass(frozen=True)
class PoseFeatures:
    """Keypoints of P people in camera axes, and what statements measure on them."""

    keypoints: Tensor  # [..., P, 23, 3] meters, body and feet
    up: Tensor  # [..., 3] unit vector against gravity
    capsules: CapsuleBody
    _part_distances: dict[tuple[int, int], Tensor] = field(default_factory=dict, compare=False, repr=False)

    def keypoint(self, person: int, name: str) -> Tensor:
        """A keypoint [..., 3] of a person, meters."""
        return self.keypoints[..., person, KEYPOINT_INDEX[name], :]

    def middle(self, person: int, name: str) -> Tensor:
        """The point [..., 3] halfway between the left and the right keypoint, meters."""
        return (self.keypoint(person, f"left_{name}") + self.keypoint(person, f"right_{name}")) / 2

    def point(self, person: int, name: str) -> Tensor:
        """A point [..., 3] of the vocabulary, meters."""
        if name == "head":
            return self.middle(person, "ear")
        side, _, limb = name.partition("_")
        if limb == "hand":
            return torch.lerp(self.keypoint(person, f"{side}_elbow"), self.keypoint(person, f"{side}_wrist"), _PALM)
        if limb == "foot":
            return (self.keypoint(person, f"{side}_heel") + self.keypoint(person, f"{side}_big_toe")) / 2
        return self.keypoint(person, name)

    def trunk(self, person: int) -> Tensor:
        """Unit axes [..., 3, 3] of the trunk, one a row: to its left, up along it, to the front."""
        up = F.normalize(self.middle(person, "shoulder") - self.middle(person, "hip"), dim=-1, eps=1e-6)
        across = sum(
            self.keypoint(person, f"left_{n}") - self.keypoint(person, f"right_{n}") for n in ("shoulder", "hip")
        )
        front = F.normalize(torch.linalg.cross(across, up), dim=-1, eps=1e-6)
        return torch.stack([torch.linalg.cross(up, front), up, front], dim=-2)

    def trunk_middle(self, person: int) -> Tensor:
        """The middle [..., 3] of the trunk, meters."""
        return (self.middle(person, "shoulder") + self.middle(person, "hip")) / 2

    def height(self, points: Tensor) -> Tensor:
        """Meters [...] of points [..., 3] along gravity; the origin is arbitrary."""
        return (points * self.up).sum(-1)

    def lowest(self, person: int) -> Tensor:
        """Height [...] of the lowest keypoint, meters."""
        return (self.keypoints[..., person, :, :] * self.up[..., None, :]).sum(-1).amin(-1)

    def part_distances(self, a: int, b: int) -> Tensor:
        """Signed meters [..., 17, 17] between the CAPSULE_PARTS of two people; cached."""
        if a > b:
            return self.part_distances(b, a).transpose(-1, -2)
        if (a, b) not in self._part_distances:
            points = self.keypoints[..., a, :, :], self.keypoints[..., b, :, :]
            self._part_distances[a, b] = part_distances(points[0], points[1], self.capsules)
        return self._part_distances[a, b]

    def part_distance(self, a: int, part_a: str, b: int, part_b: str) -> Tensor:
        """Signed meters [...] between two parts of two people."""
        return self.part_distances(a, b)[..., CAPSULE_PARTS.index(part_a), CAPSULE_PARTS.index(part_b)]


def pose_features_at(
    rotations: Tensor, pelvis: Tensor, betas: Tensor, up: Tensor, body: LandmarkBody, capsules: CapsuleBody
) -> PoseFeatures:
    """Features of N independent moments.

    rotations: [N, P, 22, 3, 3]; pelvis: [N, P, 3] meters; betas: [N, P, B]; up: [N, 3]; body: coarse landmarks.
    """
    count, people = pelvis.shape[:2]
    transl = transl_of(body, betas, pelvis)
    posed = pose_landmarks(body, betas.flatten(0, 1), rotations.flatten(0, 1)[None], transl.flatten(0, 1)[None])
    return PoseFeatures(posed.keypoints[0, :, :NUM_POINTS].unflatten(0, (count, people)), up, capsules)


def pose_features(
    motion: BodyMotion, body: LandmarkBody, capsules: CapsuleBody, up_cam: Floats
) -> Iterator[PoseFeatures]:
    """Features [t, P, ...] of a motion in chunks of frames.

    motion: camera frame; body: coarse landmarks; up_cam: [T, 3] unit vectors against gravity.
    """

    def tensor(array: Floats) -> Tensor:
        return torch.as_tensor(array, dtype=body.joint_template.dtype)

    joints = body.joint_template.shape[0]
    betas = tensor(motion.betas)[:, : body.num_betas]
    for first in range(0, len(motion.transl), _CHUNK):
        part = slice(first, first + _CHUNK)
        posed = pose_landmarks(body, betas, tensor(motion.rotations[part, :, :joints]), tensor(motion.transl[part]))
        yield PoseFeatures(posed.keypoints[..., :NUM_POINTS, :], tensor(up_cam[part]), capsules)


@dataclass(frozen=True)
class Condition:
    """A value in a range with soft borders; a statement holds where all its conditions do."""

    value: Tensor  # [...]
    low: float
    high: float
    soft: float
    """Half width of a border: the confidence is 1 this far inside, 0 this far outside."""
    sigma: float
    """Standard deviation of the value beyond the border when the statement is true."""
    margin: float = 0.0
    """The loss pulls this far inside a border: a true statement seldom holds just barely."""

    def confidence(self) -> Tensor:
        """Confidence 0..1 [...]; 0.5 at a border."""
        inside = torch.minimum(self.value - self.low, self.high - self.value)
        return (0.5 + 0.5 * inside / self.soft).clamp(0, 1)

    def excess(self) -> Tensor:
        """Distance [...] from the range without its margins, in sigmas; 0 inside."""
        margin = min(self.margin, (self.high - self.low) / 2)
        return (F.relu(self.low + margin - self.value) + F.relu(self.value - self.high + margin)) / self.sigma


def confidence(statement: Statement, features: PoseFeatures) -> Tensor:
    """Confidence 0..1 [...] that a statement holds."""
    return torch.stack([condition.confidence() for condition in conditions(statement, features)]).amin(0)


def violation(statement: Statement, features: PoseFeatures) -> Tensor:
    """Robust squared distance [...] from where the statement holds, in sigmas: 0 there, below OUTLIER ** 2."""
    squared = torch.stack([condition.excess().square() for condition in conditions(statement, features)]).sum(0)
    return geman_mcclure(squared, OUTLIER)


def conditions(statement: Statement, features: PoseFeatures) -> list[Condition]:
    """The conditions of a statement; its people are indices into `features`."""
    return _CONDITIONS[type(statement)](statement, features)


def _within(value: Tensor, low: float = -_INF, high: float = _INF, soft: float = _COSINE) -> Condition:
    return Condition(value, low, high, soft, sigma=soft, margin=soft)


def _contact(distance: Tensor) -> Condition:
    """Surfaces that touch are close; the loss does not pull them into each other."""
    return Condition(distance, -_INF, _TOUCHING, soft=_TOUCHING, sigma=_TOUCH_SIGMA)


def _angle_within(value: Tensor, degrees: tuple[float, float]) -> Condition:
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


def _joint_angle(statement: JointAngle, features: PoseFeatures) -> list[Condition]:
    side, _, joint = statement.joint.partition("_")
    start, middle, end = (features.keypoint(statement.person, f"{side}_{name}") for name in _CHAINS[joint])
    return [_angle_within(_angle(middle - start, end - middle), _BEND_DEGREES[statement.bend])]


_ARM_DEGREES = {"down": (-_INF, 25), "low": (25, 60), "shoulder_height": (60, 115), "overhead": (115, _INF)}


def _arm_height(statement: ArmHeight, features: PoseFeatures) -> list[Condition]:
    person = statement.person
    shoulder, elbow = (features.keypoint(person, f"{statement.side}_{name}") for name in ("shoulder", "elbow"))
    down = features.middle(person, "hip") - features.middle(person, "shoulder")
    return [_angle_within(_angle(elbow - shoulder, down), _ARM_DEGREES[statement.height])]


_TRUNK_AXIS = {"left_of": 0, "in_front_of": 2}


def _placement(statement: Placement, features: PoseFeatures) -> list[Condition]:
    offset = features.point(statement.person, statement.point) - features.point(statement.of_person, statement.of_point)
    if statement.relation == "above":
        value = features.height(offset)
    else:
        value = (offset * features.trunk(statement.person)[..., _TRUNK_AXIS[statement.relation], :]).sum(-1)
    return [_within(value, low=0.05, soft=0.05)]


_SPACING_RATIOS = {"close": (-_INF, 0.65), "shoulder_width": (0.65, 1.5), "wide": (1.5, _INF)}
"""Of the person's own shoulder width."""


def _spacing(statement: Spacing, features: PoseFeatures) -> list[Condition]:
    limb = {"hands": "hand", "elbows": "elbow", "knees": "knee", "feet": "foot"}[statement.limbs]
    ends = [features.point(statement.person, f"{side}_{limb}") for side in ("left", "right")]
    shoulders = [features.keypoint(statement.person, f"{side}_shoulder") for side in ("left", "right")]
    distance, width = (torch.linalg.vector_norm(a - b, dim=-1) for a, b in (ends, shoulders))
    low, high = _SPACING_RATIOS[statement.apart]
    return [_within(distance / width, low, high, soft=0.15)]


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
"""Degrees of the trunk from upright, and the vertical component of its front or left axis."""


def _posture(statement: Posture, features: PoseFeatures) -> list[Condition]:
    left, along, front = features.trunk(statement.person).unbind(-2)
    degrees, which, border = _POSTURES[statement.posture]
    found = [_angle_within(_angle(along, features.up), degrees)]
    if which:
        upward = features.height(front if which == "front" else left)
        found.append(_within(upward * math.copysign(1, border), low=abs(border)))
    return found


def _facing(statement: Facing, features: PoseFeatures) -> list[Condition]:
    a, b = statement.person_a, statement.person_b
    to_b = F.normalize(features.trunk_middle(b) - features.trunk_middle(a), dim=-1, eps=1e-6)
    fronts = [features.trunk(person)[..., 2, :] for person in (a, b)]
    of_a, of_b = (fronts[0] * to_b).sum(-1), -(fronts[1] * to_b).sum(-1)  # 1: faces the other; -1: turned away.
    if statement.how == "facing_each_other":
        return [_within(of_a, low=0.6), _within(of_b, low=0.6)]
    if statement.how == "back_to_back":
        return [_within(of_a, high=-0.6), _within(of_b, high=-0.6)]
    if statement.how == "behind":
        return [_within(of_a, low=0.6), _within(of_b, high=-0.6)]
    same_direction = (fronts[0] * fronts[1]).sum(-1)
    return [_within(of_a, -0.5, 0.5), _within(of_b, -0.5, 0.5), _within(same_direction, low=0.6)]


def _touch(statement: Touch, features: PoseFeatures) -> list[Condition]:
    distance = features.part_distance(statement.person_a, statement.part_a, statement.person_b, statement.part_b)
    return [_contact(distance)]


def _depth_order(statement: DepthOrder, features: PoseFeatures) -> list[Condition]:
    behind = features.trunk_middle(statement.farther)[..., 2] - features.trunk_middle(statement.nearer)[..., 2]
    return [_within(behind, low=0.1, soft=0.1)]


def _support(statement: Support, features: PoseFeatures) -> list[Condition]:
    above = features.lowest(statement.carried) - features.lowest(statement.carrier)
    distance = features.part_distances(statement.carrier, statement.carried).amin((-1, -2))
    return [_within(above, low=0.25, soft=0.1), _contact(distance)]


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
