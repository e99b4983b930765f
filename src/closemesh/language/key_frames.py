"""Which people to ask about in which frames: where the pose is ambiguous, because they overlap or are badly seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from closemesh.scene import BodyMotion, Bools, Floats, Observations

HOLD = 0.25  # Seconds before and after a picture for which what it shows is taken to hold.
APART = 0.5  # Seconds between two pictures of the same people.
_WORTH_ASKING = 0.03  # Of 0..1; below it people are apart in the picture, which speaks for itself.


@dataclass(frozen=True)
class Moment:
    """Some people in one frame."""

    people: tuple[int, ...]
    frame: int
    doubt: float
    """0..1, how ambiguous their poses are."""


def doubtful_moments(observations: Observations, motion: BodyMotion, times: Floats, count: int) -> list[Moment]:
    """At most `count` moments in order of time: the most doubtful ones, those of one person APART from each other.

    times [T] seconds. Pairs are asked about while their boxes overlap, lone people while their pose is not trusted.
    """
    chosen: list[Moment] = []
    for moment in sorted(_all_moments(observations, motion), key=lambda m: (-m.doubt, m.frame, m.people)):
        same = (m for m in chosen if set(m.people) & set(moment.people))
        if all(abs(times[m.frame] - times[moment.frame]) >= APART for m in same):
            chosen.append(moment)
        if len(chosen) == count:
            break
    return sorted(chosen, key=lambda m: (m.frame, m.people))


def held_span(frame: int, times: Floats) -> tuple[float, float]:
    """Seconds over which a picture of this frame speaks, rounded as in the file: a second run has the same spans."""
    start, end = max(times[frame] - HOLD, times[0]), min(times[frame] + HOLD, times[-1])
    return round(float(start), 4), round(float(end), 4)


def _all_moments(observations: Observations, motion: BodyMotion) -> Iterator[Moment]:
    unsure = 1 - motion.confidence.clip(0, 1)  # [T, P]
    overlapped = np.zeros_like(unsure)
    for pair in combinations(range(motion.num_people), 2):
        there = _seen(observations, motion, pair)
        overlap = box_overlap(*(observations.boxes[:, person] for person in pair))
        overlapped[:, pair] = np.maximum(overlapped[:, pair], overlap[:, None])
        doubt = overlap * (0.5 + 0.5 * unsure[:, pair].max(1))
        yield from (Moment(pair, int(t), float(doubt[t])) for t in np.flatnonzero(there & (doubt > _WORTH_ASKING)))
    for person in range(motion.num_people):
        there = _seen(observations, motion, (person,)) & (overlapped[:, person] == 0)
        doubt = unsure[:, person]
        yield from (Moment((person,), int(t), float(doubt[t])) for t in np.flatnonzero(there & (doubt > 0.5)))


def _seen(observations: Observations, motion: BodyMotion, people: tuple[int, ...]) -> Bools:
    """[T] all of them are detected and have a pose."""
    which = list(people)
    return np.all(observations.visible[:, which] & motion.valid[:, which], axis=-1)


def box_overlap(a: Floats, b: Floats) -> Floats:
    """Share [T] of the smaller of two boxes [T, 4] that the other one covers."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    areas = [np.prod(box[:, 2:] - box[:, :2], axis=-1) for box in (a, b)]
    return np.prod(sides.clip(min=0), axis=-1) / np.minimum(*areas).clip(min=1e-6)
