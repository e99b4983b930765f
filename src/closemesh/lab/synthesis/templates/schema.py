"""Templates of interactions: which regions touch, how two people stand relative to each other, and in which posture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

HandShape = Literal["relaxed", "flat", "grip", "fist"]
Mover = Literal["a", "b", "both"]
Direction = tuple[float, float, float]
"""Left, up and forward of the person's own trunk; of any length."""
Limb = tuple[Direction, Direction]
"""Directions of the upper and the lower bone of an arm or a leg."""


@dataclass(frozen=True)
class ContactConstraint:
    """A region of person a that touches a region of person b; names of `body_regions.REGION_NAMES`."""

    a: str
    b: str
    required: bool = True
    """False for a contact that only guides the pose, such as fingers along an arm; it may stay open."""


@dataclass(frozen=True)
class PersonTemplate:
    """Posture of one person, and initial directions of the limbs that the solver would not find by itself."""

    posture: str = "standing"
    """A key of POSTURES."""
    left_arm: Limb | None = None
    """None keeps the limb of the source pose."""
    right_arm: Limb | None = None
    palms: tuple[Direction | None, Direction | None] = (None, None)
    """Initial normals of the left and the right palm."""
    left_leg: Limb | None = None
    right_leg: Limb | None = None
    lean: float = 0.0
    """Forward lean of the trunk, degrees."""
    hands: tuple[HandShape, HandShape] = ("relaxed", "relaxed")
    """Left and right hand."""
    trunk: tuple[Direction, Direction] | None = None
    """Directions of head and chest where they are not up and ahead; left, up and forward of person a."""
    height: float | None = None
    """Initial height of the pelvis of a carried person above the floor, meters."""
    child: bool = False
    """The body has the stature of a child of about eight years, in the proportions of an adult."""


@dataclass(frozen=True)
class InteractionTemplate:
    """One kind of interaction between persons a and b. Angles in degrees, distances in meters."""

    name: str
    contacts: tuple[ContactConstraint, ...]
    facing: tuple[float, float]
    """Range of the yaw of b relative to a: 0 same direction, 180 face to face, 90 towards a's left."""
    bearing: tuple[float, float]
    """Range of the direction from a to b: 0 ahead of a, 90 to a's left."""
    distance: tuple[float, float]
    """Range of the horizontal distance between the pelvises."""
    a: PersonTemplate = PersonTemplate()
    b: PersonTemplate = PersonTemplate()
    mover: Mover = "both"
    """The person who approaches before contact and leaves after it."""
    brief: bool = False
    """Contact lasts for a moment, as in a punch, instead of seconds."""
    carried: bool = False
    """Person a carries b, whose feet are off the floor."""


_FEET = ("left_heel", "left_ball", "right_heel", "right_ball")
_UPRIGHT: tuple[Direction, Direction] = ((0, 1, 0), (0, 0, 1))
_ARM_AT_SIDE: Limb = ((0.25, -1, 0.05), (0.05, -1, 0.3))
_STRAIGHT_LEG: Limb = ((0.1, -1, 0), (0, -1, 0))


def mirrored(limb: Limb) -> Limb:
    """Directions of the limb on the other side of the body."""
    (ux, uy, uz), (lx, ly, lz) = limb
    return (-ux, uy, uz), (-lx, ly, lz)


_STRAIGHT_RIGHT_LEG = mirrored(_STRAIGHT_LEG)


@dataclass(frozen=True)
class Posture:
    """How one body is held and supported. Directions: left, up and forward of the trunk, however it is turned."""

    supports: tuple[str, ...]
    """Regions whose lowest point is on the floor."""
    captured: bool = False
    """Poses come from captured motion of standing people; trunk and legs below are then not used."""
    balanced: bool = False
    """The center of mass is above the feet; otherwise the floor or a seat supports the body."""
    trunk: tuple[Direction, Direction] = _UPRIGHT
    """Directions of head and chest; left, up and forward of the person."""
    left_arm: Limb | None = None
    right_arm: Limb | None = None
    left_leg: Limb = _STRAIGHT_LEG
    right_leg: Limb = _STRAIGHT_RIGHT_LEG
    lean: float = 0.0
    """Forward bend of the trunk, degrees."""
    head: float = 0.0
    """Forward bend of the head, degrees."""
    feet: float = 0.0
    """Plantar flexion of the feet, degrees."""
    seat: tuple[float, float] | None = None
    """Range of the height of the seat or bed above the floor in meters; None without one."""
    on_seat: tuple[str, ...] = ("seat",)
    """Regions whose lowest point is on the seat."""


