"""Edits of a result: records, their grammar, and the file edits.json.

    swap 0:1@120-180                      exchange the identities of two people in these frames
    drop 2, drop 2@40-60                  leave a person out, everywhere or in these frames
    merge 0+3                             two tracks of one person; where both are detected, the first is used
    pin 0:left_wrist@41=312,518           this keypoint is at this pixel
    touch 0:left_hand-1:back@41-58        these parts are in contact

Frames are processed frames from 0, both ends inclusive. People are numbered as in the result that an edit is made for.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from closemesh.body.capsules import CAPSULE_PARTS
from closemesh.body.skeleton import KEYPOINT_INDEX, KEYPOINT_NAMES
from closemesh.core.errors import InputError
from closemesh.core.foreign import expect_list, expect_text, foreign_reader
from closemesh.core.records import read_json, write_json

EDITS_FILE = "edits.json"
SCHEMA = 1
OTHER_NAMES = {"back": "upper_trunk", "chest": "upper_trunk", "belly": "lower_trunk", "hips": "lower_trunk"}
"""Common words for parts of the capsule body, which has no front and back."""


@dataclass(frozen=True)
class Frames:
    """Processed frames from `start` to `end`, both inclusive; None as `end`: the end of the clip."""

    start: int = 0
    end: int | None = None

    def __str__(self) -> str:
        return "" if self.end is None else f"@{self.start}-{self.end}"


@dataclass(frozen=True)
class Swap:
    """The identities of two people are exchanged in these frames."""

    person_a: int
    person_b: int
    frames: Frames

    def __str__(self) -> str:
        return f"swap {self.person_a}:{self.person_b}{self.frames}"


@dataclass(frozen=True)
class Drop:
    """A person is left out: in these frames, or with the track where no frames are given."""

    person: int
    frames: Frames

    def __str__(self) -> str:
        return f"drop {self.person}{self.frames}"


@dataclass(frozen=True)
class Merge:
    """Two tracks are one person, who has the lower number; where both are detected, `first` is used."""

    first: int
    second: int

    def __str__(self) -> str:
        return f"merge {self.first}+{self.second}"


@dataclass(frozen=True)
class Pin:
    """A keypoint of a person is at a pixel in one frame."""

    person: int
    keypoint: str
    frame: int
    x: float
    y: float

    def __str__(self) -> str:
        return f"pin {self.person}:{self.keypoint}@{self.frame}={self.x:g},{self.y:g}"


@dataclass(frozen=True)
class Touching:
    """A part of one person is in contact with a part of another in these frames."""

    person_a: int
    part_a: str
    person_b: int
    part_b: str
    frames: Frames

    def __str__(self) -> str:
        return f"touch {self.person_a}:{self.part_a}-{self.person_b}:{self.part_b}{self.frames}"


Edit = Swap | Drop | Merge | Pin | Touching
KINDS: dict[str, str] = {
    "swap": "A:B@FIRST-LAST, such as 0:1@120-180",
    "drop": "A or A@FIRST-LAST, such as 2@40-60",
    "merge": "A+B, such as 0+3",
    "pin": "A:KEYPOINT@FRAME=X,Y, such as 0:left_wrist@41=312,518",
    "touch": "A:PART-B:PART@FIRST-LAST, such as 0:left_hand-1:back@41-58",
}
"""Name of an edit -> its grammar."""
_FRAMES = r"(?:@(?P<start>\d{1,9})(?:-(?P<end>\d{1,9}))?)?"
_PATTERNS = {
    "swap": rf"(?P<a>\d{{1,4}}):(?P<b>\d{{1,4}}){_FRAMES}",
    "drop": rf"(?P<a>\d{{1,4}}){_FRAMES}",
    "merge": r"(?P<a>\d{1,4})\+(?P<b>\d{1,4})",
    "pin": r"(?P<a>\d{1,4}):(?P<part_a>\w+)@(?P<start>\d{1,9})=(?P<x>-?[\d.]{1,12}),(?P<y>-?[\d.]{1,12})",
    "touch": rf"(?P<a>\d{{1,4}}):(?P<part_a>\w+)-(?P<b>\d{{1,4}}):(?P<part_b>\w+){_FRAMES}",
}


def parse_edit(kind: str, text: str) -> Edit:
    """The edit of a kind from its text, such as `0:1@120-180` for `swap`. Raises InputError that shows the grammar."""
    if kind not in KINDS:
        raise InputError(f"there is no edit {kind!r}; edits are {', '.join(KINDS)}")
    found = re.fullmatch(_PATTERNS[kind], text.strip(), re.ASCII)
    if found is None:
        raise InputError(f"{kind} {text!r} is not understood; write {KINDS[kind]}")
    values = found.groupdict()
    where, a, b = f"{kind} {text}", int(values["a"]), int(values.get("b") or 0)
    if values.get("b") and a == b:
        raise InputError(f"{where}: give two different people")
    if kind == "pin":
        keypoint = _known(where, "keypoint", values["part_a"], KEYPOINT_INDEX)
        return Pin(a, keypoint, int(values["start"]), _pixel(where, values["x"]), _pixel(where, values["y"]))
    if kind == "merge":
        return Merge(a, b)
    frames = _frames(where, values)
    if kind == "drop":
        return Drop(a, frames)
    if kind == "swap":
        return Swap(a, b, frames)
    return Touching(a, _part(where, values["part_a"]), b, _part(where, values["part_b"]), frames)


def parse_line(line: str) -> Edit:
    """The edit from a line that begins with its kind: the text of any edit, by `str`. Raises InputError."""
    kind, _, text = line.strip().partition(" ")
    return parse_edit(kind, text)


def in_order(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Edits that all refer to the people of one result, in the order in which their numbers stay right.

    Those that remove a track, and so change the numbers after it, come last, the highest number first.
    """
    return tuple(sorted(edits, key=lambda edit: -1 if removed(edit) is None else 10_000 - (removed(edit) or 0)))


