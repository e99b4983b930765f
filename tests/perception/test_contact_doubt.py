"""What closeness does to keypoints: sigmas, claims, pairs."""

from __future__ import annotations

import numpy as np
import pytest
from figures import stick_figure

from closemesh.body.skeleton import LIMBS
from closemesh.perception.keypoints.uncertainty import (
    distance_to_limbs,
    keypoint_scales,
    keypoint_sigmas,
    without_shared_keypoints,
)
from closemesh.perception.tracking.tracklets import close_intervals, close_pairs
from closemesh.perception.types import Detection
from closemesh.structures import Observations

LEFT_WRIST, RIGHT_WRIST, NOSE = 9, 10, 0


def arrays(frames: list[list[Detection | None]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """keypoints [T, P, 133, 3], boxes [T, P, 4], visible [T, P]."""
    T, P = len(frames), len(frames[0])
    keypoints, boxes, visible = np.zeros((T, P, 133, 3)), np.zeros((T, P, 4)), np.zeros((T, P), bool)
    for t, people in enumerate(frames):
        for p, person in enumerate(people):
            if person is not None:
                keypoints[t, p, :17], boxes[t, p], visible[t, p] = person.keypoints, person.box, True
    return keypoints, boxes, visible


def sigmas_of(frames: list[list[Detection | None]]) -> np.ndarray:
    keypoints, boxes, visible = arrays(frames)
    return keypoint_sigmas(keypoints, boxes, visible, np.zeros(keypoints.shape[:3]))


def observations(frames: list[list[Detection | None]]) -> Observations:
    keypoints, boxes, visible = arrays(frames)
    T, P = visible.shape
    return Observations(
        boxes, keypoints, np.ones((T, P, 133)), np.zeros((T, P, 23, 4)), visible, np.ones((T, P)), "test"
    )


def test_sigmas_grow_with_size_and_fall_with_confidence() -> None:
    small, large = sigmas_of([[stick_figure(300, height=100)]]), sigmas_of([[stick_figure(300, height=200)]])
    np.testing.assert_allclose(large[:, :, :17], 2 * small[:, :, :17])
    unsure = sigmas_of([[stick_figure(300, height=200, confidence=0.3)]])
    np.testing.assert_allclose(unsure[:, :, :17], 3 * large[:, :, :17])
    assert np.isfinite(large).all() and (large > 0).all()
    assert keypoint_scales()[NOSE] < keypoint_scales()[LEFT_WRIST] < keypoint_scales()[11]


def test_fast_limbs_are_less_sure() -> None:
    still, fast = stick_figure(300), stick_figure(300)
    fast.keypoints[LEFT_WRIST, 0] += 60
    sigmas = sigmas_of([[still], [fast]])
    assert sigmas[1, 0, LEFT_WRIST] > sigmas[0, 0, LEFT_WRIST] + 1
    assert sigmas[1, 0, RIGHT_WRIST] == sigmas[0, 0, RIGHT_WRIST]


def test_a_wrist_on_the_partners_forearm_is_doubted_and_the_rest_is_not() -> None:
    a, b = stick_figure(200), stick_figure(500)
    alone = sigmas_of([[a, b]])
    a.keypoints[LEFT_WRIST, :2] = b.keypoints[[8, 10], :2].mean(0)
    near = sigmas_of([[a, b]])
    assert near[0, 0, LEFT_WRIST] > 3 * alone[0, 0, LEFT_WRIST]
    assert near[0, 0, RIGHT_WRIST] == pytest.approx(alone[0, 0, RIGHT_WRIST], rel=1e-6)
    absent = sigmas_of([[a, None]])
    assert absent[0, 0, LEFT_WRIST] == pytest.approx(alone[0, 0, LEFT_WRIST])


def test_distance_to_limbs_is_that_of_a_dense_sampling() -> None:
    keypoints, _, _ = arrays([[stick_figure(300)]])
    points = np.random.default_rng(0).uniform(0, 600, (1, 50, 2))
    share = np.linspace(0, 1, 2001)[:, None]
    body = keypoints[0, 0, :, :2]
    dense = np.concatenate([(1 - share) * body[a] + share * body[b] for a, b in LIMBS])
    expected = np.linalg.norm(points[0, :, None] - dense, axis=-1).min(1)
    np.testing.assert_allclose(distance_to_limbs(points, keypoints[:, 0])[0], expected, atol=0.1)


@pytest.mark.parametrize(("own", "partner", "kept"), [(0.9, 0.3, (True, False)), (0.8, 0.8, (False, False))])
def test_a_point_that_both_claim_is_given_to_one_or_to_neither(
    own: float, partner: float, kept: tuple[bool, bool]
) -> None:
    a, b = stick_figure(200), stick_figure(420)
    a.keypoints[LEFT_WRIST] = (310, 200, own)
    b.keypoints[RIGHT_WRIST] = (311, 200, partner)
    keypoints, boxes, visible = arrays([[a, b]])
    settled = without_shared_keypoints(keypoints, boxes, visible)
    assert (settled[0, 0, LEFT_WRIST, 2] > 0, settled[0, 1, RIGHT_WRIST, 2] > 0) == kept
    changed = (settled != keypoints).any(-1)
    assert changed.sum() == 2 - sum(kept)


def test_a_wrist_at_a_knee_is_no_rival_claim() -> None:
    a, b = stick_figure(200), stick_figure(420)
    a.keypoints[LEFT_WRIST, :2] = b.keypoints[14, :2]
    keypoints, boxes, visible = arrays([[a, b]])
    np.testing.assert_array_equal(without_shared_keypoints(keypoints, boxes, visible), keypoints)


def test_pairs_are_close_while_limbs_are_near() -> None:
    frames = [[stick_figure(100 + 10 * t), stick_figure(500), stick_figure(100, y=330, height=60)] for t in range(60)]
    (pair,) = close_pairs(observations(frames))
    assert (pair.person_a, pair.person_b) == (0, 1)
    ((start, end),) = pair.intervals
    # Wrists are 0.2 heights off the hip: they meet at a distance of 80 px, an arm's breadth earlier is 25 px.
    assert start == pytest.approx(30, abs=2)
    assert end == pytest.approx(50, abs=2)


def test_nobody_is_close_to_the_absent() -> None:
    assert close_pairs(observations([[stick_figure(300), None]] * 10)) == []
    assert close_pairs(observations([[stick_figure(300)]] * 10)) == []


def test_short_partings_do_not_end_an_interval() -> None:
    active = np.zeros(60, bool)
    active[5:20] = active[25:30] = active[50:51] = True
    assert close_intervals(active) == ((5, 29),)
    assert close_intervals(np.zeros(5, bool)) == ()
