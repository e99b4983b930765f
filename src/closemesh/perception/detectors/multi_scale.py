"""Person detection in several crops and scales, until all expected people are found."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from scipy.optimize import linear_sum_assignment

from closemesh.perception.tracking.similarity import keypoint_nms, oks
from closemesh.perception.types import Detection, Detector, Image

Region = tuple[int, int, int, int]

_PADDING = 0.2  # Fraction of the longer side of the box around all people.
_FULL_IMAGE_PERIOD = 15  # Frames; between them new people are not searched for.
_FOUND_OKS = 0.15
_FOUND_SCORE = 0.2
_CROP_VIEWS = ((320, False), (256, True), (256, False))  # Long side in pixels, mirrored.
_FULL_SIDES = (384, 512)
_OVERLAP = 0.1  # Fraction of the smaller box.


def detect_multi_scale(detector: Detector, image: Image, expected: list[Detection], frame: int) -> list[Detection]:
    """All people in the image [H, W, 3]; tries further crops and scales until the `expected` people are found.

    In the crop around them, people fill the image as in the detector's training data: small or overlapping people are
    found there and missed in the full image.
    """
    found: list[Detection] = []
    min_views = _min_views(expected, frame)
    for count, (region, long_side, mirrored) in enumerate(_search_views(image, expected, frame), start=1):
        found = keypoint_nms(found + _detect_region(detector, image, region, long_side, mirrored))
        if expected and count >= min_views and _all_found(expected, found):
            break
    return found


def _search_views(image: Image, expected: list[Detection], frame: int) -> Iterator[tuple[Region, int, bool]]:
    """Region, long side in pixels and mirroring of each view, in the order in which they are tried."""
    full: Region = (0, 0, image.shape[1], image.shape[0])
    full_views = [(full, long_side, False) for long_side in _FULL_SIDES]
    if not expected:
        yield from full_views
        return
    crop = union_region(expected, image)
    if frame % _FULL_IMAGE_PERIOD == 0:
        yield full_views[0]
    yield from ((crop, long_side, mirrored) for long_side, mirrored in _CROP_VIEWS)
    yield full_views[-1]


def _min_views(expected: list[Detection], frame: int) -> int:
    """Where people overlap, a second, mirrored view makes keypoints more reliable."""
    overlapping = any(boxes_overlap(a, b) for a, b in combinations(expected, 2))
    return 1 + overlapping + (frame % _FULL_IMAGE_PERIOD == 0)


def boxes_overlap(a: Detection, b: Detection) -> bool:
    """Whether more than a tenth of the smaller box lies inside the other."""
    width, height = np.minimum(a.box[2:], b.box[2:]) - np.maximum(a.box[:2], b.box[:2])
    return bool(max(width, 0) * max(height, 0) > _OVERLAP * min(a.area, b.area))


def union_region(people: list[Detection], image: Image) -> Region:
    """x0, y0, x1, y1 pixels of the padded box around all people, inside the image [H, W, 3]."""
    boxes = np.stack([person.box for person in people])
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    pad = _PADDING * (high - low).max()
    size = np.array(image.shape[1::-1])
    low, high = np.clip(low - pad, 0, size - 2), np.clip(high + pad, 2, size)
    (x0, y0), (x1, y1) = low.astype(int), np.maximum(high, low + 2).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def _detect_region(detector: Detector, image: Image, region: Region, long_side: int, mirrored: bool) -> list[Detection]:
    x0, y0, x1, y1 = region
    crop = image[y0:y1, x0:x1]
    if mirrored:
        crop = np.ascontiguousarray(crop[:, ::-1])
    people = detector.detect(crop, long_side)
    if mirrored:
        people = [unmirror(person, x1 - x0) for person in people]
    return [person.translated(np.array([x0, y0], float)) for person in people]


def unmirror(person: Detection, width: int) -> Detection:
    """A detection in a mirrored image of this width, in the original image."""
    keypoints = person.keypoints.copy()
    keypoints[:, 0] = width - 1 - keypoints[:, 0]
    box = person.box.copy()
    box[[0, 2]] = width - 1 - person.box[[2, 0]]
    return Detection(box, keypoints, person.score).flip_left_right()


def _all_found(expected: list[Detection], found: list[Detection]) -> bool:
    reliable = [person for person in found if person.score >= _FOUND_SCORE]
    if len(reliable) < len(expected):
        return False
    similarity = np.array([[oks(a, b) for b in reliable] for a in expected])
    rows, columns = linear_sum_assignment(-similarity)
    return bool((similarity[rows, columns] > _FOUND_OKS).all())
