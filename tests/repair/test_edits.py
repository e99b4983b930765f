"""The grammar of edits and the file edits.json."""

from __future__ import annotations

from pathlib import Path

import pytest

from closemesh.core.errors import InputError
from closemesh.repair.edits import (
    Drop,
    Edit,
    Frames,
    Merge,
    Pin,
    SavedEdits,
    Swap,
    Touching,
    in_order,
    parse_edit,
    parse_line,
    read_edits,
    write_edits,
)

KNOWN: list[tuple[str, Edit]] = [
    ("swap 0:1@120-180", Swap(0, 1, Frames(120, 180))),
    ("swap 0:1", Swap(0, 1, Frames())),
    ("drop 2", Drop(2, Frames())),
    ("drop 2@40-60", Drop(2, Frames(40, 60))),
    ("merge 0+3", Merge(0, 3)),
    ("pin 0:left_wrist@41=312,518", Pin(0, "left_wrist", 41, 312, 518)),
    ("pin 0:left_wrist@41=312.25,1518.75", Pin(0, "left_wrist", 41, 312.25, 1518.75)),
    ("touch 0:left_hand-1:upper_trunk@41-58", Touching(0, "left_hand", 1, "upper_trunk", Frames(41, 58))),
]


@pytest.mark.parametrize(("line", "edit"), KNOWN)
def test_an_edit_is_read_and_written(line: str, edit: Edit) -> None:
    assert parse_line(line) == edit
    assert str(edit) == line


def test_one_frame_and_common_words_are_understood() -> None:
    assert parse_edit("drop", "1@7") == Drop(1, Frames(7, 7))
    assert parse_edit("touch", "0:left_hand-1:back@1-2") == Touching(0, "left_hand", 1, "upper_trunk", Frames(1, 2))


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("swap", "0-1", "write A:B@FIRST-LAST"),
        ("swap", "0:1@", "is not understood"),
        ("swap", "0:0@1-2", "two different people"),
        ("swap", "0:1@9-3", "end at 3, before they start at 9"),
        ("swap", "0:1@1-2\n0:1", "is not understood"),
        ("drop", "-1", "is not understood"),
        ("drop", "٣", "is not understood"),
        ("merge", "0:1", "write A[+]B"),
        ("pin", "0:left_wirst@4=1,2", "near are left_wrist"),
        ("pin", "0:left_wrist@4=1.2.3,2", "is no number of pixels"),
        ("touch", "0:left_hnd-1:head", "near are left_hand"),
        ("turn", "0", "edits are swap, drop"),
    ],
)
def test_what_is_wrong_is_named_on_one_line(kind: str, text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as error:
        parse_edit(kind, text)
    assert "\n" not in str(error.value)


def test_edits_that_remove_tracks_come_last_and_from_the_highest_number() -> None:
    lines = ("drop 2", "merge 0+3", "drop 1@4-5", "pin 3:nose@0=1,1")
    ordered = in_order(map(parse_line, lines))
    assert [str(one) for one in ordered] == ["drop 1@4-5", "pin 3:nose@0=1,1", "merge 0+3", "drop 2"]


def test_the_file_gives_the_same_edits_and_an_undone_edit_the_same_bytes(tmp_path: Path) -> None:
    file, edits = tmp_path / "edits.json", tuple(edit for _, edit in KNOWN)
    write_edits(file, SavedEdits(edits[:-1], "ab"))
    before = file.read_bytes()
    write_edits(file, SavedEdits(edits, "ab"))
    saved = read_edits(file)
    assert saved == SavedEdits(edits, "ab")
    write_edits(file, SavedEdits(saved.edits[:-1], saved.observations))
    assert file.read_bytes() == before


def test_without_a_file_there_are_no_edits(tmp_path: Path) -> None:
    assert read_edits(tmp_path / "edits.json") == SavedEdits()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is damaged"),
        ('{"schema": 9, "edits": []}', "has schema 9"),
        ('{"schema": 1, "observations": "ab"}', "edits"),
        ('{"schema": 1, "observations": "ab", "edits": [3]}', "edit 1"),
        ('{"schema": 1, "observations": "ab", "edits": ["drop 1", "swap 0"]}', "edit 2: swap '0' is not understood"),
        ('{"schema": 1, "edits": []}', "observations"),
    ],
)
def test_a_wrong_file_is_named_on_one_line(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "edits.json"
    file.write_text(content)
    with pytest.raises(InputError, match=reason) as error:
        read_edits(file)
    assert str(file) in str(error.value)
