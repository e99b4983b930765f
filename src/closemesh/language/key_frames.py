"""Which people to ask about in which frames: where the pose is ambiguous, because they overlap or are badly seen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from closemesh.scene import BodyMotion, Bools, Floats, Observations

HOLD = 0.25  # Seconds before and after a picture for which what it shows is taken to hold.
APART = 0.5  # Seconds between two pictures of the same people.
_WORTH_ASKING = 0.03  # Of 0..1; below it people are apart in the picture, which speaks for itself.
_SEEN = 0.5  # Confidence from which on a keypoint is taken to be seen.
_LIMBS = slice(5, 17)  # Keypoints of shoulders, elbows, wrists, hips, knees and ankles.


@dataclass(frozen=True)
class Moment:
    """Some people in one frame."""

    people: tuple[int, ...]
    frame: int
    doubt: float
    """0..1, how ambiguous their poses are."""


def doubtful_moments(observations: Observations, motion: BodyMotion, times: Floats, count: int) -> list[Moment]:
    """At most `count` moments in order of time: the most doubtful ones, those of one person APART from each other.

    What is left of `count` goes to what lies between them, further than HOLD from any. times [T] seconds. Pairs are
    asked about while they are beside each other in the picture, lone people while limbs of theirs are hidden or their
    pose is not trusted.
    """
    chosen: list[Moment] = []

    def away(moment: Moment) -> float:
        """Seconds to the next moment that is asked about already."""
        same = (m for m in chosen if set(m.people) & set(moment.people))
        return min((abs(times[m.frame] - times[moment.frame]) for m in same), default=math.inf)

    moments = sorted(_all_moments(observations, motion), key=lambda m: (-m.doubt, m.frame, m.people))
    for moment in moments:
        if len(chosen) < count and away(moment) >= APART:
            chosen.append(moment)
    while len(chosen) < count and any(away(moment) > HOLD for moment in moments):
        chosen.append(max(moments, key=away))
    return sorted(chosen, key=lambda m: (m.frame, m.people))


def held_span(frame: int, times: Floats) -> tuple[float, float]:
    """Seconds over which a picture of this frame speaks, rounded as in the file: a second run has the same spans."""
    start, end = max(times[frame] - HOLD, times[0]), min(times[frame] + HOLD, times[-1])
    return round(float(start), 4), round(float(end), 4)


def _all_moments(observations: Observations, motion: BodyMotion) -> Iterator[Moment]:
    hidden = (observations.keypoints[:, :, _LIMBS, 2] < _SEEN).mean(-1)  # [T, P]
    unsure = np.maximum(1 - motion.confidence.clip(0, 1), hidden)
    in_company = np.zeros_like(unsure)
    for pair in combinations(range(motion.num_people), 2):
        there = _seen(observations, motion, pair)
        boxes = [observations.boxes[:, person] for person in pair]
        overlap, beside = box_overlap(*boxes), box_overlap(*map(_within_reach, boxes)) > 0
        in_company[:, pair] = np.maximum(in_company[:, pair], beside[:, None])
        doubt = overlap * (0.5 + 0.5 * unsure[:, pair].max(1)) + 0.5 * hidden[:, pair].max(1)
        asked = there & beside & (doubt > _WORTH_ASKING)
        yield from (Moment(pair, int(t), float(doubt[t])) for t in np.flatnonzero(asked))
    for person in range(motion.num_people):
        doubt = np.where(unsure[:, person] > 0.5, unsure[:, person], hidden[:, person])
        asked = _seen(observations, motion, (person,)) & (in_company[:, person] == 0) & (doubt > _WORTH_ASKING)
        yield from (Moment((person,), int(t), float(doubt[t])) for t in np.flatnonzero(asked))


def _within_reach(boxes: Floats) -> Floats:
    """[T, 4] with a quarter of the height added to both sides."""
    reach = 0.25 * (boxes[:, 3] - boxes[:, 1])
    return boxes + np.stack([-reach, 0 * reach, reach, 0 * reach], axis=-1)


def _seen(observations: Observations, motion: BodyMotion, people: tuple[int, ...]) -> Bools:
    """[T] all of them are detected and have a pose."""
    which = list(people)
    return np.all(observations.visible[:, which] & motion.valid[:, which], axis=-1)


def box_overlap(a: Floats, b: Floats) -> Floats:
    """Share [T] of the smaller of two boxes [T, 4] that the other one covers."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    areas = [np.prod(box[:, 2:] - box[:, :2], axis=-1) for box in (a, b)]
    return np.prod(sides.clip(min=0), axis=-1) / np.minimum(*areas).clip(min=1e-6)
