"""Which person of a tool is which of our tracks, told by where their keypoints fall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from closemesh.scene import Bools, Floats, Observations

FARTHEST = 0.25  # Of the diagonal of a person's box; farther off it is somebody else.
_SEEN = 0.3  # Confidence of a keypoint that counts.
_NOBODY = 1e3


def match_people(pixels: Sequence[Floats], observations: Observations) -> dict[int, list[int]]:
    """For each of our tracks the people of the tool, by number, that show it: the best first.

    pixels: [T, 17, 2] of each person, nan where he is not. One person is the best of one track at most; another who
    is near no track's frames but those (a track that the tool lost and found again) follows behind.
    """
    costs = np.stack([track_costs(points, observations) for points in pixels])  # [N, P]
    rows, columns = linear_sum_assignment(np.minimum(costs, _NOBODY))
    best = {int(c): int(r) for r, c in zip(rows, columns, strict=True) if costs[r, c] < FARTHEST}
    matched: dict[int, list[int]] = {track: [person] for track, person in best.items()}
    for person in sorted(set(range(len(pixels))) - set(best.values()), key=lambda n: costs[n].min()):
        track = int(costs[person].argmin())
        if costs[person, track] < FARTHEST:
            matched.setdefault(track, []).append(person)
    return matched


def track_costs(pixels: Floats, observations: Observations) -> Floats:
    """[P] median over the frames that a person, pixels [T, 17, 2], shares with each track; inf when there are none."""
    errors = frame_errors(pixels, observations)
    return np.array([np.median(row[known]) if (known := np.isfinite(row)).any() else np.inf for row in errors.T])


def frame_errors(pixels: Floats, observations: Observations) -> Floats:
    """[T, P] mean distance of the keypoints from the seen ones, as a share of the box's diagonal; nan when unknown."""
    seen = observations.keypoints[:, :, : pixels.shape[1]].astype(np.float64)  # [T, P, 17, 3]
    size = np.linalg.norm(observations.boxes[..., 2:] - observations.boxes[..., :2], axis=-1)  # [T, P]
    counts = (seen[..., 2] > _SEEN) & observations.visible[..., None]
    distance = np.linalg.norm(pixels[:, None] - seen[..., :2], axis=-1)
    number = counts.sum(-1)
    mean = np.where(counts, distance, 0).sum(-1) / np.maximum(number, 1)
    return np.where(_known(number, size), mean / np.maximum(size, 1e-9), np.nan)


def _known(number: Floats, size: Floats) -> Bools:
    return (number > 0) & (size > 0)
