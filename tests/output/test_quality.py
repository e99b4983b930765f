"""Metrics with known values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from closemesh.body.motion import motion_joints
from closemesh.body.skinning import skin, wholebody_keypoints
from closemesh.geometry.camera import project
from closemesh.output.quality import contact_metrics, jitter, motion_quality, reprojection_metrics, standing_heights
from closemesh.structures import Contact, Observations, PairContacts


@pytest.fixture
def shifted(dance, observations: Observations) -> Observations:
    """Every keypoint exactly 3 pixels right of and 4 below that of the body."""
    motion = dance.motion
    arrays = (motion.betas, motion.rotations, motion.transl, motion.expression)
    points = wholebody_keypoints(dance.body, *skin(dance.body, *(torch.as_tensor(array) for array in arrays)))
    pixels = project(points, dance.camera.focal, dance.camera.principal_point).numpy() + np.array([3.0, 4.0])
    return replace(observations, keypoints=np.concatenate([pixels, np.full((*pixels.shape[:-1], 1), 0.9)], axis=-1))


def test_reprojection_error_in_pixels_and_of_the_height(dance, shifted: Observations) -> None:
    metrics = reprojection_metrics(shifted, dance.camera, dance.motion, dance.body)
    assert metrics["reprojection_median_px"] == pytest.approx(5, abs=1e-3)
    pelvis_depth = motion_joints(dance.motion, dance.body)[:, :, 0, 2]
    heights = standing_heights(dance.motion, dance.body) * dance.camera.focal / pelvis_depth
    expected = np.median(np.repeat(500 / heights, 17))
    assert metrics["reprojection_median_percent_of_height"] == pytest.approx(expected, rel=1e-3)


def test_low_confidence_and_absent_people_do_not_count(dance, shifted: Observations) -> None:
    keypoints = shifted.keypoints.copy()
    keypoints[:, :, 3, :] = [1000, 1000, 0.4]  # Low confidence.
    keypoints[:, :, 30, :] = [1000, 1000, 0.9]  # Face.
    keypoints[2, 1, :, :2] = 1000
    valid = dance.motion.valid.copy()
    valid[2, 1] = False
    motion = replace(dance.motion, valid=valid)
    metrics = reprojection_metrics(replace(shifted, keypoints=keypoints), dance.camera, motion, dance.body)
    assert metrics["reprojection_median_px"] == pytest.approx(5, abs=1e-3)
    assert metrics["reprojection_p95_percent_of_height"] < 20  # type: ignore[operator]


def test_no_detection_gives_no_metric(dance, shifted: Observations) -> None:
    empty = replace(shifted, keypoints=np.zeros_like(shifted.keypoints))
    assert set(reprojection_metrics(empty, dance.camera, dance.motion, dance.body).values()) == {None}


def test_standing_heights_are_human(dance) -> None:
    heights = standing_heights(dance.motion, dance.body)
    assert heights.shape == (2,)
    assert ((heights > 1.4) & (heights < 2.1)).all()


def test_jitter_of_a_cubic_path(dance) -> None:
    seconds = np.arange(6) / 25
    joints = np.zeros((6, 2, 55, 3))
    joints[:, 0, :, 0] = 2 * seconds[:, None] ** 3  # Third derivative 12.
    joints[:, 1, :, 1] = 4 * seconds[:, None] ** 3  # 24.
    assert jitter(joints, dance.motion, 25.0) == pytest.approx(18)
    valid = dance.motion.valid.copy()
    valid[:, 1] = [True, True, True, False, True, True]  # No four frames in a row.
    assert jitter(joints, replace(dance.motion, valid=valid), 25.0) == pytest.approx(12)
    assert jitter(joints[:3], dance.motion, 25.0) is None


def test_contact_metrics() -> None:
    contact = Contact(0, 1, "left_hand", "back", 1, 1, 0.0, 0.02)
    pairs = [
        PairContacts(0, 1, np.array([0.1, 0.0, np.nan]), np.array([0.0, 0.02, np.nan]), (contact,)),
        PairContacts(1, 2, np.array([0.3, 0.2, 0.25]), np.zeros(3), ()),
    ]
    metrics = contact_metrics(pairs, 2)
    assert metrics == {
        "contacts": 1,
        "closest_mm": 0,
        "frames_crossing_percent": pytest.approx(20),
        "penetration_mean_mm": pytest.approx(4),
        "penetration_max_mm": pytest.approx(20),
    }
    no_pair = contact_metrics([], 2)
    assert no_pair["closest_mm"] is None and no_pair["penetration_max_mm"] == 0
    assert contact_metrics([], 1)["penetration_max_mm"] is None


def test_all_metrics_together(dance, shifted: Observations) -> None:
    metrics = motion_quality(dance.clip, shifted, dance.camera, dance.motion, dance.body, [])
    assert metrics["reprojection_median_px"] == pytest.approx(5, abs=1e-3)
    expected = jitter(motion_joints(dance.motion_world, dance.body), dance.motion, dance.clip.fps)
    assert metrics["jitter_m_s3"] == pytest.approx(expected, rel=1e-2)
