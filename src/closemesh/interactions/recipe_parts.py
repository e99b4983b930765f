"""What recipes are made of: limbs as people hold them, hands laid on or clasped."""

from __future__ import annotations

from typing import Any

from closemesh.interactions.posture import mirrored
from closemesh.interactions.recipe import Limb, Touch

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


def hand_of_a(side: str, on: str) -> tuple[Touch, Touch]:
    """A palm of a on a region of b, the fingers along it."""
    return Touch(f"{side}_palm", on), Touch(f"{side}_fingertips", on, firm=False)


def hand_of_b(side: str, on: str) -> tuple[Touch, Touch]:
    """A palm of b on a region of a."""
    return Touch(on, f"{side}_palm"), Touch(on, f"{side}_fingertips", firm=False)


def clasp(a: str, b: str, firm: str) -> tuple[Touch, ...]:
    """Hand a (of a) and hand b (of b) in each other, fingers round the other's edge."""
    return (
        Touch(f"{a}_{firm}", f"{b}_{firm}"),
        Touch(f"{a}_fingertips", f"{b}_hand_edge", firm=False),
        Touch(f"{a}_hand_edge", f"{b}_fingertips", firm=False),
    )


PALMS_UP: dict[str, Any] = {"palms": ((0, 1, 0), (0, 1, 0))}
PALMS_DOWN: dict[str, Any] = {"palms": ((0, -1, 0), (0, -1, 0))}
FACING: dict[str, Any] = {"facing": (165.0, 195.0), "bearing": (-10.0, 10.0)}
SAME_WAY: dict[str, Any] = {"facing": (-12.0, 12.0)}
FLAT: dict[str, Any] = {"hands": ("flat", "flat")}
