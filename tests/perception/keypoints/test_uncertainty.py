"""Sigmas of keypoints, and keypoints that two people claim."""

from __future__ import annotations

import numpy as np
import pytest
from stick_figures import as_arrays, stick_figure

from closemesh.body.skeleton import LIMBS
from closemesh.perception.keypoints.uncertainty import (
    distance_to_limbs,
    keypoint_scales,
    keypoint_sigmas,
    without_shared_keypoints,
)
from closemesh.perception.types import Detection

LEFT_WRIST, RIGHT_WRIST, NOSE = 9, 10, 0


def sigmas_of(frames: list[list[Detection | None]]) -> np.ndarray:
    keypoints, boxes, visible = as_arrays(frames)
    return keypoint_sigmas(keypoints, boxes, visible, np.zeros(keypoints.shape[:3]))


def test_sigmas_grow_with_size_and_fall_with_confidence() -> None:
    small, large = sigmas_of([[stick_figure(300, height=100)]]), sigmas_of([[stick_figure(300, height=200)]])
    np.testing.assert_allclose(large[:, :, :17], 2 * small[:, :, :17])
    unsure = sigmas_of([[stick_figure(300, height=200, confidence=0.3)]])
    np.testing.assert_allclose(unsure[:, :, :17], 3 * large[:, :, :17])
    assert np.isfinite(large).all() and (large > 0).all()
    assert keypoint_scales()[NOSE] < keypoint_scales()[LEFT_WRIST] < keypoint_scales()[11]


def test_fast_limbs_have_larger_sigmas() -> None:
    still, fast = stick_figure(300), stick_figure(300)
    fast.keypoints[LEFT_WRIST, 0] += 60
    sigmas = sigmas_of([[still], [fast]])
    assert sigmas[1, 0, LEFT_WRIST] > sigmas[0, 0, LEFT_WRIST] + 1
    assert sigmas[1, 0, RIGHT_WRIST] == sigmas[0, 0, RIGHT_WRIST]


def test_only_a_wrist_on_the_partners_forearm_has_a_larger_sigma() -> None:
    a, b = stick_figure(200), stick_figure(500)
    alone = sigmas_of([[a, b]])
    a.keypoints[LEFT_WRIST, :2] = b.keypoints[[8, 10], :2].mean(0)
    near = sigmas_of([[a, b]])
    assert near[0, 0, LEFT_WRIST] > 3 * alone[0, 0, LEFT_WRIST]
    assert near[0, 0, RIGHT_WRIST] == pytest.approx(alone[0, 0, RIGHT_WRIST], rel=1e-6)
    absent = sigmas_of([[a, None]])
    assert absent[0, 0, LEFT_WRIST] == pytest.approx(alone[0, 0, LEFT_WRIST])


def test_distance_to_limbs_is_that_of_a_dense_sampling() -> None:
    keypoints, _, _ = as_arrays([[stick_figure(300)]])
    points = np.random.default_rng(0).uniform(0, 600, (1, 50, 2))
    weight = np.linspace(0, 1, 2001)[:, None]
    body = keypoints[0, 0, :, :2]
    dense = np.concatenate([(1 - weight) * body[a] + weight * body[b] for a, b in LIMBS])
    expected = np.linalg.norm(points[0, :, None] - dense, axis=-1).min(1)
    np.testing.assert_allclose(distance_to_limbs(points, keypoints[:, 0])[0], expected, atol=0.1)


@pytest.mark.parametrize(("own", "partner", "remaining"), [(0.9, 0.3, (True, False)), (0.8, 0.8, (False, False))])
def test_a_point_that_both_claim_stays_with_one_or_with_neither(
    own: float, partner: float, remaining: tuple[bool, bool]
) -> None:
    a, b = stick_figure(200), stick_figure(420)
    a.keypoints[LEFT_WRIST] = (310, 200, own)
    b.keypoints[RIGHT_WRIST] = (311, 200, partner)
    keypoints, boxes, visible = as_arrays([[a, b]])
    resolved = without_shared_keypoints(keypoints, boxes, visible)
    assert (resolved[0, 0, LEFT_WRIST, 2] > 0, resolved[0, 1, RIGHT_WRIST, 2] > 0) == remaining
    changed = (resolved != keypoints).any(-1)
    assert changed.sum() == 2 - sum(remaining)


def test_a_wrist_at_a_knee_does_not_compete() -> None:
    a, b = stick_figure(200), stick_figure(420)
    a.keypoints[LEFT_WRIST, :2] = b.keypoints[14, :2]
    keypoints, boxes, visible = as_arrays([[a, b]])
    np.testing.assert_array_equal(without_shared_keypoints(keypoints, boxes, visible), keypoints)
