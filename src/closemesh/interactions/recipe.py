"""What a kind of close interaction is: which regions touch, how the two stand to one another, in what stance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HandShape = Literal["relaxed", "flat", "grip", "fist"]
Mover = Literal["a", "b", "both"]
Direction = tuple[float, float, float]
"""Left, up and forward of the person's own trunk; of any length."""
Limb = tuple[Direction, Direction]
"""Where the upper and the lower bone of an arm or a leg point."""


@dataclass(frozen=True)
class Touch:
    """One place where the two meet: a region of a on a region of b (names of `regions.REGION_NAMES`)."""

    a: str
    b: str
    firm: bool = True
    """False for what only guides the pose: fingers that lie along, say; it may stay a little apart."""


@dataclass(frozen=True)
class Role:
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
class Recipe:
    """A kind of interaction. Angles in degrees, distances in metres."""

    name: str
    touches: tuple[Touch, ...]
    facing: tuple[float, float]
    """Range of the yaw of b against a: 0 looks the same way, 180 face to face, 90 to a's left."""
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
    carried: bool = False
    """b is off the floor and a bears both."""
