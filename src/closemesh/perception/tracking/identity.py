"""Identity switches, duplicate tracks.

Who is who over time, by the colours of the clothes: what swaps and doubles are told by.

Identity swaps: does everybody wear, in every frame, what they wear in the others?

One person taken for two: where somebody is hidden, the tracker may put both numbers on the one who is seen.
"""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np

from closemesh.core.arrays import Bools, Floats
from closemesh.perception.detectors.multi_scale import boxes_overlap
from closemesh.perception.tracking.similarity import PARTS, ClothingModel, exchange_evidence, oks, wardrobe
from closemesh.perception.tracking.tracker import Track, assembled
from closemesh.perception.types import Detection
from closemesh.temporal import viterbi

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
    return max(oks(a, b), oks(a, b.flip_left_right()))


def most_likely(evidence: Floats, switch: Floats) -> Bools:
    """The best course [N] of a state that is there or not (Viterbi).

    evidence [N] for it in each frame, switch [N] what a change from the frame before costs.
    """
    unary = np.stack([np.zeros(len(evidence)), -evidence], axis=1)
    return viterbi(unary, lambda k: switch[k] * (1 - np.eye(2)), prefer_stay=True).astype(bool)


_SWITCH, _SWITCH_APART = 8.0, 16.0  # Evidence that an exchange needs at each end, where two meet and where they do not.
_ROUNDS = 4  # Of telling wardrobes from identities and identities from wardrobes.
_NEAR = 5  # Frames around an overlap or a gap in which tracks are easily exchanged.


def fix_identity_switches(tracks: list[Track]) -> tuple[list[Track], int]:
    """The tracks with exchanged identities put back, and how many stretches of frames were exchanged."""
    tracks, count = list(tracks), 0
    for i, j in combinations(range(len(tracks)), 2):
        frames = sorted({*tracks[i].frames, *tracks[j].frames})
        exchanged = exchanged_frames(tracks[i], tracks[j], frames)
        count += int((np.diff(exchanged.astype(int), prepend=0) == 1).sum())
        tracks[i], tracks[j] = swap_identities(
            tracks[i], tracks[j], {f for f, e in zip(frames, exchanged, strict=True) if e}
        )
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


def _wardrobes(a: Floats, b: Floats, exchanged: Bools, known: Bools) -> tuple[ClothingModel, ClothingModel]:
    """Of both people, from the frames that are known, with the exchanged ones put back."""
    swap = exchanged[:, None, None]
    return wardrobe(np.where(swap, b, a)[known]), wardrobe(np.where(swap, a, b)[known])


def _switch_costs(a: Track, b: Track, frames: list[int]) -> Floats:
    """[N] evidence that an exchange from the frame before needs."""
    in_a, in_b = dict(zip(a.frames, a.detections, strict=True)), dict(zip(b.frames, b.detections, strict=True))
    met = np.array([f not in in_a or f not in in_b or boxes_overlap(in_a[f], in_b[f]) for f in frames])
    unsure = np.convolve(met, np.ones(2 * _NEAR + 1), mode="same") > 0
    return np.where(unsure, _SWITCH, _SWITCH_APART)


def swap_identities(a: Track, b: Track, exchanged: set[int]) -> tuple[Track, Track]:
    """Both tracks with the rows of these frames in the other one."""

    def rows(own: Track, other: Track) -> list[tuple[Track, int]]:
        kept = [(frame, own, k) for k, frame in enumerate(own.frames) if frame not in exchanged]
        taken = [(frame, other, k) for k, frame in enumerate(other.frames) if frame in exchanged]
        return [(track, k) for _, track, k in sorted(kept + taken, key=lambda row: row[0])]

    return assembled(a.number, rows(a, b)), assembled(b.number, rows(b, a))


_ALIKE = 0.35  # Keypoint similarity from which two detections may be one person.
_APART_EVIDENCE = -4.0  # Evidence for one person in a frame in which two detections lie apart.
_SAME = 1.5  # Half squared spreads below which clothes are the same.
_MOSTLY = 0.8  # Of the frames in which both are seen.
_DUPLICATE_SWITCH = 4.0  # Evidence that it takes to begin, and to end, with taking two for one.


def remove_duplicate_tracks(tracks: list[Track]) -> tuple[list[Track], int]:
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
    return most_likely(evidence, np.full(len(frames), _DUPLICATE_SWITCH))


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
