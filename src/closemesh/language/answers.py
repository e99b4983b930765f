"""From what a model wrote to statements, and from several of its answers to one with confidences."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from closemesh.language.chat import UnusableAnswerError
from closemesh.language.read import from_json
from closemesh.language.statements import Statement
from closemesh.language.told import Told

_MOST_BRACES = 500  # Looked at in one answer: a model that has lost its way may write nothing else.
HALF = 0.5  # What fewer than half of the answers say is left out.


def read_answer(text: str, people: Sequence[int]) -> frozenset[Statement]:
    """The statements of an answer: its last JSON object that holds any. Other words around it do not matter.

    Statements outside the vocabulary or about others are left out. Raises UnusableAnswerError when there is no such
    object, or nothing in it could be read.
    """
    lists = [found["statements"] for found in _objects(text) if isinstance(found.get("statements"), list)]
    if not lists:
        raise UnusableAnswerError("without the JSON that was asked for")
    found = {said for value in lists[-1] if (said := _statement(value)) and set(said.people) <= set(people)}
    if lists[-1] and not found:
        raise UnusableAnswerError("in words that are not in the vocabulary")
    return frozenset(found)


def vote(answers: Sequence[frozenset[Statement]], start: float, end: float) -> tuple[Told, ...]:
    """What most of the answers say; of statements that exclude each other the one that is said most.

    The confidence is the share of the answers, as if half an answer more had been for and half against: one answer
    alone proves little, and an empty answer counts against everything.
    """
    votes = Counter(statement for answer in answers for statement in answer)
    best: dict[Any, Statement] = {}
    # By name where the votes are equal, so that the order of the answers does not matter.
    for statement in sorted(votes, key=lambda s: (-votes[s], repr(s))):
        best.setdefault(statement.topic, statement)
    # Rounded as in the file, so that kept answers are the same to the last digit.
    told = (Told(s, start, end, round((votes[s] + 0.5) / (len(answers) + 1), 3)) for s in best.values())
    return tuple(one for one in told if one.confidence > HALF)


def _statement(value: Any) -> Statement | None:
    try:
        return from_json(value)
    except (ValueError, AttributeError, TypeError):
        return None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object in a text, outermost ones only."""
    decoder, place = json.JSONDecoder(), text.find("{")
    for _ in range(_MOST_BRACES):
        if place < 0:
            return
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            yield value
        place = text.find("{", end)
