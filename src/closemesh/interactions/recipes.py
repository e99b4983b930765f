"""The kinds of close interaction that are made: one table."""

from __future__ import annotations

from closemesh.interactions.posture import mirrored
from closemesh.interactions.recipe import Limb, Recipe, Role, Touch

# Limbs as people hold them, of the left side; directions are left, up and forward of the own trunk.
_OVER: Limb = ((0.35, 0.15, 1.0), (-0.6, -0.3, 0.7))
"""Over the partner's shoulder and down the back."""
_UNDER: Limb = ((0.5, -0.6, 0.8), (-0.6, 0.1, 0.8))
"""Under the partner's arm and round the waist."""
_OFFERED: Limb = ((0.1, -0.9, 0.5), (-0.1, 0.0, 1.0))
"""Held out at the height of the belly."""
_RAISED: Limb = ((0.3, 0.1, 0.9), (0.0, 1.0, 0.35))
_AHEAD: Limb = ((0.2, -0.3, 1.0), (-0.1, 0.1, 1.0))
_STRETCHED: Limb = ((0.1, 0.0, 1.0), (-0.05, 0.05, 1.0))
_HANGING: Limb = ((0.25, -1.0, 0.0), (0.0, -1.0, 0.3))
_HOOKED: Limb = ((0.3, -1.0, 0.0), (-0.5, 0.1, 1.0))
_ASIDE: Limb = ((1.0, -0.3, 0.5), (0.5, 0.3, 1.0))
_ROUND: Limb = ((1.0, 0.1, -0.1), (1.0, 0.0, 0.35))
"""Round the shoulders of somebody who stands on that side."""
_CRADLING: Limb = ((0.3, -0.7, 0.6), (0.2, 0.1, 1.0))


def _arms(limb: Limb) -> dict[str, Limb]:
    return {"left_arm": limb, "right_arm": mirrored(limb)}


def _legs(limb: Limb) -> dict[str, Limb]:
    return {"left_leg": limb, "right_leg": mirrored(limb)}


def _a_hand(side: str, on: str) -> tuple[Touch, Touch]:
    """A palm of a on a region of b, the fingers along it."""
    return Touch(f"{side}_palm", on), Touch(f"{side}_fingertips", on, firm=False)


def _b_hand(side: str, on: str) -> tuple[Touch, Touch]:
    """A palm of b on a region of a."""
    return Touch(on, f"{side}_palm"), Touch(on, f"{side}_fingertips", firm=False)


def _clasp(a: str, b: str, firm: str) -> tuple[Touch, ...]:
    """Hand a (of a) and hand b (of b) in each other, fingers round the other's edge."""
    return (
        Touch(f"{a}_{firm}", f"{b}_{firm}"),
        Touch(f"{a}_fingertips", f"{b}_hand_edge", firm=False),
        Touch(f"{a}_hand_edge", f"{b}_fingertips", firm=False),
    )


_PALMS_UP: dict = {"palms": ((0, 1, 0), (0, 1, 0))}
_PALMS_DOWN: dict = {"palms": ((0, -1, 0), (0, -1, 0))}
_FACING = {"facing": (165.0, 195.0), "bearing": (-10.0, 10.0)}
_SAME_WAY = {"facing": (-12.0, 12.0)}
_FLAT: dict = {"hands": ("flat", "flat")}

