"""The ranges of pose features in which statements hold: for captions and for losses alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.losses.keypoints import geman_mcclure
from closemesh.text.pose_features import PoseFeatures
from closemesh.text.statements import (
    ArmHeight,
    DepthOrder,
    Facing,
    HeadContact,
    HeadPose,
    JointAngle,
    Placement,
    Posture,
    Spacing,
    Statement,
    Support,
    Touch,
    TrunkPose,
    Turned,
)
from closemesh.text.vocabulary import (
    HEAD_POSES,
    TRUNK_POSES,
)

OUTLIER = 4.0  # Sigmas from which on the gradient of a violation decreases: the statement may be wrong.
_INF = math.inf
_ANGLE, _FINE_ANGLE, _COSINE = math.radians(8), math.radians(4), 0.15  # Half widths of the soft borders between words.
_TOUCHING, _TOUCH_SIGMA = 0.02, 0.04  # Meters between capsules.
_HEAD_CONTACT, _PAST = 0.12, 0.02  # Meters between points inside heads that touch, and of one past the other.
_CHIN, _SHOULDER_TOP = 1.2, 0.08  # Of the chin below the nose, in distances of nose and eyes; meters over the joint.
_SIDES = ("left", "right")


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


def _contact(distance: Tensor, touching: float = _TOUCHING) -> Condition:
    """Surfaces that touch are close; the loss does not pull them into each other."""
    return Condition(distance, -_INF, touching, soft=_TOUCHING, sigma=_TOUCH_SIGMA)


def _angle_within(value: Tensor, degrees: tuple[float, float], soft: float = _ANGLE) -> Condition:
    return _within(value, *(math.radians(border) for border in degrees), soft=soft)


def _across(vector: Tensor, axis: Tensor) -> Tensor:
    """Unit vector [..., 3] along the part of a vector that is perpendicular to an axis."""
    return F.normalize(vector - (vector * axis).sum(-1, keepdim=True) * axis, dim=-1, eps=1e-6)


def _elevation(unit: Tensor, axis: Tensor) -> Tensor:
    """Radians [...] of a unit vector [..., 3] above the plane across an axis."""
    return math.pi / 2 - _angle(unit, axis)


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


_TRUNK_DEGREES: dict[str, tuple[float, float]] = {
    "not_twisted": (-8, 8),
    "twisted_left": (8, _INF),
    "twisted_right": (-_INF, -8),
    "not_leaning_to_a_side": (-8, 8),
    "leaning_left": (8, 60),
    "leaning_right": (-60, -8),
    "vertical": (-_INF, 10),
    "leaning_forward_a_little": (10, 35),
    "leaning_back_a_little": (-35, -10),
    "shoulders_level": (-7, 7),
    "left_shoulder_higher": (7, _INF),
    "right_shoulder_higher": (-_INF, -7),
    "hips_level": (-5, 5),
    "left_hip_higher": (5, _INF),
    "right_hip_higher": (-_INF, -5),
}
_HIP_HEIGHTS = {"hips_high": (0.85, _INF), "hips_low": (0.4, 0.85), "hips_near_the_ground": (-_INF, 0.4)}
"""Of the length of the person's own leg."""


def _trunk_pose(statement: TrunkPose, features: PoseFeatures) -> list[Condition]:
    person, word = statement.person, statement.trunk
    if word in _HIP_HEIGHTS:
        return [_within(_hip_height(person, features), *_HIP_HEIGHTS[word], soft=0.08)]
    _, along, front = features.trunk(person).unbind(-2)
    others = []
    if word in TRUNK_POSES["twist"]:
        hips, shoulders = features.across(person, "hip"), features.across(person, "shoulder")
        sine = (torch.linalg.cross(hips, shoulders) * along).sum(-1)
        angle = torch.atan2(sine, (hips * shoulders).sum(-1))
    elif word in (*TRUNK_POSES["shoulders"], *TRUNK_POSES["hips"]):
        line = features.across(person, "hip" if "hip" in word else "shoulder")
        angle = _elevation(line, features.up)
    elif word == "vertical":
        angle = _angle(along, features.up)
    else:  # A trunk that lies has no side to lean to.
        level = _across(front, features.up)
        level = torch.linalg.cross(features.up, level) if word in TRUNK_POSES["side"] else level
        angle = torch.atan2((along * level).sum(-1), features.height(along))
        others = [_within(features.height(along), low=0.5)]
    return [_angle_within(angle, _TRUNK_DEGREES[word], _FINE_ANGLE), *others]


