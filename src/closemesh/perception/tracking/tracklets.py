"""Tracklets linked to tracks, tracks selected for reconstruction, and pairs of people who are close in the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import InputError
from closemesh.perception.keypoints.uncertainty import distance_to_limbs
from closemesh.perception.tracking.similarity import histogram_similarity
from closemesh.perception.tracking.tracker import Track, assemble_track
from closemesh.structures import Observations
from closemesh.temporal import find_runs

MIN_TRACKLET = 3  # Frames; shorter tracklets are noise, unless the clip itself is shorter.
_MAX_COMMON = 2  # Frames in which two tracklets of one person may both have a detection.
_MAX_COMMON_FRACTION = 1 / 3  # Of the shorter one: in a photo all people are detected together.
_MIN_COLOR_SIMILARITY = 0.35  # Histogram intersection from which two tracklets may be one person.
_MIN_SIZE_RATIO = 0.4  # Smaller over larger box diagonal; people come nearer while out of view.
_MIN_LENGTH_RATIO = 0.2  # Fraction of the longest track; people come and go.
_MIN_HEIGHT_RATIO = 0.5  # Fraction of the tallest track's median box height; background people are smaller.

_NEAR = 0.12  # Fraction of the smaller box diagonal: about an arm's width between the limbs.
_BRIDGED_FRAMES = 10  # Shorter separations do not end an interval.
_MIN_INTERVAL = 3  # Frames, unless the clip itself is shorter.
_MIN_PAIR_SIZE_RATIO = 0.4  # Smaller over larger box diagonal: below it the depths differ too much for contact.
_MIN_CONFIDENCE = 0.1


def link_tracklets(tracks: list[Track], min_length: int = MIN_TRACKLET) -> list[Track]:
    """Tracks with tracklets of the same person joined, the most similar first; IDs are those of the earlier tracklet.

    Two people detected at the same time are never joined. An overlap of one or two frames is one person detected twice.
    """
    linked = [track for track in tracks if len(track.frames) >= min_length]
    while True:
        pairs = [(tracklet_similarity(a, b), i, j) for i, a in enumerate(linked) for j, b in enumerate(linked) if i < j]
        best, i, j = max(pairs, default=(0.0, 0, 0))
        if best <= 0:
            return linked
        joined = _join(linked[i], linked[j])
        rest = [track for k, track in enumerate(linked) if k not in (i, j)]
        linked = sorted([*rest, joined], key=lambda track: track.track_id)


def tracklet_similarity(a: Track, b: Track) -> float:
    """0..1 color similarity of two tracklets; 0 when they cannot show one person."""
    shorter = min(len(a.frames), len(b.frames))
    if len(set(a.frames) & set(b.frames)) > min(_MAX_COMMON, _MAX_COMMON_FRACTION * shorter):
        return 0.0
    size_a, size_b = (np.median([d.diagonal for d in track.detections]) for track in (a, b))
    similarity = histogram_similarity(mean_histogram(a), mean_histogram(b))
    compatible = min(size_a, size_b) / max(size_a, size_b) >= _MIN_SIZE_RATIO and similarity >= _MIN_COLOR_SIMILARITY
    return similarity if compatible else 0.0


def mean_histogram(track: Track) -> Floats:
    """[256] mean torso histogram of the track, weighted by detection scores."""
    return np.average(track.histograms, axis=0, weights=[d.score + 1e-3 for d in track.detections])


def _join(a: Track, b: Track) -> Track:
    """Both tracklets in order of time; in common frames the longer one counts."""
    longer, shorter = (a, b) if len(a.frames) >= len(b.frames) else (b, a)
    source = {frame: (track, k) for track in (shorter, longer) for k, frame in enumerate(track.frames)}
    return assemble_track(min(a.track_id, b.track_id), [source[frame] for frame in sorted(source)])


def choose_tracks(tracks: list[Track], people: int | tuple[int, ...] | None) -> list[Track]:
    """The tracks to reconstruct, in order of their IDs, or in the given order of IDs.

    None selects every track that is at least 0.2 times as long as the longest and, among those, 0.5 times as tall as
    the tallest. A number selects that many, by frames times height. Raises InputError when a track is missing.
    """
    if isinstance(people, tuple):
        return [_track_with_id(tracks, track_id) for track_id in people]
    if people is not None:
        if not 1 <= people <= len(tracks):
            found = describe_tracks(tracks)
            raise InputError(f"{people} people asked for, {len(tracks)} found: {found}; change --people")
        largest = sorted(tracks, key=lambda track: -len(track.frames) * median_height(track))[:people]
        return sorted(largest, key=lambda track: track.track_id)
    longest = max(len(track.frames) for track in tracks)
    long = [track for track in tracks if len(track.frames) >= _MIN_LENGTH_RATIO * longest]
    tallest = max(median_height(track) for track in long)
    return [track for track in long if median_height(track) >= _MIN_HEIGHT_RATIO * tallest]


def median_height(track: Track) -> float:
    """Median box height, pixels."""
    return float(np.median([d.box[3] - d.box[1] for d in track.detections]))


def describe_tracks(tracks: list[Track]) -> str:
    """One line with ID, length and height of each track; without the length where all have one frame, as in a photo."""
    heights = [f"{median_height(track):.0f} px tall" for track in tracks]
    if any(len(track.frames) > 1 for track in tracks):
        heights = [f"{len(track.frames)} frames, {height}" for track, height in zip(tracks, heights, strict=True)]
    return ", ".join(f"{track.track_id} ({text})" for track, text in zip(tracks, heights, strict=True))


def _track_with_id(tracks: list[Track], track_id: int) -> Track:
    for track in tracks:
        if track.track_id == track_id:
            return track
    raise InputError(f"no person {track_id}; found: {describe_tracks(tracks)}; change --people")


@dataclass(frozen=True)
class ClosePair:
    """Two people who come near each other in the image."""

    person_a: int
    person_b: int
    intervals: tuple[tuple[int, int], ...]
    """First and last frame, inclusive."""


def close_pairs(observations: Observations) -> list[ClosePair]:
    """Pairs of people whose limbs come within about an arm's width of each other in the image.

    The image does not show depth, so some pairs may be far from contact. Only pairs of very different size are left
    out.
    """
    pairs = []
    for a in range(observations.num_people):
        for b in range(a + 1, observations.num_people):
            intervals = close_intervals(_near(observations, a, b))
            if intervals:
                pairs.append(ClosePair(a, b, intervals))
    return pairs


def _near(observations: Observations, a: int, b: int) -> Bools:
    """[T] whether two people are close in the image."""
    extent = observations.boxes[:, [a, b], 2:] - observations.boxes[:, [a, b], :2]
    diagonal = np.linalg.norm(extent, axis=-1)  # [T, 2]
    smaller, larger = diagonal.min(1), np.maximum(diagonal.max(1), 1)
    both = observations.detected[:, a] & observations.detected[:, b] & (smaller / larger > _MIN_PAIR_SIZE_RATIO)
    distance = np.minimum(_distance(observations.keypoints, a, b), _distance(observations.keypoints, b, a))
    return both & (distance < _NEAR * smaller)


def _distance(keypoints: Floats, a: int, b: int) -> Floats:
    """[T] pixels from the nearest body keypoint of a to a limb of b."""
    points = keypoints[:, a, :17]
    distance = distance_to_limbs(points[..., :2], keypoints[:, b])
    return np.where(points[..., 2] > _MIN_CONFIDENCE, distance, np.inf).min(1)


def close_intervals(active: Bools) -> tuple[tuple[int, int], ...]:
    """First and last frame of each run of active frames; active [T]. Short interruptions are bridged."""
    runs = find_runs(active, max_step=_BRIDGED_FRAMES)
    shortest = min(_MIN_INTERVAL, len(active))
    return tuple((run.start, run.stop - 1) for run in runs if active[run].sum() >= shortest)
