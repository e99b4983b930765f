"""Who is meant: joins the pieces of a person's track and chooses whom to reconstruct."""

from __future__ import annotations

import numpy as np

from closemesh.errors import InputError
from closemesh.observe.similarity import colour_similarity
from closemesh.observe.tracking import Track, assembled

MIN_PIECE = 3  # Frames; shorter pieces are noise, unless the clip itself is shorter.
_MAX_COMMON = 2  # Frames in which two pieces of one person may both be seen.
_SAME_COLOUR = 0.35  # Histogram intersection from which two pieces may be one person.
_SAME_SIZE = 0.4  # Smaller over larger box diagonal; people come nearer while out of view.
_LONG_ENOUGH = 0.3  # Of the longest track.
_LARGE_ENOUGH = 0.5  # Of the median box height of the largest track; bystanders stand farther away.


def join_pieces(tracks: list[Track], shortest: int = MIN_PIECE) -> list[Track]:
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
