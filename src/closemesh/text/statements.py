"""The closed vocabulary: statements about one person or two, with times and confidences, and their alternatives.

People are numbered as in the result (person_00 is 0). Left and right are the person's own. Symmetric statements about
a pair are stored in one order, so that equal statements compare equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, ClassVar, TypeVar, get_args

from closemesh.body.capsules import CAPSULE_PARTS
from closemesh.text.vocabulary import (
    ARM_HEIGHTS,
    BENDING_JOINTS,
    BENDS,
    DIRECTIONS,
    FACINGS,
    HEAD_CONTACTS,
    HEAD_POSES,
    LIMBS,
    POINTS,
    POSTURES,
    RELATIONS,
    SECTIONS,
    SIDES,
    SPACINGS,
    TRUNK_POSES,
    StatementBase,
)


@dataclass(frozen=True)
class JointAngle(StatementBase):
    """The angle of an elbow, a knee or a hip."""

    kind: ClassVar[str] = "joint_angle"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"joint": BENDING_JOINTS, "bend": BENDS}
    person: int
    joint: str
    bend: str

    @property
    def topic(self) -> tuple[Any, ...]:
        return (self.kind, self.person, self.joint)


@dataclass(frozen=True)
class ArmHeight(StatementBase):
    """The height of an upper arm relative to the trunk."""

    kind: ClassVar[str] = "arm_height"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"side": SIDES, "height": ARM_HEIGHTS}
    person: int
    side: str
    height: str

    @property
    def topic(self) -> tuple[Any, ...]:
        return (self.kind, self.person, self.side)


@dataclass(frozen=True)
class Placement(StatementBase):
    """The position of one body point relative to another.

    `above` is against gravity, for points of one person or of two. `in_front_of` and `left_of` require two points of
    one person, and refer to the trunk of that person.
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
            raise ValueError(
                f"{self.relation} compares points of one person; between two people only above is possible"
            )
        if (self.person, self.point) == (self.of_person, self.of_point):
            raise ValueError(f"the {self.point} cannot be {self.relation} itself")

    @property
    def topic(self) -> tuple[Any, ...]:
        """The same key for both orders of the two points."""
        ends = sorted([(self.person, self.point), (self.of_person, self.of_point)])
        return (self.kind, self.relation, *ends)


@dataclass(frozen=True)
class Spacing(StatementBase):
    """The distance between the two hands, elbows, knees or feet of a person."""

    kind: ClassVar[str] = "spacing"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"limbs": LIMBS, "apart": SPACINGS}
    person: int
    limbs: str
    apart: str

    @property
    def topic(self) -> tuple[Any, ...]:
        return (self.kind, self.person, self.limbs)


@dataclass(frozen=True)
class Posture(StatementBase):
    """The orientation of the trunk relative to gravity."""

    kind: ClassVar[str] = "posture"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"posture": POSTURES}
    person: int
    posture: str

    @property
    def topic(self) -> tuple[Any, ...]:
        return (self.kind, self.person)


@dataclass(frozen=True)
class Facing(StatementBase):
    """The orientation of two trunks to each other; `behind`: person_a faces the back of person_b."""

    kind: ClassVar[str] = "facing"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"how": FACINGS}
    person_a: int
    person_b: int
    how: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_two()
        if self.how != "behind" and self.person_a > self.person_b:
            self._set(person_a=self.person_b, person_b=self.person_a)

    @property
    def topic(self) -> tuple[Any, ...]:
        return (self.kind, *self.people)


@dataclass(frozen=True)
class Touch(StatementBase):
    """Contact between a part of one person and a part of another."""

    kind: ClassVar[str] = "touch"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"part_a": CAPSULE_PARTS, "part_b": CAPSULE_PARTS}
    person_a: int
    part_a: str
    person_b: int
    part_b: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_two()
        if self.person_a > self.person_b:
            people = {"person_a": self.person_b, "person_b": self.person_a}
            self._set(**people, part_a=self.part_b, part_b=self.part_a)


@dataclass(frozen=True)
class DepthOrder(StatementBase):
    """The order of two trunks by distance from the camera."""

    kind: ClassVar[str] = "depth_order"
    nearer: int
    farther: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_two()

    @property
    def topic(self) -> tuple[Any, ...]:
        return (self.kind, *self.people)


