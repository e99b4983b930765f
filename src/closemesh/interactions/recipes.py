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
"""A hand held out at the height of the belly."""
_RAISED: Limb = ((0.3, 0.1, 0.9), (0.0, 1.0, 0.35))
_STRAIGHT: Limb = ((0.15, 0.0, 1.0), (-0.05, 0.0, 1.0))
_LOW: Limb = ((0.25, -0.9, 0.35), (-0.1, -0.3, 1.0))
_HOOKED: Limb = ((0.3, -1.0, 0.0), (-0.4, 0.1, 1.0))


def _both(limb: Limb) -> dict[str, Limb]:
    return {"left_arm": limb, "right_arm": mirrored(limb)}


_R_OFFERED = mirrored(_OFFERED)

RECIPES: tuple[Recipe, ...] = (
    Recipe(
        "hug",
        (
            Touch("right_palm", "left_upper_back"),
            Touch("left_palm", "right_lower_back"),
            Touch("left_upper_back", "right_palm"),
            Touch("right_lower_back", "left_palm"),
            Touch("chest", "chest"),
        ),
        facing=(165, 195),
        bearing=(-10, 10),
        distance=(0.24, 0.32),
        a=Role(left_arm=_UNDER, right_arm=mirrored(_OVER), hands=("flat", "flat")),
        b=Role(left_arm=_UNDER, right_arm=mirrored(_OVER), hands=("flat", "flat")),
    ),
    Recipe(
        "handshake",
        (Touch("right_palm", "right_palm"), Touch("right_web", "right_web")),
        facing=(165, 195),
        bearing=(-5, 15),
        distance=(0.7, 0.95),
        a=Role(right_arm=_R_OFFERED, hands=("relaxed", "grip")),
        b=Role(right_arm=_R_OFFERED, hands=("relaxed", "grip")),
    ),
    Recipe(
        "high_five",
        (Touch("right_palm", "right_palm"), Touch("right_fingertips", "right_fingertips")),
        facing=(160, 200),
        bearing=(-5, 20),
        distance=(0.55, 0.8),
        a=Role(right_arm=mirrored(_RAISED), hands=("relaxed", "flat")),
        b=Role(right_arm=mirrored(_RAISED), hands=("relaxed", "flat")),
        brief=True,
    ),
)

RECIPES_BY_NAME = {recipe.name: recipe for recipe in RECIPES}
