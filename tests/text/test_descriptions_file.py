"""descriptions.json is read as it was written; errors name the file, the entry and the statement."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closemesh.core.errors import InputError
from closemesh.text.descriptions import (
    Description,
    all_statements,
    check_people,
    group_statements,
    read_descriptions,
    write_descriptions,
)
from closemesh.text.statements import DepthOrder, Facing, Posture, TimedStatement, Touch

TIMES = np.arange(20) / 10
TOUCH = Touch(0, "left_hand", 1, "head")


def write(path: Path, *entries: Any, schema: Any = 1) -> Path:
    path.write_text(json.dumps({"schema": schema, "descriptions": list(entries)}))
    return path


def test_files_are_read_as_they_were_written(tmp_path: Path):
    statements = (
        TimedStatement(TOUCH, 0.5, 1.25, 0.875),
        TimedStatement(Facing(1, 0, "behind"), 0.5, 1.25, 0.5),
        TimedStatement(Posture(2, "upside_down"), -math.inf, 1.0, 1.0),
        TimedStatement(DepthOrder(2, 0)),
    )
    entries = group_statements(statements, "rules")
    write_descriptions(tmp_path / "d.json", entries)
    again = read_descriptions(tmp_path / "d.json", TIMES)
    assert again == entries
    assert sorted(all_statements(again), key=str) == sorted(statements, key=str)
    assert [entry.people for entry in entries] == [(2,), (0, 2), (0, 1)]


def test_every_form_that_can_be_written_by_hand(tmp_path: Path):
    file = write(
        tmp_path / "d.json",
        {
            "people": ["A", 1],
            "start_frame": 5,
            "end": 1.5,
            "statements": [
                "A's left hand is on B's head.",
                {"text": "B's head touches A's left hand", "confidence": 0.8},
                {"kind": "touch", "person_a": "B", "part_a": "head", "person_b": 0, "part_b": "left_hand"},
            ],
        },
    )
    [entry] = read_descriptions(file, TIMES)
    assert (entry.people, entry.start, entry.end) == ((0, 1), 0.5, 1.5)
    assert entry.statements == (
        TimedStatement(TOUCH, 0.5, 1.5),
        TimedStatement(TOUCH, 0.5, 1.5, 0.8),
        TimedStatement(TOUCH, 0.5, 1.5),
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("A is upright", "entry 2: it is no object in braces"),
        ({"people": ["A"]}, "entry 2: it has no list 'statements'"),
        ({"people": [], "statements": []}, "entry 2: it has no list 'people'"),
        ({"people": ["Anna"], "statements": []}, "entry 2: 'Anna' is no person; the first person is A"),
        ({"people": ["A"], "statment": []}, "entry 2: 'statment' is unknown; an entry has end, end_frame"),
        ({"people": ["A"], "start": 2, "end": 1, "statements": []}, "entry 2: it ends at 1 s, before it starts at 2 s"),
        ({"people": ["A"], "start": "soon", "statements": []}, "entry 2: start 'soon' is no number"),
        ({"people": ["A"], "end_frame": 20, "statements": []}, "entry 2: end_frame 20 is no frame of the clip, which"),
        ({"people": ["A"], "end_frame": 2, "end": 1, "statements": []}, "entry 2: it has both end and end_frame"),
        ({"people": ["A"], "statements": ["A dances"]}, "entry 2, statement 1: 'A dances' is not in the vocabulary"),
        ({"people": ["A"], "statements": ["A is upright", 7]}, "entry 2, statement 2: 7 is neither text nor an object"),
        ({"people": ["A"], "statements": ["A carries B"]}, "entry 2, statement 1: it is about B, who is not among"),
        (
            {"people": ["A"], "statements": [{"text": "A is upright", "confidence": 3}]},
            "entry 2, statement 1: confidence 3 is no number from 0 to 1",
        ),
        (
            {"people": ["A"], "statements": [{"text": "A is upright", "kind": "posture"}]},
            "entry 2, statement 1: beside text only confidence is allowed, not kind",
        ),
        *[({"people": ["A"], "start": value, "statements": []}, "entry 2: start") for value in (10**400, 1e300)],
        ({"people": ["A"], "start_frame": 10**400, "statements": []}, "entry 2: start_frame"),
        ({"people": [-1], "statements": []}, "entry 2: -1 is no person"),
        ({"people": [10**9], "statements": []}, "entry 2: '1000000000' is no person"),
        ({"people": ["A"], "statements": [{"kind": ["posture"]}]}, r"entry 2, statement 1: kind '\['posture'\]' is"),
    ],
)
def test_a_wrong_entry_is_reported_in_one_line(tmp_path: Path, entry: Any, message: str):
    file = write(tmp_path / "mine.json", {"people": ["A"], "statements": ["A is upright"]}, entry)
    with pytest.raises(InputError, match=message) as fault:
        read_descriptions(file, TIMES)
    assert str(fault.value).startswith(str(file))
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"schema": 1,\n "descriptions": [,]}', "line 2, column 19: Expecting value"),
        (b"[]", "has schema None; this closemesh reads 1"),
        (b'{"schema": 2}', "has schema 2; this closemesh reads 1"),
        (b'{"schema": 1, "descriptions": {}}', "has no list 'descriptions'"),
        (b"\xff\xfe\x00", "is no JSON text in UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"schema": NaN}', "NaN"),
    ],
)
def test_a_damaged_file_is_an_error(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "mine.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_descriptions(tmp_path / "mine.json", TIMES)
    with pytest.raises(InputError, match=r"none\.json not found; closemesh describe OUT writes one"):
        read_descriptions(tmp_path / "none.json", TIMES)


def test_people_who_were_not_found():
    entries = [Description((0, 1), ()), Description((1, 3), ())]
    check_people(entries, 4, "mine.json")
    with pytest.raises(InputError, match=r"mine\.json, entry 2: D was not found; there are A, B"):
        check_people(entries, 2, "mine.json")
