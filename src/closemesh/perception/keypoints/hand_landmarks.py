"""MediaPipe hand landmarks: 21 keypoints of each hand, where BlazePose gives three."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import cv2
import numpy as np

from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.core.arrays import Floats
from closemesh.perception.detectors.onnx_runtime import load_onnx
from closemesh.perception.types import CropEstimate, Image

MODEL_NAME = "hand_landmarks/hand_landmark_full_fp16.onnx"
CROP = 224  # Pixels per side, fixed by the network.
NUM_POINTS = 21
_MIN_PRESENCE = 0.6
_MIN_FIRST_PRESENCE = 0.015  # Presence in the first crop; below it a second crop finds no hand either.
_MIN_SIZE = 30.0  # Pixels; the fingers of smaller hands are unreliable.
_MIN_SIDE = 2 * _MIN_SIZE  # Side of the first crop, pixels; a stretched hand fills less than half of it.
_MIN_CONFIDENCE = 0.1
_POSE_SCALE = 2.7 * 2.0  # Side of the first crop over the distance from wrist to knuckles (MediaPipe Holistic).
_HAND_SCALE, _HAND_SHIFT = 2.0, 0.1  # Side and shift of the second crop, relative to the palm (MediaPipe Hands).
_PALM = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]
_MAX_WRIST_DISTANCE = 0.5  # Fraction of half the first crop's side; a hand farther from the wrist is another hand.
_SAME_HAND = 0.25  # Fraction of the larger hand; two hands nearer to each other are one.
_SIDES = ("left", "right")


@dataclass(frozen=True)
class HandCrop:
    """A square in the image, rotated so that `up` points to its upper edge."""

    center: Floats  # [2] pixels
    up: Floats  # [2] unit vector
    side: float  # pixels

    def T_crop_image(self) -> Floats:
        """Affine map [2, 3] from the image to the crop."""
        right, half = np.array([-self.up[1], self.up[0]]), self.side / 2
        ends = self.up - right, self.up + right, -(self.up + right)
        corners = np.array([self.center + half * end for end in ends], np.float32)
        return cv2.getAffineTransform(corners, np.float32([[0, 0], [CROP, 0], [0, CROP]]))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Hand:
    """One hand as the network estimates it."""

    points: Floats
    """[21, 2] pixels of the image; wrist, thumb, index, middle, ring, pinky."""
    presence: float
    """0..1 probability that the crop shows a hand."""
    right_probability: float
    """0..1 probability that it is a right hand."""

    @property
    def size(self) -> float:
        """Longer side of the box around the points, pixels."""
        return float(np.ptp(self.points, axis=0).max())

    def side_score(self, side: str) -> float:
        """0..1 probability that the crop shows a hand of this side."""
        return self.presence * (self.right_probability if side == "right" else 1 - self.right_probability)


class HandLandmarks:
    """The hand landmark network. Raises ModelFileError when its file is missing or damaged."""

    def __init__(self, threads: int = 1) -> None:
        """threads: of one call, as in `load_onnx`."""
        self._session = load_onnx(MODEL_NAME, threads)
        self._input = self._session.get_inputs()[0].name

    def refine_hands(self, image: Image, estimates: dict[int, CropEstimate]) -> dict[int, CropEstimate]:
        """The estimates with 21 keypoints of every hand that is clearly visible. image: RGB [H, W, 3].

        A hand found for two people, or for both sides of one, stays with the side that it matches better.
        """
        found = {}
        for person, estimate in estimates.items():
            for side in _SIDES:
                hand = self._find_hand(image, estimate.pose.keypoints, side)
                if hand is not None:
                    found[person, side] = hand
        refined = dict(estimates)
        for (person, side), hand in remove_duplicate_hands(found).items():
            refined[person] = _with_hand(refined[person], hand, side)
        return refined

    def _find_hand(self, image: Image, keypoints: Floats, side: str) -> Hand | None:
        """The hand at the wrist of keypoints [133, 3]; None when it is not clearly visible."""
        first = crop_from_pose(keypoints, side)
        if first is None or first.side < _MIN_SIDE:
            return None
        coarse = self.estimate(image, first)
        second = crop_from_hand(coarse.points) if coarse.presence > _MIN_FIRST_PRESENCE else None
        hand = self.estimate(image, second) if second else None
        if hand is None or hand.presence < _MIN_PRESENCE or hand.size < _MIN_SIZE:
            return None
        distance = np.linalg.norm(hand.points[0] - keypoints[KEYPOINT_INDEX[f"{side}_wrist"], :2])
        return hand if distance < _MAX_WRIST_DISTANCE * first.side / 2 else None

    def estimate(self, image: Image, crop: HandCrop) -> Hand:
        """The network's estimate for one crop of the image."""
        T_crop_image = crop.T_crop_image()
        cropped = cv2.warpAffine(image, T_crop_image, (CROP, CROP), flags=cv2.INTER_LINEAR)
        pixels = cropped[None].astype(np.float32) / 255
        outputs = ["Identity", "Identity_1", "Identity_2"]
        points, presence, right = self._session.run(outputs, {self._input: pixels})
        T_image_crop = np.asarray(cv2.invertAffineTransform(T_crop_image), float)
        flat = points.reshape(NUM_POINTS, 3)[:, :2].astype(float)
        return Hand(flat @ T_image_crop[:, :2].T + T_image_crop[:, 2], float(presence[0, 0]), float(right[0, 0]))


