"""Closed vocabulary, timed statements, alternatives.

The closed vocabulary: everything that can be said of one person or of two, as frozen statements.

People are numbered as in the result (person_00 is 0). Left and right are the person's own. A statement of a pair that
says the same with both people exchanged is kept in one order, so that equal statements are equal.

A statement with what surrounds it: from when to when it holds, and how sure it is.

What else could be said in the place of a statement, of the same people and parts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeVar

from closemesh.body.capsules import CAPSULE_PARTS

_SIDES = ("left", "right")
BENDING_JOINTS = tuple(f"{side}_{joint}" for joint in ("elbow", "knee", "hip") for side in _SIDES)
BENDS = ("straight", "slightly_bent", "bent", "sharply_bent")
ARM_HEIGHTS = ("down", "low", "shoulder_height", "overhead")
POINTS = (
    "head",
    *(f"{side}_{point}" for point in ("shoulder", "elbow", "hand", "hip", "knee", "foot") for side in _SIDES),
)
RELATIONS = ("above", "in_front_of", "left_of")
LIMBS = ("hands", "elbows", "knees", "feet")
SPACINGS = ("close", "shoulder_width", "wide")
POSTURES = (
    *("upright", "leaning_forward", "leaning_back", "face_up", "face_down"),
    *("on_left_side", "on_right_side", "upside_down"),
)
FACINGS = ("facing_each_other", "back_to_back", "side_by_side", "behind")
PERSON_FIELDS = ("person", "of_person", "person_a", "person_b", "nearer", "farther", "carrier", "carried")


@dataclass(frozen=True)
class _Statement:
    """Checks its words. Raises ValueError that names the field, the word and what it may be."""

    kind: ClassVar[str] = ""
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The words that each field may hold; the other fields are people."""

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
        """Who is spoken of, sorted."""
        return tuple(sorted({getattr(self, name) for name in self.person_fields()}))

    @property
    def topic(self) -> tuple[Any, ...]:
        """What it is about: of two different statements of one topic only one can be true."""
        return (self.kind, self)

    def _need_two(self) -> None:
        if len(self.people) < 2:
            raise ValueError(f"a statement of the kind {self.kind} needs two different people")

    def _swap(self, **exchanged: Any) -> None:
        for name, value in exchanged.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class JointAngle(_Statement):
    """How far an elbow, a knee or a hip is bent."""

    kind: ClassVar[str] = "joint_angle"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"joint": BENDING_JOINTS, "bend": BENDS}
    person: int
    joint: str
    bend: str

    @property
    def topic(self) -> tuple[Any, ...]:
        return (self.kind, self.person, self.joint)


@dataclass(frozen=True)
class ArmHeight(_Statement):
    """How high an upper arm is raised from the trunk."""

    kind: ClassVar[str] = "arm_height"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"side": _SIDES, "height": ARM_HEIGHTS}
    person: int
    side: str
    height: str

    @property
    def topic(self) -> tuple[Any, ...]:
        return (self.kind, self.person, self.side)


@dataclass(frozen=True)
class Placement(_Statement):
    """Where a point of the body is as seen from another one.

    `above` is against gravity, for points of one or of two people; `in_front_of` and `left_of` go by the trunk of the
    one person whose points both are.
    """

    kind: ClassVar[str] = "placement"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"point": POINTS, "relation": RELATIONS, "of_point": POINTS}
    person: int
    point: str
    relation: str
    of_person: int
    of_point: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.person != self.of_person and self.relation != "above":
            raise ValueError(f"{self.relation} goes by one person's trunk; of two people only above can be said")
        if (self.person, self.point) == (self.of_person, self.of_point):
            raise ValueError(f"the {self.point} cannot be {self.relation} itself")

    @property
    def topic(self) -> tuple[Any, ...]:
        ends = sorted([(self.person, self.point), (self.of_person, self.of_point)])
        return (self.kind, self.relation, *ends)


@dataclass(frozen=True)
class Spacing(_Statement):
    """How far apart the two hands, elbows, knees or feet of a person are."""

    kind: ClassVar[str] = "spacing"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"limbs": LIMBS, "apart": SPACINGS}
    person: int
    limbs: str
    apart: str

    @property
    def topic(self) -> tuple[Any, ...]:
        return (self.kind, self.person, self.limbs)


@dataclass(frozen=True)
class Posture(_Statement):
    """How the trunk stands to gravity."""

    kind: ClassVar[str] = "posture"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"posture": POSTURES}
    person: int
    posture: str

    @property
    def topic(self) -> tuple[Any, ...]:
        return (self.kind, self.person)


