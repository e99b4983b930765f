"""Who covers each pixel: person probabilities from each look, one winner a pixel."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from closemesh.body.skeleton import LIMBS
from closemesh.core.arrays import Floats
from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file
from closemesh.perception.types import CropEstimate, CropPose, Image

_REACH = 0.05  # Of the box diagonal: how fast a mask fades away from its own skeleton.
_WORK_SIDE = 640  # Pixels; winners are decided in an image of at most this size, edges stay those of the masks.
_MIN_CONFIDENCE = 0.15
_THRESHOLD = 0.5
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)


def label_image(looks: dict[int, CropEstimate], size: tuple[int, int]) -> Image:
    """[H, W] 0 where there is nobody, p + 1 where person p is. size: width, height.

    The winner of a pixel has the largest probability times exp(-distance to the own skeleton / reach).
    """
    labels = np.zeros(size[::-1], np.uint8)
    best = np.zeros(size[::-1], np.float32)
    for person, look in looks.items():
        x0, y0, x1, y1 = _covered(look.refinement, size)
        if x1 <= x0 or y1 <= y0:
            continue
        T_window_mask = look.refinement.T_image_mask - np.array([[0, 0, x0], [0, 0, y0]])
        probability = cv2.warpAffine(look.refinement.mask, T_window_mask, (x1 - x0, y1 - y0))
        points = look.detection.keypoints - np.array([x0, y0, 0])
        score = probability * _nearness(points, look.detection.diagonal, probability.shape)
        window = best[y0:y1, x0:x1]
        wins = (probability > _THRESHOLD) & (score > window)
        window[wins] = score[wins]
        labels[y0:y1, x0:x1][wins] = person + 1
    return labels


def _covered(look: CropPose, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The window of the image that the mask can reach."""
    rows, columns = np.nonzero(look.mask > _THRESHOLD)
    if len(rows) == 0:
        return 0, 0, 0, 0
    low, high = np.array([columns.min(), rows.min()]) - 1, np.array([columns.max(), rows.max()]) + 1
    corners = np.array([[low[0], low[1], 1], [high[0], low[1], 1], [low[0], high[1], 1], [high[0], high[1], 1]])
    pixels = corners @ look.T_image_mask.T
    start = np.clip(np.floor(pixels.min(0)), 0, size).astype(int)
    stop = np.clip(np.ceil(pixels.max(0)) + 1, 0, size).astype(int)
    return int(start[0]), int(start[1]), int(stop[0]), int(stop[1])


def _nearness(keypoints: Floats, diagonal: float, shape: tuple[int, ...]) -> Floats:
    """exp(-distance to the skeleton / reach) for a window of this shape; never 0, so that nobody loses to nothing."""
    scale = min(1.0, _WORK_SIDE / max(shape))
    small = (max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale)))
    free = np.full(small[::-1], 255, np.uint8)
    for a, b in LIMBS:
        if min(keypoints[a, 2], keypoints[b, 2]) > _MIN_CONFIDENCE:
            start, end = (np.round(keypoints[k, :2] * scale).astype(int).tolist() for k in (a, b))
            cv2.line(free, start, end, 0, 2)
    distance = cv2.distanceTransform(free, cv2.DIST_L2, 3) / scale
    near = np.exp(-distance / (_REACH * diagonal)) + 1e-6
    return np.asarray(cv2.resize(near, shape[1::-1]), np.float32)


def read_labels(path: Path) -> Image:
    """The label image [H, W] that `write_labels` wrote. Raises InputError when it is missing or damaged."""
    labels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
    if labels is None:
        raise InputError(f"mask {path} is missing or damaged; run closemesh reconstruct --fresh again")
    return np.asarray(labels, np.uint8)


def write_labels(path: Path, labels: Image) -> None:
    """An 8-bit PNG. Raises OutputError when it cannot be written."""
    encoded = cv2.imencode(".png", labels, _PNG)[1]
    with atomic_file(path) as part:
        part.write_bytes(encoded.tobytes())
