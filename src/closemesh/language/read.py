"""Statements out of text or JSON values: the way back from `say`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from closemesh.language.phrases import PHRASES, TEMPLATES, THEIR, Template
from closemesh.language.say import BEGINNING, END, SLOT, letter, say
from closemesh.language.statements import KINDS, Statement
from closemesh.language.told import ALWAYS, Told

_PERSON = r"(?:person )?(?P<{slot}>[a-z]|p\d+)"
_SECONDS = rf"(?P<start>{BEGINNING}|[\d.]+ s) (?:to|and) (?P<end>{END}|[\d.]+ s)"
_SPANS = (
    re.compile(rf"(?:from|between) {_SECONDS}, (?P<text>.*)", re.IGNORECASE),
    re.compile(rf"(?P<text>.*) \({_SECONDS}\)", re.IGNORECASE),
)
_SENTENCE_END = re.compile(r"\.(?:\s+|$)|\n+")


@dataclass(frozen=True)
class _Reader:
    """One template the other way round."""

    kind: str
    pattern: re.Pattern[str]
    template: Template
    words: Mapping[str, Mapping[str, str]]
    """For each slot the word of each phrase."""

    def read(self, text: str) -> Statement | None:
        """The statement, or None when this template does not say it. Raises ValueError when it says nonsense."""
        match = self.pattern.fullmatch(text)
        if match is None:
            return None
        values: dict[str, Any] = dict(self.template.fixed)
        for slot, phrase in match.groupdict().items():
            name = slot.removeprefix("not_")
            values[name] = self.words[slot][phrase] if slot in self.words else person_of(phrase)
        if THEIR in self.template.text.split():
            values["of_person"] = values["person"]
        return KINDS[self.kind](**values)


def read_text(text: str) -> Statement:
    """The statement that one sentence says, capitals and a full stop or not.

    Raises ValueError when it is not in the vocabulary.
    """
    plain = " ".join(text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split()).rstrip(" .")
    for reader in _readers():
        statement = reader.read(plain)
        if statement is not None:
            return statement
    raise ValueError(f"'{text}' is not in the vocabulary; write it as in \"{_example()}\"")


def read_told(text: str) -> Told:
    """One sentence, perhaps with the seconds between which it holds. Raises ValueError."""
    plain = " ".join(text.split()).rstrip(" .")
    for pattern in _SPANS:
        match = pattern.fullmatch(plain)
        if match:
            start = ALWAYS[0] if match["start"].lower() == BEGINNING else float(match["start"].rstrip(" sS"))
            end = ALWAYS[1] if match["end"].lower() == END else float(match["end"].rstrip(" sS"))
            return Told(read_text(match["text"]), start, end)
    return Told(read_text(plain))


def read_description(text: str) -> tuple[Told, ...]:
    """All sentences of a text. Raises ValueError that quotes the first one that is not in the vocabulary."""
    sentences = (sentence.strip() for sentence in _SENTENCE_END.split(text))
    return tuple(read_told(sentence) for sentence in sentences if sentence)


def to_json(statement: Statement) -> dict[str, str]:
    """The statement as plain values: its kind, people by letter, words."""
    people = statement.person_fields()
    values = {f.name: getattr(statement, f.name) for f in fields(statement)}
    return {
        "kind": statement.kind,
        **{name: letter(value) if name in people else value for name, value in values.items()},
    }


def from_json(values: Mapping[str, Any]) -> Statement:
    """The inverse of `to_json`; people may be letters or numbers. Raises ValueError that says what is wrong."""
    kind = KINDS.get(str(values.get("kind")))
    if kind is None:
        raise ValueError(f"kind '{values.get('kind')}' is unknown; it is one of {', '.join(KINDS)}")
    names = [f.name for f in fields(kind)]
    missing, unknown = set(names) - set(values), set(values) - {*names, "kind"}
    if missing or unknown:
        wrong = f"lacks {', '.join(sorted(missing))}" if missing else f"has no {', '.join(sorted(unknown))}"
        raise ValueError(f"a statement of the kind {kind.kind} {wrong}; it has {', '.join(names)}")
    people = kind.person_fields()
    words: dict[str, Any] = {name: person_of(values[name]) if name in people else values[name] for name in names}
    return kind(**words)


def person_of(name: Any) -> int:
    """The number of a person who is called by letter, or by number already. Raises ValueError."""
    if isinstance(name, int) and not isinstance(name, bool):
        return name
    told = str(name).lower().removeprefix("person ")
    if re.fullmatch("[a-z]", told):
        return ord(told) - ord("a")
    if re.fullmatch(r"p\d+", told):
        return int(told[1:])
    raise ValueError(f"'{name}' is no person; the first person is A")


@lru_cache
def _readers() -> tuple[_Reader, ...]:
    return tuple(_reader(kind, template) for kind, templates in TEMPLATES.items() for template in templates)


def _reader(kind: str, template: Template) -> _Reader:
    words: dict[str, dict[str, str]] = {}

    def group(slot: str) -> str:
        phrases = PHRASES[kind].get(slot)
        name = slot.replace("!", "not_")
        if phrases is None:
            return _PERSON.format(slot=name)
        words[name] = {phrase: word for word, said in phrases.items() for phrase in said}
        return f"(?P<{name}>{'|'.join(re.escape(phrase) for phrase in words[name])})"

    pieces = SLOT.split(template.text)  # Text and slots by turns.
    pattern = "".join(group(piece) if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))
    return _Reader(kind, re.compile(pattern), template, words)


def _example() -> str:
    return say(KINDS["touch"](0, "left_hand", 1, "upper_trunk"))  # type: ignore[call-arg]
