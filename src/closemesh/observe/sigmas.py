"""How far each keypoint may be off, in pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from closemesh.body.skeleton import LIMBS
from closemesh.observe.similarity import COCO_SIGMAS
from closemesh.scene import NUM_KEYPOINTS, Bools, Floats

_FOOT, _FACE, _HAND = (
    0.079,
    0.03,
    0.05,
)  # In the sense of COCO_SIGMAS: like a wrist or a shade worse, feet and fingers blur.
_DETECTOR = 0.5  # The annotators' spread, COCO_SIGMAS, times this is the detector's on a clear view.
_NEAR_LIMB = 0.04  # Of the box diagonal: about the thickness of an arm.
_NEAR_FACTOR = 4.0
_SAME_POINT = 0.02  # Of the box diagonal.
_SPREAD_SHARE = 0.5
_SPEED_SHARE = 0.1  # Of the move from frame to frame: motion blur.
_LIMB_ENDS = np.array(LIMBS)
_CAN_BE_TAKEN = np.isin(np.arange(NUM_KEYPOINTS), [7, 8, 9, 10, 13, 14, 15, 16, *range(17, 23), *range(91, 133)])
"""Elbows, wrists, knees, ankles, feet and hands snap to the partner's; heads and trunks do not."""


def keypoint_scales() -> Floats:
    """[133] spread of each keypoint relative to the square root of the box area."""
    return np.concatenate([COCO_SIGMAS, np.full(6, _FOOT), np.full(68, _FACE), np.full(42, _HAND)])


def keypoint_sigmas(keypoints: Floats, boxes: Floats, visible: Bools, spread: Floats) -> Floats:
    """[T, P, 133] standard deviations in pixels.

    keypoints: [T, P, 133, 3]. boxes: [T, P, 4]. visible: [T, P]. spread: [T, P, 133] pixels between two looks.
    """
    extent = np.maximum(boxes[..., 2:] - boxes[..., :2], 1)  # [T, P, 2]
    area, diagonal = np.sqrt(extent.prod(-1))[..., None], np.linalg.norm(extent, axis=-1)
    base = _DETECTOR * keypoint_scales() * area / np.clip(keypoints[..., 2], 0.2, 1)
    sigmas = np.sqrt(base**2 + (_SPREAD_SHARE * spread) ** 2 + (_SPEED_SHARE * _speed(keypoints, visible)) ** 2)
    return sigmas * _doubt_near_partners(keypoints, diagonal, visible)


def _speed(keypoints: Floats, visible: Bools) -> Floats:
    """[T, P, 133] pixels from the frame before; 0 where either is not seen."""
    speed = np.zeros(keypoints.shape[:3])
    seen = (keypoints[..., 2] > 0) & visible[..., None]
    moved = np.linalg.norm(np.diff(keypoints[..., :2], axis=0), axis=-1)
    speed[1:] = np.where(seen[1:] & seen[:-1], moved, 0)
    return speed


def _doubt_near_partners(keypoints: Floats, diagonal: Floats, visible: Bools) -> Floats:
    """[T, P, 133] factor from 1 far from every partner's limb to _NEAR_FACTOR on one."""
    factor = np.ones(keypoints.shape[:3])
    for p in range(keypoints.shape[1]):
        for q in range(keypoints.shape[1]):
            if p != q:
                both = (visible[:, p] & visible[:, q])[:, None]
                near = distance_to_limbs(keypoints[:, p, :, :2], keypoints[:, q]) / (_NEAR_LIMB * diagonal[:, p, None])
                doubt = 1 + (_NEAR_FACTOR - 1) * np.exp(-0.5 * near**2)
                factor[:, p] = np.where(both & _CAN_BE_TAKEN, np.maximum(factor[:, p], doubt), factor[:, p])
    return factor


def distance_to_limbs(points: Floats, keypoints: Floats) -> Floats:
    """[T, K] pixels from each of the points [T, K, 2] to the nearest limb of the person keypoints [T, 133, 3]."""
    nearest = np.full(points.shape[:2], np.inf)
    for a, b in _LIMB_ENDS:
        start, end = keypoints[:, None, a, :2], keypoints[:, None, b, :2]  # [T, 1, 2]
        along = end - start
        share = ((points - start) * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-9)
        distance = np.linalg.norm(points - start - np.clip(share, 0, 1)[..., None] * along, axis=-1)
        known = np.minimum(keypoints[:, a, 2], keypoints[:, b, 2])[:, None] > 0.1
        nearest = np.where(known, np.minimum(nearest, distance), nearest)
    return nearest


def settle_claims(keypoints: Floats, boxes: Floats, visible: Bools) -> Floats:
    """A point that two people claim goes to the one who is clearly surer of it, else to neither.

    keypoints: [T, P, 133, 3]; returned with confidence 0 where a claim is lost.
    """
    settled = keypoints.copy()
    diagonal = np.linalg.norm(boxes[..., 2:] - boxes[..., :2], axis=-1)
    taken = np.flatnonzero(_CAN_BE_TAKEN)
    taken = taken[taken < 23]
    for p in range(keypoints.shape[1]):
        for q in range(keypoints.shape[1]):
            if p == q:
                continue
            a, b = keypoints[:, p, taken], keypoints[:, q, taken]  # [T, K, 3]
            apart = np.linalg.norm(a[:, :, None, :2] - b[:, None, :, :2], axis=-1)  # [T, K, K]
            limit = _SAME_POINT * np.minimum(diagonal[:, p], diagonal[:, q])[:, None, None]
            rival = (apart < limit) & _same_kind(taken) & (b[:, None, :, 2] > 0.7 * a[:, :, None, 2])
            lost = rival.any(2) & (visible[:, p] & visible[:, q])[:, None]
            settled[:, p, taken, 2] = np.where(lost, 0, settled[:, p, taken, 2])
    return settled


def _same_kind(indices: NDArray[np.integer]) -> Bools:
    """[K, K] both of an arm or both of a leg: only those are mistaken for each other."""
    arm = np.isin(indices, [7, 8, 9, 10])
    return arm[:, None] == arm[None, :]
