"""RTMW: 133 keypoints of one person, hands and face with them, on onnxruntime.

Written from mmpose's configuration of the network (padding 1.25, RGB mean and deviation, SimCC with two bins a pixel)
and tested on a stand-in with the same signature; the real files have not been run here.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from closemesh.errors import ModelFileError
from closemesh.observe.detector import Image
from closemesh.observe.onnx_model import open_onnx
from closemesh.scene import NUM_KEYPOINTS, Floats

_PADDING = 1.25
_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)
_BINS_A_PIXEL = 2.0
_PEAK = 10.0  # Height of a certain peak: labels are bells of height 1, taken times ten in training.


class Rtmw:
    """The network, ready to run. Raises ModelFileError when the file is no such network."""

    def __init__(self, path: Path, device: torch.device) -> None:
        self._session = open_onnx(path, device)
        source = self._session.get_inputs()[0]
        self._input, shape = source.name, source.shape
        outputs = [output.name for output in self._session.get_outputs()]
        if len(shape) != 4 or not all(isinstance(side, int) for side in shape[2:]) or len(outputs) != 2:
            raise ModelFileError(f"{path}: no RTMW network: one picture in, two SimCC maps out; fetch the file again")
        self._path, self._size = path, (int(shape[3]), int(shape[2]))
        self._outputs = sorted(outputs)  # simcc_x, simcc_y

    def keypoints(self, image: Image, box: Floats) -> Floats:
        """[133, 3] x, y pixels of the image and confidence 0..1. image: RGB [H, W, 3]. box: [4] x0, y0, x1, y1."""
        T_crop_image = crop_transform(box, self._size)
        crop = cv2.warpAffine(image, T_crop_image, self._size, flags=cv2.INTER_LINEAR)
        pixels = ((crop - _MEAN) / _DEVIATION).transpose(2, 0, 1)[None].astype(np.float32)
        along_x, along_y = self._session.run(self._outputs, {self._input: pixels})
        bins = [NUM_KEYPOINTS, *(round(_BINS_A_PIXEL * side) for side in self._size)]
        if [along_x.shape[1], along_x.shape[2], along_y.shape[2]] != bins:
            raise ModelFileError(f"{self._path}: gives {along_x.shape[1]} keypoints, not 133; fetch the file again")
        points = decode_simcc(along_x[0], along_y[0])
        T_image_crop = np.asarray(cv2.invertAffineTransform(T_crop_image), float)
        points[:, :2] = points[:, :2] @ T_image_crop[:, :2].T + T_image_crop[:, 2]
        return points


def crop_transform(box: Floats, size: tuple[int, int]) -> Floats:
    """[2, 3] from the image to a crop of this size (width, height) around the box, a quarter larger than the box."""
    width, height = size
    extent = np.maximum(box[2:] - box[:2], 1.0) * _PADDING
    scale = min(width / extent[0], height / extent[1])
    shift = np.array([width, height]) / 2 - scale * (box[:2] + box[2:]) / 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def decode_simcc(along_x: Floats, along_y: Floats) -> Floats:
    """[K, 3] crop pixels and confidence from one row of bins a keypoint: [K, 2 W] and [K, 2 H].

    A coordinate is the highest bin. How sure it is: how far the bin stands out of the row's median, of what a certain
    one would; the less sure of the two axes counts. The raw height is no probability and has no fixed zero.
    """
    bins = np.column_stack([along_x.argmax(1), along_y.argmax(1)]).astype(float)
    heights = np.column_stack([row.max(1) - np.median(row, axis=1) for row in (along_x, along_y)])
    return np.column_stack([bins / _BINS_A_PIXEL, np.clip(heights.min(1) / _PEAK, 0, 1)])
