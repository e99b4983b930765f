"""What a kind of close interaction is: which regions touch, how the two stand to one another, in what stance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Stance = Literal["standing", "sitting", "kneeling", "lying", "carried"]
HandShape = Literal["relaxed", "flat", "fist", "grip"]
Mover = Literal["a", "b", "both"]
Degrees3 = tuple[float, float, float]


@dataclass(frozen=True)
class Touch:
    """One place where the two meet: a region of a on a region of b (names of `regions.REGION_NAMES`)."""

    a: str
    b: str


@dataclass(frozen=True)
class Role:
    """What one of the two does."""

    stance: Stance = "standing"
    start: Mapping[str, Degrees3] = field(default_factory=dict)
    """Joints that begin elsewhere than in the source pose: axis-angle in degrees, from the T-pose."""
    hands: tuple[HandShape, HandShape] = ("relaxed", "relaxed")
    """Of the left and the right hand."""
    held: tuple[str, ...] = ()
    """Joints that stay as the source pose has them."""


@dataclass(frozen=True)
class Recipe:
    """A kind of interaction. Angles in degrees, distances in metres."""

    name: str
    touches: tuple[Touch, ...]
    facing: tuple[float, float]
    """Range of the yaw of b against a: 0 looks the same way, 180 face to face."""
    bearing: tuple[float, float]
    """Range of the direction in which a sees b: 0 ahead, 90 to a's left."""
    distance: tuple[float, float]
    """Range of the horizontal distance of the pelvises."""
    a: Role = Role()
    b: Role = Role()
    mover: Mover = "both"
    """Who walks up to the other before, and who leaves after."""
    brief: bool = False
    """The contact lasts a moment (a blow, a pat), not seconds."""
