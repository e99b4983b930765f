"""YOLO pose finds the people, BlazePose looks closer at each: feet, the 3D cue and a mask, which YOLO does not give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from closemesh.observe.detector import NUM_BODY, Detection, Image
from closemesh.observe.letterbox import letterbox, rounded_up
from closemesh.observe.ultralytics_networks import YoloNetwork
from closemesh.scene import Floats

MIN_SCORE = 0.15  # People who are hidden in part score low; what is no person is sorted out by the tracks.
_STRIDE = 32
_LARGER = 640 / 384  # The search asks in sizes that suit MoveNet, whose full view is 384; YOLO's own is 640.


class YoloPose:
    """The network, ready to run. Raises ModelFileError when the file is no YOLO pose network."""

    def __init__(self, path: Path, device: torch.device) -> None:
        self._network = YoloNetwork(path, device, "pose")

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        """Everybody with a score of at least MIN_SCORE. image: RGB [H, W, 3]; results in its pixels."""
        scale = _LARGER * long_side / max(image.shape[:2])
        rows, _ = self._network.run(as_pixels(image, scale), MIN_SCORE)
        return [_detection(row, scale) for row in rows]


def as_pixels(image: Image, scale: float) -> Floats:
    """[3, H, W] 0..1: the image times `scale`, padded to multiples of the network's stride."""
    fitted = letterbox(image, scale, rounded_up(image, scale, _STRIDE))
    return fitted.transpose(2, 0, 1).astype(np.float32) / 255


def _detection(row: Floats, scale: float) -> Detection:
    """row: [57] box, score, class, 17 times x, y, confidence, in pixels of the image times `scale`."""
    points = row[6:].reshape(NUM_BODY, 3).astype(float)
    points[:, :2] /= scale
    return Detection(row[:4].astype(float) / scale, points, float(row[4]))
