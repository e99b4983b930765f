"""InteractionTemplate, stances, limbs, hands.

What a kind of close interaction is: which regions touch, how the two stand to one another, in what stance.

Stances of single people: one table of how trunk and limbs stand and what rests on the floor.

What recipes are made of: limbs as people hold them, hands laid on or clasped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

HandShape = Literal["relaxed", "flat", "grip", "fist"]
Mover = Literal["a", "b", "both"]
Direction = tuple[float, float, float]
"""Left, up and forward of the person's own trunk; of any length."""
Limb = tuple[Direction, Direction]
"""Where the upper and the lower bone of an arm or a leg point."""


@dataclass(frozen=True)
class ContactConstraint:
    """One place where the two meet: a region of a on a region of b (names of `regions.REGION_NAMES`)."""

    a: str
    b: str
    firm: bool = True
    """False for what only guides the pose: fingers that lie along, say; it may stay a little apart."""


@dataclass(frozen=True)
class PersonTemplate:
    """What one of the two does, and where the limbs begin that would not find their way by themselves."""

    stance: str = "standing"
    """A name of `postures.POSTURES`."""
    left_arm: Limb | None = None
    """None leaves the limb as the source pose has it."""
    right_arm: Limb | None = None
    palms: tuple[Direction | None, Direction | None] = (None, None)
    """Where the left and the right palm look at the beginning."""
    left_leg: Limb | None = None
    right_leg: Limb | None = None
    lean: float = 0.0
    """Degrees that the trunk leans forward."""
    hands: tuple[HandShape, HandShape] = ("relaxed", "relaxed")
    """Of the left and the right hand."""
    trunk: tuple[Direction, Direction] | None = None
    """Where the head and the chest point when that is not up and ahead; left, up and forward of a."""
    height: float | None = None
    """Metres from the floor to the pelvis of somebody who is carried."""


@dataclass(frozen=True)
class InteractionTemplate:
    """A kind of interaction. Angles in degrees, distances in metres."""

    name: str
    touches: tuple[ContactConstraint, ...]
    facing: tuple[float, float]
    """Range of the yaw of b against a: 0 looks the same way, 180 face to face, 90 to a's left."""
    bearing: tuple[float, float]
    """Range of the direction in which a sees b: 0 ahead, 90 to a's left."""
    distance: tuple[float, float]
    """Range of the horizontal distance of the pelvises."""
    a: PersonTemplate = PersonTemplate()
    b: PersonTemplate = PersonTemplate()
    mover: Mover = "both"
    """Who walks up to the other before, and who leaves after."""
    brief: bool = False
    """The contact lasts a moment (a blow, a pat), not seconds."""
    carried: bool = False
    """b is off the floor and a bears both."""


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


# Limbs as people hold them, of the left side; directions are left, up and forward of the own trunk.
OVER: Limb = ((0.35, 0.15, 1.0), (-0.6, -0.3, 0.7))
"""Over the partner's shoulder and down the back."""
UNDER: Limb = ((0.5, -0.6, 0.8), (-0.6, 0.1, 0.8))
"""Under the partner's arm and round the waist."""
OFFERED: Limb = ((0.1, -0.9, 0.5), (-0.1, 0.0, 1.0))
"""Held out at the height of the belly."""
RAISED: Limb = ((0.3, 0.1, 0.9), (0.0, 1.0, 0.35))
AHEAD: Limb = ((0.2, -0.3, 1.0), (-0.1, 0.1, 1.0))
STRETCHED: Limb = ((0.1, 0.0, 1.0), (-0.05, 0.05, 1.0))
HANGING: Limb = ((0.25, -1.0, 0.0), (0.0, -1.0, 0.3))
HOOKED: Limb = ((0.3, -1.0, 0.0), (-0.5, 0.1, 1.0))
ASIDE: Limb = ((1.0, -0.3, 0.5), (0.5, 0.3, 1.0))
ROUND: Limb = ((1.0, 0.1, -0.1), (1.0, 0.0, 0.35))
"""Round the shoulders of somebody who stands on that side."""
CRADLING: Limb = ((0.3, -0.7, 0.6), (0.2, 0.1, 1.0))


def both_arms(limb: Limb) -> dict[str, Any]:
    return {"left_arm": limb, "right_arm": mirrored(limb)}


def both_legs(limb: Limb) -> dict[str, Any]:
    return {"left_leg": limb, "right_leg": mirrored(limb)}


def hand_of_a(side: str, on: str) -> tuple[ContactConstraint, ContactConstraint]:
    """A palm of a on a region of b, the fingers along it."""
    return ContactConstraint(f"{side}_palm", on), ContactConstraint(f"{side}_fingertips", on, firm=False)


def hand_of_b(side: str, on: str) -> tuple[ContactConstraint, ContactConstraint]:
    """A palm of b on a region of a."""
    return ContactConstraint(on, f"{side}_palm"), ContactConstraint(on, f"{side}_fingertips", firm=False)


def clasp(a: str, b: str, firm: str) -> tuple[ContactConstraint, ...]:
    """Hand a (of a) and hand b (of b) in each other, fingers round the other's edge."""
    return (
        ContactConstraint(f"{a}_{firm}", f"{b}_{firm}"),
        ContactConstraint(f"{a}_fingertips", f"{b}_hand_edge", firm=False),
        ContactConstraint(f"{a}_hand_edge", f"{b}_fingertips", firm=False),
    )


PALMS_UP: dict[str, Any] = {"palms": ((0, 1, 0), (0, 1, 0))}
PALMS_DOWN: dict[str, Any] = {"palms": ((0, -1, 0), (0, -1, 0))}
FACING: dict[str, Any] = {"facing": (165.0, 195.0), "bearing": (-10.0, 10.0)}
SAME_WAY: dict[str, Any] = {"facing": (-12.0, 12.0)}
FLAT: dict[str, Any] = {"hands": ("flat", "flat")}
