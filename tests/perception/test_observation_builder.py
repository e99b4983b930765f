"""Observations of a clip from detections and crop poses of single frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from stick_figures import crop_pose, stick_figure

from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.perception.observation_builder import ObservationBuilder
from closemesh.perception.types import CropEstimate, Detection
from closemesh.structures import Clip, Observations

SIZE = (640, 400)
ANKLE, KNEE, TOE = (KEYPOINT_INDEX[f"left_{name}"] for name in ("ankle", "knee", "big_toe"))


def observe(detections: list[Detection], poses: list[Detection]) -> Observations:
    times = np.arange(len(detections)) / 30
    builder = ObservationBuilder(Clip(Path("clip"), "", np.arange(len(times)), times, SIZE, 30.0), 1)
    for frame, (detection, pose) in enumerate(zip(detections, poses, strict=True)):
        builder.add(frame, 0, detection, CropEstimate(0, detection, crop_pose(pose), 1.0))
    return builder.finish(np.ones((len(times), 1)), "a detector")


def clipped(person: Detection) -> Detection:
    """The person as a detector gives it that places every joint inside the image."""
    keypoints = person.keypoints.copy()
    keypoints[:, :2] = np.clip(keypoints[:, :2], 0, (SIZE[0] - 2, SIZE[1] - 2))
    return Detection(np.clip(person.box, 0, np.tile(SIZE, 2)), keypoints, person.score)


def test_joints_below_the_image_stay_outside() -> None:
    walk = [stick_figure(300 + t, y=330, height=300) for t in range(8)]
    seen = observe([clipped(person) for person in walk], walk)
    assert seen.outside is not None
    assert seen.outside[:, 0, [KNEE, ANKLE, TOE]].all() and not seen.outside[:, 0, :13].any()
    expected = np.array([person.keypoints[ANKLE, :2] for person in walk])
    np.testing.assert_allclose(seen.keypoints[:, 0, ANKLE, :2], expected, err_msg="where the crop pose has it")
    assert (seen.keypoints[:, 0, ANKLE, 2] <= 0.1).all()
    assert (seen.sigmas[:, 0, ANKLE] > 3 * seen.sigmas[:, 0, KEYPOINT_INDEX["left_hip"]]).all()


def test_a_joint_at_the_border_is_no_evidence_of_its_position() -> None:
    person = stick_figure(300, y=250)
    at_border = person.keypoints.copy()
    at_border[KNEE, :2] = 320, SIZE[1] - 1
    one = Detection(person.box, at_border, 0.8)
    seen = observe([one], [one])
    assert seen.outside is not None
    assert seen.outside[0, 0, KNEE] and seen.outside[0, 0].sum() == 1


def test_whole_people_have_no_joints_outside() -> None:
    people = [stick_figure(300 + t) for t in range(4)]
    seen = observe(people, people)
    assert seen.outside is not None and not seen.outside.any()
    assert (seen.keypoints[:, 0, :17, 2] > 0.5).all()
