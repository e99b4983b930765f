"""Standard deviations of keypoints, and keypoints that two people claim."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from closemesh.body.skeleton import LIMBS
from closemesh.core.arrays import Bools, Floats
from closemesh.fitting.keypoint_noise import apparent_height, interpolate_factor, load_keypoint_noise
from closemesh.perception.types import NUM_BODY_KEYPOINTS
from closemesh.structures import NUM_KEYPOINTS, NUM_KEYPOINTS3D

_OWN_DISAGREEMENT = 6.0  # Cores of the mean of two keypoints: a larger distance between them means that one is wrong.
_MIN_LIMB_CONFIDENCE = 0.1
_CAN_SNAP = np.isin(np.arange(NUM_KEYPOINTS), [7, 8, 9, 10, 13, 14, 15, 16, *range(17, 23), *range(91, 133)])
"""Elbows, wrists, knees, ankles, feet and hands snap to the partner's; heads and trunks do not."""

_BLOCK = 256  # Frames at once, so that memory does not grow with the length of a clip.
_SAME_POINT = 0.02  # Fraction of the box diagonal.
_MIN_RIVAL_CONFIDENCE = 0.7  # Fraction of the own confidence; a partner's keypoint with less does not compete.
_SHAREABLE = [7, 8, 9, 10, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22]  # Elbows, wrists, knees, ankles and feet.
_NUM_ARM_KEYPOINTS = 4  # The first of them.


def keypoint_sigmas(
    keypoints: Floats, boxes: Floats, detected: Bools, disagreement: Floats, image_size: tuple[int, int]
) -> Floats:
    """[T, P, 133] standard deviations of keypoints, pixels.

    keypoints: [T, P, 133, 3]. boxes: [T, P, 4]. detected: [T, P]. disagreement: [T, P, 133] pixels between detection
    and crop pose. image_size: width and height in pixels. Raises ModelFileError when the noise table is damaged.
    """
    sigmas = np.empty(keypoints.shape[:3])
    for start in range(0, len(keypoints), _BLOCK):
        first = max(start - 1, 0)  # The speed of a keypoint needs the frame before.
        block = slice(first, start + _BLOCK)
        points, frames, found, apart = (
            torch.as_tensor(np.asarray(array[block])) for array in (keypoints, boxes, detected, disagreement)
        )
        values = batched_keypoint_sigmas(points, frames, found, apart, torch.tensor(image_size))
        sigmas[start : start + _BLOCK] = values.numpy()[start - first :]
    return sigmas


def batched_keypoint_sigmas(
    keypoints: Tensor, boxes: Tensor, detected: Tensor, disagreement: Tensor, image_size: Tensor
) -> Tensor:
    """[..., T, P, K] standard deviations of the first K keypoints of any number of clips, pixels.

    Each is that of the core of the errors along each axis, as measured on real clips (`keypoint_noise.toml`).
    keypoints: [..., T, P, K, 3]. boxes: [..., T, P, 4]. detected: [..., T, P]. disagreement: [..., T, P, K] pixels.
    image_size: [..., 2] width and height in pixels. Raises ModelFileError when the noise table is damaged.
    """
    noise = load_keypoint_noise()
    height = apparent_height(keypoints, boxes)[..., None]  # [..., T, P, 1]
    core = noise.scales()[: keypoints.shape[-2]].to(keypoints) * height
    factor = interpolate_factor(noise.factors.confidence, keypoints[..., 2])
    factor = factor * occlusion_inflation(keypoints, height[..., 0], detected)
    size = image_size.to(keypoints)[..., None, None, None, :]
    border = torch.minimum(keypoints[..., :2], size - 1 - keypoints[..., :2]).amin(-1)
    factor = factor * interpolate_factor(noise.factors.border, border / height)
    excess = (disagreement.square() - (_OWN_DISAGREEMENT * core * factor).square()).clamp(min=0)
    variance = (core * factor).square() + noise.disagreement_weight**2 * excess
    return (variance + (noise.speed_weight * _speed(keypoints, detected)).square()).sqrt()


def _speed(keypoints: Tensor, detected: Tensor) -> Tensor:
    """[..., T, P, K] pixels from the frame before; 0 where either frame lacks the keypoint."""
    given = (keypoints[..., 2] > 0) & detected[..., None]
    moved = keypoints[..., :2].diff(dim=-4).norm(dim=-1)
    moved = moved * (given[..., 1:, :, :] & given[..., :-1, :, :])
    return torch.cat([torch.zeros_like(keypoints[..., :1, :, :, 2]), moved], dim=-3)


