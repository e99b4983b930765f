"""The rule for keypoints that two people claim, in both precisions, against one pair of people after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from closemesh.perception.keypoints.uncertainty import resolve_shared_keypoints, without_shared_keypoints

ARMS, LEGS = [7, 8, 9, 10], [13, 14, 15, 16, 17, 18, 19, 20, 21, 22]


def resolved_pair_by_pair(points: np.ndarray, confidence: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
    """[T, P, 23] confidence, with loops over people and over limbs."""
    resolved = confidence.copy()
    people = points.shape[1]
    for p, q in ((p, q) for p in range(people) for q in range(people) if p != q):
        limit = 0.02 * np.minimum(diagonal[:, p], diagonal[:, q])[:, None, None]
        for limb in (ARMS, LEGS):
            own, other = points[:, p, limb], points[:, q, limb]
            distance = np.linalg.norm(own[:, :, None] - other[:, None], axis=-1)  # [T, K, K]
            rival = confidence[:, q, limb][:, None] > 0.7 * confidence[:, p, limb][:, :, None]
            rejected = ((distance < limit) & rival).any(2)
            resolved[:, p, limb] = np.where(rejected, 0, resolved[:, p, limb])
    return resolved


@pytest.fixture
def crowd() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points [T, 3, 23, 2] so close that many coincide, confidence [T, 3, 23], boxes [T, 3, 4]."""
    rng = np.random.default_rng(0)
    frames, people = 300, 3
    points = rng.uniform(0, 30, (frames, people, 23, 2))
    confidence = rng.uniform(0.2, 1, (frames, people, 23))
    boxes = np.concatenate([np.zeros((frames, people, 2)), rng.uniform(100, 300, (frames, people, 2))], axis=-1)
    return points, confidence, boxes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_keypoints_are_rejected_as_pair_by_pair(crowd, dtype):
    points, confidence, boxes = (array.astype(dtype) for array in crowd)
    diagonal = np.linalg.norm(boxes[..., 2:], axis=-1)
    expected = resolved_pair_by_pair(points, confidence, diagonal)
    tensors = (torch.as_tensor(array) for array in (points, confidence, diagonal))
    resolved = resolve_shared_keypoints(*tensors).numpy()
    assert 0.05 < (resolved == 0).mean() < 0.95
    assert resolved.dtype == dtype
    assert np.array_equal(resolved, expected)


def test_observed_keypoints_follow_the_same_rule(crowd):
    points, confidence, boxes = crowd
    keypoints = np.zeros((*points.shape[:2], 133, 3))
    keypoints[:, :, :23] = np.concatenate([points, confidence[..., None]], axis=-1)
    detected = np.ones(points.shape[:2], bool)
    resolved = without_shared_keypoints(keypoints, boxes, detected)
    expected = resolved_pair_by_pair(points, confidence, np.linalg.norm(boxes[..., 2:], axis=-1))
    assert np.array_equal(resolved[:, :, :23, 2], expected)
    assert np.array_equal(resolved[..., :2], keypoints[..., :2])
    detected[:, 0] = False
    others = without_shared_keypoints(keypoints, boxes, detected)
    assert np.array_equal(others[:, 0], keypoints[:, 0])
    assert (others[:, 1:, :, 2] >= resolved[:, 1:, :, 2]).all(), "a person who is not detected competes with no one"


def test_a_partner_who_was_not_detected_does_not_compete():
    points = torch.zeros(2, 2, 23, 2)
    confidence = torch.ones(2, 2, 23)
    confidence[:, 1] = 0
    assert (resolve_shared_keypoints(points, confidence, torch.full((2, 2), 100.0))[:, 0] == 1).all()