def crop_from_pose(keypoints: Floats, side: str) -> HandCrop | None:
    """Crop around BlazePose's knuckles in keypoints [133, 3]; None where they are missing.

    Source: MediaPipe's HandDetectionsFromPoseToRectsCalculator, and the scale of its Holistic.
    """
    wrist, index, pinky = (
        keypoints[KEYPOINT_INDEX[f"{side}_{name}"]] for name in ("wrist", "hand_index1", "hand_pinky1")
    )
    if min(wrist[2], index[2], pinky[2]) < _MIN_CONFIDENCE:
        return None
    middle = (2 * index[:2] + pinky[:2]) / 3
    up = middle - wrist[:2]
    length = float(np.linalg.norm(up))
    return HandCrop(middle, up / length, _POSE_SCALE * length) if length >= 1 else None


def crop_from_hand(points: Floats) -> HandCrop | None:
    """Crop around the palm of an estimated hand, points [21, 2]; None when its points coincide.

    Source: MediaPipe's HandLandmarksToRectCalculator.
    """
    up = (points[5] + points[13]) / 4 + points[9] / 2 - points[0]
    length = np.linalg.norm(up)
    if length < 1:
        return None
    axes = np.stack([np.array([-up[1], up[0]]), up]) / length
    along = points[_PALM] @ axes.T
    low, high = along.min(0), along.max(0)
    center = (low + high) / 2 + _HAND_SHIFT * np.array([0, high[1] - low[1]])
    return HandCrop(center @ axes, axes[1], _HAND_SCALE * float((high - low).max()))


def remove_duplicate_hands(found: dict[tuple[int, str], Hand]) -> dict[tuple[int, str], Hand]:
    """The hands by person and side; of two that coincide, the one with the higher `side_score`."""
    unique = dict(found)
    for a, b in combinations(found, 2):
        if a in unique and b in unique and _coincide(found[a], found[b]):
            del unique[min((a, b), key=lambda key: found[key].side_score(key[1]))]
    return unique


def _coincide(a: Hand, b: Hand) -> bool:
    distance = np.linalg.norm(a.points - b.points, axis=1).mean()
    return bool(distance < _SAME_HAND * max(a.size, b.size))


def _with_hand(estimate: CropEstimate, hand: Hand, side: str) -> CropEstimate:
    keypoints = estimate.pose.keypoints.copy()
    first = KEYPOINT_INDEX[f"{side}_hand_wrist"]
    keypoints[first : first + NUM_POINTS] = np.column_stack([hand.points, np.full(NUM_POINTS, hand.presence)])
    return replace(estimate, pose=replace(estimate.pose, keypoints=keypoints))
