"""How often facts about contact and depth order hold in a reconstructed real clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.body.motion import motion_joints
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.core.arrays import Bools
from closemesh.lab.evaluation.real_facts import ClipFacts
from closemesh.lab.evaluation.real_people import PersonTracks
from closemesh.lab.evaluation.real_result import ClipResult
from closemesh.structures import BodyMotion, Contact

FactKind = Literal["contact", "apart", "never", "depth order"]
_TRUNK_JOINTS = [JOINT_INDEX[name] for name in ("pelvis", "spine1", "spine2", "spine3", "neck")]


@dataclass(frozen=True)
class FactScore:
    """How often one fact holds in each motion."""

    kind: FactKind
    what: str
    frames: tuple[int, int]
    percent: dict[str, float]
    """Name of the motion -> percent of the frames."""


def score_facts(result: ClipResult, facts: ClipFacts, people: PersonTracks) -> list[FactScore]:
    """How often each fact holds. A fact about a person who was not found never holds, but for `apart` and `never`."""
    count, track = len(result.clip), people.track
    scores = []

    def add(kind: FactKind, what: str, frames: tuple[int, int], held: Mapping[str, Bools]) -> None:
        positions = result.positions(frames)
        if len(positions):
            percent = {name: 100 * float(values[positions].mean()) for name, values in held.items()}
            scores.append(FactScore(kind, what, frames, percent))

    measured = {
        name: _Touches(tuple(c for pair in pairs for c in pair.contacts), count)
        for name, pairs in result.contacts.items()
    }
    for contact in facts.contacts:
        a, b = track.get(contact.a, -1), track.get(contact.b, -1)
        held = {name: some.between(a, contact.parts_a, b, contact.parts_b) for name, some in measured.items()}
        add("contact", contact.what, contact.frames, held)
    for one in facts.apart:
        a, b = (track.get(name, -1) for name in one.people) if one.people else (None, None)
        who = f"{one.people[0]} and {one.people[1]} do not touch" if one.people else "no two people touch"
        add("apart", who, one.frames, {name: ~some.between(a, None, b, None) for name, some in measured.items()})
    last = int(result.clip.frame_indices[-1])
    for kinds in facts.never:
        held = {name: ~some.of_kinds(kinds) for name, some in measured.items()}
        add("never", f"never {', '.join(kinds)} against each other", (0, last), held)
    for order in facts.depth_order:
        pair = track.get(order.nearer), track.get(order.farther)
        held = {name: _in_order(motion, result.body, pair) for name, motion in result.motions.items()}
        add("depth order", f"{order.nearer} is nearer than {order.farther}", order.frames, held)
    return scores


def _in_order(motion: BodyMotion, body: BodyModel, pair: tuple[int | None, int | None]) -> Bools:
    """[T] True where the trunk of the first person is nearer than that of the second."""
    a, b = pair
    if a is None or b is None:
        return np.zeros(len(motion.transl), bool)
    depth = motion_joints(motion, body)[:, :, _TRUNK_JOINTS, 2].mean(-1)  # [T, P]
    return motion.valid[:, a] & motion.valid[:, b] & (depth[:, a] < depth[:, b])


@dataclass(frozen=True)
class _Touches:
    """The contacts of one motion."""

    contacts: tuple[Contact, ...]
    count: int
    """Frames."""

    def between(
        self, a: int | None, parts_a: frozenset[str] | None, b: int | None, parts_b: frozenset[str] | None
    ) -> Bools:
        """[T] True where one of these parts of a touches one of b; None is any person, any part."""
        return self._where(
            lambda c: (
                (_is(c.person_a, c.part_a, a, parts_a) and _is(c.person_b, c.part_b, b, parts_b))
                or (_is(c.person_a, c.part_a, b, parts_b) and _is(c.person_b, c.part_b, a, parts_a))
            )
        )

    def of_kinds(self, kinds: Sequence[str]) -> Bools:
        """[T] True where two parts of these kinds touch."""
        return self._where(lambda c: all(any(kind in part for kind in kinds) for part in (c.part_a, c.part_b)))

    def _where(self, counts: Callable[[Contact], bool]) -> Bools:
        touching = np.zeros(self.count, bool)
        for contact in filter(counts, self.contacts):
            touching[contact.start : contact.end + 1] = True
        return touching


def _is(person: int, part: str, wanted: int | None, parts: frozenset[str] | None) -> bool:
    return wanted in (None, person) and (parts is None or part in parts)
