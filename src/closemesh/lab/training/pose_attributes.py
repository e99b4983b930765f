"""Attributes by rules.

One person with one side in mind: what remarks measure.

What people say of a pose that the vocabulary of the rules has no words for: only for learning to read free text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.text.predicates import Condition, PoseFeatures


@dataclass(frozen=True)
class Seen:
    """One person, as seen with one side in mind."""

    figures: PoseFeatures
    person: int
    side: str

    def at(self, name: str) -> Tensor:
        """A point [..., 3]: `hand` is that of the side, `other_hand` the other one, `hip_middle` between both."""
        other = "right" if self.side == "left" else "left"
        if name.endswith("_middle"):
            return self.figures.middle(self.person, name.removesuffix("_middle"))
        if name == "head":
            return self.figures.point(self.person, "head")
        limb = name.removeprefix("other_")
        return self.figures.point(self.person, f"{other if limb != name else self.side}_{limb}")

    def keypoint(self, name: str) -> Tensor:
        return self.figures.named(self.person, name)

    def away(self, name: str, of_name: str) -> Tensor:
        return self.at(name) - self.at(of_name)

    def axis(self, number: int) -> Tensor:
        """[..., 3] of the trunk: 0 outwards on this side, 1 along it, 2 to the front."""
        axis = self.figures.trunk(self.person)[..., number, :]
        return -axis if number == 0 and self.side == "right" else axis

    def level(self, axis: Tensor) -> Tensor:
        """The axis made horizontal."""
        up = self.figures.up
        return F.normalize(axis - (axis * up).sum(-1, keepdim=True) * up, dim=-1, eps=1e-6)

    def height(self, name: str) -> Tensor:
        """[...] metres above the lowest point of the person."""
        return self.figures.height(self.at(name)) - self.figures.lowest(self.person)

    def direction(self, name: str, of_name: str, axis: Tensor) -> Tensor:
        """[...] -1..1 how far the way from the one to the other goes along an axis."""
        return (F.normalize(self.away(name, of_name), dim=-1, eps=1e-6) * axis).sum(-1)


_INF = math.inf
_SIDES = ("left", "right")


@dataclass(frozen=True)
class PoseAttribute:
    """Something about one person's limb of one side, or about all of the person where there is no side."""

    person: int
    kind: str
    side: str = ""


def pose_attributes(people: int) -> Iterator[PoseAttribute]:
    """All that can be remarked on so many people."""
    for person in range(people):
        yield from (PoseAttribute(person, kind) for kind in _OF_ALL)
        yield from (PoseAttribute(person, kind, side) for kind in _OF_SIDE for side in _SIDES)


def remark_confidence(remark: PoseAttribute, figures: PoseFeatures) -> Tensor:
    """How surely it holds, 0..1 [...]."""
    seen = Seen(figures, remark.person, remark.side or "left")
    told = (_OF_SIDE if remark.side else _OF_ALL)[remark.kind](seen)
    return torch.stack([condition.confidence() for condition in told]).amin(0)


_Measure = Callable[[Seen], list[Condition]]


def _within(value: Tensor, low: float = -_INF, high: float = _INF, soft: float = 0.05) -> list[Condition]:
    return [Condition(value, low, high, soft, soft)]


def _near(one: str, other: str, metres: float) -> _Measure:
    return lambda seen: _within(seen.away(one, other).norm(dim=-1), high=metres)


def _along(name: str, of_name: str, axis: int, low: float, high: float = _INF) -> _Measure:
    return lambda seen: _within(seen.direction(name, of_name, seen.axis(axis)), low, high, 0.15)


def _hand_level(of_name: str, low: float = -0.1, high: float = 0.1) -> _Measure:
    """How much higher the hand is than something, in metres."""
    return lambda seen: _within(seen.figures.height(seen.away("hand", of_name)), low, high)


def _low(name: str, high: float) -> _Measure:
    return lambda seen: _within(seen.height(name), high=high)


def _chest(seen: Seen) -> Tensor:
    """[..., 3] the middle of the chest, on the skin."""
    return torch.lerp(seen.at("shoulder_middle"), seen.at("hip_middle"), 0.3) + 0.12 * seen.axis(2)


def _belly(seen: Seen) -> Tensor:
    return torch.lerp(seen.at("shoulder_middle"), seen.at("hip_middle"), 0.75) + 0.14 * seen.axis(2)


def _leg(axis: int, low: float, high: float = _INF) -> _Measure:
    """Where the foot is from the hip, as somebody sees it who stands upright."""

    def measure(seen: Seen) -> list[Condition]:
        return _within(seen.direction("foot", "hip", seen.level(seen.axis(axis))), low, high, 0.1)

    return measure


def _lean(axis: int, low: float, high: float = _INF) -> _Measure:
    """How far the trunk goes along a horizontal way, 0 when upright."""

    def measure(seen: Seen) -> list[Condition]:
        level = seen.level(seen.axis(axis))
        upright = (seen.axis(1) * seen.figures.up).sum(-1)
        return [*_within((seen.axis(1) * level).sum(-1), low, high, 0.06), *_within(upright, 0.5)]

    return measure


