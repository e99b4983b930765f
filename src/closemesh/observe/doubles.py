"""One person taken for two: where somebody is hidden, the tracker may put both numbers on the one who is seen."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from closemesh.observe.clothes import wardrobe
from closemesh.observe.identity import APART, INDEPENDENT, most_likely, nearness, worn_by
from closemesh.observe.tracking import Track, assembled
from closemesh.scene import Bools

_ALIKE = 0.35  # Keypoint similarity from which two detections may be one person.
_APART_EVIDENCE = -4.0  # Evidence for one person in a frame in which two detections lie apart.
_SAME = 1.5  # Half squared spreads below which clothes are the same.
_MOSTLY = 0.8  # Of the frames in which both are seen.
_SWITCH = 4.0  # Evidence that it takes to begin, and to end, with taking two for one.


def drop_doubles(tracks: list[Track]) -> tuple[list[Track], int]:
    """The tracks without detections of somebody else, and how many of them there were."""
    tracks, before = list(tracks), sum(len(track.frames) for track in tracks)
    for i, j in permutations(range(len(tracks)), 2):
        frames = sorted({*tracks[i].frames, *tracks[j].frames})
        double = doubled_frames(tracks[i], tracks[j], frames)
        wrong = {frame for frame, is_double in zip(frames, double, strict=True) if is_double}
        kept = [(tracks[j], k) for k, frame in enumerate(tracks[j].frames) if frame not in wrong]
        tracks[j] = assembled(tracks[j].number, kept)
    left = [track for track in tracks if track.frames]
    return left, before - sum(len(track.frames) for track in left)


def doubled_frames(a: Track, b: Track, frames: list[int]) -> Bools:
    """[N] in which of the frames b is where a is and in the clothes of a, by what each wears where they are apart.

    A track that is never apart from a surer one in the same clothes is all double.
    """
    near = nearness(a, b, frames)
    worn_a, worn_b = worn_by(a, frames), worn_by(b, frames)
    apart = near < APART
    if not apart.any():
        return np.full(len(frames), _all_double(a, b, frames))
    of_a, of_b = wardrobe(worn_a[apart]), wardrobe(worn_b[apart])
    in_foreign = np.nansum(of_b.unlikeness(worn_b) - of_a.unlikeness(worn_b), axis=-1)
    in_own = np.nansum(of_b.unlikeness(worn_a) - of_a.unlikeness(worn_a), axis=-1)
    evidence = np.where(near > _ALIKE, np.minimum(in_foreign, in_own) / INDEPENDENT, _APART_EVIDENCE)
    return most_likely(evidence, np.full(len(frames), _SWITCH))


def _all_double(a: Track, b: Track, frames: list[int]) -> bool:
    """Whether b is a again, and the less sure of the two, of tracks that are never apart."""
    both = np.array([frame in a.frames and frame in b.frames for frame in frames])
    unlike = wardrobe(worn_by(a, frames)).unlikeness(worn_by(b, frames))[both]
    if not both.any() or _sureness(a) < _sureness(b) or np.isnan(unlike).all():
        return False
    near = nearness(a, b, frames)[both]
    return bool((near > _ALIKE).mean() > _MOSTLY and np.nanmean(unlike) < _SAME)


def _sureness(track: Track) -> float:
    return sum(detection.score for detection in track.detections)
