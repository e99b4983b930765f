"""The words that fields of statements hold, and the base of all statements, which checks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

SIDES = ("left", "right")
BENDING_JOINTS = tuple(f"{side}_{joint}" for joint in ("elbow", "knee", "hip") for side in SIDES)
BENDS = ("straight", "slightly_bent", "bent", "sharply_bent")
ARM_HEIGHTS = ("down", "low", "shoulder_height", "overhead")
POINTS = (
    "head",
    *(f"{side}_{point}" for point in ("shoulder", "elbow", "hand", "hip", "knee", "foot") for side in SIDES),
)
RELATIONS = ("above", "in_front_of", "left_of")
LIMBS = ("hands", "elbows", "knees", "feet")
SPACINGS = ("close", "shoulder_width", "wide")
POSTURES = (
    *("upright", "leaning_forward", "leaning_back", "face_up", "face_down"),
    *("on_left_side", "on_right_side", "upside_down"),
)
FACINGS = ("facing_each_other", "back_to_back", "side_by_side", "behind")
TRUNK_POSES = {
    "twist": ("not_twisted", "twisted_left", "twisted_right"),
    "side": ("not_leaning_to_a_side", "leaning_left", "leaning_right"),
    "lean": ("vertical", "leaning_forward_a_little", "leaning_back_a_little"),
    "shoulders": ("shoulders_level", "left_shoulder_higher", "right_shoulder_higher"),
    "hips": ("hips_level", "left_hip_higher", "right_hip_higher"),
    "height": ("hips_high", "hips_low", "hips_near_the_ground"),
}
"""Mutually exclusive words about the trunk, by topic."""
HEAD_POSES = {
    "turn": ("turned_ahead", "turned_left", "turned_right"),
    "tilt": ("not_tilted", "tilted_left", "tilted_right"),
    "bend": ("not_bent", "bent_forward", "bent_back"),
}
"""Mutually exclusive words about the head relative to the trunk, by topic."""
SECTIONS = ("hips", "shoulders", "head")
DIRECTIONS = ("toward", "away", "left_side_toward", "right_side_toward")
HEAD_CONTACTS = ("cheek_to_cheek", "foreheads_touching", "chin_over_left_shoulder", "chin_over_right_shoulder")
PERSON_FIELDS = ("person", "of_person", "person_a", "person_b", "nearer", "farther", "carrier", "carried")


@dataclass(frozen=True)
class StatementBase:
    """Base of all statements. Raises ValueError that names the field, the wrong word and the allowed words."""

    kind: ClassVar[str] = ""
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The words that each field may hold; fields that are not listed hold people."""

    def __post_init__(self) -> None:
        for name, allowed in self.choices.items():
            word = getattr(self, name)
            if word not in allowed:
                raise ValueError(f"{name} '{word}' is unknown; it is one of {', '.join(allowed)}")
        for name in self.person_fields():
            person = getattr(self, name)
            if isinstance(person, bool) or not isinstance(person, int) or person < 0:
                raise ValueError(f"{name} {person!r} is no person; the first person is 0, in text A")

    @classmethod
    def person_fields(cls) -> tuple[str, ...]:
        """The fields that hold a person, in order."""
        return tuple(f.name for f in fields(cls) if f.name in PERSON_FIELDS)

    @property
    def people(self) -> tuple[int, ...]:
        """The people of the statement, sorted."""
        return tuple(sorted({getattr(self, name) for name in self.person_fields()}))

    @property
    def topic(self) -> tuple[Any, ...]:
        """The key of mutually exclusive statements: of two statements of one topic only one can be true."""
        return (self.kind, self)

    def _require_two(self) -> None:
        if len(self.people) < 2:
            raise ValueError(f"a statement of the kind {self.kind} needs two different people")

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)
