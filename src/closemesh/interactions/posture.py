"""Stances of single people: one table of how trunk and limbs stand and what rests on the floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from closemesh.interactions.recipe import Direction, Limb

_FEET = ("left_heel", "left_ball", "right_heel", "right_ball")
_UPRIGHT: tuple[Direction, Direction] = ((0, 1, 0), (0, 0, 1))
_HANGING: Limb = ((0.25, -1, 0.05), (0.05, -1, 0.3))
_STRAIGHT_LEG: Limb = ((0.1, -1, 0), (0, -1, 0))


def mirrored(limb: Limb) -> Limb:
    """The same limb of the other side."""
    (ux, uy, uz), (lx, ly, lz) = limb
    return (-ux, uy, uz), (-lx, ly, lz)


_STRAIGHT_RIGHT_LEG = mirrored(_STRAIGHT_LEG)


@dataclass(frozen=True)
class Posture:
    """How a body is held and borne. Directions: left, up and forward of the trunk, whatever way that is turned."""

    supports: tuple[str, ...]
    """Regions whose lowest point is on the floor."""
    captured: bool = False
    """Poses come from captured motion of people who stand; trunk and legs below are then not used."""
    balanced: bool = False
    """The centre of mass is over the feet; else the floor or a seat holds the body."""
    trunk: tuple[Direction, Direction] = _UPRIGHT
    """Where head and chest point; left, up and forward of the person."""
    left_arm: Limb | None = None
    right_arm: Limb | None = None
    left_leg: Limb = _STRAIGHT_LEG
    right_leg: Limb = _STRAIGHT_RIGHT_LEG
    lean: float = 0.0
    """Degrees that the trunk bends forward."""
    head: float = 0.0
    """Degrees that the head is bent forward."""
    feet: float = 0.0
    """Degrees that the feet point away from the shins."""
    seat: tuple[float, float] | None = None
    """Range of metres from the floor to the seat, when there is one."""


def _both(arm: Limb, leg: Limb) -> dict[str, Any]:
    """The same on both sides."""
    return {"left_arm": arm, "right_arm": mirrored(arm), "left_leg": leg, "right_leg": mirrored(leg)}


_ON_THIGHS: Limb = ((0.25, -1, 0.25), (-0.1, -0.35, 1))

POSTURES: dict[str, Posture] = {
    "standing": Posture(_FEET, captured=True, balanced=True),
    "standing_on_left_foot": Posture(_FEET[:2], captured=True, balanced=True),
    "carried": Posture((), **_both(_HANGING, ((0.3, -0.2, 1), (0, -1, 0.1)))),
    "chair_sitting": Posture(
        _FEET,
        **_both(_ON_THIGHS, ((0.15, -0.05, 1), (0.05, -1, 0.05))),
        lean=5,
        seat=(0.40, 0.50),
    ),
    "floor_sitting": Posture(
        ("seat", "left_heel", "right_heel"),
        trunk=((0, 1, -0.2), (0, 0.2, 1)),
        **_both(((0.3, -0.8, 0.5), (-0.1, 0.1, 1)), ((0.2, 0.75, 0.8), (0, -0.85, 0.55))),
        lean=15,
    ),
    "long_sitting": Posture(
        ("seat", "left_heel", "right_heel"),
        trunk=((0, 1, -0.15), (0, 0.15, 1)),
        **_both(((0.3, -1, 0.1), (0, -0.6, 0.8)), ((0.15, 0.0, 1), (0.1, 0.0, 1))),
        lean=10,
    ),
    "kneeling": Posture(
        ("left_knee", "right_knee", "left_instep", "right_instep"),
        **_both(_HANGING, ((0.12, -1, 0.05), (0.05, 0.0, -1))),
        feet=50,
    ),
    "half_kneeling": Posture(
        ("left_heel", "left_ball", "right_knee", "right_ball"),
        left_arm=((0.25, -0.8, 0.5), (-0.1, -0.2, 1)),
        right_arm=mirrored(_HANGING),
        left_leg=((0.15, -0.1, 1), (0, -1, 0.05)),
        right_leg=((-0.1, -1, 0), (0, 0.2, -1)),
        lean=10,
    ),
    "sitting_on_heels": Posture(
        ("left_knee", "right_knee", "left_instep", "right_instep"),
        **_both(_ON_THIGHS, ((0.2, -0.3, 1), (-0.1, -0.1, -1))),
        lean=5,
        feet=50,
    ),
    "crouching": Posture(
        ("left_ball", "right_ball"),
        balanced=True,
        **_both(((0.2, -0.6, 0.8), (-0.2, -0.4, 1)), ((0.35, 0.0, 1), (0, -1, -0.4))),
        lean=35,
    ),
    "crawling": Posture(
        ("left_palm", "right_palm", "left_knee", "right_knee", "left_instep", "right_instep"),
        trunk=((0, 0.35, 1), (0, -1, 0.35)),
        **_both(((0.15, -0.2, 1), (0, -0.3, 1)), ((0.1, -0.35, 1), (0, -1, -0.35))),
        head=-30,
        feet=50,
    ),
    "lying_on_back": Posture(
        ("upper_back", "seat", "back_of_head", "left_heel", "right_heel"),
        trunk=((0, 0, -1), (0, 1, 0)),
        **_both(((0.4, -1, -0.1), (0.1, -1, 0.1)), ((0.15, -1, 0), (0.1, -1, 0))),
    ),
    "lying_on_front": Posture(
        ("chest", "pelvis_front", "left_knee", "right_knee"),
        trunk=((0, 0, 1), (0, -1, 0)),
        **_both(((1, 0.4, 0.0), (0.1, 1, 0.3)), ((0.15, -1, 0), (0.1, -1, 0))),
    ),
    "lying_on_side": Posture(
        ("left_shoulder_outer", "left_hip", "left_knee"),
        trunk=((0, 0, -1), (1, 0, 0)),
        left_arm=((0.1, 0.3, 1), (0, 0.8, 0.6)),
        right_arm=((-0.1, -0.8, 0.7), (0.6, -0.2, 0.8)),
        left_leg=((0.0, -0.7, 0.7), (0, -0.8, -0.6)),
        right_leg=((0.1, -0.6, 0.8), (0, -0.8, -0.6)),
    ),
    "reaching_up": Posture(_FEET, captured=True, balanced=True, right_arm=((-0.2, 1, 0.4), (0, 1, 0.2))),
    "reaching_forward": Posture(_FEET, captured=True, balanced=True, lean=15, right_arm=((-0.1, 0.1, 1), (0, 0.1, 1))),
    "reaching_down": Posture(_FEET, captured=True, balanced=True, lean=60, right_arm=((-0.1, -0.5, 1), (0, -0.5, 1))),
}
