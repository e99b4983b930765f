"""Stick figures with known keypoints, and images of them."""

from __future__ import annotations

import cv2
import numpy as np

from closemesh.perception.types import CropPose, Detection

_STANDING = np.array(
    [
        *[(0, -0.42), (0.02, -0.44), (-0.02, -0.44), (0.05, -0.43), (-0.05, -0.43)],
        *[(0.12, -0.3), (-0.12, -0.3), (0.18, -0.14), (-0.18, -0.14), (0.2, 0.0), (-0.2, 0.0)],
        *[(0.08, 0.0), (-0.08, 0.0), (0.09, 0.24), (-0.09, 0.24), (0.1, 0.48), (-0.1, 0.48)],
    ]
)
"""[17, 2] a person who faces the camera, height 1, mid-hip at the origin."""


def stick_figure(
    x: float, y: float = 200.0, height: float = 200.0, score: float = 0.8, confidence: float = 0.9
) -> Detection:
    """A person with the mid-hip at x, y pixels."""
    points = _STANDING * height + (x, y)
    box = np.concatenate([points.min(0), points.max(0)])
    return Detection(box, np.column_stack([points, np.full(17, confidence)]), score)


def draw_torsos(people: list[tuple[Detection, tuple[int, int, int]]], size: tuple[int, int] = (640, 400)) -> np.ndarray:
    """RGB image [H, W, 3] of torsos in the given colors, the last one in front."""
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    for person, color in people:
        torso = person.keypoints[[5, 6, 12, 11], :2].round().astype(np.int32)
        cv2.fillConvexPoly(image, torso, color)
    return image


def as_arrays(frames: list[list[Detection | None]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """keypoints [T, P, 133, 3], boxes [T, P, 4], visible [T, P]."""
    T, P = len(frames), len(frames[0])
    keypoints, boxes, visible = np.zeros((T, P, 133, 3)), np.zeros((T, P, 4)), np.zeros((T, P), bool)
    for t, people in enumerate(frames):
        for p, person in enumerate(people):
            if person is not None:
                keypoints[t, p, :17], boxes[t, p], visible[t, p] = person.keypoints, person.box, True
    return keypoints, boxes, visible


def crop_pose(person: Detection) -> CropPose:
    """A crop pose that agrees with the detection; feet and hands beside ankles and wrists."""
    keypoints = np.zeros((133, 3))
    keypoints[:17] = person.keypoints
    for joint, hanging in ((15, range(17, 20)), (16, range(20, 23)), (9, range(91, 112)), (10, range(112, 133))):
        keypoints[list(hanging)] = person.keypoints[joint] + (3, 3, 0)
    points3d = np.concatenate([np.arange(69.0).reshape(23, 3), np.full((23, 1), 0.8)], 1)
    return CropPose(keypoints, points3d, np.array([0.0, 0.0]), np.zeros((8, 8)), np.eye(2, 3), 1.0)
