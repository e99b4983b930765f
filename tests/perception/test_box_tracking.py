"""ByteTrack and BoT-SORT in the place of the own tracker."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from figures import draw_torsos, stick_figure

from closemesh.config.schema import ObserveConfig
from closemesh.core.errors import InputError
from closemesh.perception.tracking.tracker import BoxTracker

pytest.importorskip("ultralytics")
pytest.importorskip("lap")


@pytest.mark.parametrize("kind", ["bytetrack", "botsort"])
def test_two_people_who_walk_past_each_other_keep_their_tracks(kind: str) -> None:
    tracker = BoxTracker(kind)
    for frame in range(12):
        left, right = stick_figure(120 + 12 * frame, y=190), stick_figure(520 - 12 * frame, y=230, height=150)
        shown = [(left, (200, 30, 30)), (right, (30, 30, 200))]
        tracker.step(frame, draw_torsos(shown), [left, right] if frame % 2 else [right, left])
    assert [len(track.frames) for track in tracker.tracks] == [12, 12]
    for track in tracker.tracks:
        heights = [detection.diagonal for detection in track.detections]
        assert np.ptp(heights) < 1, "each track is one person"
        assert 0 <= min(track.margins) and max(track.margins) <= 1


def test_frames_in_which_nobody_is_seen_are_no_trouble() -> None:
    tracker = BoxTracker("bytetrack")
    for frame, people in enumerate([[], [stick_figure(300)], [stick_figure(302)], [], [stick_figure(306)], []]):
        tracker.step(frame, draw_torsos([(person, (200, 30, 30)) for person in people]), people)
    assert len(tracker.tracks) == 1 and tracker.tracks[0].frames


def test_a_missing_package_is_told_and_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "lap" else real(name, *a))
    with pytest.raises(InputError, match=r"--tracker botsort needs the package lap; pip install 'closemesh\[yolo\]'"):
        BoxTracker("botsort")


def test_the_own_tracker_is_the_default() -> None:
    assert ObserveConfig().tracker == "keypoints"
