"""Who is who over time, by the colours of the clothes: what swaps and doubles are told by."""

from __future__ import annotations

import numpy as np

from closemesh.observe.clothes import PARTS
from closemesh.observe.detector import Detection
from closemesh.observe.similarity import keypoint_similarity
from closemesh.observe.tracking import Track
from closemesh.scene import Bools, Floats

INDEPENDENT = 4.0  # Frames whose colours count as one: what covers somebody now covers him in the next frame too.
APART = 0.15  # Keypoint similarity below which two detections surely show two people.


def worn_by(track: Track, frames: list[int]) -> Floats:
    """[N, 6, 4] colours of a track at these frames, not known where it is not seen."""
    seen = dict(zip(track.frames, track.clothes, strict=True))
    return np.stack([seen.get(frame, np.zeros((len(PARTS), 4), np.float32)) for frame in frames])


def nearness(a: Track, b: Track, frames: list[int]) -> Floats:
    """[N] keypoint similarity of the two, whichever way round they face; nan where one of them is not seen.

    A detector that sees somebody twice may see him once from the front and once from behind.
    """
    in_a, in_b = dict(zip(a.frames, a.detections, strict=True)), dict(zip(b.frames, b.detections, strict=True))
    return np.array([_similarity(in_a[f], in_b[f]) if f in in_a and f in in_b else np.nan for f in frames])


def _similarity(a: Detection, b: Detection) -> float:
    return max(keypoint_similarity(a, b), keypoint_similarity(a, b.side_swapped()))


def most_likely(evidence: Floats, switch: Floats) -> Bools:
    """The best course [N] of a state that is there or not (Viterbi).

    evidence [N] for it in each frame, switch [N] what a change from the frame before costs.
    """
    score, came = np.zeros(2), np.zeros((len(evidence), 2), int)
    for k, told in enumerate(evidence):
        change = score[::-1] - switch[k]
        came[k] = np.where(score >= change, [0, 1], [1, 0])
        score = np.maximum(score, change) + np.array([0, told])
    states = [int(score[1] > score[0])]
    for k in range(len(evidence) - 1, 0, -1):
        states.append(came[k][states[-1]])
    return np.array(states[::-1], bool)
