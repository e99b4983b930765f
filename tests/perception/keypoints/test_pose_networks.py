"""Crops and heat maps of BlazePose."""

from __future__ import annotations

import numpy as np
import pytest

from closemesh.perception.detectors.multi_scale import detect_multi_scale
from closemesh.perception.keypoints.pose_networks import CROP, crop_transform, refine_with_heatmaps
from closemesh.perception.keypoints.topdown import MediaPipeDetector, keypoint_agreement
from closemesh.perception.types import Detection


def test_a_rotated_image_rotates_the_3d_keypoints(detector: MediaPipeDetector, first_frame: np.ndarray) -> None:
    """The crop is upright on the person, so only the map back distinguishes the two images."""
    person = max(detect_multi_scale(detector, first_frame, [], 0), key=lambda p: p.score)
    rotated_image = np.ascontiguousarray(np.rot90(first_frame))  # (x, y) -> (y, W - 1 - x)
    keypoints = person.keypoints.copy()
    keypoints[:, :2] = np.stack([person.keypoints[:, 1], first_frame.shape[1] - 1 - person.keypoints[:, 0]], 1)
    upright = detector.refine(first_frame, person)
    rotated = detector.refine(rotated_image, Detection(person.box, keypoints, person.score))
    assert upright is not None and rotated is not None
    x, y, z = upright.keypoints3d[:, :3].T
    np.testing.assert_allclose(rotated.keypoints3d[:, :3], np.stack([y, -x, z], 1), atol=0.02)
    there = upright.keypoints[upright.keypoints[:, 2] > 0.5]
    back = rotated.keypoints[upright.keypoints[:, 2] > 0.5]
    expected = np.stack([there[:, 1], first_frame.shape[1] - 1 - there[:, 0]], 1)
    np.testing.assert_allclose(back[:, :2], expected, atol=0.01 * person.diagonal)


def test_both_networks_see_the_same_people(first_frame: np.ndarray) -> None:
    """Outputs in another order would put points, mask or meters elsewhere."""
    full, heavy = (MediaPipeDetector(network) for network in ("full", "heavy"))
    people = sorted(detect_multi_scale(heavy, first_frame, [], 0), key=lambda p: -p.score)[:2]
    for person in people:
        a, b = full.refine(first_frame, person), heavy.refine(first_frame, person)
        assert a is not None and b is not None
        assert keypoint_agreement(person, b) > 0.9 and b.presence > 0.9
        confident = (a.keypoints[:, 2] > 0.5) & (b.keypoints[:, 2] > 0.5)
        offset = np.linalg.norm(a.keypoints[confident, :2] - b.keypoints[confident, :2], axis=1)
        assert confident.sum() > 15 and 0 < np.median(offset) < 0.02 * person.diagonal
        np.testing.assert_allclose(b.keypoints3d[:, :3], a.keypoints3d[:, :3], atol=0.4)
        assert np.median(np.linalg.norm((b.keypoints3d - a.keypoints3d)[:, :3], axis=1)) < 0.1
        masks = a.mask > 0.5, b.mask > 0.5
        assert np.logical_and(*masks).sum() > 0.9 * np.logical_or(*masks).sum()


def test_the_crop_stands_on_the_hips_with_the_shoulders_up(
    detector: MediaPipeDetector, first_frame: np.ndarray
) -> None:
    for person in detector.detect(first_frame, 384)[:2]:
        T = crop_transform(person.keypoints)
        assert T is not None
        hip, shoulder = (np.append(person.keypoints[rows, :2].mean(0), 1) for rows in ([11, 12], [5, 6]))
        np.testing.assert_allclose(T @ hip, [CROP / 2, CROP / 2], atol=0.01)
        assert (T @ shoulder)[0] == pytest.approx(CROP / 2, abs=0.01) and (T @ shoulder)[1] < CROP / 2
    assert crop_transform(np.zeros((17, 3))) is None


def test_heat_maps_move_points_to_clear_peaks_only() -> None:
    rows, columns = np.mgrid[:64, :64]
    peak = np.exp(-((columns - 31.5) ** 2 + (rows - 20) ** 2) / 4)
    heatmaps = np.stack([peak, 0.4 * peak, peak], -1)
    points = np.array([[120.0, 86.0], [120.0, 86.0], [-20.0, 300.0]])
    refined = refine_with_heatmaps(points, heatmaps)
    np.testing.assert_allclose(refined[0], [126, 80], atol=0.3)  # The window cuts the tail.
    np.testing.assert_array_equal(refined[1:], points[1:])