@dataclass(frozen=True)
class Support(StatementBase):
    """One person carries another, who touches the carrier and not the ground."""

    kind: ClassVar[str] = "support"
    carrier: int
    carried: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_two()

    @property
    def topic(self) -> tuple[Any, ...]:
        return (self.kind, *self.people)


@dataclass(frozen=True)
class TrunkPose(StatementBase):
    """The hips, the shoulders and the trunk between them."""

    kind: ClassVar[str] = "trunk_pose"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"trunk": tuple(chain(*TRUNK_POSES.values()))}
    person: int
    trunk: str

    @property
    def topic(self) -> tuple[Any, ...]:
        return (self.kind, self.person, _topic_of(self.trunk, TRUNK_POSES))


@dataclass(frozen=True)
class HeadPose(StatementBase):
    """The head relative to the trunk."""

    kind: ClassVar[str] = "head_pose"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"pose": tuple(chain(*HEAD_POSES.values()))}
    person: int
    pose: str

    @property
    def topic(self) -> tuple[Any, ...]:
        return (self.kind, self.person, _topic_of(self.pose, HEAD_POSES))


@dataclass(frozen=True)
class Turned(StatementBase):
    """Where the hips, the shoulders or the face of person_a point, seen towards the same section of person_b."""

    kind: ClassVar[str] = "turned"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"section": SECTIONS, "direction": DIRECTIONS}
    person_a: int
    section: str
    direction: str
    person_b: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_two()

    @property
    def topic(self) -> tuple[Any, ...]:
        return (self.kind, self.person_a, self.section, self.person_b)


@dataclass(frozen=True)
class HeadContact(StatementBase):
    """Contact of the head of person_a with the head or the shoulder of person_b, more exact than a touch."""

    kind: ClassVar[str] = "head_contact"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"heads": HEAD_CONTACTS}
    person_a: int
    person_b: int
    heads: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_two()
        if not self.heads.startswith("chin") and self.person_a > self.person_b:
            self._set(person_a=self.person_b, person_b=self.person_a)

    @property
    def topic(self) -> tuple[Any, ...]:
        """Both chins can be over shoulders at once."""
        return (self.kind, self.heads.startswith("chin"), self.person_a, self.person_b)


def _topic_of(word: str, topics: Mapping[str, tuple[str, ...]]) -> str:
    return next(topic for topic, words in topics.items() if word in words)


Statement = (
    JointAngle
    | ArmHeight
    | Placement
    | Spacing
    | Posture
    | Facing
    | Touch
    | DepthOrder
    | Support
    | TrunkPose
    | HeadPose
    | Turned
    | HeadContact
)
KINDS: Mapping[str, type[Statement]] = {kind.kind: kind for kind in get_args(Statement)}
ALIGNED_KINDS = (JointAngle, ArmHeight, Placement, Spacing, Posture, Facing, Touch, Support)
"""Kinds that the common space of texts and poses has labels for."""
_S = TypeVar("_S", bound=StatementBase)


def renumber(statement: _S, number: Mapping[int, int]) -> _S:
    """The same statement about other people; `number` maps old to new numbers."""
    return replace(statement, **{name: number[getattr(statement, name)] for name in statement.person_fields()})


ALWAYS = -math.inf, math.inf


@dataclass(frozen=True)
class TimedStatement:
    """One statement over an interval of the clip."""

    statement: Statement
    start: float = ALWAYS[0]
    """Seconds of the clip; -inf: its beginning."""
    end: float = ALWAYS[1]
    """Seconds, inclusive; inf: the end of the clip."""
    confidence: float = 1.0
    """0..1."""

    @property
    def weight(self) -> float:
        """Weight 0..1 in losses: 0 up to a confidence of 0.5, then linear."""
        return max(0.0, 2 * self.confidence - 1)


def select_people(statements: Iterable[TimedStatement], people: tuple[int, ...]) -> tuple[TimedStatement, ...]:
    """The statements about these people only, with them renumbered 0, 1, ... in the given order."""
    number = {person: place for place, person in enumerate(people)}
    selected = (one for one in statements if set(one.statement.people) <= set(people))
    return tuple(replace(one, statement=renumber(one.statement, number)) for one in selected)
