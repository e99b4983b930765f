"""The file descriptions.json: timed statements about people, written by closemesh or by hand.

{"schema": 1,
 "descriptions": [
   {"people": ["A", "B"],          letters, or numbers as in person_00.npz
    "start": 0.5, "end": 1.2,      seconds of the clip, both inclusive; left out: from its beginning, to its end
    "start_frame": 15,             or processed frames from 0; "end_frame" likewise
    "source": "rules",             free text
    "question": "5ad1...",         fingerprint of the question that a model answered: it is not asked again
    "statements": [
      "A's left hand touches B's head",                                plain English of the vocabulary
      {"text": "B faces the back of A", "confidence": 0.8},            0..1; 1 when left out
      {"kind": "depth_order", "nearer": "A", "farther": "B", "confidence": 0.6}
    ]}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from closemesh.core.arrays import Floats
from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file
from closemesh.core.foreign import foreign_reader, parse_json
from closemesh.text.grammar import from_json, parse_person, parse_statement, person_letter, render_statement
from closemesh.text.statements import ALWAYS, Statement, TimedStatement

SCHEMA = 1
DESCRIPTIONS_FILE = "descriptions.json"
_MAX_SECONDS = 1e9
_ENTRY_KEYS = {"people", "start", "end", "start_frame", "end_frame", "source", "question", "statements"}


@dataclass(frozen=True)
class Description:
    """One entry: statements about the same people over the same interval."""

    people: tuple[int, ...]
    statements: tuple[TimedStatement, ...]
    start: float = ALWAYS[0]
    """Seconds."""
    end: float = ALWAYS[1]
    source: str = ""
    """`rules`, the name of a model, or empty for entries by hand."""
    question: str = ""
    """Fingerprint of the question that a model answered."""


@foreign_reader
def read_descriptions(path: Path, times: Floats) -> tuple[Description, ...]:
    """The entries of a file; times: [T] seconds of the frames of the clip.

    Raises InputError that names the file, the entry and the statement, counted from 1.
    """
    entries = _read_values(path).get("descriptions")
    if not isinstance(entries, list):
        raise InputError(f"{path} has no list 'descriptions'")
    return tuple(_entry(entry, times, f"{path}, entry {number}") for number, entry in enumerate(entries, start=1))


def write_descriptions(path: Path, descriptions: Iterable[Description]) -> None:
    """Write the file, with statements in English. Raises OutputError when it cannot be written."""
    entries = ",\n".join(_entry_text(entry) for entry in descriptions)
    with atomic_file(path) as part:
        part.write_text(f'{{"schema": {SCHEMA},\n "descriptions": [\n{entries}\n ]}}\n', encoding="utf-8")


def group_statements(statements: Iterable[TimedStatement], source: str) -> tuple[Description, ...]:
    """Entries in order of start, one for the same people over the same interval."""

    def key(one: TimedStatement) -> tuple[float, float, tuple[int, ...]]:
        return one.start, one.end, one.statement.people

    entries = groupby(sorted(statements, key=key), key)
    return tuple(Description(people, tuple(group), start, end, source) for (start, end, people), group in entries)


def all_statements(descriptions: Iterable[Description]) -> tuple[TimedStatement, ...]:
    """The statements of all entries."""
    return tuple(one for entry in descriptions for one in entry.statements)


def check_people(descriptions: Iterable[Description], num_people: int, name: str) -> None:
    """Raises InputError when an entry has people who were not found in the clip; name: the file, for the message."""
    for number, entry in enumerate(descriptions, start=1):
        missing = [person_letter(person) for person in entry.people if person >= num_people]
        if missing:
            found = ", ".join(person_letter(person) for person in range(num_people))
            raise InputError(f"{name}, entry {number}: {', '.join(missing)} was not found; there are {found}")


def _read_values(path: Path) -> dict[str, Any]:
    """The content of the file. Raises InputError when it cannot be read or has another schema."""
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} not found; closemesh describe OUT writes one") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}, column {error.colno}: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no JSON text in UTF-8") from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON text: {error}") from error
    schema = values.get("schema") if isinstance(values, dict) else None
    if schema != SCHEMA:
        raise InputError(f"{path} has schema {schema}; this closemesh reads {SCHEMA}")
    return values


def _entry(values: Any, times: Floats, where: str) -> Description:
    try:
        if not isinstance(values, dict):
            raise ValueError("it is no object in braces")
        unknown = sorted(set(values) - _ENTRY_KEYS)
        if unknown:
            raise ValueError(f"'{unknown[0]}' is unknown; an entry has {', '.join(sorted(_ENTRY_KEYS))}")
        people = tuple(sorted({parse_person(person) for person in _list_of(values, "people")}))
        if people[0] < 0:
            raise ValueError(f"{people[0]} is no person; the first person is 0, in text A")
        start, end = _bound(values, "start", times, ALWAYS[0]), _bound(values, "end", times, ALWAYS[1])
        if end < start:
            raise ValueError(f"it ends at {end:g} s, before it starts at {start:g} s")
        origin = {name: str(values.get(name, "")) for name in ("source", "question")}
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    statements = _timed_statements(_statement_values(values, where), people, start, end, where)
    return Description(people, statements, start, end, **origin)


def _statement_values(values: Mapping[str, Any], where: str) -> list[Any]:
    try:
        return _list_of(values, "statements")
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _timed_statements(
    values: Sequence[Any], people: tuple[int, ...], start: float, end: float, where: str
) -> tuple[TimedStatement, ...]:
    found = []
    for number, value in enumerate(values, start=1):
        try:
            one = replace(_timed_statement(value), start=start, end=end)
            others = set(one.statement.people) - set(people)
            if others:
                raise ValueError(f"it is about {person_letter(min(others))}, who is not among the people of the entry")
            found.append(one)
        except ValueError as error:
            raise InputError(f"{where}, statement {number}: {error}") from error
    return tuple(found)


def _timed_statement(value: Any) -> TimedStatement:
    """A statement given as text, as {"text"} or by its kind, with an optional confidence. Raises ValueError."""
    if isinstance(value, str):
        return TimedStatement(parse_statement(value))
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is neither text nor an object in braces")
    rest = {name: item for name, item in value.items() if name != "confidence"}
    return TimedStatement(_statement(rest), confidence=_confidence(value.get("confidence", 1.0)))


def _statement(values: Mapping[str, Any]) -> Statement:
    if "text" not in values:
        return from_json(values)
    if len(values) > 1:
        raise ValueError(f"beside text only confidence is allowed, not {', '.join(sorted(set(values) - {'text'}))}")
    return parse_statement(str(values["text"]))


def _confidence(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"confidence {value!r} is no number from 0 to 1")
    return float(value)


def _list_of(values: Mapping[str, Any], name: str) -> list[Any]:
    found = values.get(name)
    if not isinstance(found, list) or (name == "people" and not found):
        raise ValueError(f"it has no list '{name}'")
    return found


def _bound(values: Mapping[str, Any], name: str, times: Floats, default: float) -> float:
    """Seconds of `start` or `end`, given in seconds or as a frame."""
    by_frame = f"{name}_frame"
    if name in values and by_frame in values:
        raise ValueError(f"it has both {name} and {by_frame}; leave one out")
    value = values.get(name, values.get(by_frame))
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} {value!r} is no number")
    if by_frame not in values:
        if not abs(value) <= _MAX_SECONDS:
            raise ValueError(f"{name} is not within {_MAX_SECONDS:g} s")
        return float(value)
    if not 0 <= value < len(times) or value != int(value):
        raise ValueError(f"{by_frame} {value} is no frame of the clip, which has 0 to {len(times) - 1}")
    return float(times[int(value)])


def _entry_text(entry: Description) -> str:
    """JSON with one statement a line, easy to edit."""
    values: dict[str, Any] = {"people": [person_letter(person) for person in entry.people]}
    if entry.start != ALWAYS[0]:
        values["start"] = round(entry.start, 4)
    if entry.end != ALWAYS[1]:
        values["end"] = round(entry.end, 4)
    values |= {name: text for name in ("source", "question") if (text := getattr(entry, name))}
    statements = [
        {"text": render_statement(one.statement), "confidence": round(one.confidence, 3)} for one in entry.statements
    ]
    lines = ",\n".join(f"    {json.dumps(one, ensure_ascii=False)}" for one in statements)
    return f'  {json.dumps(values, ensure_ascii=False)[:-1]}, "statements": [\n{lines}]}}'