@dataclass(frozen=True)
class Facing(_Statement):
    """How two trunks are turned to each other; `behind`: person_a looks at the back of person_b."""

    kind: ClassVar[str] = "facing"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"how": FACINGS}
    person_a: int
    person_b: int
    how: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self._need_two()
        if self.how != "behind" and self.person_a > self.person_b:
            self._swap(person_a=self.person_b, person_b=self.person_a)

    @property
    def topic(self) -> tuple[Any, ...]:
        return (self.kind, *self.people)


@dataclass(frozen=True)
class Touch(_Statement):
    """A part of one person is on a part of the other."""

    kind: ClassVar[str] = "touch"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"part_a": CAPSULE_PARTS, "part_b": CAPSULE_PARTS}
    person_a: int
    part_a: str
    person_b: int
    part_b: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self._need_two()
        if self.person_a > self.person_b:
            people = {"person_a": self.person_b, "person_b": self.person_a}
            self._swap(**people, part_a=self.part_b, part_b=self.part_a)


@dataclass(frozen=True)
class DepthOrder(_Statement):
    """Whose trunk is nearer to the camera."""

    kind: ClassVar[str] = "depth_order"
    nearer: int
    farther: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._need_two()

    @property
    def topic(self) -> tuple[Any, ...]:
        return (self.kind, *self.people)


@dataclass(frozen=True)
class Support(_Statement):
    """Who carries whom: the carried one touches the carrier and not the ground."""

    kind: ClassVar[str] = "support"
    carrier: int
    carried: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._need_two()

    @property
    def topic(self) -> tuple[Any, ...]:
        return (self.kind, *self.people)


Statement = JointAngle | ArmHeight | Placement | Spacing | Posture | Facing | Touch | DepthOrder | Support
KINDS: Mapping[str, type[Statement]] = {
    kind.kind: kind for kind in (JointAngle, ArmHeight, Placement, Spacing, Posture, Facing, Touch, DepthOrder, Support)
}
_S = TypeVar("_S", bound=_Statement)


def renumbered(statement: _S, number: Mapping[int, int]) -> _S:
    """The same of other people: `number` tells who each becomes."""
    return replace(statement, **{name: number[getattr(statement, name)] for name in statement.person_fields()})


ALWAYS = -math.inf, math.inf


@dataclass(frozen=True)
class TimedStatement:
    """One statement over a span of the clip."""

    statement: Statement
    start: float = ALWAYS[0]
    """Seconds of the clip; -inf: from its beginning."""
    end: float = ALWAYS[1]
    """Seconds, inclusive; inf: to its end."""
    confidence: float = 1.0
    """0..1."""

    @property
    def weight(self) -> float:
        """0..1, how hard it is heeded: not at all when it is as likely wrong as right."""
        return max(0.0, 2 * self.confidence - 1)


def select_people(told: Iterable[TimedStatement], people: tuple[int, ...]) -> tuple[TimedStatement, ...]:
    """What is said of these people alone, with them renumbered 0, 1, ... in the order given."""
    number = {person: place for place, person in enumerate(people)}
    kept = (one for one in told if set(one.statement.people) <= set(people))
    return tuple(replace(one, statement=renumbered(one.statement, number)) for one in kept)


def alternatives(statement: Statement) -> tuple[Statement, ...]:
    """Other statements of the same topic, of which only one can be true; of a touch there are none."""
    others = [one for one in _said_otherwise(statement) if one.topic == statement.topic]
    return tuple(dict.fromkeys(one for one in others if one != statement))


def alternative_contacts(touch: Touch) -> tuple[Touch, ...]:
    """Touches of the same people in which one of both parts is another."""
    parts = ((name, part) for name in ("part_a", "part_b") for part in CAPSULE_PARTS)
    others = (replace(touch, **{name: part}) for name, part in parts)
    return tuple(one for one in others if one != touch)


def _said_otherwise(statement: Statement) -> Iterator[Statement]:
    if isinstance(statement, Placement):
        people = {"person": statement.of_person, "of_person": statement.person}
        yield replace(statement, **people, point=statement.of_point, of_point=statement.point)
        return
    for name, words in statement.choices.items():
        yield from (replace(statement, **{name: word}) for word in words)
    if isinstance(statement, DepthOrder | Support | Facing):
        one, other = statement.people
        exchanged = renumbered(statement, {one: other, other: one})
        yield exchanged
        for name, words in statement.choices.items():
            yield from (replace(exchanged, **{name: word}) for word in words)
