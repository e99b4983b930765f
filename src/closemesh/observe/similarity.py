"""How alike two detections are: keypoint similarity and torso colour."""

from __future__ import annotations

import cv2
import numpy as np

from closemesh.observe.detector import Detection, Image
from closemesh.scene import Floats

# Per-keypoint constants of the COCO keypoint evaluation; twice sigma is the scale of the similarity.
COCO_SIGMAS = np.array(
    [
        0.026,
        0.025,
        0.025,
        0.035,
        0.035,
        0.079,
        0.079,
        0.072,
        0.072,
        0.062,
        0.062,
        0.107,
        0.107,
        0.087,
        0.087,
        0.089,
        0.089,
    ]
)
_MIN_CONFIDENCE = 0.1
_MIN_COMMON = 4
_AGREEMENT = 0.05  # Of the box diagonal; looks farther apart mean different points.
_TORSO = [5, 6, 12, 11]
_BINS = (4, 8, 8)
NUM_COLOURS = int(np.prod(_BINS))


def keypoint_similarity(a: Detection, b: Detection) -> float:
    """Object keypoint similarity 0..1 over the keypoints that both have; 0 when they share fewer than four."""
    common = (a.keypoints[:, 2] > _MIN_CONFIDENCE) & (b.keypoints[:, 2] > _MIN_CONFIDENCE)
    if common.sum() < _MIN_COMMON:
        return 0.0
    squared = ((a.keypoints[:, :2] - b.keypoints[:, :2]) ** 2).sum(1)
    scale = 2 * max(a.area, b.area) * (2 * COCO_SIGMAS) ** 2
    return float(np.exp(-squared / scale)[common].mean())


def merge_duplicates(detections: list[Detection], limit: float = 0.6) -> list[Detection]:
    """Best score first; those more alike than `limit` to a better one are taken together with it."""
    kept: list[Detection] = []
    for detection in sorted(detections, key=lambda d: -d.score):
        likeness = [keypoint_similarity(detection, other) for other in kept]
        if likeness and max(likeness) >= limit:
            best = int(np.argmax(likeness))
            kept[best] = _merged(kept[best], detection)
        else:
            kept.append(detection)
    return kept


def _merged(first: Detection, second: Detection) -> Detection:
    """The mean of each keypoint where both agree, the surer one where they do not."""
    a, b = first.keypoints, second.keypoints
    apart = np.linalg.norm(a[:, :2] - b[:, :2], axis=1)[:, None]
    share = b[:, 2:] / np.maximum(a[:, 2:] + b[:, 2:], 1e-9)
    mean = np.concatenate([a[:, :2] + share * (b[:, :2] - a[:, :2]), np.maximum(a[:, 2:], b[:, 2:])], 1)
    surer = np.where(a[:, 2:] >= b[:, 2:], a, b)
    return Detection(first.box, np.where(apart < _AGREEMENT * first.diagonal, mean, surer), first.score)


def torso_colour(image: Image, person: Detection) -> Floats:
    """[256] Lab histogram of the torso, sum 1; zeros when the torso lies outside the image."""
    corners = person.keypoints[_TORSO, :2].round().astype(np.int32)
    low = np.maximum(corners.min(0), 0)
    high = np.minimum(corners.max(0) + 1, image.shape[1::-1])
    if (high - low).min() < 2:
        return np.zeros(NUM_COLOURS)
    patch = image[low[1] : high[1], low[0] : high[0]]
    inside = np.zeros(patch.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(corners - low), 255)  # type: ignore[arg-type]
    lab = cv2.cvtColor(patch, cv2.COLOR_RGB2LAB)
    histogram = cv2.calcHist([lab], [0, 1, 2], inside, list(_BINS), [0, 256] * 3).ravel()
    return histogram / max(histogram.sum(), 1)


def colour_similarity(a: Floats, b: Floats) -> float:
    """Histogram intersection 0..1."""
    return float(np.minimum(a, b).sum())