def _head_turn(seen: Seen) -> list[Condition]:
    gaze = F.normalize(seen.keypoint("nose") - seen.at("head"), dim=-1, eps=1e-6)
    return _within((gaze * seen.axis(0)).sum(-1), low=0.4, soft=0.15)


def _gaze(low: float, high: float = _INF) -> _Measure:
    """How far the way from between the ears to the nose goes up."""

    def measure(seen: Seen) -> list[Condition]:
        gaze = F.normalize(seen.keypoint("nose") - seen.at("head"), dim=-1, eps=1e-6)
        return _within((gaze * seen.figures.up).sum(-1), low, high, 0.12)

    return measure


def _head_tilt(seen: Seen) -> list[Condition]:
    ears = F.normalize(seen.keypoint("left_ear") - seen.keypoint("right_ear"), dim=-1, eps=1e-6)
    down = -(ears * seen.axis(1)).sum(-1)
    return _within(down if seen.side == "left" else -down, low=0.18, soft=0.08)


def _twist(seen: Seen) -> list[Condition]:
    """Shoulders turned to the side against the hips."""
    shoulders, hips = (
        F.normalize(seen.keypoint(f"left_{n}") - seen.keypoint(f"right_{n}"), dim=-1, eps=1e-6)
        for n in ("shoulder", "hip")
    )
    turn = (torch.linalg.cross(hips, shoulders) * seen.axis(1)).sum(-1)
    return _within(turn if seen.side == "left" else -turn, low=0.3, soft=0.1)


def _forearm(low: float, high: float = _INF) -> _Measure:
    return lambda seen: _within(seen.direction("hand", "elbow", seen.figures.up), low, high, 0.15)


def _hand_on_hip(seen: Seen) -> list[Condition]:
    return [*_within(seen.away("hand", "hip").norm(dim=-1), high=0.27), *_along("elbow", "shoulder", 0, 0.3)(seen)]


def _stride(low: float, high: float = _INF) -> _Measure:
    """How far the foot is ahead of the other one."""

    def measure(seen: Seen) -> list[Condition]:
        ahead = (seen.away("foot", "other_foot") * seen.level(seen.axis(2))).sum(-1)
        return _within(ahead, low, high)

    return measure


def _across(seen: Seen) -> list[Condition]:
    outward = ((seen.at("hand") - seen.at("shoulder_middle")) * seen.axis(0)).sum(-1)
    return _within(outward, high=-0.03)


def _tiptoe(seen: Seen) -> list[Condition]:
    heel, toe = (seen.keypoint(f"{seen.side}_{name}") for name in ("heel", "big_toe"))
    return [*_within(seen.figures.height(heel - toe), low=0.1, soft=0.04), *_low("foot", 0.2)(seen)]


def _foot_out(seen: Seen) -> list[Condition]:
    heel, toe = (seen.keypoint(f"{seen.side}_{name}") for name in ("heel", "big_toe"))
    return _within((F.normalize(toe - heel, dim=-1, eps=1e-6) * seen.level(seen.axis(0))).sum(-1), low=0.5, soft=0.12)


def _shin_back(seen: Seen) -> list[Condition]:
    return _within(seen.direction("foot", "knee", seen.level(seen.axis(2))), high=-0.6, soft=0.15)


def _lower_shoulder(seen: Seen) -> list[Condition]:
    drop = seen.figures.height(seen.away("other_shoulder", "shoulder"))
    return [*_within(drop, 0.08, soft=0.03), *_within((seen.axis(1) * seen.figures.up).sum(-1), 0.5)]


def _kneels(seen: Seen) -> list[Condition]:
    return [*_low("knee", 0.14)(seen), *_within(seen.figures.height(seen.away("hip", "knee")), low=0.1)]


_OF_ALL: Mapping[str, _Measure] = {
    "leans_forward_a_little": _lean(2, 0.17, 0.57),
    "leans_back_a_little": _lean(2, -_INF, -0.13),
    "looks_down": _gaze(-_INF, -0.65),
    "looks_up": _gaze(-0.05),
    "near_the_ground": _low("hip_middle", 0.45),
}
_OF_SIDE: Mapping[str, _Measure] = {
    "arm_out_sideways": _along("hand", "shoulder", 0, 0.55),
    "arm_forward": _along("hand", "shoulder", 2, 0.7),
    "arm_backward": _along("hand", "shoulder", 2, -_INF, -0.2),
    "arm_across": _across,
    "hand_at_head": _near("hand", "head", 0.3),
    "hand_at_chest": lambda seen: _within((seen.at("hand") - _chest(seen)).norm(dim=-1), high=0.2),
    "hand_at_belly": lambda seen: _within((seen.at("hand") - _belly(seen)).norm(dim=-1), high=0.2),
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
    "thigh_level": lambda seen: _within(seen.figures.height(seen.away("knee", "hip")).abs(), high=0.1),
    "shin_back": _shin_back,
    "foot_turned_out": _foot_out,
    "foot_at_other_leg": lambda seen: _within(seen.away("foot", "other_knee").norm(dim=-1), high=0.22),
    "foot_high": lambda seen: _within(seen.height("foot"), low=0.3),
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