def occlusion_inflation(keypoints: Tensor, height: Tensor, detected: Tensor) -> Tensor:
    """[..., T, P, K] factor on sigmas: 1 far from every partner's limb, largest on one.

    keypoints: [..., T, P, K, 3] pixels. height: [..., T, P] of the people, pixels. detected: [..., T, P].
    """
    noise = load_keypoint_noise()
    factor = torch.ones_like(keypoints[..., 0])
    can_snap = torch.as_tensor(_CAN_SNAP[: keypoints.shape[-2]], device=keypoints.device)
    for p, q in itertools.permutations(range(keypoints.shape[-3]), 2):
        both = (detected[..., p] & detected[..., q])[..., None]
        near = limb_distance(keypoints[..., p, :, :2], keypoints[..., q, :, :])
        near = (near / (noise.limb_width * height[..., p, None])).clamp(max=1e3)
        inflated = interpolate_factor(noise.factors.partner, near)
        own = factor[..., p, :]
        factor[..., p, :] = torch.where(both & can_snap, torch.maximum(own, inflated), own)
    return factor


def distance_to_limbs(points: Floats, keypoints: Floats) -> Floats:
    """[T, K] pixels from each of the points [T, K, 2] to the nearest limb of the person keypoints [T, 133, 3]."""
    return limb_distance(torch.as_tensor(points), torch.as_tensor(keypoints)).numpy()


def limb_distance(points: Tensor, keypoints: Tensor) -> Tensor:
    """[..., K] pixels from points [..., K, 2] to the limbs of keypoints [..., N, 3]; infinity without any limb."""
    nearest = torch.full_like(points[..., 0], torch.inf)
    for a, b in LIMBS:  # One by one: all at once take hundreds of megabytes for a long clip.
        start, end = keypoints[..., None, a, :2], keypoints[..., None, b, :2]  # [..., 1, 2]
        along = end - start
        fraction = ((points - start) * along).sum(-1) / along.square().sum(-1).clamp(min=1e-9)  # [..., K]
        distance = (points - start - fraction.clamp(0, 1)[..., None] * along).norm(dim=-1)
        valid = torch.minimum(keypoints[..., a, 2], keypoints[..., b, 2])[..., None] > _MIN_LIMB_CONFIDENCE
        nearest = torch.minimum(nearest, torch.where(valid, distance, torch.inf))
    return nearest


def without_shared_keypoints(keypoints: Floats, boxes: Floats, detected: Bools) -> Floats:
    """The keypoints [T, P, 133, 3] with confidence 0 where `resolve_shared_keypoints` rejects them.

    boxes: [T, P, 4] pixels. detected: [T, P].
    """
    resolved = keypoints.copy()
    diagonal = np.linalg.norm(boxes[..., 2:] - boxes[..., :2], axis=-1)
    for start in range(0, len(keypoints), _BLOCK):
        block = slice(start, start + _BLOCK)
        points, sizes, valid = (
            torch.as_tensor(array[block]) for array in (keypoints[:, :, :NUM_KEYPOINTS3D], diagonal, detected)
        )
        confidence = resolve_shared_keypoints(points[..., :2], points[..., 2], sizes, valid)
        resolved[block, :, :NUM_KEYPOINTS3D, 2] = confidence.numpy()
    return resolved


def resolve_shared_keypoints(
    points: Tensor, confidence: Tensor, diagonal: Tensor, valid: Tensor | None = None
) -> Tensor:
    """[..., P, 23] confidence, 0 where a partner claims the same image point with at least similar confidence.

    A point that two people claim stays with the person whose confidence is much higher, or with neither. Only
    keypoints of the same kind compete: arms with arms, legs with legs. points: [..., P, 23, 2] pixels.
    confidence: [..., P, 23]. diagonal: [..., P] of each person's box, pixels. valid: [..., P], by default all true.
    """
    candidates, certainty = points[..., _SHAREABLE, :], confidence[..., _SHAREABLE]
    difference = candidates[..., :, None, :, None, :] - candidates[..., None, :, None, :, :]
    distance = difference.norm(dim=-1)  # [..., P, P, K, K]
    limit = _SAME_POINT * torch.minimum(diagonal[..., :, None], diagonal[..., None, :])[..., None, None]
    arm = torch.arange(len(_SHAREABLE), device=points.device) < _NUM_ARM_KEYPOINTS
    competes = certainty[..., None, :, None, :] > _MIN_RIVAL_CONFIDENCE * certainty[..., :, None, :, None]
    rival = (distance < limit) & (arm[:, None] == arm) & competes
    partners = ~torch.eye(points.shape[-3], dtype=torch.bool, device=points.device)
    if valid is not None:
        partners = partners & valid[..., :, None] & valid[..., None, :]
    rejected = torch.zeros_like(confidence, dtype=torch.bool)
    rejected[..., _SHAREABLE] = (rival & partners[..., None, None]).any(-1).any(-2)
    return confidence.masked_fill(rejected, 0)


def box_diagonal(points: Tensor) -> Tensor:
    """Diagonal [...] of the box around the body keypoints of points [..., 23, 2], pixels."""
    body = points[..., :NUM_BODY_KEYPOINTS, :]
    return (body.amax(-2) - body.amin(-2)).norm(dim=-1)
