"""Pose networks on the crop around one person: BlazePose (3D keypoints and mask) and RTMW (133 keypoints)."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.special import expit

from closemesh.body.skeleton import COCO_BODY, KEYPOINT_INDEX
from closemesh.config.schema import PoseNetwork
from closemesh.core.arrays import Floats
from closemesh.core.errors import ModelFileError
from closemesh.perception.detectors.onnx_runtime import load_onnx, open_onnx
from closemesh.perception.types import CropPose, Detection, Image
from closemesh.structures import NUM_KEYPOINTS, NUM_KEYPOINTS3D

BLAZEPOSE_FILES: dict[PoseNetwork, str] = {
    "full": "blazepose/blazepose_full_fp16.onnx",
    "heavy": "blazepose/blazepose_heavy_fp16.onnx",
}
"""Both have the same input and outputs."""
CROP = 256  # Pixels per side, fixed by the network.
_HEATMAP = 64
_KERNEL = 4  # Cells on each side of a point within which its heat map may move it.
_MIN_CONFIDENCE = 0.1
_MIN_HEATMAP_PEAK = 0.5
_CROP_SCALE = 2.1 * 1.15  # Side of the crop over the distance from the mid-hip to the farthest keypoint.
_LEFT_HIP, _RIGHT_HIP = 23, 24

# BlazePose index of each COCO-WholeBody keypoint that it estimates; it has no small toe.
_BODY = dict(zip(COCO_BODY, (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28), strict=True))
_FEET = {"left_big_toe": 31, "left_heel": 29, "right_big_toe": 32, "right_heel": 30}
_HANDS = {
    **{"left_hand_pinky1": 17, "left_hand_index1": 19, "left_hand_thumb2": 21},
    **{"right_hand_pinky1": 18, "right_hand_index1": 20, "right_hand_thumb2": 22},
}
_SOURCE = {KEYPOINT_INDEX[name]: index for name, index in {**_BODY, **_FEET, **_HANDS}.items()}

# Constants of RTMW in mmpose's configuration.
_PADDING = 1.25
_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_STD = np.array([58.395, 57.12, 57.375], np.float32)
_BINS_PER_PIXEL = 2.0
_PEAK = 10.0  # Height of a certain peak: training labels are Gaussians of height 1, scaled by ten.


class BlazePose:
    """One of the BlazePose networks. Raises ModelFileError when its file is missing or damaged."""

    def __init__(self, network: PoseNetwork, threads: int = 1) -> None:
        """threads: of one call, as in `load_onnx`."""
        self._session = load_onnx(BLAZEPOSE_FILES[network], threads)
        self._input = self._session.get_inputs()[0].name

    def refine(self, image: Image, person: Detection) -> CropPose | None:
        """Pose and mask of one person; None when hips and shoulders do not define a crop. image: RGB [H, W, 3]."""
        T_crop_image = crop_transform(person.keypoints)
        if T_crop_image is None:
            return None
        crop = cv2.warpAffine(image, T_crop_image, (CROP, CROP), flags=cv2.INTER_LINEAR)
        landmarks, presence, mask, heatmaps, world = self._session.run(
            None, {self._input: crop[None].astype(np.float32) / 255}
        )
        points = landmarks.reshape(39, 5)[:33].astype(float)  # x, y crop pixels, z, logits of visibility and presence
        confidence = expit(points[:, 3]) * expit(points[:, 4])
        T_image_crop = np.asarray(cv2.invertAffineTransform(T_crop_image), float)
        pixels = refine_with_heatmaps(points[:, :2], expit(heatmaps[0])) @ T_image_crop[:, :2].T + T_image_crop[:, 2]
        return CropPose(
            keypoints=_as_wholebody(np.column_stack([pixels, confidence])),
            keypoints3d=_as_keypoints3d(world.reshape(39, 3)[:33].astype(float), confidence, T_image_crop),
            center=T_image_crop @ np.array([CROP / 2, CROP / 2, 1]),
            mask=expit(mask[0, :, :, 0]),
            T_image_mask=T_image_crop,
            presence=float(presence[0, 0]),
        )


def crop_transform(keypoints: Floats) -> Floats | None:
    """Affine map [2, 3] from the image to a square around the mid-hip, with the mid-shoulder above it.

    keypoints: [17, 3] COCO. None when hips and shoulders coincide or lack confidence.
    """
    given = keypoints[:, 2] > _MIN_CONFIDENCE
    hip, shoulder = keypoints[[11, 12], :2].mean(0), keypoints[[5, 6], :2].mean(0)
    trunk = float(np.linalg.norm(shoulder - hip))
    if not given[[5, 6, 11, 12]].any() or trunk < 1:
        return None
    up = (shoulder - hip) / trunk
    right = np.array([-up[1], up[0]])
    farthest = np.linalg.norm(keypoints[given, :2] - hip, axis=1).max()
    half = _CROP_SCALE / 2 * max(farthest, 1.5 * trunk)
    corners = np.array([hip + half * (up - right), hip + half * (up + right), hip - half * (up + right)])
    return cv2.getAffineTransform(corners.astype(np.float32), np.float32([[0, 0], [CROP, 0], [0, CROP]]))  # type: ignore[arg-type]


def refine_with_heatmaps(points: Floats, heatmaps: Floats) -> Floats:
    """[K, 2] points moved to the center of mass of their heat map nearby, where the heat map has a clear peak.

    points: [K, 2] crop pixels. heatmaps: [64, 64, >=K] probabilities. Source: MediaPipe's
    RefineLandmarksFromHeatmapCalculator (kernel 9, minimal confidence 0.5).
    """
    refined = points.copy()
    cell = CROP / _HEATMAP
    for k, (x, y) in enumerate((points / cell).astype(int)):
        if not (0 <= x < _HEATMAP and 0 <= y < _HEATMAP):
            continue
        rows = slice(max(0, y - _KERNEL), y + _KERNEL + 1)
        columns = slice(max(0, x - _KERNEL), x + _KERNEL + 1)
        near = heatmaps[rows, columns, k]
        if near.max() >= _MIN_HEATMAP_PEAK:
            moments = near.sum(0) @ np.arange(near.shape[1]), near.sum(1) @ np.arange(near.shape[0])
            refined[k] = (np.array(moments) / near.sum() + (columns.start, rows.start)) * cell
    return refined


def _as_wholebody(points: Floats) -> Floats:
    """[33, 3] -> [133, 3]."""
    keypoints = np.zeros((NUM_KEYPOINTS, 3))
    for target, source in _SOURCE.items():
        keypoints[target] = points[source]
    return keypoints


def _as_keypoints3d(world: Floats, confidence: Floats, T_image_crop: Floats) -> Floats:
    """[33, 3] meters in the axes of the rotated crop -> [23, 4] in the axes of the image."""
    R_image_crop = np.eye(3)
    R_image_crop[:2, :2] = T_image_crop[:, :2] / np.sqrt(np.linalg.det(T_image_crop[:, :2]))
    upright = (world - world[[_LEFT_HIP, _RIGHT_HIP]].mean(0)) @ R_image_crop.T
    keypoints3d = np.zeros((NUM_KEYPOINTS3D, 4))
    for target, source in _SOURCE.items():
        if target < NUM_KEYPOINTS3D:
            keypoints3d[target] = (*upright[source], confidence[source])
    return keypoints3d


class Rtmw:
    """The RTMW network of a file. Raises ModelFileError when the file holds another network.

    Tested on a stub with the same signature; the real files have not been run.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self._session = open_onnx(path, device)
        source = self._session.get_inputs()[0]
        self._input, shape = source.name, source.shape
        outputs = [output.name for output in self._session.get_outputs()]
        if len(shape) != 4 or not all(isinstance(side, int) for side in shape[2:]) or len(outputs) != 2:
            raise ModelFileError(f"{path}: no RTMW network: one image in, two SimCC maps out; fetch the file again")
        self._path, self._size = path, (int(shape[3]), int(shape[2]))
        self._outputs = sorted(outputs)  # simcc_x, simcc_y

    def keypoints(self, image: Image, box: Floats) -> Floats:
        """[133, 3] x, y pixels of the image and confidence 0..1. image: RGB [H, W, 3]. box: [4] x0, y0, x1, y1.

        Raises ModelFileError when the network gives another number of keypoints.
        """
        T_crop_image = padded_crop_transform(box, self._size)
        crop = cv2.warpAffine(image, T_crop_image, self._size, flags=cv2.INTER_LINEAR)
        pixels = ((crop - _MEAN) / _STD).transpose(2, 0, 1)[None].astype(np.float32)
        along_x, along_y = self._session.run(self._outputs, {self._input: pixels})
        bins = [NUM_KEYPOINTS, *(round(_BINS_PER_PIXEL * side) for side in self._size)]
        if [along_x.shape[1], along_x.shape[2], along_y.shape[2]] != bins:
            raise ModelFileError(f"{self._path}: gives {along_x.shape[1]} keypoints, not 133; fetch the file again")
        points = decode_simcc(along_x[0], along_y[0])
        T_image_crop = np.asarray(cv2.invertAffineTransform(T_crop_image), float)
        points[:, :2] = points[:, :2] @ T_image_crop[:, :2].T + T_image_crop[:, 2]
        return points


def padded_crop_transform(box: Floats, size: tuple[int, int]) -> Floats:
    """Affine map [2, 3] from the image to a crop that holds the box with a margin of a quarter.

    box: [4] x0, y0, x1, y1 pixels. size: width and height of the crop.
    """
    width, height = size
    extent = np.maximum(box[2:] - box[:2], 1.0) * _PADDING
    scale = min(width / extent[0], height / extent[1])
    shift = np.array([width, height]) / 2 - scale * (box[:2] + box[2:]) / 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def decode_simcc(along_x: Floats, along_y: Floats) -> Floats:
    """[K, 3] x, y crop pixels and confidence from rows of bins along_x [K, 2 W] and along_y [K, 2 H].

    A coordinate is the highest bin. The confidence is its height above the row's median relative to a certain peak,
    the smaller of both axes; the raw height is no probability and has no fixed zero.
    """
    bins = np.column_stack([along_x.argmax(1), along_y.argmax(1)]).astype(float)
    heights = np.column_stack([row.max(1) - np.median(row, axis=1) for row in (along_x, along_y)])
    return np.column_stack([bins / _BINS_PER_PIXEL, np.clip(heights.min(1) / _PEAK, 0, 1)])
