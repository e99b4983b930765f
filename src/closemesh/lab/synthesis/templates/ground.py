"""Templates on the floor: wrestling, lying together, sitting in an embrace, kneeling beside a person who lies."""

from __future__ import annotations

from closemesh.lab.synthesis.templates.schema import (
    FACING,
    FLAT_HANDS,
    SAME_DIRECTION,
    ContactConstraint,
    InteractionTemplate,
    PersonTemplate,
    both_arms,
    both_legs,
    hand_of_a,
)

GROUND: tuple[InteractionTemplate, ...] = (
    InteractionTemplate(
        "ground_guard",
        (
            *hand_of_a("left", "right_chest"),
            *hand_of_a("right", "left_chest"),
            ContactConstraint("left_waist", "right_thigh_inner"),
            ContactConstraint("right_waist", "left_thigh_inner"),
            ContactConstraint("left_lower_back", "right_calf", required=False),
            ContactConstraint("right_lower_back", "left_calf", required=False),
        ),
        **FACING,
        distance=(0.34, 0.44),
        a=PersonTemplate(
            "sitting_on_heels",
            **both_arms(((0.3, -0.6, 0.8), (-0.1, -0.4, 1))),
            **both_legs(((0.45, -0.4, 0.9), (-0.1, -0.1, -1))),
            lean=40,
            **FLAT_HANDS,
        ),
        b=PersonTemplate("lying_in_guard", **both_arms(((0.8, -0.8, 0.1), (0.1, -0.3, 1)))),
    ),
    InteractionTemplate(
        "ground_pin",
        (
            ContactConstraint("left_palm", "right_wrist"),
            ContactConstraint("right_palm", "left_wrist"),
            ContactConstraint("left_thigh_inner", "right_waist"),
            ContactConstraint("right_thigh_inner", "left_waist"),
        ),
        facing=(172, 188),
        bearing=(170, 190),
        distance=(0.0, 0.1),
        a=PersonTemplate(
            "kneeling",
            **both_arms(((0.35, -0.4, 0.9), (0.0, -0.4, 1))),
            **both_legs(((0.38, -0.92, 0.1), (-0.05, 0.0, -1))),
            lean=55,
            hands=("grip", "grip"),
        ),
        b=PersonTemplate("lying_on_back", **both_arms(((1, -0.35, 0.05), (0.15, 1, 0.15)))),
    ),
    InteractionTemplate(
        "kneeling_beside_lying",
        (*hand_of_a("left", "belly"), *hand_of_a("right", "left_shoulder_outer")),
        facing=(75, 105),
        bearing=(20, 40),
        distance=(0.55, 0.7),
        a=PersonTemplate("kneeling", **both_arms(((0.25, -0.6, 0.8), (0.0, -0.5, 1))), lean=45, **FLAT_HANDS),
        b=PersonTemplate("lying_on_back"),
    ),
    InteractionTemplate(
        "lying_embrace",
        (
            ContactConstraint("chest", "upper_back"),
            *hand_of_a("right", "belly"),
            ContactConstraint("right_forearm", "right_waist", required=False),
            ContactConstraint("pelvis_front", "seat", required=False),
        ),
        facing=(-5, 5),
        bearing=(80, 100),
        distance=(0.24, 0.3),
        a=PersonTemplate("lying_on_side", right_arm=((-0.8, -0.4, 0.7), (0.3, -0.3, 1)), **FLAT_HANDS),
        b=PersonTemplate("lying_on_side"),
    ),
    InteractionTemplate(
        "seated_embrace_from_behind",
        (
            ContactConstraint("chest", "upper_back"),
            *hand_of_a("left", "belly"),
            *hand_of_a("right", "left_chest"),
            ContactConstraint("left_thigh_inner", "left_hip", required=False),
            ContactConstraint("right_thigh_inner", "right_hip", required=False),
        ),
        **SAME_DIRECTION,
        bearing=(-8, 8),
        distance=(0.28, 0.36),
        a=PersonTemplate(
            "floor_sitting",
            left_arm=((0.5, -0.6, 0.8), (-0.6, 0.1, 0.8)),
            right_arm=((-0.5, -0.3, 0.9), (0.7, 0.2, 0.7)),
            **both_legs(((0.7, 0.5, 0.7), (0.05, -0.85, 0.55))),
            **FLAT_HANDS,
        ),
        b=PersonTemplate("floor_sitting", **both_arms(((0.3, -0.9, 0.4), (-0.1, 0.1, 1)))),
    ),
)
"""The people hardly move: no captured motion leads to these poses."""
