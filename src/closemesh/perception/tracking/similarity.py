"""Similarity of two detections: keypoints (OKS), torso color histograms, and clothing colors per body part."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from closemesh.core.arrays import Bools, Floats
from closemesh.fitting.keypoint_noise import COCO_SIGMAS
from closemesh.perception.types import Detection, Image

_MIN_CONFIDENCE = 0.1
_MIN_COMMON = 4
_AGREEMENT = 0.05  # Fraction of the box diagonal; keypoints farther apart are different points.
_TORSO = [5, 6, 12, 11]
_BINS = (4, 8, 8)
NUM_COLOR_BINS = int(np.prod(_BINS))

CLOTHING_PARTS: dict[str, tuple[tuple[int, int], ...]] = {
    "head": ((3, 0), (4, 0), (3, 4)),
    "trunk": ((5, 12), (6, 11), (5, 11), (6, 12)),
    "upper arms": ((5, 7), (6, 8)),
    "forearms": ((7, 9), (8, 10)),
    "thighs": ((11, 13), (12, 14)),
    "shins": ((13, 15), (14, 16)),
}
"""Pairs of COCO keypoints along which each part is sampled; left and right are one part, since sides may be flipped."""
_SAMPLES = np.linspace(0.2, 0.8, 5)  # Positions along each pair; its ends belong to neighboring parts too.
_MIN_CLOTHING_CONFIDENCE = 0.3
_LIGHTNESS = 0.5  # Weight of lightness against hue: shadows change lightness.
_MIN_STD = 8.0  # Standard deviation, of 255; no clothing has the same color in every frame.
_MAX_MISMATCH = 4.0  # Limit in half squared standard deviations; a part of another color may just be occluded.


def oks(a: Detection, b: Detection) -> float:
    """Object keypoint similarity 0..1 over common keypoints; 0 with fewer than four."""
    common = (a.keypoints[:, 2] > _MIN_CONFIDENCE) & (b.keypoints[:, 2] > _MIN_CONFIDENCE)
    if common.sum() < _MIN_COMMON:
        return 0.0
    squared = ((a.keypoints[:, :2] - b.keypoints[:, :2]) ** 2).sum(1)
    scale = 2 * max(a.area, b.area) * (2 * np.array(COCO_SIGMAS)) ** 2
    return float(np.exp(-squared / scale)[common].mean())


def keypoint_nms(detections: list[Detection], limit: float = 0.6) -> list[Detection]:
    """Detections with the best score first; those with OKS of at least `limit` to a better one are merged into it."""
    merged: list[Detection] = []
    for detection in sorted(detections, key=lambda d: -d.score):
        similarity = [oks(detection, other) for other in merged]
        if similarity and max(similarity) >= limit:
            best = int(np.argmax(similarity))
            merged[best] = _merge(merged[best], detection)
        else:
            merged.append(detection)
    return merged


def _merge(first: Detection, second: Detection) -> Detection:
    """The mean of each keypoint where both agree, else the more confident one."""
    a, b = first.keypoints, second.keypoints
    distance = np.linalg.norm(a[:, :2] - b[:, :2], axis=1)[:, None]
    weight = b[:, 2:] / np.maximum(a[:, 2:] + b[:, 2:], 1e-9)
    mean = np.concatenate([a[:, :2] + weight * (b[:, :2] - a[:, :2]), np.maximum(a[:, 2:], b[:, 2:])], 1)
    better = np.where(a[:, 2:] >= b[:, 2:], a, b)
    return Detection(first.box, np.where(distance < _AGREEMENT * first.diagonal, mean, better), first.score)


def torso_histogram(image: Image, person: Detection) -> Floats:
    """[256] Lab histogram of the torso, sum 1; zeros when the torso lies outside the image [H, W, 3]."""
    corners = person.keypoints[_TORSO, :2].round().astype(np.int32)
    low = np.maximum(corners.min(0), 0)
    high = np.minimum(corners.max(0) + 1, image.shape[1::-1])
    if (high - low).min() < 2:
        return np.zeros(NUM_COLOR_BINS)
    patch = image[low[1] : high[1], low[0] : high[0]]
    inside = np.zeros(patch.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(corners - low), 255)  # type: ignore[arg-type]
    lab = cv2.cvtColor(patch, cv2.COLOR_RGB2LAB)
    histogram = cv2.calcHist([lab], [0, 1, 2], inside, list(_BINS), [0, 256] * 3).ravel()
    return histogram / max(histogram.sum(), 1)


def histogram_similarity(a: Floats, b: Floats) -> float:
    """Intersection 0..1 of two histograms a [256] and b [256]."""
    return float(np.minimum(a, b).sum())


def clothing_colors(image: Image, person: Detection) -> Floats:
    """[6, 4] median Lab color of each of CLOTHING_PARTS, lightness halved, and 1 where the part is visible, else 0."""
    colors = np.zeros((len(CLOTHING_PARTS), 4), np.float32)
    for row, pairs in enumerate(CLOTHING_PARTS.values()):
        pixels = np.concatenate([_pixels_between(image, person, *pair) for pair in pairs])  # [N, 3] RGB
        if len(pixels) >= len(_SAMPLES):
            lab = cv2.cvtColor(pixels[None], cv2.COLOR_RGB2LAB)[0]
            colors[row] = (*np.median(lab, axis=0), 1)
    colors[:, 0] *= _LIGHTNESS
    return colors


def _pixels_between(image: Image, person: Detection, start: int, end: int) -> Image:
    """[N, 3] pixels between two keypoints; none where a keypoint lacks confidence or the pixels lie outside."""
    if min(person.keypoints[[start, end], 2]) < _MIN_CLOTHING_CONFIDENCE:
        return image[:0, 0]
    a, b = person.keypoints[start, :2], person.keypoints[end, :2]
    columns, rows = (a + _SAMPLES[:, None] * (b - a)).round().astype(int).T
    inside = (rows >= 0) & (rows < image.shape[0]) & (columns >= 0) & (columns < image.shape[1])
    return image[rows[inside], columns[inside]]


@dataclass(frozen=True)
class ClothingModel:
    """Usual clothing colors of one person."""

    colors: Floats  # [6, 3]
    std: Floats  # [6]
    observed: Bools  # [6]

    def mismatch(self, colors: Floats) -> Floats:
        """[N, 6] half squared deviations of colors [N, 6, 4], in standard deviations, capped; nan if not observed."""
        squared = ((colors[..., :3] - self.colors) ** 2).sum(-1)
        cost = np.minimum(squared / (2 * self.std**2), _MAX_MISMATCH)
        return np.where(self.observed & (colors[..., 3] > 0), cost, np.nan)


def fit_clothing_model(colors: Floats) -> ClothingModel:
    """Medians over the colors [N, 6, 4] of one person; a minority of wrong frames has no effect."""
    visible = colors[..., 3] > 0
    values = np.where(visible[..., None], colors[..., :3], np.nan)  # [N, 6, 3]
    observed = visible.sum(0) > 0
    median, std = np.zeros(values.shape[1:]), np.full(values.shape[1], _MIN_STD)
    median[observed] = np.nanmedian(values[:, observed], axis=0)
    deviation = np.sqrt(((values[:, observed] - median[observed]) ** 2).sum(-1))
    std[observed] = np.maximum(np.nanmedian(deviation, axis=0), _MIN_STD)
    return ClothingModel(median, std, observed)


def swap_evidence(a: Floats, b: Floats, model_a: ClothingModel, model_b: ClothingModel) -> Floats:
    """[N] by how much colors a [N, 6, 4] and b [N, 6, 4] match the other person's model better than their own."""
    same = np.concatenate([model_a.mismatch(a), model_b.mismatch(b)], axis=-1)
    swapped = np.concatenate([model_b.mismatch(a), model_a.mismatch(b)], axis=-1)
    return np.nansum(same - swapped, axis=-1)
