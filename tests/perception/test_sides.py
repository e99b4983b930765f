"""Left and right, gaps, the fusion of two looks, viewing rays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from figures import stick_figure
from scipy.spatial.transform import Rotation

from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.geometry.camera import ray_rotation
from closemesh.perception.detectors.multi_scale import unmirror
from closemesh.perception.keypoints.left_right import fix_left_right, swapped_sides
from closemesh.perception.keypoints.topdown import fuse
from closemesh.perception.observe import MAX_INTERPOLATED, ObservationBuilder, interpolate_boxes
from closemesh.perception.types import BODY_MIRROR, CropEstimate, CropPose, Detection
from closemesh.structures import Clip


def refinement(person: Detection) -> CropPose:
    """A look that agrees with the detection; feet and hands beside ankles and wrists."""
    keypoints = np.zeros((133, 3))
    keypoints[:17] = person.keypoints
    for joint, hanging in ((15, range(17, 20)), (16, range(20, 23)), (9, range(91, 112)), (10, range(112, 133))):
        keypoints[list(hanging)] = person.keypoints[joint] + (3, 3, 0)
    cue = np.concatenate([np.arange(69.0).reshape(23, 3), np.full((23, 1), 0.8)], 1)
    return CropPose(keypoints, cue, np.array([0.0, 0.0]), np.zeros((8, 8)), np.eye(2, 3), 1.0)


def test_some_swapped_frames_are_put_back() -> None:
    true = [stick_figure(100 + 3 * frame) for frame in range(30)]
    wrong = {5, 12, 13, 14}
    seen = [person.flip_left_right() if frame in wrong else person for frame, person in enumerate(true)]
    assert set(np.flatnonzero(swapped_sides(list(range(30)), seen))) == wrong
    steady = fix_left_right(dict(enumerate(seen)))
    for frame in range(30):
        np.testing.assert_array_equal(steady[frame].keypoints, true[frame].keypoints)


def test_a_turn_is_no_swap() -> None:
    """Somebody who turns around passes a side view; the sides then change slowly and are right."""
    turning = []
    for frame in range(30):
        person = stick_figure(300)
        person.keypoints[:, 0] = 300 + np.cos(np.pi * frame / 29) * (person.keypoints[:, 0] - 300)
        turning.append(person)
    assert not swapped_sides(list(range(30)), turning).any()


def recorded(detections: list[Detection], looks: list[Detection]) -> ObservationBuilder:
    """Each of the detections with a closer look that sees what stands in `looks`."""
    clip = Clip(Path("film"), "", np.arange(len(detections)), np.arange(len(detections)) / 30, (640, 480), 30.0)
    record = ObservationBuilder(clip, 1)
    for frame, (detection, seen) in enumerate(zip(detections, looks, strict=True)):
        record.add(frame, 0, detection, CropEstimate(0, detection, refinement(seen), 1.0))
    record.finish(np.ones((len(detections), 1)), "a detector")
    return record


def test_a_detector_that_is_always_wrong_is_put_right_by_the_closer_looks() -> None:
    true = [stick_figure(100 + 3 * frame) for frame in range(30)]
    record = recorded([person.flip_left_right() for person in true], true)
    for frame in range(30):
        np.testing.assert_allclose(record.keypoints[frame, 0, :17], true[frame].keypoints)
    assert (record.keypoints3d[:, 0, :17, 3] > 0).all(), "and the looks keep their depth"


def test_a_few_wrong_looks_exchange_nothing() -> None:
    true = [stick_figure(100 + 3 * frame) for frame in range(30)]
    record = recorded(true, [person.flip_left_right() if 10 < f < 18 else person for f, person in enumerate(true)])
    for frame in range(30):
        np.testing.assert_allclose(record.keypoints[frame, 0, :17], true[frame].keypoints)
    assert (record.keypoints3d[11:18, 0, :, 3] == 0).all(), "their depth is of another pose"


def test_mirroring_twice_is_identity() -> None:
    person = stick_figure(130)
    again = unmirror(unmirror(person, 640), 640)
    np.testing.assert_allclose(again.keypoints, person.keypoints)
    np.testing.assert_allclose(again.box, person.box)
    assert unmirror(person, 640).keypoints[5, 0] == pytest.approx(639 - person.keypoints[6, 0])


def test_short_gaps_are_guessed_and_long_ones_are_not() -> None:
    seen = {0: stick_figure(100), 4: stick_figure(140), 5 + MAX_INTERPOLATED: stick_figure(200)}
    guesses = interpolate_boxes(seen)
    assert sorted(guesses) == [1, 2, 3, *range(5, 5 + MAX_INTERPOLATED)]
    np.testing.assert_allclose(guesses[1].keypoints[:, :2], stick_figure(110).keypoints[:, :2])
    assert guesses[1].keypoints[0, 2] < seen[0].keypoints[0, 2]
    assert not interpolate_boxes({0: stick_figure(100), MAX_INTERPOLATED + 2: stick_figure(100)})


def test_agreeing_looks_are_averaged_and_bring_feet_and_hands() -> None:
    person = stick_figure(300)
    fused = fuse(person, refinement(stick_figure(304)))
    np.testing.assert_allclose(fused.keypoints[:17, 0], person.keypoints[:, 0] + 2)
    np.testing.assert_allclose(fused.disagreement[:17], 4)
    assert (fused.keypoints[17:23, 2] > 0).all() and (fused.keypoints[91:, 2] > 0).all()
    assert (fused.keypoints[23:91, 2] == 0).all()


@pytest.mark.parametrize(("joint", "hanging"), [("left_wrist", range(91, 112)), ("right_ankle", range(20, 23))])
def test_feet_and_hands_fall_with_their_ankle_or_wrist(joint: str, hanging: range) -> None:
    person = stick_figure(300)
    look = refinement(person)
    look.keypoints[KEYPOINT_INDEX[joint], :2] += 80
    fused = fuse(person, look)
    np.testing.assert_array_equal(fused.keypoints[KEYPOINT_INDEX[joint]], person.keypoints[KEYPOINT_INDEX[joint]])
    assert (fused.keypoints[list(hanging), 2] == 0).all()
    assert fused.keypoints3d[KEYPOINT_INDEX[joint], 3] == 0
    others = [k for k in (*range(17, 23), *range(91, 133)) if k not in hanging]
    assert (fused.keypoints[others, 2] > 0).all()


def test_a_look_that_took_the_back_for_the_front_keeps_its_points_and_loses_its_depth() -> None:
    person = stick_figure(300)
    back = refinement(person)
    order = [*BODY_MIRROR, *range(20, 23), *range(17, 20), *range(23, 91), *range(112, 133), *range(91, 112)]
    mirrored = CropPose(back.keypoints[order], back.keypoints3d, back.center, back.mask, back.T_image_mask, 1.0)
    fused, expected = fuse(person, mirrored), fuse(person, back)
    np.testing.assert_allclose(fused.keypoints, expected.keypoints)
    assert (fused.keypoints3d[:, 3] == 0).all() and (expected.keypoints3d[:, 3] > 0).any()


def test_nothing_but_the_detection_when_there_is_no_look() -> None:
    fused = fuse(stick_figure(300), None)
    np.testing.assert_array_equal(fused.keypoints[:17], stick_figure(300).keypoints)
    assert not fused.keypoints[17:].any() and not fused.keypoints3d.any()


@pytest.mark.parametrize("pixel", [(320, 200), (0, 0), (639, 30), (320.0001, 200)])
def test_ahead_of_the_crop_is_along_its_ray(pixel: tuple[float, float]) -> None:
    focal, size = 500.0, (640, 400)
    R = ray_rotation(np.array(pixel), focal, size)
    ahead = R @ [0, 0, 1]
    np.testing.assert_allclose(focal * ahead[:2] / ahead[2] + np.array(size) / 2, pixel, atol=1e-6)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    angle = np.arctan2(np.linalg.norm(np.array(pixel) - (320, 200)), focal)
    assert Rotation.from_matrix(R).magnitude() == pytest.approx(angle, abs=1e-9), "no roll around the ray"