def _hip_height(person: int, features: PoseFeatures) -> Tensor:
    """Height [...] of the hips above the lowest keypoint, in lengths of the person's own legs."""
    sides = ([features.keypoint(person, f"{side}_{name}") for name in ("hip", "knee", "ankle")] for side in _SIDES)
    length = sum(torch.linalg.vector_norm(a - b, dim=-1) for leg in sides for a, b in pairwise(leg)) / 2
    return (features.height(features.middle(person, "hip")) - features.lowest(person)) / length


_HEAD_DEGREES: dict[str, tuple[float, float]] = {
    "turned_ahead": (-15, 15),
    "turned_left": (15, _INF),
    "turned_right": (-_INF, -15),
    "not_tilted": (-10, 10),
    "tilted_left": (-_INF, -10),
    "tilted_right": (10, _INF),
    "not_bent": (-38, -8),
    "bent_forward": (-_INF, -38),
    "bent_back": (-8, _INF),
}
"""Tilted to the left: the left ear is lower."""


def _head_pose(statement: HeadPose, features: PoseFeatures) -> list[Condition]:
    person, word = statement.person, statement.pose
    left, along, front = features.trunk(person).unbind(-2)
    gaze = features.gaze(person)
    if word in HEAD_POSES["turn"]:
        angle = torch.atan2((gaze * left).sum(-1), (gaze * front).sum(-1))
    else:
        axis = gaze if word in HEAD_POSES["bend"] else features.across(person, "ear")
        angle = _elevation(axis, along)
    return [_angle_within(angle, _HEAD_DEGREES[word], _FINE_ANGLE)]


def _turned(statement: Turned, features: PoseFeatures) -> list[Condition]:
    person, section = statement.person_a, statement.section
    along = features.trunk(person)[..., 1, :]
    if section == "head":
        here, there = (features.point(who, "head") for who in (person, statement.person_b))
        front = features.gaze(person)
    else:
        name = section.removesuffix("s")
        here, there = (features.middle(who, name) for who in (person, statement.person_b))
        front = torch.linalg.cross(features.across(person, name), along)
    level = [
        F.normalize(v - (v * along).sum(-1, keepdim=True) * along, dim=-1, eps=1e-6) for v in (front, there - here)
    ]
    axis = level[0] if statement.direction in ("toward", "away") else torch.linalg.cross(along, level[0])
    cosine = (axis * level[1]).sum(-1)
    return [_within(-cosine if statement.direction in ("away", "right_side_toward") else cosine, low=0.75)]


def _head_contact(statement: HeadContact, features: PoseFeatures) -> list[Condition]:
    a, b = statement.person_a, statement.person_b
    if statement.heads.startswith("chin"):
        nose, eyes = features.keypoint(a, "nose"), features.middle(a, "eye")
        shoulder = features.keypoint(b, f"{statement.heads.split('_')[2]}_shoulder")
        top = torch.lerp(shoulder, features.middle(b, "shoulder"), 0.35) + _SHOULDER_TOP * features.trunk(b)[..., 1, :]
        return [_contact(torch.linalg.vector_norm(nose + _CHIN * (nose - eyes) - top, dim=-1), _HEAD_CONTACT)]
    foreheads = [2 * features.middle(who, "eye") - features.keypoint(who, "nose") for who in (a, b)]
    forehead = torch.linalg.vector_norm(foreheads[0] - foreheads[1], dim=-1)
    cheeks = [[_cheek(who, side, features) for side in _SIDES] for who in (a, b)]
    cheek = torch.stack([torch.linalg.vector_norm(one - other, dim=-1) for one, other in product(*cheeks)]).amin(0)
    past = forehead - cheek  # Heads that are beside each other have their foreheads apart.
    if statement.heads == "foreheads_touching":
        return [_contact(forehead, _HEAD_CONTACT), _within(past, high=_PAST, soft=_PAST)]
    return [_contact(cheek, _HEAD_CONTACT), _within(past, low=_PAST, soft=_PAST)]


def _cheek(person: int, side: str, features: PoseFeatures) -> Tensor:
    return torch.lerp(features.keypoint(person, f"{side}_ear"), features.keypoint(person, "nose"), 0.5)


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
    TrunkPose: _trunk_pose,
    HeadPose: _head_pose,
    Turned: _turned,
    HeadContact: _head_contact,
}
