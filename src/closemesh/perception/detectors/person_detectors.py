"""Detectors of people with 17 keypoints: MoveNet MultiPose, YOLO pose, YOLOX with RTMW."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from closemesh.core.arrays import Floats
from closemesh.core.errors import ModelFileError
from closemesh.perception.detectors.onnx_runtime import letterbox, load_onnx, open_onnx, padded_size
from closemesh.perception.detectors.ultralytics_backend import YoloNetwork
from closemesh.perception.keypoints.pose_networks import Rtmw
from closemesh.perception.types import NUM_BODY_KEYPOINTS, Detection, Image

MODEL_NAME = "movenet_multipose/movenet_multipose_fp16.onnx"
MOVENET_MIN_SCORE = 0.12  # The network always gives six people; below this score they are noise.
_MOVENET_STRIDE = 32  # Sides of the input are multiples of this.

YOLO_MIN_SCORE = 0.15  # Occluded people score low; false detections are removed with short tracks.
_YOLO_STRIDE = 32
_YOLO_SCALE = 640 / 384  # Ratio of YOLO's full-image size over MoveNet's, in which sizes are requested.

_YOLOX_MIN_SCORE = 0.3
_YOLOX_SIDE = 640  # Pixels, where the file does not fix the input size.
_PERSON = 0


class MoveNet:
    """MoveNet MultiPose: up to six people in one pass. Raises ModelFileError when its file is missing or damaged."""

    def __init__(self) -> None:
        self._session = load_onnx(MODEL_NAME)
        self._input = self._session.get_inputs()[0].name

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        """People with a score of at least MOVENET_MIN_SCORE, in pixels of the image. image: RGB [H, W, 3]."""
        scale = long_side / max(image.shape[:2])
        padded = _pad_to_stride(image, scale)
        (rows,) = self._session.run(None, {self._input: padded[None]})  # [1, 6, 56]
        size = np.array(padded.shape[1::-1]) / scale
        return [_movenet_detection(row, size) for row in rows[0] if row[55] >= MOVENET_MIN_SCORE]


def _pad_to_stride(image: Image, scale: float) -> Image:
    """The image times `scale` in the upper left corner of a black one whose sides are multiples of the stride."""
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    padded_width, padded_height = padded_size(image, scale, _MOVENET_STRIDE)
    canvas = np.zeros((padded_height, padded_width, 3), np.uint8)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[:height, :width] = cv2.resize(image, (width, height), interpolation=interpolation)
    return canvas


def _movenet_detection(row: Floats, size: Floats) -> Detection:
    """row: [56] 17 times y, x, confidence, then y0, x0, y1, x1, score, all in 0..1 of the padded image."""
    points = row[:51].reshape(17, 3)[:, [1, 0, 2]].astype(float)
    points[:, :2] *= size
    return Detection(row[[52, 51, 54, 53]] * np.tile(size, 2), points, float(row[55]))


class YoloPose:
    """A YOLO pose network. Raises ModelFileError when the file holds another network."""

    def __init__(self, path: Path, device: torch.device) -> None:
        self._network = YoloNetwork(path, device, "pose")

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        """People with a score of at least YOLO_MIN_SCORE, in pixels of the image. image: RGB [H, W, 3]."""
        scale = _YOLO_SCALE * long_side / max(image.shape[:2])
        rows, _ = self._network.run(preprocess(image, scale), YOLO_MIN_SCORE)
        return [_yolo_detection(row, scale) for row in rows]


def preprocess(image: Image, scale: float) -> Floats:
    """[3, H, W] 0..1: the image [h, w, 3] times `scale`, padded to multiples of YOLO's stride."""
    fitted = letterbox(image, scale, padded_size(image, scale, _YOLO_STRIDE))
    return fitted.transpose(2, 0, 1).astype(np.float32) / 255


def _yolo_detection(row: Floats, scale: float) -> Detection:
    """row: [57] box, score, class, 17 times x, y, confidence, in pixels of the image times `scale`."""
    points = row[6:].reshape(NUM_BODY_KEYPOINTS, 3).astype(float)
    points[:, :2] /= scale
    return Detection(row[:4].astype(float) / scale, points, float(row[4]))


class YoloxDetector:
    """YOLOX for boxes and RTMW for their keypoints, without ultralytics.

    Input as in mmdetection's configuration: 640 x 640 pixels, BGR 0..255, suppression in the file. Tested on a stub
    with the same signature; the real file has not been run. Raises ModelFileError when the file holds another network.
    """

    def __init__(self, path: Path, whole_body: Rtmw, device: torch.device) -> None:
        self._session, self._whole_body = open_onnx(path, device), whole_body
        source = self._session.get_inputs()[0]
        outputs = {output.name for output in self._session.get_outputs()}
        if len(source.shape) != 4 or not {"dets", "labels"} <= outputs:
            raise ModelFileError(f"{path}: no YOLOX network: one image in, dets and labels out; fetch the file again")
        self._input = source.name
        self._side = source.shape[2] if isinstance(source.shape[2], int) else _YOLOX_SIDE

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        """People with a score of at least 0.3, in pixels of the image. image: RGB [H, W, 3].

        The network has one input size, whatever `long_side` is.
        """
        scale = self._side / max(image.shape[:2])
        canvas = letterbox(image, scale, (self._side, self._side))[..., ::-1]
        pixels = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], np.float32)
        rows, labels = self._session.run(["dets", "labels"], {self._input: pixels})
        found = rows[0][(labels[0] == _PERSON) & (rows[0][:, 4] >= _YOLOX_MIN_SCORE)].astype(float)
        boxes = found[:, :4] / scale
        return [
            Detection(box, self._whole_body.keypoints(image, box)[:NUM_BODY_KEYPOINTS], float(score))
            for box, score in zip(boxes, found[:, 4], strict=True)
        ]
