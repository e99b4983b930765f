"""Crop estimates of occluded people, and crop poses that took a back for a front."""

from __future__ import annotations

import numpy as np
import pytest
from stick_figures import crop_pose, stick_figure

from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.perception.keypoints.topdown import (
    change_crop,
    estimate_frame,
    keypoint_agreement,
    with_matching_sides,
)
from closemesh.perception.types import BODY_MIRROR, CropPose, Detection, Image


def test_a_pose_that_mistook_back_for_front_keeps_its_points_and_loses_its_depth() -> None:
    person = stick_figure(300)
    back = crop_pose(person)
    order = [*BODY_MIRROR, *range(20, 23), *range(17, 20), *range(23, 91), *range(112, 133), *range(91, 112)]
    mirrored = CropPose(back.keypoints[order], back.keypoints3d, back.center, back.mask, back.T_image_mask, 1.0)
    matching = with_matching_sides(person, mirrored)
    body = [*range(23), *range(91, 133)]
    np.testing.assert_allclose(matching.keypoints[body], back.keypoints[body])
    assert not matching.keypoints[23:91, 2].any(), "the face of a back is wrong"
    assert (matching.keypoints3d[:, 3] == 0).all() and (back.keypoints3d[:, 3] > 0).any()
    assert with_matching_sides(person, back) is back


IMAGE = np.zeros((400, 640, 3), np.uint8)


class Distracted:
    """Estimates the nearer person wherever the red shirt is visible, else the requested one."""

    name = "distracted"

    def __init__(self, nearer: Detection) -> None:
        self.nearer = nearer

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        return []

    def refine(self, image: Image, person: Detection) -> CropPose | None:
        red_visible = (image == (255, 0, 0)).all(-1).any()
        seen = self.nearer if red_visible else person
        keypoints = np.zeros((133, 3))
        keypoints[:17] = seen.keypoints
        mask = np.zeros((400, 640), np.float32)
        x0, y0, x1, y1 = seen.box.astype(int)
        mask[y0:y1, x0:x1] = 0.9
        return CropPose(keypoints, np.zeros((23, 4)), np.zeros(2), mask, np.eye(2, 3), 1.0)


def test_an_occluded_person_is_estimated_with_the_occluder_painted_over() -> None:
    nearer, farther = stick_figure(300, height=250), stick_figure(360)
    image = IMAGE.copy()
    image[180:220, 280:320] = (255, 0, 0)
    estimates = estimate_frame(Distracted(nearer), image, {0: nearer, 1: farther})
    assert estimates[0].agreement == estimates[1].agreement == 1
    np.testing.assert_array_equal(estimates[1].pose.keypoints[:17], farther.keypoints)
    hidden = estimates[1].pose.mask[150:250, 310:325]
    assert (hidden == 0).all(), "covered pixels do not belong to the occluded person"
    assert estimates[1].pose.mask.max() > 0.5
    assert (image[180:220, 280:320] == (255, 0, 0)).all(), "the frame itself is unchanged"


def test_agreement_counts_confident_limbs() -> None:
    person = stick_figure(300)
    keypoints = np.zeros((133, 3))
    keypoints[:17] = person.keypoints
    keypoints[[9, 10, 15], :2] += 100
    look = CropPose(keypoints, np.zeros((23, 4)), np.zeros(2), np.zeros((4, 4)), np.eye(2, 3), 1.0)
    assert keypoint_agreement(person, look) == pytest.approx(9 / 12)
    person.keypoints[[9, 10, 15], 2] = 0.1
    assert keypoint_agreement(person, look) == 1
    assert keypoint_agreement(person.flip_left_right(), look) == 1, "a flipped person is the same person"
    assert keypoint_agreement(stick_figure(300, confidence=0.0), look) == 0


class Unsteady:
    """Finds every joint where it is, but the left wrist at a fixed place of the crop."""

    name = "unsteady"

    def __init__(self, truth: Detection) -> None:
        self.truth = truth

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        return []

    def refine(self, image: Image, person: Detection) -> CropPose | None:
        keypoints = np.zeros((133, 3))
        keypoints[:17] = (*self.truth.keypoints[0, :2], 0.9)
        keypoints[:17, :2] = self.truth.keypoints[:, :2]
        keypoints[LEFT_WRIST, :2] = person.keypoints[LEFT_WRIST, :2]
        return CropPose(keypoints, np.full((23, 4), 0.9), np.zeros(2), np.zeros((4, 4)), np.eye(2, 3), 1.0)


LEFT_WRIST = KEYPOINT_INDEX["left_wrist"]


def test_a_keypoint_that_moves_with_the_crop_loses_its_confidence() -> None:
    person = stick_figure(300, height=250)
    estimate = estimate_frame(Unsteady(person), IMAGE, {0: person}, change_crops=True)[0]
    steady = np.arange(17) != LEFT_WRIST
    np.testing.assert_allclose(estimate.pose.keypoints[:17, :2][steady], person.keypoints[steady, :2])
    np.testing.assert_allclose(estimate.pose.keypoints[:17, 2][steady], 0.9)
    assert estimate.pose.keypoints[LEFT_WRIST, 2] < 0.3 > estimate.pose.keypoints3d[LEFT_WRIST, 3]


def test_a_changed_crop_is_turned_zoomed_and_shifted_about_the_trunk() -> None:
    person = stick_figure(300, height=250)
    same = change_crop(person, 0.0, 0.0, (0, 0))
    np.testing.assert_allclose(same.keypoints, person.keypoints)
    np.testing.assert_allclose(same.box, person.box)
    changed = change_crop(person, 0.3, np.log(2), (0.1, 0))
    center = person.keypoints[[5, 6, 11, 12], :2].mean(0)
    moved = changed.keypoints[[5, 6, 11, 12], :2].mean(0) - center
    np.testing.assert_allclose(moved, [0.1 * person.diagonal, 0], atol=1e-9)
    length = np.linalg.norm(np.diff(changed.keypoints[[5, 11], :2], axis=0))
    np.testing.assert_allclose(length, 2 * np.linalg.norm(np.diff(person.keypoints[[5, 11], :2], axis=0)))
