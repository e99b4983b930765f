"""Identity switches and duplicate tracks, found and corrected by clothing colors over time."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np

from closemesh.core.arrays import Bools, Floats
from closemesh.perception.detectors.multi_scale import boxes_overlap
from closemesh.perception.tracking.similarity import (
    CLOTHING_PARTS,
    ClothingModel,
    fit_clothing_model,
    oks,
    swap_evidence,
)
from closemesh.perception.tracking.tracker import Track, assemble_track
from closemesh.perception.types import Detection
from closemesh.temporal import viterbi

CORRELATED_FRAMES = 4.0  # Frames whose colors count as one observation: an occluder stays for several frames.
DIFFERENT_PEOPLE_OKS = 0.15  # Keypoint similarity below which two detections show two people.

# Evidence needed at each end of a switch, near an overlap of both people and elsewhere.
_SWITCH_COST, _SEPARATE_SWITCH_COST = 8.0, 16.0
_MAX_ROUNDS = 4  # Rounds of clothing models from identities and identities from clothing models.
_NEAR_FRAMES = 5  # Around an overlap or a missing detection, where trackers switch identities.

_SAME_PERSON_OKS = 0.35  # Keypoint similarity from which two detections may show one person.
_SEPARATE_EVIDENCE = -4.0  # Evidence for one person in a frame in which two detections lie apart.
_SAME_CLOTHING = 1.5  # Half squared standard deviations below which clothing is the same.
_MIN_SIMILAR_FRAMES = 0.8  # Fraction of the frames in which both tracks have a detection.
_DUPLICATE_COST = 4.0  # Evidence needed at each end of an interval of duplicates.


def track_clothing(track: Track, frames: list[int]) -> Floats:
    """[N, 6, 4] clothing colors of a track at these frames, marked as not visible where it has no detection."""
    colors = dict(zip(track.frames, track.clothing_colors, strict=True))
    return np.stack([colors.get(frame, np.zeros((len(CLOTHING_PARTS), 4), np.float32)) for frame in frames])


def track_oks(a: Track, b: Track, frames: list[int]) -> Floats:
    """[N] keypoint similarity of two tracks at these frames; nan where one has no detection.

    The better of both left-right assignments counts: duplicates of one person may be flipped.
    """
    in_a, in_b = dict(zip(a.frames, a.detections, strict=True)), dict(zip(b.frames, b.detections, strict=True))
    return np.array([_flip_invariant_oks(in_a[f], in_b[f]) if f in in_a and f in in_b else np.nan for f in frames])


def _flip_invariant_oks(a: Detection, b: Detection) -> float:
    return max(oks(a, b), oks(a, b.flip_left_right()))


def most_likely(evidence: Floats, switch_cost: Floats) -> Bools:
    """The most likely binary state [N] (Viterbi).

    evidence: [N] for the state in each frame. switch_cost: [N] of a change from the frame before.
    """
    unary = np.stack([np.zeros(len(evidence)), -evidence], axis=1)
    return viterbi(unary, lambda k: switch_cost[k] * (1 - np.eye(2)), prefer_stay=True).astype(bool)


def fix_identity_switches(tracks: list[Track]) -> tuple[list[Track], int]:
    """The tracks with switched identities corrected, and the number of corrected intervals."""
    tracks, count = list(tracks), 0
    for i, j in combinations(range(len(tracks)), 2):
        frames = sorted({*tracks[i].frames, *tracks[j].frames})
        swapped = swapped_frames(tracks[i], tracks[j], frames)
        count += int((np.diff(swapped.astype(int), prepend=0) == 1).sum())
        chosen = {frame for frame, swap in zip(frames, swapped, strict=True) if swap}
        tracks[i], tracks[j] = swap_identities(tracks[i], tracks[j], chosen)
    return tracks, count


def swapped_frames(a: Track, b: Track, frames: list[int]) -> Bools:
    """[N] frames in which the two tracks have each other's identity, by clothing colors.

    Clothing models come from the frames in which the two are clearly different people. Models and identities are
    estimated in turns. People in the same clothing give no evidence and stay as they are.
    """
    colors_a, colors_b, switch_cost = track_clothing(a, frames), track_clothing(b, frames), _switch_costs(a, b, frames)
    similarity = track_oks(a, b, frames)
    # For people who always overlap, the models come from all common frames.
    separate = similarity < DIFFERENT_PEOPLE_OKS
    usable = separate if separate.any() else ~np.isnan(similarity)
    swapped = np.zeros(len(frames), bool)
    if not usable.any():
        return swapped
    for _ in range(_MAX_ROUNDS):
        model_a, model_b = _clothing_models(colors_a, colors_b, swapped, usable)
        evidence = swap_evidence(colors_a, colors_b, model_a, model_b) / CORRELATED_FRAMES
        before, swapped = swapped, most_likely(evidence, switch_cost)
        if (swapped == before).all():
            break
    return ~swapped if swapped.mean() > 0.5 else swapped


def _clothing_models(a: Floats, b: Floats, swapped: Bools, usable: Bools) -> tuple[ClothingModel, ClothingModel]:
    """Models of both people from the usable frames, with swapped identities corrected."""
    swap = swapped[:, None, None]
    return fit_clothing_model(np.where(swap, b, a)[usable]), fit_clothing_model(np.where(swap, a, b)[usable])


def _switch_costs(a: Track, b: Track, frames: list[int]) -> Floats:
    """[N] evidence that a switch from the frame before needs."""
    in_a, in_b = dict(zip(a.frames, a.detections, strict=True)), dict(zip(b.frames, b.detections, strict=True))
    met = np.array([f not in in_a or f not in in_b or boxes_overlap(in_a[f], in_b[f]) for f in frames])
    near = np.convolve(met, np.ones(2 * _NEAR_FRAMES + 1), mode="same") > 0
    return np.where(near, _SWITCH_COST, _SEPARATE_SWITCH_COST)


def swap_identities(a: Track, b: Track, swapped: set[int]) -> tuple[Track, Track]:
    """Both tracks with their detections in the swapped frames exchanged."""

    def rows(own: Track, other: Track) -> list[tuple[Track, int]]:
        remaining = [(frame, own, k) for k, frame in enumerate(own.frames) if frame not in swapped]
        taken = [(frame, other, k) for k, frame in enumerate(other.frames) if frame in swapped]
        return [(track, k) for _, track, k in sorted(remaining + taken, key=lambda row: row[0])]

    return assemble_track(a.track_id, rows(a, b)), assemble_track(b.track_id, rows(b, a))


def remove_duplicate_tracks(tracks: list[Track]) -> tuple[list[Track], int]:
    """The tracks without detections that duplicate another track's, and the number of removed detections.

    While one person is occluded, the tracker may give both identities to the visible person.
    """
    tracks, before = list(tracks), sum(len(track.frames) for track in tracks)
    for i, j in permutations(range(len(tracks)), 2):
        frames = sorted({*tracks[i].frames, *tracks[j].frames})
        duplicate = duplicate_frames(tracks[i], tracks[j], frames)
        removed = {frame for frame, is_duplicate in zip(frames, duplicate, strict=True) if is_duplicate}
        rows = [(tracks[j], k) for k, frame in enumerate(tracks[j].frames) if frame not in removed]
        tracks[j] = assemble_track(tracks[j].track_id, rows)
    remaining = [track for track in tracks if track.frames]
    return remaining, before - sum(len(track.frames) for track in remaining)


def duplicate_frames(a: Track, b: Track, frames: list[int]) -> Bools:
    """[N] frames in which b has the place and the clothing of a.

    Clothing models come from the frames in which the two lie apart. A track that is never separate from a better one in
    the same clothing is a duplicate in all frames.
    """
    similarity = track_oks(a, b, frames)
    colors_a, colors_b = track_clothing(a, frames), track_clothing(b, frames)
    separate = similarity < DIFFERENT_PEOPLE_OKS
    if not separate.any():
        return np.full(len(frames), _is_duplicate(a, b, frames))
    model_a, model_b = fit_clothing_model(colors_a[separate]), fit_clothing_model(colors_b[separate])
    evidence_b = np.nansum(model_b.mismatch(colors_b) - model_a.mismatch(colors_b), axis=-1)
    evidence_a = np.nansum(model_b.mismatch(colors_a) - model_a.mismatch(colors_a), axis=-1)
    both = np.minimum(evidence_b, evidence_a) / CORRELATED_FRAMES
    evidence = np.where(similarity > _SAME_PERSON_OKS, both, _SEPARATE_EVIDENCE)
    return most_likely(evidence, np.full(len(frames), _DUPLICATE_COST))


def _is_duplicate(a: Track, b: Track, frames: list[int]) -> bool:
    """Whether b duplicates a with lower scores, for tracks that are never separate."""
    both = np.array([frame in a.frames and frame in b.frames for frame in frames])
    mismatch = fit_clothing_model(track_clothing(a, frames)).mismatch(track_clothing(b, frames))[both]
    if not both.any() or _total_score(a) < _total_score(b) or np.isnan(mismatch).all():
        return False
    similarity = track_oks(a, b, frames)[both]
    similar = (similarity > _SAME_PERSON_OKS).mean() > _MIN_SIMILAR_FRAMES
    return bool(similar and np.nanmean(mismatch) < _SAME_CLOTHING)


def _total_score(track: Track) -> float:
    return sum(detection.score for detection in track.detections)
