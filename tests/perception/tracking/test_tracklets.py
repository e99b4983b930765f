"""Linked tracklets, selected tracks and close pairs."""

from __future__ import annotations

import re

import numpy as np
import pytest
from figure_tracks import BLUE, GREEN, RED, track, walk
from stick_figures import as_arrays, stick_figure

from closemesh.core.errors import InputError
from closemesh.perception.tracking.tracklets import (
    choose_tracks,
    close_intervals,
    close_pairs,
    describe_tracks,
    link_tracklets,
)
from closemesh.perception.types import Detection
from closemesh.structures import Observations


def test_a_person_who_comes_back_is_linked_by_clothing() -> None:
    one = track(0, walk(100, 0, range(0, 60)), GREEN)
    before = track(1, walk(300, 2, range(0, 20)), RED)
    after = track(2, walk(500, -2, range(40, 60)), RED)
    other = track(3, walk(500, -2, range(25, 35)), BLUE)
    joined = link_tracklets([one, before, after, other])
    assert [t.track_id for t in joined] == [0, 1, 3]
    assert joined[1].frames == [*range(0, 20), *range(40, 60)]


def test_people_detected_together_are_never_joined() -> None:
    twins = [track(0, walk(100, 0, range(20)), RED), track(1, walk(400, 0, range(20)), RED)]
    assert len(link_tracklets(twins)) == 2


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_people_in_the_same_clothes_are_not_joined_in_a_photo_or_a_short_clip(frames: int) -> None:
    team = [track(number, walk(100 + 90 * number, 0, range(frames)), RED) for number in range(7)]
    assert len(link_tracklets(team, min_length=1)) == 7


def test_tracklets_that_overlap_for_a_frame_are_one_person() -> None:
    pieces = [track(0, walk(100, 3, range(0, 11)), RED), track(1, walk(100, 3, range(10, 40)), RED)]
    (whole,) = link_tracklets(pieces)
    assert whole.frames == list(range(40))


def test_a_single_detection_counts_only_in_a_clip_of_one_frame() -> None:
    glimpse = [track(0, walk(100, 0, range(1)), RED)]
    assert link_tracklets(glimpse) == []
    assert len(link_tracklets(glimpse, min_length=1)) == 1


def test_background_people_and_short_tracks_are_not_chosen() -> None:
    near = [track(number, walk(100 + 150 * number, 0, range(60)), RED) for number in (0, 1)]
    far = track(2, walk(500, 0, range(60), height=80), BLUE)
    passing = track(3, walk(0, 20, range(10)), GREEN)
    tracks = [*near, far, passing]
    assert [t.track_id for t in choose_tracks(tracks, None)] == [0, 1]
    assert [t.track_id for t in choose_tracks(tracks, 1)] == [0]
    assert [t.track_id for t in choose_tracks(tracks, 3)] == [0, 1, 2]
    assert [t.track_id for t in choose_tracks(tracks, (3, 0))] == [3, 0]


def test_missing_people_are_reported() -> None:
    tracks = [track(0, walk(100, 0, range(60)), RED)]
    for wish in (2, 0, (4,)):
        with pytest.raises(InputError, match=r"0 \(60 frames, \d+ px tall\).*--people"):
            choose_tracks(tracks, wish)


def observations(frames: list[list[Detection | None]]) -> Observations:
    keypoints, boxes, visible = as_arrays(frames)
    T, P = visible.shape
    return Observations(
        boxes, keypoints, np.ones((T, P, 133)), np.zeros((T, P, 23, 4)), visible, np.ones((T, P)), "test"
    )


def test_pairs_are_close_while_limbs_are_near() -> None:
    frames = [[stick_figure(100 + 10 * t), stick_figure(500), stick_figure(100, y=330, height=60)] for t in range(60)]
    (pair,) = close_pairs(observations(frames))
    assert (pair.person_a, pair.person_b) == (0, 1)
    ((start, end),) = pair.intervals
    # Wrists are 0.2 heights off the hip: they meet at a distance of 80 px, an arm's breadth earlier is 25 px.
    assert start == pytest.approx(30, abs=2)
    assert end == pytest.approx(50, abs=2)


def test_absent_people_are_close_to_no_one() -> None:
    assert close_pairs(observations([[stick_figure(300), None]] * 10)) == []
    assert close_pairs(observations([[stick_figure(300)]] * 10)) == []


def test_short_separations_do_not_end_an_interval() -> None:
    active = np.zeros(60, bool)
    active[5:20] = active[25:30] = active[50:51] = True
    assert close_intervals(active) == ((5, 29),)
    assert close_intervals(np.zeros(5, bool)) == ()
    assert close_intervals(np.array([True, True, False, False])) == ()


def test_people_in_a_photo_are_described_without_frames() -> None:
    photo = observations([[stick_figure(420), stick_figure(500)]])
    (pair,) = close_pairs(photo)
    assert pair.intervals == ((0, 0),)
    people = [track(0, walk(100, 0, range(1)), RED), track(1, walk(300, 0, range(1)), RED)]
    assert re.fullmatch(r"0 \(\d+ px tall\), 1 \(\d+ px tall\)", describe_tracks(people))
