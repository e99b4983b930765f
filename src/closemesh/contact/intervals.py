"""From touches frame by frame to intervals: which part touched which, from when to when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from closemesh.contact.parts import PART_NAMES
from closemesh.scene import Contact


@dataclass(frozen=True)
class ContactConfig:
    """What counts as a contact."""

    touch_distance: float = 0.013
    """Metres; surfaces nearer than this touch."""
    bridge_frames: int = 3
    """A touch that is lost for no more frames than this goes on."""
    shortest_frames: int = 3
    """A touch of fewer frames than this is no contact."""
    near_distance: float = 0.5
    """Metres; pairs that never come nearer are not reported."""


@dataclass(frozen=True)
class Touch:
    """One part of a against one part of b in one frame."""

    frame: int
    part_a: int
    part_b: int
    distance: float
    """Metres; 0 when the surfaces cross."""
    depth: float


def contact_intervals(person_a: int, person_b: int, touches: list[Touch], config: ContactConfig) -> tuple[Contact, ...]:
    """The contacts of a pair in order of their start; short gaps bridged, blips dropped."""
    by_parts: dict[tuple[int, int], list[Touch]] = {}
    for touch in touches:
        by_parts.setdefault((touch.part_a, touch.part_b), []).append(touch)
    contacts = []
    for (part_a, part_b), mine in by_parts.items():
        mine.sort(key=lambda touch: touch.frame)
        breaks = np.flatnonzero(np.diff([touch.frame for touch in mine]) > config.bridge_frames + 1) + 1
        for start, end in zip([0, *breaks], [*breaks, len(mine)], strict=True):
            run = mine[start:end]
            if run[-1].frame - run[0].frame + 1 >= config.shortest_frames:
                contacts.append(_contact(person_a, person_b, PART_NAMES[part_a], PART_NAMES[part_b], run))
    return tuple(sorted(contacts, key=lambda contact: (contact.start, contact.part_a, contact.part_b)))


def _contact(person_a: int, person_b: int, part_a: str, part_b: str, run: list[Touch]) -> Contact:
    return Contact(
        person_a=person_a,
        person_b=person_b,
        part_a=part_a,
        part_b=part_b,
        start=run[0].frame,
        end=run[-1].frame,
        min_distance=min(touch.distance for touch in run),
        max_depth=max(touch.depth for touch in run),
    )
