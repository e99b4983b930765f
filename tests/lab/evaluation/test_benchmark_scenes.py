"""Tracks of a detector and the people they follow."""

from __future__ import annotations

import numpy as np
import pytest

from closemesh.lab.datasets.registry import TEST_KINDS
from closemesh.lab.evaluation.benchmark_scenes import HELD_OUT, find_windows, match_tracks, select_matched
from closemesh.structures import BodyMotion

FRAMES = 10
PEOPLE = np.random.default_rng(0).uniform(0, 100, size=(1, 2, 23, 2)) + np.array([[[[100, 100]], [[300, 100]]]])
TRUE = np.tile(PEOPLE, (FRAMES, 1, 1, 1))
VALID = np.ones((FRAMES, 2), bool)


def tracks_of(*people: np.ndarray) -> np.ndarray:
    """[T, Q, 133, 3] keypoints that are exactly these people."""
    keypoints = np.zeros((FRAMES, len(people), 133, 3))
    for q, points in enumerate(people):
        keypoints[:, q, :23, :2], keypoints[:, q, :23, 2] = points, 1
    return keypoints


def test_tracks_in_another_order_with_a_stranger_between() -> None:
    keypoints = tracks_of(TRUE[:, 1] + 2, TRUE[:, 1] + 500, TRUE[:, 0])
    people = match_tracks(keypoints, np.ones((FRAMES, 3), bool), TRUE, VALID)
    assert people.tracks == (2, 0)
    assert people.found.all()


def test_a_track_that_changes_over_is_right_only_before() -> None:
    swapped = np.concatenate([TRUE[:7], TRUE[7:, ::-1]])
    people = match_tracks(tracks_of(swapped[:, 0], swapped[:, 1]), VALID, TRUE, VALID)
    assert people.tracks == (0, 1)
    assert people.found.all(1).tolist() == [True] * 7 + [False] * 3


def test_people_in_an_embrace_are_matched_by_distance() -> None:
    """Either track is near enough to either person, in every frame."""
    close = TRUE.copy()
    close[:, 1] = close[:, 0] + 8
    people = match_tracks(tracks_of(close[:, 1] + 2, close[:, 0] - 2), VALID, close, VALID)
    assert people.tracks == (1, 0)
    assert people.found.all()


def test_no_track_follows_a_person() -> None:
    visible = np.ones((FRAMES, 1), bool)
    visible[4] = False
    people = match_tracks(tracks_of(TRUE[:, 1]), visible, TRUE, VALID)
    assert people.tracks == (None, 0)
    assert not people.found[:, 0].any()
    assert np.flatnonzero(~people.found[:, 1]).tolist() == [4]


def test_unsure_keypoints_do_not_count() -> None:
    keypoints = tracks_of(TRUE[:, 0], TRUE[:, 1])
    keypoints[:, 0, 3] = [900, 900, 0]
    assert match_tracks(keypoints, VALID, TRUE, VALID).found.all()
    keypoints[:, 0, :, 2] = 0
    assert match_tracks(keypoints, VALID, TRUE, VALID).tracks == (None, 1)


def test_the_motion_follows_the_people() -> None:
    motion = BodyMotion(
        body_model="",
        betas=np.arange(3.0)[:, None],
        rotations=np.broadcast_to(np.eye(3), (FRAMES, 3, 55, 3, 3)),
        transl=np.broadcast_to(np.arange(3.0)[:, None], (FRAMES, 3, 3)),
        expression=np.zeros((FRAMES, 3, 1)),
        valid=np.ones((FRAMES, 3), bool),
        confidence=np.ones((FRAMES, 3)),
    )
    people = match_tracks(tracks_of(TRUE[:, 1] + 900, TRUE[:, 1]), VALID, TRUE, VALID)
    chosen = select_matched(motion, people)
    assert chosen.valid.all(0).tolist() == [False, True]
    assert chosen.betas[1] == pytest.approx(1)
    assert chosen.transl[0, 1] == pytest.approx(1)


QUICK = [
    *("apart_00000_00", "bridal_carry_00000_00", "fist_bump_00000_00", "helping_up_00020_00", "hug_00000_00"),
    *("kick_00000_00", "pat_on_head_00000_00", "punch_to_the_body_00000_00"),
]


def test_the_quick_selection_of_bundled_windows_never_changes() -> None:
    assert [window.name for window in find_windows(None, quick=True)] == QUICK


def test_held_out_kinds_are_selected_by_one_name_and_come_last() -> None:
    held_out = find_windows(None, (HELD_OUT,))
    assert {window.kind for window in held_out} == set(TEST_KINDS)
    windows = find_windows(None)
    assert windows[-len(held_out) :] == held_out
    assert [window.name for window in windows[:2]] == ["apart_00000_00", "apart_00000_01"]
    assert {window.kind for window in find_windows(None, (HELD_OUT,), quick=True)} == set(TEST_KINDS)
