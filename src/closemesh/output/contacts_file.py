"""contacts.json: which parts of two people touch, from when to when, how close and how deep, before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from closemesh.errors import InputError
from closemesh.output.json_file import read_json, write_json
from closemesh.scene import Clip, Contact, Floats, PairContacts

SCHEMA = 1
Pairs = tuple[PairContacts, ...]


def write_contacts(path: Path, clip: Clip, before: Pairs, after: Pairs) -> None:
    """Write the contacts of the first motion and of the result. Raises OutputError when it cannot be written.

    Frames count the processed frames from 0, end frames belong to the contact; seconds are those of the clip.
    """
    of_before, of_after = _by_people(before), _by_people(after)
    pairs = [
        {
            "people": people,
            "before": _to_json(of_before.get(people), clip),
            "after": _to_json(of_after.get(people), clip),
        }
        for people in sorted({*of_before, *of_after})
    ]
    write_json(path, SCHEMA, {"units": "metres and seconds", "times": clip.times.round(4), "pairs": pairs})


def read_contacts(path: Path) -> tuple[Pairs, Pairs]:
    """The contacts before and after, as write_contacts got them. Raises InputError when the file is not one."""
    values = read_json(path, SCHEMA)
    try:
        before, after = (
            tuple(_from_json(pair["people"], pair[when]) for pair in values["pairs"] if pair[when] is not None)
            for when in ("before", "after")
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); run `closemesh reconstruct` again") from error
    return before, after


def _by_people(pairs: Pairs) -> dict[tuple[int, int], PairContacts]:
    return {(pair.person_a, pair.person_b): pair for pair in pairs}


def _to_json(pair: PairContacts | None, clip: Clip) -> dict[str, Any] | None:
    if pair is None:
        return None
    contacts = [
        {
            "part_a": contact.part_a,
            "part_b": contact.part_b,
            "start_frame": contact.start,
            "end_frame": contact.end,
            "start_seconds": round(float(clip.times[contact.start]), 4),
            "end_seconds": round(float(clip.times[contact.end]), 4),
            "min_distance": round(float(contact.min_distance), 5),
            "max_depth": round(float(contact.max_depth), 5),
        }
        for contact in pair.contacts
    ]
    return {
        "contacts": contacts,
        "distance": pair.distance.astype(np.float64).round(5),
        "depth": pair.depth.astype(np.float64).round(5),
    }


def _from_json(people: list[int], values: dict[str, Any]) -> PairContacts:
    a, b = people
    contacts = tuple(
        Contact(
            person_a=a,
            person_b=b,
            part_a=contact["part_a"],
            part_b=contact["part_b"],
            start=contact["start_frame"],
            end=contact["end_frame"],
            min_distance=contact["min_distance"],
            max_depth=contact["max_depth"],
        )
        for contact in values["contacts"]
    )
    return PairContacts(a, b, _floats(values["distance"]), _floats(values["depth"]), contacts)


def _floats(values: list[float | None]) -> Floats:
    """[T] with nan for null."""
    return np.array(values, dtype=np.float64)
