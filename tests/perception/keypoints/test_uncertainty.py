"""Sigmas of keypoints, and keypoints that two people claim."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stick_figures import as_arrays, stick_figure

from closemesh.body.skeleton import LIMBS
from closemesh.fitting.keypoint_noise import load_keypoint_noise
from closemesh.perception.keypoints.uncertainty import (
    batched_keypoint_sigmas,
    distance_to_limbs,
    keypoint_sigmas,
    without_shared_keypoints,
)
from closemesh.perception.types import Detection

LEFT_WRIST, RIGHT_WRIST, NOSE = 9, 10, 0


IMAGE = (900, 900)


def sigmas_of(
    frames: list[list[Detection | None]], image: tuple[int, int] = IMAGE, disagreement: float = 0
) -> np.ndarray:
    keypoints, boxes, visible = as_arrays(frames)
    return keypoint_sigmas(keypoints, boxes, visible, np.full(keypoints.shape[:3], disagreement), image)


def test_sigmas_grow_with_size_and_fall_with_confidence() -> None:
    small, large = sigmas_of([[stick_figure(300, height=100)]]), sigmas_of([[stick_figure(300, height=200)]])
    np.testing.assert_allclose(large[:, :, :17], 2 * small[:, :, :17])
    steps = [
        sigmas_of([[stick_figure(300, height=200, confidence=c)]])[0, 0, LEFT_WRIST] for c in np.linspace(0.35, 1, 14)
    ]
    assert (np.diff(steps) <= 1e-9).all() and steps[0] > 1.2 * steps[-1]
    assert np.isfinite(large).all() and (large > 0).all()
    scales = load_keypoint_noise().scales()
    assert scales[1] < scales[LEFT_WRIST] < scales[5]


def test_a_half_figure_has_the_sigmas_of_the_whole_one() -> None:
    whole, half = stick_figure(300, height=200), stick_figure(300, height=200)
    half.keypoints[13:, 2] = 0
    cut = Detection(np.array([*half.box[:3], half.box[1] + 0.5 * (half.box[3] - half.box[1])]), half.keypoints, 1.0)
    np.testing.assert_allclose(sigmas_of([[cut]])[0, 0, :13], sigmas_of([[whole]])[0, 0, :13], rtol=0.15)


def test_points_at_the_border_have_larger_sigmas() -> None:
    figure = stick_figure(300, height=200)
    inside = sigmas_of([[figure]])[0, 0]
    lowest = figure.keypoints[:, 1].max()
    cut = sigmas_of([[figure]], image=(900, int(lowest) + 2))[0, 0]
    ankles = [15, 16]
    assert (cut[ankles] > 1.5 * inside[ankles]).all()
    np.testing.assert_allclose(cut[:5], inside[:5])


def test_only_a_disagreement_beyond_the_noise_of_both_enlarges_sigmas() -> None:
    alone, little, much = (sigmas_of([[stick_figure(300, height=200)]], disagreement=d)[0, 0, 0] for d in (0, 1, 20))
    assert little == alone and much > 3 * alone


def test_sigmas_of_a_batch_are_those_of_each_clip() -> None:
    a, b = stick_figure(200), stick_figure(260)
    clips = [as_arrays([[a, b], [b, a]]), as_arrays([[a, None], [a, stick_figure(700)]])]
    keypoints, boxes, detected = (torch.as_tensor(np.stack(part)) for part in zip(*clips, strict=True))
    disagreement = torch.rand(keypoints.shape[:-1], dtype=torch.float64) * 9
    sizes = torch.tensor([[900, 900], [720, 1280]])
    together = batched_keypoint_sigmas(keypoints, boxes, detected, disagreement, sizes)
    for k in range(2):
        alone = keypoint_sigmas(
            *(x[k].numpy() for x in (keypoints, boxes, detected, disagreement)), tuple(sizes[k].tolist())
        )
        np.testing.assert_allclose(together[k].numpy(), alone)


def test_fast_limbs_have_larger_sigmas() -> None:
    still, fast = stick_figure(300), stick_figure(300)
    fast.keypoints[LEFT_WRIST, 0] += 60
    sigmas = sigmas_of([[still], [fast]])
    assert sigmas[1, 0, LEFT_WRIST] > 1.5 * sigmas[0, 0, LEFT_WRIST]
    assert sigmas[1, 0, RIGHT_WRIST] == pytest.approx(sigmas[0, 0, RIGHT_WRIST], rel=0.1)


def test_only_a_wrist_on_the_partners_forearm_has_a_larger_sigma() -> None:
    a, b = stick_figure(200), stick_figure(500)
    alone = sigmas_of([[a, b]])
    a.keypoints[LEFT_WRIST, :2] = b.keypoints[[8, 10], :2].mean(0)
    near = sigmas_of([[a, b]])
    assert near[0, 0, LEFT_WRIST] > 1.3 * alone[0, 0, LEFT_WRIST]
    assert near[0, 0, RIGHT_WRIST] == pytest.approx(alone[0, 0, RIGHT_WRIST], rel=0.1)
    absent = sigmas_of([[a, None]])
    assert absent[0, 0, LEFT_WRIST] == pytest.approx(alone[0, 0, LEFT_WRIST], rel=0.1)


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
