"""Which of the people that were found is which of the true ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from closemesh.scene import BodyMotion, Bools, Floats

NEAR = 0.2
"""Mean distance of the 17 body keypoints, in diagonals of the person's box, below which a person counts as found."""
_BODY = 17


@dataclass(frozen=True)
class FoundPeople:
    """True people and the tracks that follow them."""

    tracks: tuple[int | None, ...]
    """For each true person the track; None for somebody whom no track follows."""
    found: Bools
    """[T, P] the track of the person is where the person is in this frame."""


def match_tracks(keypoints: Floats, visible: Bools, true_pixels: Floats, valid: Bools) -> FoundPeople:
    """Tracks and people put together so that as many frames as possible agree, each track with one person.

    keypoints [T, Q, K, 3] with confidence and visible [T, Q] of the tracks, true_pixels [T, P, K, 2] and valid [T, P]
    of the people. A track that goes over to another person is right only while it stays with its own.
    """
    near = _near(keypoints[:, :, :_BODY], visible, true_pixels[:, :, :_BODY], valid)  # [T, Q, P]
    agreement = near.sum(0)
    tracks: list[int | None] = [None] * agreement.shape[1]
    found = np.zeros(valid.shape, bool)
    for track, person in zip(*linear_sum_assignment(agreement, maximize=True), strict=True):
        if agreement[track, person]:
            tracks[person] = int(track)
            found[:, person] = near[:, track, person]
    return FoundPeople(tuple(tracks), found)


def _near(keypoints: Floats, visible: Bools, true_pixels: Floats, valid: Bools) -> Bools:
    """[T, Q, P]."""
    size = np.linalg.norm(np.ptp(true_pixels, axis=2), axis=-1)  # [T, P]
    distance = np.linalg.norm(keypoints[:, :, None, :, :2] - true_pixels[:, None], axis=-1)  # [T, Q, P, 17]
    seen = (keypoints[..., 2] > 0)[:, :, None]
    count = seen.sum(-1)
    mean = np.where(seen, distance, 0).sum(-1) / np.maximum(count, 1)
    return (count > 0) & (mean < NEAR * size[:, None]) & visible[:, :, None] & valid[:, None]


def people_of(motion: BodyMotion, people: FoundPeople) -> BodyMotion:
    """The motion of the true people in their order; who was not found is not valid."""
    order = [track or 0 for track in people.tracks]
    names = ("rotations", "transl", "expression", "valid", "confidence")
    chosen = motion.with_pose(betas=motion.betas[order], **{name: getattr(motion, name)[:, order] for name in names})
    return replace(chosen, valid=chosen.valid & people.found)
