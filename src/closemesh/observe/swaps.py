"""Identity swaps: does everybody wear, in every frame, what they wear in the others?"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from closemesh.observe.clothes import Wardrobe, exchange_evidence, wardrobe
from closemesh.observe.identity import APART, INDEPENDENT, most_likely, nearness, worn_by
from closemesh.observe.search import boxes_overlap
from closemesh.observe.tracking import Track, assembled
from closemesh.scene import Bools, Floats

_SWITCH, _SWITCH_APART = 8.0, 16.0  # Evidence that an exchange needs at each end, where two meet and where they do not.
_ROUNDS = 4  # Of telling wardrobes from identities and identities from wardrobes.
_NEAR = 5  # Frames around an overlap or a gap in which tracks are easily exchanged.


def undo_swaps(tracks: list[Track]) -> tuple[list[Track], int]:
    """The tracks with exchanged identities put back, and how many stretches of frames were exchanged."""
    tracks, count = list(tracks), 0
    for i, j in combinations(range(len(tracks)), 2):
        frames = sorted({*tracks[i].frames, *tracks[j].frames})
        exchanged = exchanged_frames(tracks[i], tracks[j], frames)
        count += int((np.diff(exchanged.astype(int), prepend=0) == 1).sum())
        tracks[i], tracks[j] = exchange(tracks[i], tracks[j], {f for f, e in zip(frames, exchanged, strict=True) if e})
    return tracks, count


def exchanged_frames(a: Track, b: Track, frames: list[int]) -> Bools:
    """[N] in which of the frames each of the two has the other one's number, by the colours of their clothes.

    Wardrobes are told from the frames in which the two are surely two, in rounds, as frames are assigned. Who wears
    the same gives no evidence, and nothing is exchanged.
    """
    worn_a, worn_b, switch = worn_by(a, frames), worn_by(b, frames), _switch_costs(a, b, frames)
    near = nearness(a, b, frames)
    # Who are never apart are known by what each number wears most of the time.
    known = near < APART if (near < APART).any() else ~np.isnan(near)
    exchanged = np.zeros(len(frames), bool)
    if not known.any():
        return exchanged
    for _ in range(_ROUNDS):
        of_a, of_b = _wardrobes(worn_a, worn_b, exchanged, known)
        evidence = exchange_evidence(worn_a, worn_b, of_a, of_b) / INDEPENDENT
        before, exchanged = exchanged, most_likely(evidence, switch)
        if (exchanged == before).all():
            break
    return ~exchanged if exchanged.mean() > 0.5 else exchanged


def _wardrobes(a: Floats, b: Floats, exchanged: Bools, known: Bools) -> tuple[Wardrobe, Wardrobe]:
    """Of both people, from the frames that are known, with the exchanged ones put back."""
    swap = exchanged[:, None, None]
    return wardrobe(np.where(swap, b, a)[known]), wardrobe(np.where(swap, a, b)[known])


def _switch_costs(a: Track, b: Track, frames: list[int]) -> Floats:
    """[N] evidence that an exchange from the frame before needs."""
    in_a, in_b = dict(zip(a.frames, a.detections, strict=True)), dict(zip(b.frames, b.detections, strict=True))
    met = np.array([f not in in_a or f not in in_b or boxes_overlap(in_a[f], in_b[f]) for f in frames])
    unsure = np.convolve(met, np.ones(2 * _NEAR + 1), mode="same") > 0
    return np.where(unsure, _SWITCH, _SWITCH_APART)


def exchange(a: Track, b: Track, exchanged: set[int]) -> tuple[Track, Track]:
    """Both tracks with the rows of these frames in the other one."""

    def rows(own: Track, other: Track) -> list[tuple[Track, int]]:
        kept = [(frame, own, k) for k, frame in enumerate(own.frames) if frame not in exchanged]
        taken = [(frame, other, k) for k, frame in enumerate(other.frames) if frame in exchanged]
        return [(track, k) for _, track, k in sorted(kept + taken, key=lambda row: row[0])]

    return assembled(a.number, rows(a, b)), assembled(b.number, rows(b, a))
