"""Fusion of detections and crop poses over the clip."""

from __future__ import annotations

import numpy as np
import pytest
from stick_figures import crop_pose, stick_figure

from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.core.arrays import Floats
from closemesh.perception.keypoints.selection import (
    FusedKeypoints,
    KeypointCandidates,
    confirmed_keypoints3d,
    fuse_over_time,
)
from closemesh.perception.types import Detection

SIZE = (640, 400)
WRIST = KEYPOINT_INDEX["left_wrist"]
KNEE = KEYPOINT_INDEX["left_knee"]


def candidates(
    detections: list[list[Detection]], poses: list[list[Detection | None]], agreement: float = 0.7
) -> KeypointCandidates:
    """From detections [T][P], and the people of the crop poses [T][P]."""
    T, P = len(detections), len(detections[0])
    detected = np.array([[person.keypoints for person in people] for people in detections])
    crop = np.zeros((T, P, 133, 3))
    for t, people in enumerate(poses):
        for p, person in enumerate(people):
            if person is not None:
                crop[t, p] = crop_pose(person).keypoints
    diagonal = np.array([[person.diagonal for person in people] for people in detections])
    return KeypointCandidates(detected, crop, np.full((T, P), agreement), diagonal, SIZE)


def moved(person: Detection, joint: int, shift: tuple[float, float], confidence: float | None = None) -> Detection:
    keypoints = person.keypoints.copy()
    keypoints[joint, :2] += shift
    if confidence is not None:
        keypoints[joint, 2] = confidence
    return Detection(person.box, keypoints, person.score)


def wrist(fused: FusedKeypoints) -> Floats:
    return fused.keypoints[:, 0, WRIST, :2]


def test_agreeing_poses_are_averaged_and_add_feet_and_hands() -> None:
    person = stick_figure(300)
    fused = fuse_over_time(candidates([[person]], [[stick_figure(304)]]))
    np.testing.assert_allclose(fused.keypoints[0, 0, :17, 0], person.keypoints[:, 0] + 2)
    np.testing.assert_allclose(fused.disagreement, 4)
    np.testing.assert_allclose(fused.doubt, 4)
    assert (fused.crop_probability == 1).all()
    assert (fused.keypoints[0, 0, 17:23, 2] > 0).all() and (fused.keypoints[0, 0, 91:, 2] > 0).all()


def test_without_a_crop_pose_the_detection_remains() -> None:
    person = stick_figure(300)
    fused = fuse_over_time(candidates([[person]], [[None]]))
    np.testing.assert_array_equal(fused.keypoints[0, 0, :17], person.keypoints)
    assert not fused.keypoints[:, :, 17:, 2].any() and not fused.crop_probability.any()


@pytest.mark.parametrize(("ours", "crop_wins"), [(0.9, True), (0.1, False)])
def test_the_more_confident_of_two_networks_counts(ours: float, crop_wins: bool) -> None:
    person = moved(stick_figure(300), WRIST, (0, 0), 0.4)
    fused = fuse_over_time(candidates([[person]], [[moved(person, WRIST, (80, 0), ours)]]))
    expected = person.keypoints[WRIST, :2] + ((80, 0) if crop_wins else (0, 0))
    np.testing.assert_allclose(wrist(fused)[0], expected)
    assert 0 < fused.doubt[0, 0, WRIST] < 80, "how far away the other one is, times how likely it is"
    assert not fused.doubt[0, 0, :WRIST].any()


@pytest.mark.parametrize(("joint", "dependent"), [("left_wrist", range(91, 112)), ("right_ankle", range(20, 23))])
def test_feet_and_hands_are_dropped_with_their_ankle_or_wrist(joint: str, dependent: range) -> None:
    index = KEYPOINT_INDEX[joint]
    person = stick_figure(300)
    fused = fuse_over_time(candidates([[person]], [[moved(person, index, (80, 0), 0.1)]]))
    np.testing.assert_array_equal(fused.keypoints[0, 0, index], person.keypoints[index])
    assert not fused.keypoints[0, 0, list(dependent), 2].any()
    others = [k for k in (*range(17, 23), *range(91, 133)) if k not in dependent]
    assert (fused.keypoints[0, 0, others, 2] > 0).all()
    keypoints3d = confirmed_keypoints3d(np.ones((1, 1, 23, 4)), fused)
    assert keypoints3d[0, 0, index, 3] < 0.5 and (keypoints3d[0, 0, [0, 5, 13], 3] == 1).all()


def test_frames_before_and_after_decide_where_a_single_frame_does_not() -> None:
    """Both networks are equally confident in the middle; only the crop network's point continues the motion."""
    walk = [stick_figure(300 + 2 * t) for t in range(9)]
    detections = [moved(person, WRIST, (90, 0) if 3 <= t <= 5 else (0, 0), 0.5) for t, person in enumerate(walk)]
    poses = [moved(person, WRIST, (0, 0), 0.3) for person in walk]
    fused = fuse_over_time(candidates([[d] for d in detections], [[p] for p in poses], agreement=0.6))
    np.testing.assert_allclose(wrist(fused), [person.keypoints[WRIST, :2] for person in walk], atol=1e-9)
    jumping = fuse_over_time(candidates([[d] for d in detections[3:4]], [[p] for p in poses[3:4]], agreement=0.6))
    assert wrist(jumping)[0, 0] > walk[3].keypoints[WRIST, 0] + 45, "alone, the frame would be decided otherwise"


def test_a_point_on_the_partners_limb_is_less_likely() -> None:
    person, partner = moved(stick_figure(300), WRIST, (0, 0), 0.6), stick_figure(400)
    shift = partner.keypoints[WRIST, :2] - person.keypoints[WRIST, :2]
    crop = moved(person, WRIST, (float(shift[0]), float(shift[1])), 0.6)
    alone = fuse_over_time(candidates([[person]], [[crop]]))
    near = fuse_over_time(candidates([[person, partner]], [[crop, partner]]))
    assert near.crop_probability[0, 0, WRIST] < 0.5 < alone.crop_probability[0, 0, WRIST]


def test_a_joint_that_the_crop_network_sees_outside_is_not_pulled_into_the_image() -> None:
    """A detector gets the image alone and places every joint in it."""
    person = stick_figure(300, y=330)
    cut = moved(person, KNEE, (0, float(390 - person.keypoints[KNEE, 1])), 0.5)
    crop = moved(person, KNEE, (0, float(450 - person.keypoints[KNEE, 1])), 0.1)
    fused = fuse_over_time(candidates([[cut]], [[crop]]))
    assert fused.keypoints[0, 0, KNEE, 1] == 450
    inside = moved(person, KNEE, (0, float(330 - person.keypoints[KNEE, 1])), 0.1)
    assert fuse_over_time(candidates([[cut]], [[inside]])).keypoints[0, 0, KNEE, 1] == 390
