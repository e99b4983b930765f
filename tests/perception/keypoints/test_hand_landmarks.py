"""Hands are searched at BlazePose's knuckles, and only clearly visible ones are used."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.config.schema import ClipConfig, ObserveConfig
from closemesh.core.arrays import Floats
from closemesh.perception.keypoints.hand_landmarks import (
    CROP,
    Hand,
    HandLandmarks,
    crop_from_hand,
    crop_from_pose,
    remove_duplicate_hands,
)
from closemesh.perception.keypoints.topdown import MediaPipeDetector
from closemesh.perception.model_selection import ModelSelection, make_hand_landmarks
from closemesh.perception.types import CropEstimate, CropPose, Detection, Image
from closemesh.video import open_clip, read_frames
from closemesh.weights.locate import find_model
from closemesh.weights.registry import DEMO_CLIP

LEFT, RIGHT = slice(91, 112), slice(112, 133)


@pytest.fixture(scope="module")
def frame() -> Image:
    """A frame of the bundled clip: the left hand of the woman is in front of her, fingers bent."""

    clip = open_clip(find_model(DEMO_CLIP), ClipConfig(fps=60.0, start=56 / 60, end=57.5 / 60))
    return next(iter(read_frames(clip)))


@pytest.fixture(scope="module")
def hands() -> HandLandmarks:
    return HandLandmarks()


@pytest.fixture(scope="module")
def estimates(frame: Image) -> dict[int, CropEstimate]:
    detector = MediaPipeDetector()
    people = dict(enumerate(sorted(detector.detect(frame, 512), key=lambda person: -person.area)[:2]))
    found = {n: detector.refine(frame, person) for n, person in people.items()}
    return {n: CropEstimate(n, people[n], estimate, 1.0) for n, estimate in found.items() if estimate is not None}


def hand_points(estimate: CropEstimate, hand: slice) -> Floats:
    return estimate.pose.keypoints[hand]


def test_visible_hands_get_all_keypoints(
    frame: Image, hands: HandLandmarks, estimates: dict[int, CropEstimate]
) -> None:
    refined = hands.refine_hands(frame, estimates)
    seen = [(n, h) for n in estimates for h in (LEFT, RIGHT) if (hand_points(refined[n], h)[:, 2] > 0.6).all()]
    assert len(seen) >= 2
    for n, hand in seen:
        before, after = hand_points(estimates[n], hand), hand_points(refined[n], hand)
        known = before[:, 2] > 0
        size = np.ptp(after[:, :2], axis=0).max()
        assert known.sum() == 3, "BlazePose's"
        assert np.median(np.linalg.norm(before[known, :2] - after[known, :2], axis=1)) < 0.4 * size
    for n in estimates:
        assert np.array_equal(refined[n].pose.keypoints[:91], estimates[n].pose.keypoints[:91])


def test_an_image_without_hands_changes_nothing(
    hands: HandLandmarks, estimates: dict[int, CropEstimate], frame: Image
) -> None:
    blank = np.full_like(frame, 127)
    refined = hands.refine_hands(blank, estimates)
    assert all(refined[n] is estimates[n] for n in estimates)


def test_small_hands_are_not_refined(frame: Image, hands: HandLandmarks, estimates: dict[int, CropEstimate]) -> None:
    small = np.asarray(cv2.resize(frame, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA), np.uint8)
    refined = hands.refine_hands(small, {n: scaled(estimate, 0.2) for n, estimate in estimates.items()})
    assert all((estimate.pose.keypoints[91:, 2] > 0).sum() <= 6 for estimate in refined.values())


def scaled(estimate: CropEstimate, factor: float) -> CropEstimate:
    keypoints = estimate.pose.keypoints * [factor, factor, 1]
    body = Detection(estimate.detection.box * factor, keypoints[:17], estimate.detection.score)
    return CropEstimate(estimate.person, body, CropPose(keypoints, *list(vars(estimate.pose).values())[1:]), 1.0)


def test_a_rotated_image_gives_the_same_hand(
    frame: Image, hands: HandLandmarks, estimates: dict[int, CropEstimate]
) -> None:
    refined = hands.refine_hands(frame, estimates)
    n, hand = next((n, h) for n in estimates for h in (LEFT, RIGHT) if (hand_points(refined[n], h)[:, 2] > 0.9).all())
    side = "left" if hand == LEFT else "right"
    square = crop_from_hand(hand_points(refined[n], hand)[:, :2])
    assert square is not None
    height, width = frame.shape[:2]
    T = np.array([[0.0, -1, height - 1], [1, 0, 0]])  # A quarter turn.
    rotated = np.asarray(cv2.warpAffine(frame, T, (height, width)), np.uint8)
    keypoints = estimates[n].pose.keypoints.copy()
    keypoints[:, :2] = keypoints[:, :2] @ T[:, :2].T + T[:, 2]
    estimate = CropEstimate(
        n, estimates[n].detection, CropPose(keypoints, *list(vars(estimates[n].pose).values())[1:]), 1.0
    )
    again = hand_points(hands.refine_hands(rotated, {n: estimate})[n], hand)
    expected = hand_points(refined[n], hand)[:, :2] @ T[:, :2].T + T[:, 2]
    assert np.abs(again[:, :2] - expected).max() < 0.05 * square.side, side


def test_the_crop_stands_upright_around_the_knuckles() -> None:
    keypoints = np.zeros((133, 3))
    wrist, index, pinky = (KEYPOINT_INDEX[f"left_{name}"] for name in ("wrist", "hand_index1", "hand_pinky1"))
    keypoints[[wrist, index, pinky]] = [[100, 100, 1], [130, 110, 1], [130, 80, 1]]
    square = crop_from_pose(keypoints, "left")
    assert square is not None and square.side == pytest.approx(5.4 * 30)
    crop = square.T_crop_image()
    assert crop @ [130, 100, 1] == pytest.approx([CROP / 2, CROP / 2], abs=1e-3)
    above = crop @ [160, 100, 1]
    assert above[0] == pytest.approx(CROP / 2, abs=1e-3) and above[1] < CROP / 2
    assert crop_from_pose(keypoints, "right") is None


def hand_at(x: float, presence: float, rightness: float) -> Hand:
    return Hand(np.random.default_rng(0).uniform(0, 60, (21, 2)) + np.array([x, 0.0]), presence, rightness)


def test_one_hand_belongs_to_one_side_of_one_person() -> None:
    found = {
        (0, "left"): hand_at(0, 0.9, 0.1),
        (0, "right"): hand_at(5, 0.95, 0.2),  # The same left hand again.
        (1, "left"): hand_at(3, 0.7, 0.1),  # And again, with lower presence.
        (1, "right"): hand_at(200, 0.9, 0.9),
    }
    assert set(remove_duplicate_hands(found)) == {(0, "left"), (1, "right")}


def test_whole_body_keypoints_have_hands_already() -> None:
    assert isinstance(make_hand_landmarks(ModelSelection(), ObserveConfig()), HandLandmarks)
    assert make_hand_landmarks(ModelSelection(), ObserveConfig(hands=False)) is None
    assert (
        make_hand_landmarks(ModelSelection(whole_body=find_model("pose_prior/pose_prior.npz")), ObserveConfig()) is None
    )
