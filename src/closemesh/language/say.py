"""Statements in plain English, in many wordings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import product
from random import Random

from closemesh.language.phrases import PHRASES, TEMPLATES, THEIR, Template
from closemesh.language.statements import Placement, Statement
from closemesh.language.told import ALWAYS, Told

SLOT = re.compile(r"\{(!?\w+)\}")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SPANS = ("from {start} to {end}, {text}", "between {start} and {end}, {text}", "{text} ({start} to {end})")
BEGINNING, END = "the beginning", "the end"
_LOWERED = ("The ", "Person ", "Seen ")  # How a sentence begins that does not begin with a letter.


def letter(person: int) -> str:
    """What a person is called in text and in pictures: A for 0, ..., Z for 25, then P26."""
    return _LETTERS[person] if person < len(_LETTERS) else f"P{person}"


def wordings(statement: Statement) -> Iterator[str]:
    """Every way to say it, the plainest first."""
    for template in TEMPLATES[statement.kind]:
        if _fits(template, statement):
            slots = SLOT.findall(template.text)
            for phrases in product(*(_phrases(statement, slot) for slot in slots)):
                yield _filled(template.text, phrases)


def say(statement: Statement, random: Random | None = None) -> str:
    """One sentence without a full stop: the plainest, or a random one."""
    return next(wordings(statement)) if random is None else random.choice(list(wordings(statement)))


def say_told(told: Told, random: Random | None = None) -> str:
    """The same with the seconds between which it holds, when these are known."""
    text = say(told.statement, random)
    if (told.start, told.end) == ALWAYS:
        return text
    span = _SPANS[0] if random is None else random.choice(_SPANS)
    if not span.startswith("{text}") and text.startswith(_LOWERED):
        text = text[0].lower() + text[1:]
    start = BEGINNING if told.start == ALWAYS[0] else f"{told.start:.2f} s"
    end = END if told.end == ALWAYS[1] else f"{told.end:.2f} s"
    said = span.format(start=start, end=end, text=text)
    return said[0].upper() + said[1:]


def describe(told: Iterable[Told], seed: int | None = None) -> str:
    """Sentences about people, one after the other; with a seed in wordings drawn by it."""
    random = None if seed is None else Random(seed)
    return " ".join(f"{say_told(one, random)}." for one in told)


def _fits(template: Template, statement: Statement) -> bool:
    slots = SLOT.findall(template.text)
    known = PHRASES[statement.kind]
    if any(getattr(statement, name) != word for name, word in template.fixed.items()):
        return False
    if THEIR in template.text.split() and isinstance(statement, Placement):
        return statement.person == statement.of_person
    return all(getattr(statement, slot.lstrip("!")) in known[slot] for slot in slots if slot in known)


def _phrases(statement: Statement, slot: str) -> tuple[str, ...]:
    value = getattr(statement, slot.lstrip("!"))
    known = PHRASES[statement.kind]
    return known[slot][value] if slot in known else (letter(value), f"person {letter(value)}")


def _filled(text: str, phrases: tuple[str, ...]) -> str:
    rest = iter(phrases)
    sentence = SLOT.sub(lambda _: next(rest), text)
    return sentence[0].upper() + sentence[1:]
