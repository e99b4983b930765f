"""Link, select, close pairs in the image.

Who is meant: joins the pieces of a person's track and chooses whom to reconstruct.

Who comes close to whom in the image: which pairs are worth refining together, and when.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import InputError
from closemesh.perception.keypoints.uncertainty import distance_to_limbs
from closemesh.perception.tracking.similarity import colour_similarity
from closemesh.perception.tracking.tracker import Track, assembled
from closemesh.structures import Observations
from closemesh.temporal import find_runs

MIN_PIECE = 3  # Frames; shorter pieces are noise, unless the clip itself is shorter.
_MAX_COMMON = 2  # Frames in which two pieces of one person may both be seen.
_SAME_COLOUR = 0.35  # Histogram intersection from which two pieces may be one person.
_SAME_SIZE = 0.4  # Smaller over larger box diagonal; people come nearer while out of view.
_LONG_ENOUGH = 0.3  # Of the longest track.
_LARGE_ENOUGH = 0.5  # Of the median box height of the largest track; bystanders stand farther away.


def link_tracklets(tracks: list[Track], shortest: int = MIN_PIECE) -> list[Track]:
    """Join tracks that look like one person who was out of sight in between, the most alike first.

    Two people seen at the same time are never joined; a frame or two in which the end of one piece meets the start
    of the next is one person detected twice. Numbers stay those of the earlier piece.
    """
    pieces = [track for track in tracks if len(track.frames) >= shortest]
    while True:
        pairs = [(likeness(a, b), i, j) for i, a in enumerate(pieces) for j, b in enumerate(pieces) if i < j]
        best, i, j = max(pairs, default=(0.0, 0, 0))
        if best <= 0:
            return pieces
        joined = _join(pieces[i], pieces[j])
        pieces = sorted([p for k, p in enumerate(pieces) if k not in (i, j)] + [joined], key=lambda p: p.number)


def likeness(a: Track, b: Track) -> float:
    """0..1 how alike two pieces are; 0 when they cannot be one person."""
    if len(set(a.frames) & set(b.frames)) > _MAX_COMMON:
        return 0.0
    size_a, size_b = (np.median([d.diagonal for d in track.detections]) for track in (a, b))
    colour = colour_similarity(mean_colour(a), mean_colour(b))
    alike = min(size_a, size_b) / max(size_a, size_b) >= _SAME_SIZE and colour >= _SAME_COLOUR
    return colour if alike else 0.0


def mean_colour(track: Track) -> np.ndarray:
    """[256] histogram, confident frames counting more."""
    return np.average(track.colours, axis=0, weights=[d.score + 1e-3 for d in track.detections])


def _join(a: Track, b: Track) -> Track:
    """Both pieces in order of time; where they meet, the longer one counts."""
    longer, shorter = (a, b) if len(a.frames) >= len(b.frames) else (b, a)
    source = {frame: (piece, k) for piece in (shorter, longer) for k, frame in enumerate(piece.frames)}
    return assembled(min(a.number, b.number), [source[frame] for frame in sorted(source)])


def choose_people(tracks: list[Track], people: int | tuple[int, ...] | None) -> list[Track]:
    """The tracks to reconstruct, in order of their numbers (in the given order when numbers are given).

    None takes every track that is at least 0.3 times as long as the longest and, among those, 0.5 times as tall as
    the tallest; a number takes that many, by frames times height. Raises InputError for a number that is not there.
    """
    if isinstance(people, tuple):
        return [_numbered(tracks, number) for number in people]
    if people is not None:
        if not 1 <= people <= len(tracks):
            raise InputError(f"{people} people asked for, {len(tracks)} found: {describe(tracks)}; change --people")
        return sorted(sorted(tracks, key=lambda t: -len(t.frames) * height(t))[:people], key=lambda t: t.number)
    longest = max(len(track.frames) for track in tracks)
    lasting = [track for track in tracks if len(track.frames) >= _LONG_ENOUGH * longest]
    tallest = max(height(track) for track in lasting)
    return [track for track in lasting if height(track) >= _LARGE_ENOUGH * tallest]


def height(track: Track) -> float:
    """Median box height in pixels."""
    return float(np.median([d.box[3] - d.box[1] for d in track.detections]))


def describe(tracks: list[Track]) -> str:
    """One line on who was found."""
    return ", ".join(f"{t.number} ({len(t.frames)} frames, {height(t):.0f} px tall)" for t in tracks)


def _numbered(tracks: list[Track], number: int) -> Track:
    for track in tracks:
        if track.number == number:
            return track
    raise InputError(f"no person {number}; found: {describe(tracks)}; change --people")


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
    both = observations.detected[:, a] & observations.detected[:, b] & (smaller / larger > _LIKE_SIZE)
    gap = np.minimum(_gap(observations.keypoints, a, b), _gap(observations.keypoints, b, a))
    return both & (gap < _NEAR * smaller)


def _gap(keypoints: Floats, a: int, b: int) -> Floats:
    """[T] pixels from the nearest body keypoint of a to a limb of b."""
    points = keypoints[:, a, :17]
    distance = distance_to_limbs(points[..., :2], keypoints[:, b])
    return np.where(points[..., 2] > 0.1, distance, np.inf).min(1)


def intervals_of(active: Bools) -> tuple[tuple[int, int], ...]:
    """First and last frame of each run of True, short gaps bridged, very short runs left out."""
    runs = find_runs(active, max_step=_BRIDGE)
    return tuple((run.start, run.stop - 1) for run in runs if active[run].sum() >= _MIN_LENGTH)
