"""MoveNet MultiPose: up to six people, 17 keypoints each, in one pass."""

from __future__ import annotations

import cv2
import numpy as np

from closemesh.observe.detector import Detection, Image
from closemesh.observe.onnx_model import load_onnx
from closemesh.scene import Floats

MODEL_NAME = "movenet_multipose/movenet_multipose_fp16.onnx"
MIN_SCORE = 0.12  # Below it the six slots hold noise.
_STRIDE = 32  # The network takes any size that is a multiple of this.


class MoveNet:
    """The network, ready to run."""

    def __init__(self) -> None:
        self._session = load_onnx(MODEL_NAME)
        self._input = self._session.get_inputs()[0].name

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        """Everybody with a score of at least MIN_SCORE. image: RGB [H, W, 3]; results in its pixels."""
        scale = long_side / max(image.shape[:2])
        padded = _fit(image, scale)
        (rows,) = self._session.run(None, {self._input: padded[None]})  # [1, 6, 56]
        size = np.array(padded.shape[1::-1]) / scale
        return [_detection(row, size) for row in rows[0] if row[55] >= MIN_SCORE]


def _fit(image: Image, scale: float) -> Image:
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    canvas = np.zeros((-(-height // _STRIDE) * _STRIDE, -(-width // _STRIDE) * _STRIDE, 3), np.uint8)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[:height, :width] = cv2.resize(image, (width, height), interpolation=interpolation)
    return canvas


def _detection(row: Floats, size: Floats) -> Detection:
    """row: [56] 17 times y, x, confidence, then y0, x0, y1, x1, score, all in 0..1 of the padded image."""
    points = row[:51].reshape(17, 3)[:, [1, 0, 2]].astype(float)
    points[:, :2] *= size
    return Detection(row[[52, 51, 54, 53]] * np.tile(size, 2), points, float(row[55]))
