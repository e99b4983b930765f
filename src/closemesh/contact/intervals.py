"""From touches frame by frame to intervals: which part touched which, from when to when."""

from __future__ import annotations

from dataclasses import dataclass, replace

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


class ContactIntervals:
    """The contacts of one pair, built touch by touch as the frames go by; short gaps bridged, blips dropped."""

    def __init__(self, person_a: int, person_b: int, config: ContactConfig) -> None:
        self._people = person_a, person_b
        self._config = config
        self._open: dict[tuple[int, int], Contact] = {}
        self._closed: list[Contact] = []

    def add(self, touch: Touch) -> None:
        """Goes on with the contact of these parts, or starts one; frames must not go back."""
        parts = touch.part_a, touch.part_b
        running = self._open.get(parts)
        if running is not None and touch.frame - running.end <= self._config.bridge_frames + 1:
            self._open[parts] = replace(
                running,
                end=touch.frame,
                min_distance=min(running.min_distance, touch.distance),
                max_depth=max(running.max_depth, touch.depth),
            )
            return
        if running is not None:
            self._close(running)
        names = PART_NAMES[touch.part_a], PART_NAMES[touch.part_b]
        self._open[parts] = Contact(*self._people, *names, touch.frame, touch.frame, touch.distance, touch.depth)

    def finish(self) -> tuple[Contact, ...]:
        """All contacts in order of their start."""
        for running in self._open.values():
            self._close(running)
        self._open.clear()
        return tuple(sorted(self._closed, key=lambda contact: (contact.start, contact.part_a, contact.part_b)))

    def _close(self, contact: Contact) -> None:
        if contact.end - contact.start + 1 >= self._config.shortest_frames:
            self._closed.append(contact)
