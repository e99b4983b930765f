"""Templates of short contacts and of fights: claps, pats, pushes, punches, kicks, the clinch."""

from __future__ import annotations

from closemesh.lab.synthesis.templates.schema import (
    AHEAD,
    FACING,
    FLAT_HANDS,
    HANGING,
    RAISED,
    SAME_DIRECTION,
    STRETCHED,
    ContactConstraint,
    InteractionTemplate,
    PersonTemplate,
    both_arms,
    hand_of_a,
    hand_of_b,
    mirrored,
)

STRIKES: tuple[InteractionTemplate, ...] = (
    InteractionTemplate(
        "high_five",
        (
            ContactConstraint("right_palm", "right_palm"),
            ContactConstraint("right_fingertips", "right_fingertips", required=False),
        ),
        facing=(160, 200),
        bearing=(-5, 20),
        distance=(0.55, 0.8),
        a=PersonTemplate(right_arm=mirrored(RAISED), hands=("relaxed", "flat"), palms=(None, (0, 0, 1))),
        b=PersonTemplate(right_arm=mirrored(RAISED), hands=("relaxed", "flat"), palms=(None, (0, 0, 1))),
        brief=True,
    ),
    InteractionTemplate(
        "fist_bump",
        (ContactConstraint("right_fist", "right_fist"),),
        facing=(160, 200),
        bearing=(-5, 15),
        distance=(0.75, 1.0),
        a=PersonTemplate(right_arm=mirrored(AHEAD), hands=("relaxed", "fist")),
        b=PersonTemplate(right_arm=mirrored(AHEAD), hands=("relaxed", "fist")),
        brief=True,
    ),
    InteractionTemplate(
        "hand_on_shoulder",
        hand_of_a("right", "left_shoulder_top"),
        facing=(150, 210),
        bearing=(-15, 15),
        distance=(0.5, 0.75),
        a=PersonTemplate(right_arm=mirrored(STRETCHED), **FLAT_HANDS),
        b=PersonTemplate(left_arm=HANGING, right_arm=mirrored(HANGING)),
        mover="a",
    ),
    InteractionTemplate(
        "pat_on_head",
        hand_of_a("right", "crown"),
        facing=(150, 210),
        bearing=(-20, 20),
        distance=(0.45, 0.65),
        a=PersonTemplate(right_arm=mirrored(((0.2, 0.3, 1), (0.0, 0.5, 1))), **FLAT_HANDS),
        b=PersonTemplate(left_arm=HANGING, right_arm=mirrored(HANGING)),
        mover="a",
        brief=True,
    ),
    InteractionTemplate(
        "push",
        (*hand_of_a("left", "right_chest"), *hand_of_a("right", "left_chest")),
        **FACING,
        distance=(0.55, 0.8),
        a=PersonTemplate(**both_arms(STRETCHED), lean=12, **FLAT_HANDS),
        b=PersonTemplate(lean=-6),
        mover="a",
        brief=True,
    ),
    InteractionTemplate(
        "push_from_behind",
        (*hand_of_a("left", "left_upper_back"), *hand_of_a("right", "right_upper_back")),
        **SAME_DIRECTION,
        bearing=(-10, 10),
        distance=(0.55, 0.8),
        a=PersonTemplate(**both_arms(STRETCHED), lean=12, **FLAT_HANDS),
        b=PersonTemplate(lean=6),
        mover="a",
        brief=True,
    ),
    InteractionTemplate(
        "punch",
        (ContactConstraint("right_fist", "left_cheek"),),
        facing=(155, 205),
        bearing=(-10, 10),
        distance=(0.55, 0.75),
        a=PersonTemplate(
            left_arm=((0.3, -0.9, 0.4), (-0.3, 0.9, 0.6)),
            right_arm=mirrored(((0.2, 0.1, 1), (-0.2, 0.15, 1))),
            hands=("fist", "fist"),
        ),
        mover="a",
        brief=True,
    ),
    InteractionTemplate(
        "punch_to_the_body",
        (ContactConstraint("right_fist", "belly"),),
        facing=(155, 205),
        bearing=(-10, 10),
        distance=(0.5, 0.7),
        a=PersonTemplate(
            left_arm=((0.3, -0.9, 0.4), (-0.3, 0.9, 0.6)),
            right_arm=mirrored(((0.3, -0.6, 0.8), (-0.2, 0.0, 1))),
            lean=8,
            hands=("fist", "fist"),
        ),
        b=PersonTemplate(lean=12),
        mover="a",
        brief=True,
    ),
    InteractionTemplate(
        "kick",
        (ContactConstraint("right_ball", "belly"),),
        facing=(160, 200),
        bearing=(-8, 8),
        distance=(0.9, 1.05),
        a=PersonTemplate(
            "standing_on_left_foot", right_leg=((-0.1, 0.0, 1), (0, -0.15, 1)), lean=-12, hands=("fist", "fist")
        ),
        mover="a",
        brief=True,
    ),
    InteractionTemplate(
        "kick_to_the_leg",
        (ContactConstraint("right_shin", "left_thigh_outer"),),
        facing=(150, 200),
        bearing=(-5, 20),
        distance=(0.6, 0.85),
        a=PersonTemplate(
            "standing_on_left_foot", right_leg=((-0.5, -0.6, 0.8), (0.5, -0.5, 0.7)), lean=-8, hands=("fist", "fist")
        ),
        mover="a",
        brief=True,
    ),
    InteractionTemplate(
        "clinch",
        (
            *hand_of_a("right", "back_of_neck"),
            *hand_of_b("right", "back_of_neck"),
            *hand_of_a("left", "right_upper_arm_outer"),
            *hand_of_b("left", "right_upper_arm_outer"),
        ),
        **FACING,
        distance=(0.5, 0.7),
        a=PersonTemplate(
            left_arm=AHEAD, right_arm=mirrored(((0.2, 0.1, 1), (-0.3, 0.2, 1))), lean=15, hands=("grip", "relaxed")
        ),
        b=PersonTemplate(
            left_arm=AHEAD, right_arm=mirrored(((0.2, 0.1, 1), (-0.3, 0.2, 1))), lean=15, hands=("grip", "relaxed")
        ),
    ),
)
