"""Identity swaps: after two people were close, does each still wear what they wore before?"""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np

from closemesh.observe.people import mean_colour
from closemesh.observe.search import boxes_overlap
from closemesh.observe.similarity import colour_similarity
from closemesh.observe.tracking import Track

_MARGIN = 0.2  # Of the two summed histogram intersections (0..2): a swap must explain the colours clearly better.
_MIN_CLEAR = 3  # Frames apart from each other in which colours are compared.


def undo_swaps(tracks: list[Track]) -> tuple[list[Track], int]:
    """The tracks with exchanged identities put back, and how many exchanges were found."""
    tracks, count = list(tracks), 0
    for i, j in combinations(range(len(tracks)), 2):
        stretches = clear_stretches(tracks[i], tracks[j])
        for start in _swap_starts(tracks[i], tracks[j], stretches):
            tracks[i], tracks[j] = _exchanged(tracks[i], tracks[j], start)
            count += 1
    return tracks, count


def clear_stretches(a: Track, b: Track) -> list[list[int]]:
    """Runs of common frames in which the two do not overlap; a run ends where they meet."""
    in_a, in_b = dict(zip(a.frames, a.detections, strict=True)), dict(zip(b.frames, b.detections, strict=True))
    runs: list[list[int]] = [[]]
    for frame in sorted(set(in_a) & set(in_b)):
        if boxes_overlap(in_a[frame], in_b[frame]):
            if runs[-1]:
                runs.append([])
        else:
            runs[-1].append(frame)
    return [run for run in runs if len(run) >= _MIN_CLEAR]


def _swap_starts(a: Track, b: Track, stretches: list[list[int]]) -> list[int]:
    """Frames from which the two are exchanged, judged against the first stretch."""
    starts, crossed = [], False
    for before, now in pairwise(stretches):
        colours = [mean_colour(_part(track, stretch)) for stretch in (stretches[0], now) for track in (a, b)]
        straight = colour_similarity(colours[0], colours[2]) + colour_similarity(colours[1], colours[3])
        across = colour_similarity(colours[0], colours[3]) + colour_similarity(colours[1], colours[2])
        if abs(across - straight) > _MARGIN and (across > straight) != crossed:
            crossed = not crossed
            starts.append((before[-1] + now[0] + 1) // 2)
    return starts


def _part(track: Track, frames: list[int]) -> Track:
    wanted = set(frames)
    rows = [k for k, frame in enumerate(track.frames) if frame in wanted]
    return _rows(track, rows)


def _rows(track: Track, rows: list[int]) -> Track:
    return Track(
        track.number,
        [track.frames[k] for k in rows],
        [track.detections[k] for k in rows],
        [track.colours[k] for k in rows],
        [track.margins[k] for k in rows],
    )


def _exchanged(a: Track, b: Track, start: int) -> tuple[Track, Track]:
    """Both tracks with what comes from `start` on exchanged."""
    cut_a, cut_b = (int(np.searchsorted(track.frames, start)) for track in (a, b))
    return _spliced(a, cut_a, b, cut_b), _spliced(b, cut_b, a, cut_a)


def _spliced(head: Track, head_end: int, tail: Track, tail_start: int) -> Track:
    return Track(
        head.number,
        head.frames[:head_end] + tail.frames[tail_start:],
        head.detections[:head_end] + tail.detections[tail_start:],
        head.colours[:head_end] + tail.colours[tail_start:],
        head.margins[:head_end] + tail.margins[tail_start:],
    )