def removed(edit: Edit) -> int | None:
    """The person whose track an edit removes, so that later people get a lower number; None where none is."""
    if isinstance(edit, Merge):
        return max(edit.first, edit.second)
    return edit.person if isinstance(edit, Drop) and edit.frames.end is None else None


@dataclass(frozen=True)
class SavedEdits:
    """The content of edits.json."""

    edits: tuple[Edit, ...] = ()
    observations: str = ""
    """Cache key of the observations that the edits are for: people and frames of others may have other numbers."""


def changes_observations(saved: SavedEdits) -> bool:
    """Whether an edit is more than a contact, which no observation shows."""
    return any(not isinstance(edit, Touching) for edit in saved.edits)


@foreign_reader
def read_edits(path: Path) -> SavedEdits:
    """The edits of a file; none when there is no file.

    Raises InputError that names the file, and the edit, counted from 1.
    """
    if not path.exists():
        return SavedEdits()
    values = read_json(path, SCHEMA)
    edits = []
    for number, line in enumerate(expect_list(path, "edits", values.get("edits")), start=1):
        try:
            edits.append(parse_line(expect_text(path, "an edit", line)))
        except InputError as error:
            raise InputError(f"{path}, edit {number}: {error}") from error
    return SavedEdits(tuple(edits), expect_text(path, "observations", values.get("observations")))


def write_edits(path: Path, saved: SavedEdits) -> None:
    """Write edits.json. Raises OutputError when it cannot be written."""
    values = {"observations": saved.observations, "edits": [str(edit) for edit in saved.edits]}
    write_json(path, SCHEMA, values)


def _frames(where: str, values: dict[str, str | None]) -> Frames:
    if values["start"] is None:
        return Frames()
    start = int(values["start"])
    end = int(values["end"] or start)
    if end < start:
        raise InputError(f"{where}: the frames end at {end}, before they start at {start}")
    return Frames(start, end)


def _pixel(where: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"{where}: {text!r} is no number of pixels") from error
    if not math.isfinite(value):
        raise InputError(f"{where}: {text!r} is no number of pixels")
    return value


def _part(where: str, name: str) -> str:
    return _known(where, "body part", OTHER_NAMES.get(name, name), CAPSULE_PARTS)


def _known(where: str, what: str, name: str, names: Iterable[str]) -> str:
    """The name, if it is one of `names`. Raises InputError with the nearest names."""
    if name in names:
        return name
    known: Sequence[str] = KEYPOINT_NAMES if what == "keypoint" else (*CAPSULE_PARTS, *OTHER_NAMES)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known[:3]
    raise InputError(f"{where}: there is no {what} {name!r}; near are {', '.join(near)}")
