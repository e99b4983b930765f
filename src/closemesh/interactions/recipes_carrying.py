"""Recipes in which one bears the other, or both are on the floor."""

from __future__ import annotations

from closemesh.interactions.recipe import Recipe, Role, Touch
from closemesh.interactions.recipe_parts import (
    CRADLING,
    FACING,
    PALMS_DOWN,
    PALMS_UP,
    both_arms,
    both_legs,
    clasp,
    hand_of_b,
)

CARRYING: tuple[Recipe, ...] = (
    Recipe(
        "piggyback",
        (
            Touch("upper_back", "chest"),
            Touch("left_forearm", "left_thigh_back"),
            Touch("right_forearm", "right_thigh_back"),
            Touch("left_palm", "left_thigh_back", firm=False),
            Touch("right_palm", "right_thigh_back", firm=False),
            Touch("left_waist", "left_thigh_inner"),
            Touch("right_waist", "right_thigh_inner"),
            Touch("chest", "left_forearm_inner"),
            Touch("chest", "right_forearm_inner"),
        ),
        facing=(-5, 5),
        bearing=(175, 185),
        distance=(0.22, 0.28),
        a=Role(**both_arms(((0.5, -0.9, -0.1), (0.0, -0.3, 1))), lean=20, hands=("grip", "grip")),
        b=Role(
            "carried",
            **both_arms(((0.3, -0.1, 1), (-0.7, -0.6, 0.6))),
            **both_legs(((0.55, -0.25, 0.9), (-0.1, -1, 0.1))),
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
            *hand_of_b("right", "upper_back"),
        ),
        facing=(0, 0),
        bearing=(-8, 8),
        distance=(0.28, 0.36),
        a=Role(**both_arms(CRADLING), lean=-6, hands=("grip", "grip")),
        b=Role(
            "carried",
            left_arm=((0.2, -1.0, 0.2), (-0.6, -0.6, 0.5)),
            right_arm=((-1, 0.3, 0.3), (-0.6, 0.2, -0.6)),
            **both_legs(((0.02, -0.3, 1), (0, -1, 0.05))),
            trunk=((0.65, 0.75, 0.1), (-0.7, 0.65, 0.2)),
            height=1.0,
        ),
        carried=True,
        mover="a",
    ),
    Recipe(
        "helping_up",
        (*clasp("left", "right", "palm"), *clasp("right", "left", "palm")),
        **FACING,
        distance=(0.75, 0.95),
        a=Role(**both_arms(((0.1, -0.7, 0.8), (0.0, -0.5, 1))), lean=28, **PALMS_DOWN),
        b=Role("floor_sitting", **both_arms(((0.1, 0.2, 1), (0, 0.5, 1))), **PALMS_UP),
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