def _symmetric(arm: Limb, leg: Limb) -> dict[str, Any]:
    """Fields of a Posture with the same arm and leg on both sides."""
    return {"left_arm": arm, "right_arm": mirrored(arm), "left_leg": leg, "right_leg": mirrored(leg)}


_ON_THIGHS: Limb = ((0.25, -1, 0.25), (-0.1, -0.35, 1))

POSTURES: dict[str, Posture] = {
    "standing": Posture(_FEET, captured=True, balanced=True),
    "standing_on_left_foot": Posture(_FEET[:2], captured=True, balanced=True),
    "carried": Posture((), **_symmetric(_ARM_AT_SIDE, ((0.3, -0.2, 1), (0, -1, 0.1)))),
    "chair_sitting": Posture(
        _FEET,
        **_symmetric(_ON_THIGHS, ((0.15, -0.05, 1), (0.05, -1, 0.05))),
        lean=5,
        seat=(0.40, 0.50),
    ),
    "floor_sitting": Posture(
        ("seat", "left_heel", "right_heel"),
        trunk=((0, 1, -0.2), (0, 0.2, 1)),
        **_symmetric(((0.3, -0.8, 0.5), (-0.1, 0.1, 1)), ((0.2, 0.75, 0.8), (0, -0.85, 0.55))),
        lean=15,
    ),
    "long_sitting": Posture(
        ("seat", "left_heel", "right_heel"),
        trunk=((0, 1, -0.15), (0, 0.15, 1)),
        **_symmetric(((0.3, -1, 0.1), (0, -0.6, 0.8)), ((0.15, 0.0, 1), (0.1, 0.0, 1))),
        lean=10,
    ),
    "kneeling": Posture(
        ("left_knee", "right_knee", "left_instep", "right_instep"),
        **_symmetric(_ARM_AT_SIDE, ((0.12, -1, 0.05), (0.05, 0.0, -1))),
        feet=50,
    ),
    "half_kneeling": Posture(
        ("left_heel", "left_ball", "right_knee", "right_ball"),
        left_arm=((0.25, -0.8, 0.5), (-0.1, -0.2, 1)),
        right_arm=mirrored(_ARM_AT_SIDE),
        left_leg=((0.15, -0.1, 1), (0, -1, 0.05)),
        right_leg=((-0.1, -1, 0), (0, 0.2, -1)),
        lean=10,
    ),
    "sitting_on_heels": Posture(
        ("left_knee", "right_knee", "left_instep", "right_instep"),
        **_symmetric(_ON_THIGHS, ((0.2, -0.3, 1), (-0.1, -0.1, -1))),
        lean=5,
        feet=50,
    ),
    "crouching": Posture(
        ("left_ball", "right_ball"),
        balanced=True,
        **_symmetric(((0.2, -0.6, 0.8), (-0.2, -0.4, 1)), ((0.35, 0.0, 1), (0, -1, -0.4))),
        lean=35,
    ),
    "crawling": Posture(
        ("left_palm", "right_palm", "left_knee", "right_knee", "left_instep", "right_instep"),
        trunk=((0, 0.35, 1), (0, -1, 0.35)),
        **_symmetric(((0.15, -0.2, 1), (0, -0.3, 1)), ((0.1, -0.35, 1), (0, -1, -0.35))),
        head=-30,
        feet=50,
    ),
    "lying_on_back": Posture(
        ("upper_back", "seat", "back_of_head", "left_heel", "right_heel"),
        trunk=((0, 0, -1), (0, 1, 0)),
        **_symmetric(((0.4, -1, -0.1), (0.1, -1, 0.1)), ((0.15, -1, 0), (0.1, -1, 0))),
    ),
    "lying_on_front": Posture(
        ("chest", "pelvis_front", "left_knee", "right_knee"),
        trunk=((0, 0, 1), (0, -1, 0)),
        **_symmetric(((1, 0.4, 0.0), (0.1, 1, 0.3)), ((0.15, -1, 0), (0.1, -1, 0))),
    ),
    "lying_on_side": Posture(
        ("left_shoulder_outer", "left_hip", "left_knee"),
        trunk=((0, 0, -1), (1, 0, 0)),
        left_arm=((0.1, 0.3, 1), (0, 0.8, 0.6)),
        right_arm=((-0.1, -0.8, 0.7), (0.6, -0.2, 0.8)),
        left_leg=((0.0, -0.7, 0.7), (0, -0.8, -0.6)),
        right_leg=((0.1, -0.6, 0.8), (0, -0.8, -0.6)),
    ),
    "lying_in_guard": Posture(
        ("upper_back", "back_of_head"),
        trunk=((0, 0, -1), (0, 1, 0)),
        **_symmetric(((0.5, -1, 0.1), (0.1, -1, 0.3)), ((0.5, -0.8, 0.5), (-0.45, -0.8, 0.1))),
    ),
    "half_sitting_in_bed": Posture(
        (),
        trunk=((0, 0.6, -0.8), (0, 0.8, 0.6)),
        **_symmetric(((0.4, -1, 0.1), (0.1, -0.8, 0.6)), ((0.05, -0.35, 0.9), (0, -1, 0.1))),
        seat=(0.45, 0.60),
        on_seat=("seat", "left_heel", "right_heel"),
    ),
    "reaching_up": Posture(_FEET, captured=True, balanced=True, right_arm=((-0.2, 1, 0.4), (0, 1, 0.2))),
    "reaching_forward": Posture(_FEET, captured=True, balanced=True, lean=15, right_arm=((-0.1, 0.1, 1), (0, 0.1, 1))),
    "reaching_down": Posture(_FEET, captured=True, balanced=True, lean=60, right_arm=((-0.1, -0.5, 1), (0, -0.5, 1))),
}


