"""Who comes close to whom in the image: which pairs are worth refining together, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from closemesh.observe.sigmas import distance_to_limbs
from closemesh.scene import Bools, Floats, Observations

_NEAR = 0.12  # Of the smaller box diagonal: about an arm's breadth between the limbs.
_BRIDGE = 10  # Frames; shorter partings do not end an interval.
_MIN_LENGTH = 3  # Frames.
_LIKE_SIZE = 0.4  # Smaller over larger box diagonal: farther apart in depth than this, nobody touches.


@dataclass(frozen=True)
class ClosePair:
    """Two people who come near each other in the image."""

    person_a: int
    person_b: int
    intervals: tuple[tuple[int, int], ...]
    """First and last frame, inclusive."""


def close_pairs(observations: Observations) -> list[ClosePair]:
    """Every pair of people whose limbs come within about an arm's breadth in the image for some frames.

    The image cannot tell depth, so this errs towards too many; only people of quite different size are left out.
    """
    pairs = []
    for a in range(observations.num_people):
        for b in range(a + 1, observations.num_people):
            intervals = intervals_of(_near(observations, a, b))
            if intervals:
                pairs.append(ClosePair(a, b, intervals))
    return pairs


def _near(observations: Observations, a: int, b: int) -> Bools:
    """[T]."""
    extent = observations.boxes[:, [a, b], 2:] - observations.boxes[:, [a, b], :2]
    diagonal = np.linalg.norm(extent, axis=-1)  # [T, 2]
    smaller, larger = diagonal.min(1), np.maximum(diagonal.max(1), 1)
    both = observations.visible[:, a] & observations.visible[:, b] & (smaller / larger > _LIKE_SIZE)
    gap = np.minimum(_gap(observations.keypoints, a, b), _gap(observations.keypoints, b, a))
    return both & (gap < _NEAR * smaller)


def _gap(keypoints: Floats, a: int, b: int) -> Floats:
    """[T] pixels from the nearest body keypoint of a to a limb of b."""
    points = keypoints[:, a, :17]
    distance = distance_to_limbs(points[..., :2], keypoints[:, b])
    return np.where(points[..., 2] > 0.1, distance, np.inf).min(1)


def intervals_of(active: Bools) -> tuple[tuple[int, int], ...]:
    """First and last frame of each run of True, short gaps bridged, very short runs left out."""
    frames = np.flatnonzero(active)
    if len(frames) == 0:
        return ()
    runs = np.split(frames, np.flatnonzero(np.diff(frames) > _BRIDGE) + 1)
    return tuple((int(run[0]), int(run[-1])) for run in runs if len(run) >= _MIN_LENGTH)
