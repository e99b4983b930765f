"""Stick figures with known keypoints, and pictures of them."""

from __future__ import annotations

import cv2
import numpy as np

from closemesh.perception.types import Detection

_STANDING = np.array(
    [
        *[(0, -0.42), (0.02, -0.44), (-0.02, -0.44), (0.05, -0.43), (-0.05, -0.43)],
        *[(0.12, -0.3), (-0.12, -0.3), (0.18, -0.14), (-0.18, -0.14), (0.2, 0.0), (-0.2, 0.0)],
        *[(0.08, 0.0), (-0.08, 0.0), (0.09, 0.24), (-0.09, 0.24), (0.1, 0.48), (-0.1, 0.48)],
    ]
)
"""[17, 2] somebody who faces the camera, height 1, mid-hip at the origin."""


def stick_figure(
    x: float, y: float = 200.0, height: float = 200.0, score: float = 0.8, confidence: float = 0.9
) -> Detection:
    """A person with the mid-hip at x, y pixels."""
    points = _STANDING * height + (x, y)
    box = np.concatenate([points.min(0), points.max(0)])
    return Detection(box, np.column_stack([points, np.full(17, confidence)]), score)


def draw_torsos(people: list[tuple[Detection, tuple[int, int, int]]], size: tuple[int, int] = (640, 400)) -> np.ndarray:
    """RGB image [H, W, 3] of torsos in the given colours, the last one in front."""
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    for person, colour in people:
        torso = person.keypoints[[5, 6, 12, 11], :2].round().astype(np.int32)
        cv2.fillConvexPoly(image, torso, colour)
    return image
