"""Who covers each pixel: person probabilities from each look, one winner a pixel."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from closemesh.body.skeleton import LIMBS
from closemesh.errors import OutputError
from closemesh.observe.detector import Image, Refinement
from closemesh.scene import Floats

_REACH = 0.05  # Of the box diagonal: how fast a mask fades away from its own skeleton.
_WORK_SIDE = 640  # Pixels; winners are decided in an image of at most this size, edges stay those of the masks.
_MIN_CONFIDENCE = 0.15
_THRESHOLD = 0.5


def label_image(looks: list[tuple[int, Floats, float, Refinement]], size: tuple[int, int]) -> Image:
    """[H, W] 0 where there is nobody, p + 1 where person p is.

    looks: person p, keypoints [133, 3], box diagonal in pixels, refinement. size: width, height.
    The winner of a pixel has the largest probability times exp(-distance to the own skeleton / reach).
    """
    labels = np.zeros(size[::-1], np.uint8)
    best = np.zeros(size[::-1], np.float32)
    for person, keypoints, diagonal, look in looks:
        x0, y0, x1, y1 = _covered(look, size)
        if x1 <= x0 or y1 <= y0:
            continue
        T_window_mask = look.T_image_mask - np.array([[0, 0, x0], [0, 0, y0]])
        probability = cv2.warpAffine(look.mask, T_window_mask, (x1 - x0, y1 - y0))
        points = keypoints[:, :3] - np.array([x0, y0, 0])
        score = probability * _nearness(points, diagonal, probability.shape)
        window = best[y0:y1, x0:x1]
        wins = (probability > _THRESHOLD) & (score > window)
        window[wins] = score[wins]
        labels[y0:y1, x0:x1][wins] = person + 1
    return labels


def _covered(look: Refinement, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The window of the image that the mask can reach."""
    height, width = look.mask.shape
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
    return cv2.resize(near, shape[1::-1], interpolation=cv2.INTER_LINEAR)


def write_labels(path: Path, labels: Image) -> None:
    """An 8-bit PNG, renamed into place when it is complete. Raises OutputError when it cannot be written."""
    partial = path.with_suffix(".png.partial")
    encoded = cv2.imencode(".png", labels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
    try:
        partial.write_bytes(encoded.tobytes())
        os.replace(partial, path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot write the mask ({error.strerror}); free space or choose another folder"
        ) from error
