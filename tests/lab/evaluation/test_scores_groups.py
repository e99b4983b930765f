"""Which values count for which group."""

from __future__ import annotations

import numpy as np
import pytest

from closemesh.lab.evaluation.scores import group_scores


def test_groups_take_their_own_values() -> None:
    """Three people over two frames: in the first frame 0 and 2 touch; one joint of person 1 is hidden."""
    mpjpe = np.arange(2 * 3 * 14, dtype=float).reshape(2, 3, 14)
    hidden = np.zeros((2, 3, 14), bool)
    hidden[1, 1, 5] = True
    touching = np.zeros((2, 3), bool)
    touching[0, 1] = True  # Pairs are 0-1, 0-2, 1-2.
    inter = np.array([[1.0, 2, 3], [4, 5, 6]])
    recall = np.array([[np.nan, 0.5, np.nan], [np.nan, np.nan, np.nan]])
    scores = {"MPJPE": mpjpe, "Inter": inter, "contact-R@13mm": recall}
    groups = group_scores(scores, hidden, touching)
    assert groups["all"]["MPJPE"] == {"mean": mpjpe.mean(), "n": 84}
    assert groups["occluded"] == {"MPJPE": {"mean": mpjpe[1, 1, 5], "n": 1}}
    assert groups["contact"]["MPJPE"]["mean"] == pytest.approx(mpjpe[0, [0, 2]].mean())
    assert groups["contact"]["Inter"] == {"mean": 2, "n": 1}
    assert groups["all"]["contact-R@13mm"] == {"mean": 50, "n": 1}  # Percent.


def test_what_is_nowhere_defined_is_left_out() -> None:
    scores = {"MPJPE": np.full((2, 1, 14), np.nan), "Inter": np.zeros((2, 0))}
    groups = group_scores(scores, np.ones((2, 1, 14), bool), np.zeros((2, 0), bool))
    assert groups == {"all": {}, "occluded": {}, "contact": {}}
