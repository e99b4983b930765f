"""The batched rule for rival claims is the observation stage's."""

from __future__ import annotations

import numpy as np
import torch

from closemesh.perception.keypoints.uncertainty import lost_claims, resolve_shared_keypoints


def test_the_same_claims_are_lost_as_in_the_observation_stage():
    rng = np.random.default_rng(0)
    frames, people = 300, 3
    points = rng.uniform(0, 30, (frames, people, 23, 2))  # So close that many fall together.
    confidence = rng.uniform(0.2, 1, (frames, people, 23))
    boxes = np.concatenate([np.zeros((frames, people, 2)), rng.uniform(100, 300, (frames, people, 2))], axis=-1)
    keypoints = np.zeros((frames, people, 133, 3))
    keypoints[:, :, :23] = np.concatenate([points, confidence[..., None]], axis=-1)
    settled = resolve_shared_keypoints(keypoints, boxes, np.ones((frames, people), bool))[:, :, :23, 2]
    diagonal = torch.as_tensor(np.linalg.norm(boxes[..., 2:], axis=-1))
    lost = lost_claims(torch.as_tensor(points), torch.as_tensor(confidence), diagonal).numpy()
    assert 0.05 < lost.mean() < 0.95
    assert np.array_equal(lost, settled == 0)


def test_nobody_loses_to_somebody_who_was_not_detected():
    points = torch.zeros(2, 2, 23, 2)
    confidence = torch.ones(2, 2, 23)
    confidence[:, 1] = 0
    assert not lost_claims(points, confidence, torch.full((2, 2), 100.0))[:, 0].any()
