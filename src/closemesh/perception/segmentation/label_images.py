"""Label images: one person per pixel, decided from the masks of all people, stored as PNG."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from closemesh.body.skeleton import LIMBS
from closemesh.core.arrays import Floats
from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file
from closemesh.perception.types import CropEstimate, CropPose, Image

_FALLOFF = 0.05  # Fraction of the box diagonal: distance from the skeleton over which a mask's score falls to 1 / e.
_WORK_SIDE = 640  # Pixels; skeleton distances are computed in an image of at most this size.
_MIN_CONFIDENCE = 0.15
_THRESHOLD = 0.5
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)


def label_image(estimates: dict[int, CropEstimate], size: tuple[int, int]) -> Image:
    """[H, W] 0 for the background, p + 1 for person p. size: width and height.

    A pixel belongs to the person with the largest product of mask probability and exp(-distance to the person's
    skeleton / falloff).
    """
    labels = np.zeros(size[::-1], np.uint8)
    best = np.zeros(size[::-1], np.float32)
    for person, estimate in estimates.items():
        x0, y0, x1, y1 = _mask_window(estimate.pose, size)
        if x1 <= x0 or y1 <= y0:
            continue
        T_window_mask = estimate.pose.T_image_mask - np.array([[0, 0, x0], [0, 0, y0]])
        probability = cv2.warpAffine(estimate.pose.mask, T_window_mask, (x1 - x0, y1 - y0))
        points = estimate.detection.keypoints - np.array([x0, y0, 0])
        score = probability * _skeleton_weight(points, estimate.detection.diagonal, probability.shape)
        window = best[y0:y1, x0:x1]
        wins = (probability > _THRESHOLD) & (score > window)
        window[wins] = score[wins]
        labels[y0:y1, x0:x1][wins] = person + 1
    return labels


def _mask_window(pose: CropPose, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the image window that the mask covers."""
    rows, columns = np.nonzero(pose.mask > _THRESHOLD)
    if len(rows) == 0:
        return 0, 0, 0, 0
    low, high = np.array([columns.min(), rows.min()]) - 1, np.array([columns.max(), rows.max()]) + 1
    corners = np.array([[low[0], low[1], 1], [high[0], low[1], 1], [low[0], high[1], 1], [high[0], high[1], 1]])
    pixels = corners @ pose.T_image_mask.T
    start = np.clip(np.floor(pixels.min(0)), 0, size).astype(int)
    stop = np.clip(np.ceil(pixels.max(0)) + 1, 0, size).astype(int)
    return int(start[0]), int(start[1]), int(stop[0]), int(stop[1])


def _skeleton_weight(keypoints: Floats, diagonal: float, shape: tuple[int, ...]) -> Floats:
    """exp(-distance to the skeleton / falloff) for a window of this shape; never 0, so that any mask beats none."""
    scale = min(1.0, _WORK_SIDE / max(shape))
    small = (max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale)))
    background = np.full(small[::-1], 255, np.uint8)
    for a, b in LIMBS:
        if min(keypoints[a, 2], keypoints[b, 2]) > _MIN_CONFIDENCE:
            start, end = (np.round(keypoints[k, :2] * scale).astype(int).tolist() for k in (a, b))
            cv2.line(background, start, end, 0, 2)
    distance = cv2.distanceTransform(background, cv2.DIST_L2, 3) / scale
    weight = np.exp(-distance / (_FALLOFF * diagonal)) + 1e-6
    return np.asarray(cv2.resize(weight, shape[1::-1]), np.float32)


def read_labels(path: Path) -> Image:
    """The label image [H, W] of a PNG. Raises InputError when the file is missing or damaged."""
    labels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
    if labels is None:
        raise InputError(f"mask {path} is missing or damaged; run closemesh reconstruct --fresh again")
    return np.asarray(labels, np.uint8)


def write_labels(path: Path, labels: Image) -> None:
    """Write labels [H, W] as 8-bit PNG. Raises OutputError when the file cannot be written."""
    encoded = cv2.imencode(".png", labels, _PNG)[1]
    with atomic_file(path) as part:
        part.write_bytes(encoded.tobytes())