RECIPES: tuple[Recipe, ...] = (
    Recipe(
        "hug",
        (
            *_a_hand("right", "left_upper_back"),
            *_a_hand("left", "right_lower_back"),
            *_b_hand("right", "left_upper_back"),
            *_b_hand("left", "right_lower_back"),
            Touch("chest", "chest"),
            Touch("right_temple", "right_temple", firm=False),
        ),
        **_FACING,
        distance=(0.24, 0.32),
        a=Role(left_arm=_UNDER, right_arm=mirrored(_OVER), **_FLAT),
        b=Role(left_arm=_UNDER, right_arm=mirrored(_OVER), **_FLAT),
    ),
    Recipe(
        "hug_round_neck_and_waist",
        (
            *_a_hand("right", "left_upper_back"),
            *_a_hand("left", "right_upper_back"),
            *_b_hand("right", "left_lower_back"),
            *_b_hand("left", "right_lower_back"),
            Touch("chest", "chest"),
            Touch("right_temple", "right_temple", firm=False),
        ),
        **_FACING,
        distance=(0.24, 0.32),
        a=Role(**_arms(_OVER), **_FLAT),
        b=Role(**_arms(_UNDER), **_FLAT),
    ),
    Recipe(
        "hug_from_behind",
        (
            *_a_hand("left", "belly"),
            *_a_hand("right", "left_chest"),
            Touch("chest", "upper_back"),
            *_b_hand("left", "left_forearm"),
        ),
        **_SAME_WAY,
        bearing=(-8, 8),
        distance=(0.24, 0.32),
        a=Role(left_arm=_UNDER, right_arm=mirrored(((0.5, -0.3, 0.9), (-0.7, 0.2, 0.7))), **_FLAT),
        b=Role(left_arm=((0.4, -1, 0.1), (-0.5, 0.1, 0.8)), right_arm=mirrored(_HANGING)),
        mover="a",
    ),
    Recipe(
        "handshake",
        (*_clasp("right", "right", "palm"), Touch("right_web", "right_web", firm=False)),
        facing=(165, 195),
        bearing=(0, 20),
        distance=(0.7, 0.9),
        a=Role(right_arm=mirrored(_OFFERED)),
        b=Role(right_arm=mirrored(_OFFERED)),
    ),
    Recipe(
        "high_five",
        (Touch("right_palm", "right_palm"), Touch("right_fingertips", "right_fingertips", firm=False)),
        facing=(160, 200),
        bearing=(-5, 20),
        distance=(0.55, 0.8),
        a=Role(right_arm=mirrored(_RAISED), hands=("relaxed", "flat"), palms=(None, (0, 0, 1))),
        b=Role(right_arm=mirrored(_RAISED), hands=("relaxed", "flat"), palms=(None, (0, 0, 1))),
        brief=True,
    ),
    Recipe(
        "fist_bump",
        (Touch("right_fist", "right_fist"),),
        facing=(160, 200),
        bearing=(-5, 15),
        distance=(0.75, 1.0),
        a=Role(right_arm=mirrored(_AHEAD), hands=("relaxed", "fist")),
        b=Role(right_arm=mirrored(_AHEAD), hands=("relaxed", "fist")),
        brief=True,
    ),
    Recipe(
        "holding_both_hands",
        (*_clasp("left", "right", "palm"), *_clasp("right", "left", "palm")),
        **_FACING,
        distance=(0.55, 0.8),
        a=Role(**_arms(_OFFERED), **_PALMS_UP),
        b=Role(**_arms(_OFFERED), **_PALMS_DOWN),
    ),
    Recipe(
        "closed_dance_hold",
        (
            *_a_hand("right", "left_upper_back"),
            *_b_hand("left", "right_shoulder_outer"),
            *_clasp("left", "right", "palm"),
        ),
        facing=(165, 195),
        bearing=(-20, 0),
        distance=(0.32, 0.45),
        a=Role(left_arm=_ASIDE, right_arm=mirrored(_UNDER), palms=((0, 0, 1), None)),
        b=Role(left_arm=((0.6, -0.1, 1), (-0.2, 0.2, 1)), right_arm=mirrored(_ASIDE), palms=(None, (0, 0, 1))),
    ),
    Recipe(
        "slow_dance",
        (
            *_a_hand("left", "right_waist"),
            *_a_hand("right", "left_waist"),
            *_b_hand("left", "right_shoulder_top"),
            *_b_hand("right", "left_shoulder_top"),
        ),
        **_FACING,
        distance=(0.32, 0.48),
        a=Role(**_arms(((0.5, -0.8, 0.5), (-0.3, -0.1, 1))), **_FLAT),
        b=Role(**_arms(((0.3, 0.0, 1), (-0.1, 0.3, 1))), **_FLAT),
    ),
    Recipe(
        "arm_round_shoulder",
        (*_a_hand("left", "left_shoulder_outer"), Touch("left_forearm", "upper_back")),
        **_SAME_WAY,
        bearing=(75, 105),
        distance=(0.36, 0.5),
        a=Role(left_arm=_ROUND, **_FLAT),
        b=Role(left_arm=_HANGING, right_arm=mirrored(_HANGING)),
    ),
    Recipe(
        "linked_arms",
        (
            Touch("left_elbow_crook", "right_forearm_inner"),
            *_b_hand("right", "left_forearm"),
            Touch("left_upper_arm_outer", "right_upper_arm_outer", firm=False),
        ),
        **_SAME_WAY,
        bearing=(75, 105),
        distance=(0.36, 0.5),
        a=Role(left_arm=_HOOKED),
        b=Role(right_arm=((-0.5, -1, -0.1), (-0.4, -0.1, 1))),
    ),
    Recipe(
        "hand_on_shoulder",
        _a_hand("right", "left_shoulder_top"),
        facing=(150, 210),
        bearing=(-15, 15),
        distance=(0.5, 0.75),
        a=Role(right_arm=mirrored(_STRETCHED), **_FLAT),
        b=Role(left_arm=_HANGING, right_arm=mirrored(_HANGING)),
        mover="a",
    ),
    Recipe(
        "pat_on_head",
        _a_hand("right", "crown"),
        facing=(150, 210),
        bearing=(-20, 20),
        distance=(0.45, 0.65),
        a=Role(right_arm=mirrored(((0.2, 0.3, 1), (0.0, 0.5, 1))), **_FLAT),
        b=Role(left_arm=_HANGING, right_arm=mirrored(_HANGING)),
        mover="a",
        brief=True,
    ),
    Recipe(
        "push",
        (*_a_hand("left", "right_chest"), *_a_hand("right", "left_chest")),
        **_FACING,
        distance=(0.55, 0.8),
        a=Role(**_arms(_STRETCHED), lean=12, **_FLAT),
        b=Role(lean=-6),
        mover="a",
        brief=True,
    ),
    Recipe(
        "push_from_behind",
        (*_a_hand("left", "left_upper_back"), *_a_hand("right", "right_upper_back")),
        **_SAME_WAY,
        bearing=(-10, 10),
        distance=(0.55, 0.8),
        a=Role(**_arms(_STRETCHED), lean=12, **_FLAT),
        b=Role(lean=6),
        mover="a",
        brief=True,
    ),
    Recipe(
        "punch",
        (Touch("right_fist", "left_cheek"),),
        facing=(155, 205),
        bearing=(-10, 10),
        distance=(0.55, 0.75),
        a=Role(
            left_arm=((0.3, -0.9, 0.4), (-0.3, 0.9, 0.6)),
            right_arm=mirrored(((0.2, 0.1, 1), (-0.2, 0.15, 1))),
            hands=("fist", "fist"),
        ),
        mover="a",
        brief=True,
    ),
    Recipe(
        "punch_to_the_body",
        (Touch("right_fist", "belly"),),
        facing=(155, 205),
        bearing=(-10, 10),
        distance=(0.5, 0.7),
        a=Role(
            left_arm=((0.3, -0.9, 0.4), (-0.3, 0.9, 0.6)),
            right_arm=mirrored(((0.3, -0.6, 0.8), (-0.2, 0.0, 1))),
            lean=8,
            hands=("fist", "fist"),
        ),
        b=Role(lean=12),
        mover="a",
        brief=True,
    ),
    Recipe(
        "kick",
        (Touch("right_ball", "belly"),),
        facing=(160, 200),
        bearing=(-8, 8),
        distance=(0.75, 0.95),
        a=Role("standing_on_left_foot", right_leg=((-0.1, 0.0, 1), (0, -0.15, 1)), lean=-12, hands=("fist", "fist")),
        mover="a",
        brief=True,
    ),
    Recipe(
        "kick_to_the_leg",
        (Touch("right_shin", "left_thigh_outer"),),
        facing=(150, 200),
        bearing=(-5, 20),
        distance=(0.6, 0.85),
        a=Role(
            "standing_on_left_foot", right_leg=((-0.5, -0.6, 0.8), (0.5, -0.5, 0.7)), lean=-8, hands=("fist", "fist")
        ),
        mover="a",
        brief=True,
    ),
    Recipe(
        "clinch",
        (
            *_a_hand("right", "back_of_neck"),
            *_b_hand("right", "back_of_neck"),
            *_a_hand("left", "right_upper_arm_outer"),
            *_b_hand("left", "right_upper_arm_outer"),
        ),
        **_FACING,
        distance=(0.5, 0.7),
        a=Role(
            left_arm=_AHEAD, right_arm=mirrored(((0.2, 0.1, 1), (-0.3, 0.2, 1))), lean=22, hands=("grip", "relaxed")
        ),
        b=Role(
            left_arm=_AHEAD, right_arm=mirrored(((0.2, 0.1, 1), (-0.3, 0.2, 1))), lean=22, hands=("grip", "relaxed")
        ),
    ),
    Recipe(
        "piggyback",
        (
            Touch("upper_back", "chest"),
            Touch("left_palm", "left_thigh_back"),
            Touch("right_palm", "right_thigh_back"),
            Touch("left_waist", "left_thigh_inner"),
            Touch("right_waist", "right_thigh_inner"),
            Touch("chest", "left_forearm_inner"),
            Touch("chest", "right_forearm_inner"),
        ),
        facing=(-5, 5),
        bearing=(175, 185),
        distance=(0.22, 0.28),
        a=Role(**_arms(((0.5, -0.9, -0.1), (0.0, -0.3, 1))), lean=20, hands=("grip", "grip")),
        b=Role(
            "carried",
            **_arms(((0.3, -0.1, 1), (-0.7, -0.6, 0.6))),
            **_legs(((0.55, -0.25, 0.9), (-0.1, -1, 0.1))),
            trunk=((0, 1, 0.25), (0, -0.25, 1)),
            height=1.05,
        ),
        carried=True,
        mover="b",
    ),
    Recipe(
        "bridal_carry",
        (
            Touch("left_forearm", "upper_back"),
            Touch("right_forearm", "left_back_of_knee"),
            Touch("right_forearm", "right_back_of_knee"),
            Touch("belly", "right_waist"),
            *_b_hand("right", "upper_back"),
        ),
        facing=(0, 0),
        bearing=(-8, 8),
        distance=(0.28, 0.36),
        a=Role(**_arms(_CRADLING), lean=-6, hands=("grip", "grip")),
        b=Role(
            "carried",
            left_arm=((0.2, -1.0, 0.2), (-0.6, -0.6, 0.5)),
            right_arm=((-1, 0.3, 0.3), (-0.6, 0.2, -0.6)),
            **_legs(((0.02, -0.3, 1), (0, -1, 0.05))),
            trunk=((0.65, 0.75, 0.1), (-0.7, 0.65, 0.2)),
            height=1.0,
        ),
        carried=True,
        mover="a",
    ),
    Recipe(
        "helping_up",
        (*_clasp("left", "right", "palm"), *_clasp("right", "left", "palm")),
        **_FACING,
        distance=(0.75, 0.95),
        a=Role(**_arms(((0.1, -0.7, 0.8), (0.0, -0.5, 1))), lean=28, **_PALMS_DOWN),
        b=Role("floor_sitting", **_arms(((0.1, 0.2, 1), (0, 0.5, 1))), **_PALMS_UP),
        mover="a",
    ),
    Recipe(
        "back_to_back",
        (Touch("upper_back", "upper_back"), Touch("lower_back", "lower_back", firm=False)),
        facing=(165, 195),
        bearing=(175, 185),
        distance=(0.24, 0.32),
        a=Role("floor_sitting"),
        b=Role("floor_sitting"),
    ),
)

RECIPES_BY_NAME = {recipe.name: recipe for recipe in RECIPES}
