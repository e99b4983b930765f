"""Distances between bodies of capsules, whole and part by part."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from closemesh.body.capsules import (
    CAPSULE_PARTS,
    NUM_POINTS,
    CapsuleBody,
    capsule_body,
    capsule_distance,
    part_distances,
)
from closemesh.body.landmarks import pose_landmarks
from closemesh.body.loading import load_bundled_body, load_landmark_body
from closemesh.body.skeleton import KEYPOINT_INDEX


@pytest.fixture(scope="module")
def capsules() -> CapsuleBody:
    return capsule_body(load_bundled_body("light"))


def standing(x: float) -> Tensor:
    """Keypoints [23, 3] of a person at rest, at x meters."""
    points = load_landmark_body(load_bundled_body("light")).coarse(NUM_POINTS)
    rotations = torch.eye(3).expand(1, 1, 22, 3, 3)
    return pose_landmarks(points, torch.zeros(1, 10), rotations, torch.tensor([[[x, 0.0, 0.0]]])).keypoints[0, 0]


def test_the_distance_of_the_nearest_parts_is_the_distance_of_the_bodies(capsules: CapsuleBody) -> None:
    a, b = standing(0.0), standing(1.0)
    parts = part_distances(a, b, capsules)
    assert parts.shape == (len(CAPSULE_PARTS), len(CAPSULE_PARTS)) and parts.isfinite().all()
    torch.testing.assert_close(parts.amin(), capsule_distance(a, b, capsules))
    torch.testing.assert_close(part_distances(b, a, capsules), parts.T)


def test_a_hand_on_a_head_touches_the_head_alone(capsules: CapsuleBody) -> None:
    a, b = standing(0.0), standing(5.0)
    wrist, elbow = (KEYPOINT_INDEX[f"left_{name}"] for name in ("wrist", "elbow"))
    top = b[KEYPOINT_INDEX["left_ear"]] + torch.tensor([0.0, 0.2, 0.0])
    a[wrist], a[elbow] = top + torch.tensor([-0.1, 0.0, 0.0]), top + torch.tensor([-0.35, 0.0, 0.0])
    touching = (part_distances(a, b, capsules) < 0.1).nonzero().tolist()
    assert [CAPSULE_PARTS.index("left_hand"), CAPSULE_PARTS.index("head")] in touching
    assert {CAPSULE_PARTS[part] for _, part in touching} == {"head"}
