"""A statement with what surrounds it: from when to when it holds, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from closemesh.language.statements import Statement, renumbered

ALWAYS = -math.inf, math.inf


@dataclass(frozen=True)
class Told:
    """One statement over a span of the clip."""

    statement: Statement
    start: float = ALWAYS[0]
    """Seconds of the clip; -inf: from its beginning."""
    end: float = ALWAYS[1]
    """Seconds, inclusive; inf: to its end."""
    confidence: float = 1.0
    """0..1."""

    @property
    def pull(self) -> float:
        """0..1, how hard it is heeded: not at all when it is as likely wrong as right."""
        return max(0.0, 2 * self.confidence - 1)


def of_people(told: Iterable[Told], people: tuple[int, ...]) -> tuple[Told, ...]:
    """What is said of these people alone, with them renumbered 0, 1, ... in the order given."""
    number = {person: place for place, person in enumerate(people)}
    kept = (one for one in told if set(one.statement.people) <= set(people))
    return tuple(replace(one, statement=renumbered(one.statement, number)) for one in kept)
