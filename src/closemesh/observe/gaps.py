"""Short gaps in a track: where the person must be in between, so that the closer look can check."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from closemesh.observe.detector import Detection

MAX_FILLED = 10  # Frames between two sightings; limbs cannot be interpolated over more.
_GUESS = 0.5  # Confidence of an interpolated keypoint relative to its neighbours.


def interpolated(seen: dict[int, Detection]) -> dict[int, Detection]:
    """A detection for each frame of each short gap, linear between the sightings around it, score 0."""
    frames = sorted(seen)
    guesses = {}
    for before, after in pairwise(frames):
        if 1 < after - before <= MAX_FILLED + 1:
            for frame in range(before + 1, after):
                guesses[frame] = _between(seen[before], seen[after], (frame - before) / (after - before))
    return guesses


def _between(a: Detection, b: Detection, share: float) -> Detection:
    keypoints = (1 - share) * a.keypoints + share * b.keypoints
    keypoints[:, 2] = _GUESS * np.minimum(a.keypoints[:, 2], b.keypoints[:, 2])
    return Detection((1 - share) * a.box + share * b.box, keypoints, 0.0)