# Typical arms of the left side; directions are left, up and forward of the person's own trunk.
OVER_SHOULDER: Limb = ((0.35, 0.15, 1.0), (-0.6, -0.3, 0.7))
"""Over the partner's shoulder and down the back."""
UNDER_ARM: Limb = ((0.5, -0.6, 0.8), (-0.6, 0.1, 0.8))
"""Under the partner's arm and around the waist."""
HELD_OUT: Limb = ((0.1, -0.9, 0.5), (-0.1, 0.0, 1.0))
"""Forearm forward at the height of the belly."""
RAISED: Limb = ((0.3, 0.1, 0.9), (0.0, 1.0, 0.35))
AHEAD: Limb = ((0.2, -0.3, 1.0), (-0.1, 0.1, 1.0))
STRETCHED: Limb = ((0.1, 0.0, 1.0), (-0.05, 0.05, 1.0))
HANGING: Limb = ((0.25, -1.0, 0.0), (0.0, -1.0, 0.3))
HOOKED: Limb = ((0.3, -1.0, 0.0), (-0.5, 0.1, 1.0))
ASIDE: Limb = ((1.0, -0.3, 0.5), (0.5, 0.3, 1.0))
AROUND_SHOULDERS: Limb = ((1.0, 0.1, -0.1), (1.0, 0.0, 0.35))
"""Around the shoulders of a person who stands on that side."""
CRADLING: Limb = ((0.3, -0.7, 0.6), (0.2, 0.1, 1.0))


def both_arms(limb: Limb) -> dict[str, Any]:
    """Fields of a PersonTemplate with a left arm and its mirror image."""
    return {"left_arm": limb, "right_arm": mirrored(limb)}


def both_legs(limb: Limb) -> dict[str, Any]:
    """Fields of a PersonTemplate with a left leg and its mirror image."""
    return {"left_leg": limb, "right_leg": mirrored(limb)}


def hand_of_a(side: str, region: str) -> tuple[ContactConstraint, ContactConstraint]:
    """Contacts of a palm of a, and of the fingers beside it, with a region of b."""
    return ContactConstraint(f"{side}_palm", region), ContactConstraint(f"{side}_fingertips", region, required=False)


def hand_of_b(side: str, region: str) -> tuple[ContactConstraint, ContactConstraint]:
    """Contacts of a palm of b, and of the fingers beside it, with a region of a."""
    return ContactConstraint(region, f"{side}_palm"), ContactConstraint(region, f"{side}_fingertips", required=False)


def clasp(a: str, b: str, part: str) -> tuple[ContactConstraint, ...]:
    """Contacts of two clasped hands: sides a and b, joined at a part of the hand, fingers around the other's edge."""
    return (
        ContactConstraint(f"{a}_{part}", f"{b}_{part}"),
        ContactConstraint(f"{a}_fingertips", f"{b}_hand_edge", required=False),
        ContactConstraint(f"{a}_hand_edge", f"{b}_fingertips", required=False),
    )


PALMS_UP: dict[str, Any] = {"palms": ((0, 1, 0), (0, 1, 0))}
PALMS_DOWN: dict[str, Any] = {"palms": ((0, -1, 0), (0, -1, 0))}
FACING: dict[str, Any] = {"facing": (165.0, 195.0), "bearing": (-10.0, 10.0)}
SAME_DIRECTION: dict[str, Any] = {"facing": (-12.0, 12.0)}
FLAT_HANDS: dict[str, Any] = {"hands": ("flat", "flat")}
