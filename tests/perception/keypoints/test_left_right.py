"""Left-right flips over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from stick_figures import crop_pose, stick_figure

from closemesh.perception.keypoints.left_right import fix_left_right, swapped_sides
from closemesh.perception.observation_builder import ObservationBuilder
from closemesh.perception.types import CropEstimate, Detection
from closemesh.structures import Clip


def test_some_flipped_frames_are_corrected() -> None:
    true = [stick_figure(100 + 3 * frame) for frame in range(30)]
    wrong = {5, 12, 13, 14}
    seen = [person.flip_left_right() if frame in wrong else person for frame, person in enumerate(true)]
    assert set(np.flatnonzero(swapped_sides(list(range(30)), seen))) == wrong
    steady = fix_left_right(dict(enumerate(seen)))
    for frame in range(30):
        np.testing.assert_array_equal(steady[frame].keypoints, true[frame].keypoints)


def test_a_turn_is_no_flip() -> None:
    """A person who turns around passes a side view; the sides then change slowly and are right."""
    turning = []
    for frame in range(30):
        person = stick_figure(300)
        person.keypoints[:, 0] = 300 + np.cos(np.pi * frame / 29) * (person.keypoints[:, 0] - 300)
        turning.append(person)
    assert not swapped_sides(list(range(30)), turning).any()


def built(detections: list[Detection], poses: list[Detection]) -> ObservationBuilder:
    """An observation of each detection with a crop pose from `poses`."""
    clip = Clip(Path("clip"), "", np.arange(len(detections)), np.arange(len(detections)) / 30, (640, 480), 30.0)
    record = ObservationBuilder(clip, 1)
    for frame, (detection, seen) in enumerate(zip(detections, poses, strict=True)):
        record.add(frame, 0, detection, CropEstimate(0, detection, crop_pose(seen), 1.0))
    record.finish(np.ones((len(detections), 1)), "a detector")
    return record


def test_a_detector_that_is_always_flipped_is_corrected_by_crop_poses() -> None:
    true = [stick_figure(100 + 3 * frame) for frame in range(30)]
    record = built([person.flip_left_right() for person in true], true)
    for frame in range(30):
        np.testing.assert_allclose(record.keypoints[frame, 0, :17], true[frame].keypoints)
    assert (record.keypoints3d[:, 0, :17, 3] > 0).all(), "the crop poses keep their depth"


def test_a_few_flipped_crop_poses_change_nothing() -> None:
    true = [stick_figure(100 + 3 * frame) for frame in range(30)]
    record = built(true, [person.flip_left_right() if 10 < f < 18 else person for f, person in enumerate(true)])
    for frame in range(30):
        np.testing.assert_allclose(record.keypoints[frame, 0, :17], true[frame].keypoints)
    assert (record.keypoints3d[11:18, 0, :, 3] == 0).all(), "their depth belongs to another pose"
