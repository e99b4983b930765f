"""Association over time, by keypoints and by boxes."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from figure_tracks import BLUE, RED
from stick_figures import draw_torsos, stick_figure

from closemesh.config.schema import ObserveConfig
from closemesh.core.errors import InputError
from closemesh.perception.tracking.tracker import BoxTracker, Tracker


@pytest.mark.parametrize("lost", [range(0), range(18, 23)], ids=["always seen", "hidden while crossing"])
def test_people_who_cross_keep_their_ids(lost: range) -> None:
    """Red walks to the right in front of blue, which walks to the left; detections come in changing order."""
    tracker = Tracker()
    for frame in range(40):
        red, blue = stick_figure(120 + 10 * frame), stick_figure(520 - 10 * frame, y=206)
        seen = [red] if frame in lost else [red, blue]
        tracker.step(frame, draw_torsos([(blue, BLUE), (red, RED)]), seen[:: 1 if frame % 2 else -1])
    assert len(tracker.tracks) == 2
    by_start = sorted(tracker.tracks, key=lambda t: t.detections[0].box[0])
    ends = [t.detections[-1].box[0] for t in by_start]
    assert ends[0] > 400 and ends[1] < 200
    assert [len(t.frames) for t in by_start] == [40, 40 - len(lost)]


needs_trackers = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("ultralytics", "lap"))), reason="needs ultralytics and lap"
)


@needs_trackers
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


@needs_trackers
def test_frames_without_people_are_allowed() -> None:
    tracker = BoxTracker("bytetrack")
    for frame, people in enumerate([[], [stick_figure(300)], [stick_figure(302)], [], [stick_figure(306)], []]):
        tracker.step(frame, draw_torsos([(person, (200, 30, 30)) for person in people]), people)
    assert len(tracker.tracks) == 1 and tracker.tracks[0].frames


@needs_trackers
def test_a_missing_package_is_reported_and_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "lap" else real(name, *a))
    with pytest.raises(InputError, match=r"--tracker botsort needs the package lap; pip install 'closemesh\[yolo\]'"):
        BoxTracker("botsort")


def test_the_keypoint_tracker_is_the_default() -> None:
    assert ObserveConfig().tracker == "keypoints"
