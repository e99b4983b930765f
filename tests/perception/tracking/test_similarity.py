"""Keypoint similarity of detections, and merging of duplicates."""

from __future__ import annotations

import numpy as np
import pytest
from stick_figures import stick_figure

from closemesh.perception.tracking.similarity import keypoint_nms, oks


def test_similarity_is_one_for_equal_detections_and_falls_with_distance() -> None:
    person = stick_figure(300)
    values = [oks(person, stick_figure(300 + shift)) for shift in (0, 5, 20, 80)]
    assert values[0] == pytest.approx(1)
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.1
    assert oks(person, stick_figure(300, confidence=0.05)) == 0


def test_two_detections_of_one_person_are_merged() -> None:
    left, right, other = stick_figure(298, score=0.6), stick_figure(302, score=0.5), stick_figure(450)
    merged = keypoint_nms([left, right, other])
    assert len(merged) == 2
    one = next(person for person in merged if person.box[0] < 350)
    np.testing.assert_allclose(one.keypoints[:, :2], stick_figure(300).keypoints[:, :2], atol=1e-9)


def test_a_keypoint_on_which_two_detections_differ_is_the_more_confident_one() -> None:
    """The mean of two different elbows would be no elbow at all."""
    first, second = stick_figure(300, score=0.6), stick_figure(300, score=0.5)
    second.keypoints[7, :2] += (60, 0)
    second.keypoints[7, 2] = 0.95
    (merged,) = keypoint_nms([first, second])
    np.testing.assert_allclose(merged.keypoints[7, :2], second.keypoints[7, :2])
