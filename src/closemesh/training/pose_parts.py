"""What whole poses are made of, in few words: each is something of which at least one must hold."""

from __future__ import annotations

from closemesh.language.statements import ArmHeight, JointAngle, Placement, Posture, Spacing
from closemesh.training.gists import SIDES, AnyOf
from closemesh.training.remarks import Remark

LOOSE = ("straight", "slightly_bent")
BENT = ("bent", "sharply_bent")
Named = tuple[tuple[AnyOf, ...], str]
"""What must hold, and texts with `; ` between them."""


def posture(*postures: str) -> AnyOf:
    """The trunk is one of these ways."""
    return tuple(Posture(0, posture) for posture in postures)


def joint(name: str, *bends: str) -> AnyOf:
    """One joint is bent in one of these ways."""
    return tuple(JointAngle(0, name, bend) for bend in bends)


def joints(name: str, *bends: str) -> tuple[AnyOf, ...]:
    """The left and the right one are."""
    return tuple(joint(f"{side}_{name}", *bends) for side in SIDES)


def arm(side: str, *heights: str) -> AnyOf:
    """An arm is at one of these heights."""
    return tuple(ArmHeight(0, side, height) for height in heights)


def arms(*heights: str) -> tuple[AnyOf, ...]:
    """Both arms are."""
    return tuple(arm(side, *heights) for side in SIDES)


def apart(limbs: str, *apart: str) -> AnyOf:
    """Two limbs are so far apart."""
    return tuple(Spacing(0, limbs, one) for one in apart)


def noted(*kinds: str, side: str = "") -> AnyOf:
    """One of these is remarked."""
    return tuple(Remark(0, kind, side) for kind in kinds)


def both_noted(*kinds: str) -> tuple[AnyOf, ...]:
    """Of each side one of these is remarked."""
    return tuple(noted(*kinds, side=side) for side in SIDES)


def placed(point: str, relation: str, of_point: str) -> AnyOf:
    """A point is somewhere as seen from another one."""
    return (Placement(0, point, relation, 0, of_point),)
