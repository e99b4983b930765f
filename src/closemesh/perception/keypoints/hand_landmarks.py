"""MediaPipe's hand landmarks: a third look, at each hand, for 21 points of it where BlazePose gives three."""

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
CROP = 224  # Pixels a side, fixed by the network.
NUM_POINTS = 21
_MIN_PRESENCE = 0.6
_HOPELESS = 0.015  # Presence at first glance from which a second one finds nothing either.
_MIN_SIZE = 30.0  # Pixels; of smaller hands the fingers are guesses.
_MIN_SIDE = 2 * _MIN_SIZE  # Of the first crop; a stretched hand fills less than half of it.
_MIN_CONFIDENCE = 0.1
_FROM_POSE = 2.7 * 2.0  # Side of the first crop over the distance from the wrist to the knuckles; MediaPipe Holistic's.
_FROM_HAND, _SHIFT = 2.0, 0.1  # Side of the second over the palm's, moved to the fingers; MediaPipe Hands'.
_PALM = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]
_FAR = 0.5  # Of the first crop's half side: a hand farther from the wrist is another one.
_SAME = 0.25  # Of the larger hand: two that lie nearer to each other are one.
_SIDES = ("left", "right")


@dataclass(frozen=True)
class Square:
    """Where a crop lies in the image: turned so that `up` points to its upper edge."""

    centre: Floats  # [2] pixels
    up: Floats  # [2] unit vector
    side: float  # pixels

    def T_crop_image(self) -> Floats:
        """Affine map [2, 3]."""
        right, half = np.array([-self.up[1], self.up[0]]), self.side / 2
        ends = self.up - right, self.up + right, -(self.up + right)
        corners = np.array([self.centre + half * end for end in ends], np.float32)
        return cv2.getAffineTransform(corners, np.float32([[0, 0], [CROP, 0], [0, CROP]]))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Hand:
    """One hand as the network sees it."""

    points: Floats
    """[21, 2] pixels of the image; wrist, thumb, index, middle, ring, pinky."""
    presence: float
    """0..1, is there a hand at all."""
    rightness: float
    """0..1, is it a right hand."""

    @property
    def size(self) -> float:
        """Pixels: longer side of the points' box."""
        return float(np.ptp(self.points, axis=0).max())

    def fits(self, side: str) -> float:
        """0..1 how likely it is the hand of this side that is there."""
        return self.presence * (self.rightness if side == "right" else 1 - self.rightness)


class HandLandmarks:
    """The network, ready to run. Raises ModelFileError when its file is missing or damaged."""

    def __init__(self) -> None:
        self._session = load_onnx(MODEL_NAME)
        self._input = self._session.get_inputs()[0].name

    def remade(self, image: Image, looks: dict[int, CropEstimate]) -> dict[int, CropEstimate]:
        """The looks with 21 points of every hand that is clearly seen; image: RGB [H, W, 3].

        Where two people, or both hands of one, are given the same hand, the one whose side it fits better keeps it.
        """
        found = {}
        for person, look in looks.items():
            for side in _SIDES:
                hand = self._look(image, look.refinement.keypoints, side)
                if hand is not None:
                    found[person, side] = hand
        new = dict(looks)
        for (person, side), hand in without_doubles(found).items():
            new[person] = _with_hand(new[person], hand, side)
        return new

    def _look(self, image: Image, keypoints: Floats, side: str) -> Hand | None:
        """The hand that hangs on the wrist of keypoints [133, 3]; None when none is clearly seen there."""
        first = square_from_pose(keypoints, side)
        if first is None or first.side < _MIN_SIDE:
            return None
        glance = self.read(image, first)
        again = square_from_hand(glance.points) if glance.presence > _HOPELESS else None
        hand = self.read(image, again) if again else None
        if hand is None or hand.presence < _MIN_PRESENCE or hand.size < _MIN_SIZE:
            return None
        apart = np.linalg.norm(hand.points[0] - keypoints[KEYPOINT_INDEX[f"{side}_wrist"], :2])
        return hand if apart < _FAR * first.side / 2 else None

    def read(self, image: Image, square: Square) -> Hand:
        """What the network makes of one crop."""
        T_crop_image = square.T_crop_image()
        crop = cv2.warpAffine(image, T_crop_image, (CROP, CROP), flags=cv2.INTER_LINEAR)
        pixels = crop[None].astype(np.float32) / 255
        points, presence, rightness = self._session.run(["Identity", "Identity_1", "Identity_2"], {self._input: pixels})
        T_image_crop = np.asarray(cv2.invertAffineTransform(T_crop_image), float)
        flat = points.reshape(NUM_POINTS, 3)[:, :2].astype(float)
        return Hand(flat @ T_image_crop[:, :2].T + T_image_crop[:, 2], float(presence[0, 0]), float(rightness[0, 0]))


def square_from_pose(keypoints: Floats, side: str) -> Square | None:
    """Around the knuckles that BlazePose gives, keypoints [133, 3]; None where it gives none.

    Source: MediaPipe's HandDetectionsFromPoseToRectsCalculator and the scale of its Holistic.
    """
    wrist, index, pinky = (
        keypoints[KEYPOINT_INDEX[f"{side}_{name}"]] for name in ("wrist", "hand_index1", "hand_pinky1")
    )
    if min(wrist[2], index[2], pinky[2]) < _MIN_CONFIDENCE:
        return None
    middle = (2 * index[:2] + pinky[:2]) / 3
    return _square(middle, middle - wrist[:2], _FROM_POSE)


def square_from_hand(points: Floats) -> Square | None:
    """Around the palm of a hand that was found, points [21, 2]. Source: MediaPipe's HandLandmarksToRectCalculator."""
    up = (points[5] + points[13]) / 4 + points[9] / 2 - points[0]
    length = np.linalg.norm(up)
    if length < 1:
        return None
    axes = np.stack([np.array([-up[1], up[0]]), up]) / length
    along = points[_PALM] @ axes.T
    low, high = along.min(0), along.max(0)
    centre = (low + high) / 2 + _SHIFT * np.array([0, high[1] - low[1]])
    return Square(centre @ axes, axes[1], _FROM_HAND * float((high - low).max()))


def _square(centre: Floats, up: Floats, scale: float) -> Square | None:
    length = float(np.linalg.norm(up))
    return Square(centre, up / length, scale * length) if length >= 1 else None


def without_doubles(found: dict[tuple[int, str], Hand]) -> dict[tuple[int, str], Hand]:
    """The hands of people and sides, of two that coincide the one that fits its side better."""
    kept = dict(found)
    for a, b in combinations(found, 2):
        if a in kept and b in kept and _coincide(found[a], found[b]):
            del kept[min((a, b), key=lambda key: found[key].fits(key[1]))]
    return kept


def _coincide(a: Hand, b: Hand) -> bool:
    apart = np.linalg.norm(a.points - b.points, axis=1).mean()
    return bool(apart < _SAME * max(a.size, b.size))


def _with_hand(look: CropEstimate, hand: Hand, side: str) -> CropEstimate:
    keypoints = look.refinement.keypoints.copy()
    first = KEYPOINT_INDEX[f"{side}_hand_wrist"]
    keypoints[first : first + NUM_POINTS] = np.column_stack([hand.points, np.full(NUM_POINTS, hand.presence)])
    return replace(look, refinement=replace(look.refinement, keypoints=keypoints))
