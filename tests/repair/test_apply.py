"""Edits applied to observations, label images and statements."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.core.errors import InputError
from closemesh.repair.apply import PIN_SIGMA, contact_statements, edit_labels, edit_observations, follow_edits
from closemesh.repair.edits import parse_line
from closemesh.structures import Observations
from closemesh.text.statements import Touch

SIZE = (640, 480)
FRAMES, PEOPLE = 6, 3


@pytest.fixture
def observations() -> Observations:
    """Random numbers; person 2 is detected in the last two frames only, person 0 in all but these and one before."""
    random = np.random.default_rng(0)
    detected = np.ones((FRAMES, PEOPLE), bool)
    detected[:4, 2] = False
    detected[5:, 0] = False
    return Observations(
        boxes=random.random((FRAMES, PEOPLE, 4)),
        keypoints=random.random((FRAMES, PEOPLE, 133, 3)),
        sigmas=random.random((FRAMES, PEOPLE, 133)),
        keypoints3d=random.random((FRAMES, PEOPLE, 23, 4)),
        detected=detected,
        track_confidence=random.random((FRAMES, PEOPLE)),
        detector="constructed",
        outside=np.ones((FRAMES, PEOPLE, 23), bool),
        flow_keypoints=random.random((FRAMES, PEOPLE, 23, 3)),
    )


def edited(observations: Observations, *lines: str) -> Observations:
    return edit_observations(observations, follow_edits(observations.detected, [*map(parse_line, lines)], SIZE))


def assert_equal(a: Observations, b: Observations) -> None:
    for one in fields(a):
        np.testing.assert_array_equal(getattr(a, one.name), getattr(b, one.name), one.name)


def test_without_edits_nothing_changes(observations: Observations) -> None:
    assert_equal(edited(observations), observations)


def test_a_swap_exchanges_people_in_its_frames_and_a_second_one_restores_them(observations: Observations) -> None:
    once = edited(observations, "swap 0:1@2-3")
    np.testing.assert_array_equal(once.keypoints[2:4, 0], observations.keypoints[2:4, 1])
    np.testing.assert_array_equal(once.keypoints[[0, 1, 4, 5]], observations.keypoints[[0, 1, 4, 5]])
    assert_equal(edited(observations, "swap 0:1@2-3", "swap 1:0@2-3"), observations)


def test_a_dropped_person_is_gone_in_these_frames_or_with_the_track(observations: Observations) -> None:
    part = edited(observations, "drop 1@0-2")
    assert not part.detected[:3, 1].any() and part.detected[3:, 1].all()
    assert not part.keypoints[:3, 1].any()
    whole = edited(observations, "drop 1")
    np.testing.assert_array_equal(whole.boxes, observations.boxes[:, [0, 2]])


@pytest.mark.parametrize(("line", "in_frame_4"), [("merge 0+2", 0), ("merge 2+0", 2)])
def test_merged_tracks_prefer_the_first(observations: Observations, line: str, in_frame_4: int) -> None:
    merged = edited(observations, line)
    assert merged.num_people == 2
    assert merged.detected[:, 0].all()
    np.testing.assert_array_equal(merged.keypoints[:4, 0], observations.keypoints[:4, 0])
    np.testing.assert_array_equal(merged.keypoints[4, 0], observations.keypoints[4, in_frame_4])
    np.testing.assert_array_equal(merged.keypoints[5, 0], observations.keypoints[5, 2])


def test_a_pin_sets_one_keypoint_and_leaves_out_other_estimates_of_it(observations: Observations) -> None:
    pinned, wrist = edited(observations, "pin 1:left_wrist@3=12,34.5"), KEYPOINT_INDEX["left_wrist"]
    assert pinned.keypoints[3, 1, wrist].tolist() == [12, 34.5, 1]
    assert pinned.sigmas[3, 1, wrist] == PIN_SIGMA
    assert pinned.keypoints3d[3, 1, wrist, 3] == 0
    assert pinned.flow_keypoints is not None and pinned.flow_keypoints[3, 1, wrist, 2] == 0
    assert pinned.outside is not None and not pinned.outside[3, 1, wrist]
    assert (pinned.keypoints != observations.keypoints).sum() == 3


def test_a_pin_stays_with_the_observation_that_was_pinned(observations: Observations) -> None:
    pinned = edited(observations, "pin 0:nose@2=5,6", "swap 0:1@2-2", "drop 0")
    assert pinned.keypoints[2, 0, KEYPOINT_INDEX["nose"]].tolist() == [5, 6, 1]


def test_masks_follow_the_tracks(observations: Observations) -> None:
    lines = map(parse_line, ("swap 0:1@2-3", "drop 2"))
    tracks = follow_edits(observations.detected, [*lines], SIZE)
    labels = np.array([[0, 1, 2, 3]], np.uint8)
    assert edit_labels(labels, tracks.sources[0]).tolist() == [[0, 1, 2, 0]]
    assert edit_labels(labels, tracks.sources[2]).tolist() == [[0, 2, 1, 0]]


def test_contacts_become_statements_of_the_people_after_all_edits() -> None:
    lines = ("touch 0:left_hand-2:head@1-3", "touch 1:head-2:head@1-1", "drop 1", "touch 0:head-1:head")
    first, second = contact_statements([*map(parse_line, lines)], np.arange(6) / 10)
    assert first.statement == Touch(0, "left_hand", 1, "head")
    assert (first.start, first.end, first.confidence) == (0.1, 0.3, 1.0)
    assert (second.statement, second.start, second.end) == (Touch(0, "head", 1, "head"), 0.0, 0.5)


def test_a_contact_of_merged_people_is_none() -> None:
    edits = [*map(parse_line, ("touch 0:head-1:head@0-1", "touch 1:head-2:head@0-1", "merge 0+1"))]
    (left,) = contact_statements(edits, np.arange(6.0))
    assert left.statement == Touch(0, "head", 1, "head")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["swap 0:7@1-2"], "there is no person 7; the result has 0 to 2"),
        (["drop 2", "drop 2"], "there is no person 2; the result has 0 to 1"),
        (["touch 0:head-5:head@1-2"], "there is no person 5"),
        (["swap 0:1@2-6"], "there is no frame 6; the clip has 0 to 5"),
        (["pin 0:nose@6=1,1"], "there is no frame 6"),
        (["pin 2:nose@0=1,1"], "person 2 is not detected in frame 0"),
        (["pin 0:nose@0=640,1"], "outside the image of 640x480"),
        (["drop 0", "drop 0", "drop 0"], "no person would be left"),
        (["drop 2@4-5"], "person 2 would be in no frame"),
    ],
)
def test_edits_that_do_not_fit_are_named(observations: Observations, lines: list[str], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        edited(observations, *lines)
