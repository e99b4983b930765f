"""What else could be said in the place of a statement, of the same people and parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from closemesh.body.capsules import COARSE_PARTS
from closemesh.language.statements import DepthOrder, Facing, Placement, Statement, Support, Touch, renumbered


def rivals(statement: Statement) -> tuple[Statement, ...]:
    """Other statements of the same topic, of which only one can be true; of a touch there are none."""
    others = [one for one in _said_otherwise(statement) if one.topic == statement.topic]
    return tuple(dict.fromkeys(one for one in others if one != statement))


def other_touches(touch: Touch) -> tuple[Touch, ...]:
    """Touches of the same people in which one of both parts is another."""
    parts = ((name, part) for name in ("part_a", "part_b") for part in COARSE_PARTS)
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
