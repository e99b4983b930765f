"""Keypoint sigmas, keypoints claimed by two people.

How far each keypoint may be off, in pixels.

One point that two people claim: the rule of the observation stage, in batches, on any device.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from closemesh.body.skeleton import LIMBS
from closemesh.core.arrays import Bools, Floats
from closemesh.perception.tracking.similarity import COCO_SIGMAS
from closemesh.structures import NUM_KEYPOINTS

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
    arrays = (np.asarray(array) for array in (keypoints, boxes, visible, spread))
    return sigmas_of(*(torch.as_tensor(array) for array in arrays)).numpy()


def sigmas_of(keypoints: Tensor, boxes: Tensor, visible: Tensor, spread: Tensor) -> Tensor:
    """The same for any number of clips at once, and for the first K keypoints alone.

    keypoints [..., T, P, K, 3], boxes [..., T, P, 4], visible [..., T, P], spread [..., T, P, K].
    """
    scales = torch.as_tensor(keypoint_scales()[: keypoints.shape[-2]]).to(keypoints)
    extent = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1)  # [..., T, P, 2]
    area, diagonal = extent.prod(-1, keepdim=True).sqrt(), extent.norm(dim=-1)
    base = _DETECTOR * scales * area / keypoints[..., 2].clamp(0.2, 1)
    speed = _speed(keypoints, visible)
    sigmas = (base.square() + (_SPREAD_SHARE * spread).square() + (_SPEED_SHARE * speed).square()).sqrt()
    return sigmas * occlusion_inflation(keypoints, diagonal, visible)


def _speed(keypoints: Tensor, visible: Tensor) -> Tensor:
    """[..., T, P, K] pixels from the frame before; 0 where either is not seen."""
    seen = (keypoints[..., 2] > 0) & visible[..., None]
    moved = keypoints[..., :2].diff(dim=-4).norm(dim=-1)
    moved = moved * (seen[..., 1:, :, :] & seen[..., :-1, :, :])
    return torch.cat([torch.zeros_like(keypoints[..., :1, :, :, 2]), moved], dim=-3)


def occlusion_inflation(keypoints: Tensor, diagonal: Tensor, visible: Tensor) -> Tensor:
    """[..., T, P, K] factor from 1 far from every partner's limb to _NEAR_FACTOR on one."""
    factor = torch.ones_like(keypoints[..., 0])
    can_be_taken = torch.as_tensor(_CAN_BE_TAKEN[: keypoints.shape[-2]], device=keypoints.device)
    for p, q in itertools.permutations(range(keypoints.shape[-3]), 2):
        both = (visible[..., p] & visible[..., q])[..., None]
        near = _to_limbs(keypoints[..., p, :, :2], keypoints[..., q, :, :]) / (_NEAR_LIMB * diagonal[..., p, None])
        doubt = 1 + (_NEAR_FACTOR - 1) * torch.exp(-0.5 * near.square())
        own = factor[..., p, :]
        factor[..., p, :] = torch.where(both & can_be_taken, torch.maximum(own, doubt), own)
    return factor


def distance_to_limbs(points: Floats, keypoints: Floats) -> Floats:
    """[T, K] pixels from each of the points [T, K, 2] to the nearest limb of the person keypoints [T, 133, 3]."""
    return _to_limbs(torch.as_tensor(points), torch.as_tensor(keypoints)).numpy()


def _to_limbs(points: Tensor, keypoints: Tensor) -> Tensor:
    """[..., K] pixels from points [..., K, 2] to the limbs of keypoints [..., N, 3]; infinity when none is known."""
    a, b = torch.as_tensor(_LIMB_ENDS, device=points.device).unbind(1)
    start, end = keypoints[..., None, a, :2], keypoints[..., None, b, :2]  # [..., 1, L, 2]
    along = end - start
    share = ((points[..., None, :] - start) * along).sum(-1) / along.square().sum(-1).clamp(min=1e-9)
    distance = (points[..., None, :] - start - share.clamp(0, 1)[..., None] * along).norm(dim=-1)  # [..., K, L]
    known = torch.minimum(keypoints[..., a, 2], keypoints[..., b, 2])[..., None, :] > 0.1
    return torch.where(known, distance, torch.inf).amin(-1)


def resolve_shared_keypoints(keypoints: Floats, boxes: Floats, visible: Bools) -> Floats:
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


_SAME_POINT_SHARE = 0.02  # Of the box diagonal.
_RIVAL = 0.7  # Of the own confidence; with less a claim does not count.
_TAKEN = [7, 8, 9, 10, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22]
"""Elbows, wrists, knees, ankles and feet."""
_ARMS = 4  # The first of them.


def box_diagonal(points: Tensor) -> Tensor:
    """Pixels [...]: diagonal of the box around the body keypoints of points [..., 23, 2]."""
    body = points[..., :17, :]
    return (body.amax(-2) - body.amin(-2)).norm(dim=-1)


def lost_claims(points: Tensor, confidence: Tensor, diagonal: Tensor) -> Tensor:
    """Bools [..., P, 23]: another person claims the same point and is not clearly less sure of it.

    points [..., P, 23, 2] pixels, confidence [..., P, 23], diagonal [..., P] of each person's box in pixels. The same
    rule as `observe.sigmas.settle_claims`.
    """
    claims, sure = points[..., _TAKEN, :], confidence[..., _TAKEN]
    apart = (claims[..., :, None, :, None, :] - claims[..., None, :, None, :, :]).norm(dim=-1)  # [..., P, P, K, K]
    limit = _SAME_POINT_SHARE * torch.minimum(diagonal[..., :, None], diagonal[..., None, :])[..., None, None]
    arm = torch.arange(len(_TAKEN), device=points.device) < _ARMS
    rival = (
        (apart < limit) & (arm[:, None] == arm) & (sure[..., None, :, None, :] > _RIVAL * sure[..., :, None, :, None])
    )
    people = points.shape[-3]
    rival = rival & ~torch.eye(people, dtype=torch.bool, device=points.device)[:, :, None, None]
    lost = torch.zeros_like(confidence, dtype=torch.bool)
    lost[..., _TAKEN] = rival.any(-1).any(-2)
    return lost
