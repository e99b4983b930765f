"""OKS, torso and clothing colors.

How alike two detections are: keypoint similarity and torso colour.

What a person wears, part by part, and how unlike two people are in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from closemesh.core.arrays import Bools, Floats
from closemesh.perception.types import Detection, Image

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


def oks(a: Detection, b: Detection) -> float:
    """Object keypoint similarity 0..1 over the keypoints that both have; 0 when they share fewer than four."""
    common = (a.keypoints[:, 2] > _MIN_CONFIDENCE) & (b.keypoints[:, 2] > _MIN_CONFIDENCE)
    if common.sum() < _MIN_COMMON:
        return 0.0
    squared = ((a.keypoints[:, :2] - b.keypoints[:, :2]) ** 2).sum(1)
    scale = 2 * max(a.area, b.area) * (2 * COCO_SIGMAS) ** 2
    return float(np.exp(-squared / scale)[common].mean())


def keypoint_nms(detections: list[Detection], limit: float = 0.6) -> list[Detection]:
    """Best score first; those more alike than `limit` to a better one are taken together with it."""
    kept: list[Detection] = []
    for detection in sorted(detections, key=lambda d: -d.score):
        likeness = [oks(detection, other) for other in kept]
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


# Pairs of COCO keypoints between which a part is looked at; left and right are one part: sides are often confused.
PARTS: dict[str, tuple[tuple[int, int], ...]] = {
    "head": ((3, 0), (4, 0), (3, 4)),
    "trunk": ((5, 12), (6, 11), (5, 11), (6, 12)),
    "upper arms": ((5, 7), (6, 8)),
    "forearms": ((7, 9), (8, 10)),
    "thighs": ((11, 13), (12, 14)),
    "shins": ((13, 15), (14, 16)),
}
_PLACES = np.linspace(0.2, 0.8, 5)  # Along each pair; its ends belong to the neighbours too.
_MIN_CLOTHING_CONFIDENCE = 0.3
_LIGHTNESS = 0.5  # Weight of lightness beside hue: shade falls on everybody.
_SMALLEST_SPREAD = 8.0  # Of 255: no cloth looks the same in every frame.
_CAP = 4.0  # Half squared spreads from which a part is just "another colour": what is in front of it, say.


def clothing_colors(image: Image, person: Detection) -> Floats:
    """[6, 4] median Lab colour of each of PARTS, lightness halved, and 1 where the part can be seen, else 0."""
    colours = np.zeros((len(PARTS), 4), np.float32)
    for row, pairs in enumerate(PARTS.values()):
        pixels = np.concatenate([_along(image, person, *pair) for pair in pairs])  # [N, 3] RGB
        if len(pixels) >= len(_PLACES):
            lab = cv2.cvtColor(pixels[None], cv2.COLOR_RGB2LAB)[0]
            colours[row] = (*np.median(lab, axis=0), 1)
    colours[:, 0] *= _LIGHTNESS
    return colours


def _along(image: Image, person: Detection, start: int, end: int) -> Image:
    """Pixels [N, 3] between two keypoints, none where one of them is not seen or they lie outside of the image."""
    if min(person.keypoints[[start, end], 2]) < _MIN_CLOTHING_CONFIDENCE:
        return image[:0, 0]
    a, b = person.keypoints[start, :2], person.keypoints[end, :2]
    columns, rows = (a + _PLACES[:, None] * (b - a)).round().astype(int).T
    inside = (rows >= 0) & (rows < image.shape[0]) & (columns >= 0) & (columns < image.shape[1])
    return image[rows[inside], columns[inside]]


@dataclass(frozen=True)
class ClothingModel:
    """What one person usually wears."""

    colours: Floats  # [6, 3]
    spread: Floats  # [6]
    known: Bools  # [6]

    def unlikeness(self, seen: Floats) -> Floats:
        """[N, 6] how badly colours [N, 6, 4] fit, in half squared spreads up to a cap; nan for parts not known."""
        squared = ((seen[..., :3] - self.colours) ** 2).sum(-1)
        cost = np.minimum(squared / (2 * self.spread**2), _CAP)
        return np.where(self.known & (seen[..., 3] > 0), cost, np.nan)


def wardrobe(seen: Floats) -> ClothingModel:
    """Medians over colours [N, 6, 4] of one person, so that a minority of wrong frames does not count."""
    known = seen[..., 3] > 0
    told = np.where(known[..., None], seen[..., :3], np.nan)  # [N, 6, 3]
    enough = known.sum(0) > 0
    colours, spread = np.zeros(told.shape[1:]), np.full(told.shape[1], _SMALLEST_SPREAD)
    colours[enough] = np.nanmedian(told[:, enough], axis=0)
    away = np.sqrt(((told[:, enough] - colours[enough]) ** 2).sum(-1))
    spread[enough] = np.maximum(np.nanmedian(away, axis=0), _SMALLEST_SPREAD)
    return ClothingModel(colours, spread, enough)


def exchange_evidence(a: Floats, b: Floats, of_a: ClothingModel, of_b: ClothingModel) -> Floats:
    """[N] how much better colours a and b [N, 6, 4] fit the other one's wardrobe than the own."""
    straight = np.concatenate([of_a.unlikeness(a), of_b.unlikeness(b)], axis=-1)
    exchanged = np.concatenate([of_b.unlikeness(a), of_a.unlikeness(b)], axis=-1)
    return np.nansum(straight - exchanged, axis=-1)
