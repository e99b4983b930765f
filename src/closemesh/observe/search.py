"""Where to look in each frame: close around the people known so far, farther and otherwise when one is missing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.optimize import linear_sum_assignment

from closemesh.observe.detector import Detection, Detector, Image
from closemesh.observe.similarity import keypoint_similarity, without_duplicates

Region = tuple[int, int, int, int]

_PADDING = 0.2  # Of the longer side of the box around everybody.
_FULL_LOOK_EVERY = 15  # Frames; someone may have come in.
_FOUND_SIMILARITY = 0.15
_FOUND_SCORE = 0.2
_CROP_LOOKS = ((320, False), (256, False), (256, True))  # Long side in pixels, mirrored.
_FULL_LOOKS = ((384, False), (512, False))


def find_people(detector: Detector, image: Image, expected: list[Detection], frame: int) -> list[Detection]:
    """Everybody in the image; looks again and otherwise until all of the `expected` are found.

    People fill the crop around them as they filled the detector's training images, which is why small or
    overlapping people are found there and not in the full frame.
    """
    found: list[Detection] = []
    for region, long_side, mirrored in _looks(image, expected, frame):
        found = without_duplicates(found + _look(detector, image, region, long_side, mirrored))
        if expected and _all_found(expected, found) and not (_is_full_look(frame) and region != _whole(image)):
            break
    return found


def _looks(image: Image, expected: list[Detection], frame: int) -> Iterator[tuple[Region, int, bool]]:
    if expected:
        crop = union_region(expected, image)
        yield from ((crop, long_side, mirrored) for long_side, mirrored in _CROP_LOOKS)
    yield from ((_whole(image), long_side, mirrored) for long_side, mirrored in _FULL_LOOKS)


def _is_full_look(frame: int) -> bool:
    return frame % _FULL_LOOK_EVERY == 0


def _whole(image: Image) -> Region:
    return 0, 0, image.shape[1], image.shape[0]


def union_region(people: list[Detection], image: Image) -> Region:
    """x0, y0, x1, y1 of the padded box around everybody, inside the image."""
    boxes = np.stack([person.box for person in people])
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    pad = _PADDING * (high - low).max()
    size = np.array(image.shape[1::-1])
    low, high = np.clip(low - pad, 0, size - 2), np.clip(high + pad, 2, size)
    (x0, y0), (x1, y1) = low.astype(int), np.maximum(high, low + 2).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def _look(detector: Detector, image: Image, region: Region, long_side: int, mirrored: bool) -> list[Detection]:
    x0, y0, x1, y1 = region
    crop = image[y0:y1, x0:x1]
    if mirrored:
        crop = np.ascontiguousarray(crop[:, ::-1])
    people = detector.detect(crop, long_side)
    if mirrored:
        people = [unmirrored(person, x1 - x0) for person in people]
    return [person.moved(np.array([x0, y0], float)) for person in people]


def unmirrored(person: Detection, width: int) -> Detection:
    """What was seen in a mirrored image of this width, put back."""
    keypoints = person.keypoints.copy()
    keypoints[:, 0] = width - 1 - keypoints[:, 0]
    box = person.box.copy()
    box[[0, 2]] = width - 1 - person.box[[2, 0]]
    return Detection(box, keypoints, person.score).side_swapped()


def _all_found(expected: list[Detection], found: list[Detection]) -> bool:
    sure = [person for person in found if person.score >= _FOUND_SCORE]
    if len(sure) < len(expected):
        return False
    similarity = np.array([[keypoint_similarity(a, b) for b in sure] for a in expected])
    rows, columns = linear_sum_assignment(-similarity)
    return bool((similarity[rows, columns] > _FOUND_SIMILARITY).all())
