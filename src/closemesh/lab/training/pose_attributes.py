"""Attributes of a pose that the vocabulary of statements lacks, by rules; labels for training captions only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.text.pose_features import PoseFeatures
from closemesh.text.predicates import Condition

_INF = math.inf
_SIDES = ("left", "right")


@dataclass(frozen=True)
class PoseAttribute:
    """One attribute of a person: of the limb of one side, or of the whole body where `side` is empty.

    Raises ValueError for an unknown kind.
    """

    person: int
    kind: str
    side: str = ""

    def __post_init__(self) -> None:
        if self.kind not in (_ONE_SIDE if self.side else _WHOLE_BODY):
            raise ValueError(f"attribute '{self.kind}' is unknown")


def pose_attributes(people: int) -> Iterator[PoseAttribute]:
    """All attributes of 1 or 2 people, in label order."""
    for person in range(people):
        yield from (PoseAttribute(person, kind) for kind in _WHOLE_BODY)
        yield from (PoseAttribute(person, kind, side) for kind in _ONE_SIDE for side in _SIDES)


def attribute_confidence(attribute: PoseAttribute, features: PoseFeatures) -> Tensor:
    """Confidence 0..1 [...] that the attribute is true."""
    view = _SideView(features, attribute.person, attribute.side or "left")
    conditions = (_ONE_SIDE if attribute.side else _WHOLE_BODY)[attribute.kind](view)
    return torch.stack([condition.confidence() for condition in conditions]).amin(0)


@dataclass(frozen=True)
class _SideView:
    """One person, with points and axes named for one side."""

    features: PoseFeatures
    person: int
    side: str

    def at(self, name: str) -> Tensor:
        """A point [..., 3] in meters: `hand` of this side, `other_hand` of the other, `hip_middle` between both."""
        other = "right" if self.side == "left" else "left"
        if name.endswith("_middle"):
            return self.features.middle(self.person, name.removesuffix("_middle"))
        if name == "head":
            return self.features.point(self.person, "head")
        limb = name.removeprefix("other_")
        return self.features.point(self.person, f"{other if limb != name else self.side}_{limb}")

    def keypoint(self, name: str) -> Tensor:
        """A keypoint [..., 3] in meters, by its full name."""
        return self.features.keypoint(self.person, name)

    def offset(self, name: str, of_name: str) -> Tensor:
        """The vector [..., 3] in meters from the second point to the first."""
        return self.at(name) - self.at(of_name)

    def axis(self, number: int) -> Tensor:
        """Unit axis [..., 3] of the trunk: 0 to this side, 1 along the trunk, 2 to the front."""
        axis = self.features.trunk(self.person)[..., number, :]
        return -axis if number == 0 and self.side == "right" else axis

    def level(self, axis: Tensor) -> Tensor:
        """The axis [..., 3] projected to the horizontal plane, as a unit vector."""
        up = self.features.up
        return F.normalize(axis - (axis * up).sum(-1, keepdim=True) * up, dim=-1, eps=1e-6)

    def height(self, name: str) -> Tensor:
        """Height [...] in meters of a point above the lowest keypoint of the person."""
        return self.features.height(self.at(name)) - self.features.lowest(self.person)

    def direction(self, name: str, of_name: str, axis: Tensor) -> Tensor:
        """Cosine -1..1 [...] between an axis [..., 3] and the vector from the second point to the first."""
        return (F.normalize(self.offset(name, of_name), dim=-1, eps=1e-6) * axis).sum(-1)


_Rule = Callable[[_SideView], list[Condition]]
"""The conditions under which an attribute is true."""


def _within(value: Tensor, low: float = -_INF, high: float = _INF, soft: float = 0.05) -> list[Condition]:
    return [Condition(value, low, high, soft, soft)]


def _near(one: str, other: str, meters: float) -> _Rule:
    return lambda view: _within(view.offset(one, other).norm(dim=-1), high=meters)


def _along(name: str, of_name: str, axis: int, low: float, high: float = _INF) -> _Rule:
    """The direction from one point to another has a cosine between `low` and `high` with an axis of the trunk."""
    return lambda view: _within(view.direction(name, of_name, view.axis(axis)), low, high, 0.15)


def _hand_level(of_name: str, low: float = -0.1, high: float = 0.1) -> _Rule:
    """The hand is between `low` and `high` meters above another point."""
    return lambda view: _within(view.features.height(view.offset("hand", of_name)), low, high)


def _low(name: str, high: float) -> _Rule:
    return lambda view: _within(view.height(name), high=high)


def _chest(view: _SideView) -> Tensor:
    """The middle of the chest [..., 3] in meters, on the skin."""
    return torch.lerp(view.at("shoulder_middle"), view.at("hip_middle"), 0.3) + 0.12 * view.axis(2)


def _belly(view: _SideView) -> Tensor:
    """The navel [..., 3] in meters, on the skin."""
    return torch.lerp(view.at("shoulder_middle"), view.at("hip_middle"), 0.75) + 0.14 * view.axis(2)


def _leg(axis: int, low: float, high: float = _INF) -> _Rule:
    """Direction of the foot from the hip along a horizontal axis of the trunk."""

    def rule(view: _SideView) -> list[Condition]:
        return _within(view.direction("foot", "hip", view.level(view.axis(axis))), low, high, 0.1)

    return rule


def _lean(axis: int, low: float, high: float = _INF) -> _Rule:
    """Component of the trunk along a horizontal axis, 0 when upright; only for a trunk that is about upright."""

    def rule(view: _SideView) -> list[Condition]:
        level = view.level(view.axis(axis))
        upright = (view.axis(1) * view.features.up).sum(-1)
        return [*_within((view.axis(1) * level).sum(-1), low, high, 0.06), *_within(upright, 0.5)]

    return rule


def _head_turn(view: _SideView) -> list[Condition]:
    """The nose points to this side of the trunk."""
    gaze = F.normalize(view.keypoint("nose") - view.at("head"), dim=-1, eps=1e-6)
    return _within((gaze * view.axis(0)).sum(-1), low=0.4, soft=0.15)


def _gaze(low: float, high: float = _INF) -> _Rule:
    """Vertical component of the direction from the middle of the ears to the nose."""

    def rule(view: _SideView) -> list[Condition]:
        gaze = F.normalize(view.keypoint("nose") - view.at("head"), dim=-1, eps=1e-6)
        return _within((gaze * view.features.up).sum(-1), low, high, 0.12)

    return rule


def _head_tilt(view: _SideView) -> list[Condition]:
    """The ear of this side is lower along the trunk."""
    ears = F.normalize(view.keypoint("left_ear") - view.keypoint("right_ear"), dim=-1, eps=1e-6)
    down = -(ears * view.axis(1)).sum(-1)
    return _within(down if view.side == "left" else -down, low=0.18, soft=0.08)


def _twist(view: _SideView) -> list[Condition]:
    """The shoulders are rotated to this side against the hips."""
    shoulders, hips = (
        F.normalize(view.keypoint(f"left_{n}") - view.keypoint(f"right_{n}"), dim=-1, eps=1e-6)
        for n in ("shoulder", "hip")
    )
    turn = (torch.linalg.cross(hips, shoulders) * view.axis(1)).sum(-1)
    return _within(turn if view.side == "left" else -turn, low=0.3, soft=0.1)


def _forearm(low: float, high: float = _INF) -> _Rule:
    """The forearm has a vertical component between `low` and `high`."""
    return lambda view: _within(view.direction("hand", "elbow", view.features.up), low, high, 0.15)


def _hand_on_hip(view: _SideView) -> list[Condition]:
    return [*_within(view.offset("hand", "hip").norm(dim=-1), high=0.27), *_along("elbow", "shoulder", 0, 0.3)(view)]


def _stride(low: float, high: float = _INF) -> _Rule:
    """The foot is between `low` and `high` meters ahead of the other foot."""

    def rule(view: _SideView) -> list[Condition]:
        ahead = (view.offset("foot", "other_foot") * view.level(view.axis(2))).sum(-1)
        return _within(ahead, low, high)

    return rule


def _across(view: _SideView) -> list[Condition]:
    """The hand is on the other side of the body."""
    sideways = ((view.at("hand") - view.at("shoulder_middle")) * view.axis(0)).sum(-1)
    return _within(sideways, high=-0.03)


def _tiptoe(view: _SideView) -> list[Condition]:
    heel, toe = (view.keypoint(f"{view.side}_{name}") for name in ("heel", "big_toe"))
    return [*_within(view.features.height(heel - toe), low=0.1, soft=0.04), *_low("foot", 0.2)(view)]


def _foot_out(view: _SideView) -> list[Condition]:
    heel, toe = (view.keypoint(f"{view.side}_{name}") for name in ("heel", "big_toe"))
    return _within((F.normalize(toe - heel, dim=-1, eps=1e-6) * view.level(view.axis(0))).sum(-1), low=0.5, soft=0.12)


def _shin_back(view: _SideView) -> list[Condition]:
    return _within(view.direction("foot", "knee", view.level(view.axis(2))), high=-0.6, soft=0.15)


def _lower_shoulder(view: _SideView) -> list[Condition]:
    drop = view.features.height(view.offset("other_shoulder", "shoulder"))
    return [*_within(drop, 0.08, soft=0.03), *_within((view.axis(1) * view.features.up).sum(-1), 0.5)]


def _kneels(view: _SideView) -> list[Condition]:
    return [*_low("knee", 0.14)(view), *_within(view.features.height(view.offset("hip", "knee")), low=0.1)]


_WHOLE_BODY: Mapping[str, _Rule] = {
    "leans_forward_a_little": _lean(2, 0.17, 0.57),
    "leans_back_a_little": _lean(2, -_INF, -0.13),
    "looks_down": _gaze(-_INF, -0.65),
    "looks_up": _gaze(-0.05),
    "near_the_ground": _low("hip_middle", 0.45),
}
_ONE_SIDE: Mapping[str, _Rule] = {
    "arm_out_sideways": _along("hand", "shoulder", 0, 0.55),
    "arm_forward": _along("hand", "shoulder", 2, 0.7),
    "arm_backward": _along("hand", "shoulder", 2, -_INF, -0.2),
    "arm_across": _across,
    "hand_at_head": _near("hand", "head", 0.3),
    "hand_at_chest": lambda view: _within((view.at("hand") - _chest(view)).norm(dim=-1), high=0.2),
    "hand_at_belly": lambda view: _within((view.at("hand") - _belly(view)).norm(dim=-1), high=0.2),
    "hand_on_hip": _hand_on_hip,
    "hand_at_knee": _near("hand", "knee", 0.2),
    "hand_at_other_elbow": _near("hand", "other_elbow", 0.22),
    "hand_at_own_shoulder": _near("hand", "shoulder", 0.25),
    "hand_at_other_shoulder": _near("hand", "other_shoulder", 0.28),
    "hand_low": _low("hand", 0.35),
    "hand_at_hip_height": _hand_level("hip_middle"),
    "hand_at_chest_height": _hand_level("shoulder_middle", -0.28, -0.06),
    "hand_at_shoulder_height": _hand_level("shoulder"),
    "hand_at_head_height": _hand_level("head", -0.13, 0.13),
    "elbow_out": _along("elbow", "shoulder", 0, 0.5),
    "forearm_level": _forearm(-0.3, 0.3),
    "forearm_up": _forearm(0.6),
    "forearm_down": _forearm(-_INF, -0.85),
    "forearm_forward": _along("hand", "elbow", 2, 0.7),
    "forearm_inward": _along("hand", "elbow", 0, -_INF, -0.6),
    "shoulder_lower": _lower_shoulder,
    "thigh_level": lambda view: _within(view.features.height(view.offset("knee", "hip")).abs(), high=0.1),
    "shin_back": _shin_back,
    "foot_turned_out": _foot_out,
    "foot_at_other_leg": lambda view: _within(view.offset("foot", "other_knee").norm(dim=-1), high=0.22),
    "foot_high": lambda view: _within(view.height("foot"), low=0.3),
    "heel_up": _tiptoe,
    "kneels": _kneels,
    "leg_out_sideways": _leg(0, 0.33),
    "leg_forward": _leg(2, 0.4),
    "leg_backward": _leg(2, -_INF, -0.4),
    "step_ahead": _stride(0.12, 0.45),
    "far_ahead": _stride(0.45),
    "head_turned": _head_turn,
    "head_tilted": _head_tilt,
    "twisted": _twist,
    "leans_sideways": _lean(0, 0.13),
}
