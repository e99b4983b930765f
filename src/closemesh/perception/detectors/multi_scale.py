"""Person detection in several crops, scales and rotations: of expected people in each frame, of others now and then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.optimize import linear_sum_assignment

from closemesh.body.skeleton import KEYPOINT_MIRROR
from closemesh.perception.tracking.similarity import keypoint_nms, oks
from closemesh.perception.types import NUM_BODY_KEYPOINTS, Detection, Detector, Image

Region = tuple[int, int, int, int]

_PADDING = 0.2  # Fraction of the longer side of the box around all people.
SEARCH_PERIOD = 5  # Frames between two views in which people are searched for who are not expected.
_FOUND_OKS = 0.15
_FOUND_SCORE = 0.2
_CROP_VIEWS = ((320, False), (256, True), (256, False))  # Long side in pixels, mirrored.
_FULL_SIDES = (256, 384, 320, 512)  # People in each other's arms score highest in small images, far ones in large.
_ROTATED_SIDE = 320
_OVERLAP = 0.1  # Fraction of the smaller box.
_SPLIT_RATIO = 2.0  # Side of the region around all people over that of a group, from which groups get own crops.

_LOW_SCORE = 0.4  # Detections with less may be better in a rotated image.
_SAME_BOX = 0.5  # Intersection over union of two detections of one person.
_ROTATED_ADVANTAGE = 1.3  # Ratio of scores from which a rotated view is the right one.
_EXPLAINED = 0.75  # Fraction of the keypoints that better detections have too; the rest of a chimera is its own.
_SAME_POINT = 0.06  # Fraction of the box diagonal.
_MIN_CONFIDENCE = 0.2


@dataclass(frozen=True)
class View:
    """A part of the image as the detector gets it."""

    region: Region
    """x0, y0, x1, y1 pixels."""
    long_side: int
    """Pixels after scaling."""
    mirrored: bool = False
    quarter_turns: int = 0
    """Counterclockwise rotations by 90 degrees."""


def detect_multi_scale(detector: Detector, image: Image, expected: list[Detection], frame: int) -> list[Detection]:
    """All people in the image [H, W, 3]; tries further crops and scales until the `expected` people are found.

    In the crop around them, people fill the image as in the detector's training data: small or overlapping people are
    found there and missed in the full image. Without expected people, all scales are tried. Overlapping people get a
    second, mirrored view: their keypoints are then more stable from frame to frame, and contacts depend on that.
    """
    if not expected:
        return search_people(detector, image, frame)
    found: list[Detection] = []
    views = [*_periodic_views(image, frame), *_tracking_views(image, expected)]
    overlapping = any(boxes_overlap(a, b) for a, b in combinations(expected, 2))
    required = len(_groups(expected, image)) + len(_periodic_views(image, frame)) + overlapping
    for count, view in enumerate(views, start=1):
        found = keypoint_nms(found + detect_view(detector, image, view))
        if count >= required and all_found(expected, found):
            break
    return without_chimeras(found)


def search_people(detector: Detector, image: Image, frame: int) -> list[Detection]:
    """All people in an image [H, W, 3] of which nothing is known: at several scales, rotated, and around each other.

    Between two searches, frames without people get two views only.
    """
    full = _full_region(image)
    sides = _FULL_SIDES if frame % SEARCH_PERIOD == 0 else _FULL_SIDES[:2]
    found: list[Detection] = []
    for long_side in sides:
        found = keypoint_nms(found + detect_view(detector, image, View(full, long_side)))
    if frame % SEARCH_PERIOD:
        return without_chimeras(found)
    if not found or min(person.score for person in found) < _LOW_SCORE:
        for turns in (1, 2, 3):
            rotated = detect_view(detector, image, View(full, _ROTATED_SIDE, quarter_turns=turns))
            found = _add_rotated(found, rotated)
    # A partner in the arms of a person is found in a crop in which the two fill the image.
    for person in list(found):
        crop = View(union_region([person], image, padding=0.5), _CROP_VIEWS[0][0])
        found = keypoint_nms(found + detect_view(detector, image, crop))
    return without_chimeras(found)


def _full_region(image: Image) -> Region:
    return 0, 0, image.shape[1], image.shape[0]


def _periodic_views(image: Image, frame: int) -> list[View]:
    """One full view for people who are not expected, in some frames; its scale changes from time to time."""
    count, rest = divmod(frame, SEARCH_PERIOD)
    return [View(_full_region(image), _FULL_SIDES[count % len(_FULL_SIDES)])] if rest == 0 else []


def _tracking_views(image: Image, expected: list[Detection]) -> Iterator[View]:
    """Views of the expected people, in the order in which they are tried."""
    groups = _groups(expected, image)
    for group in groups:
        yield View(union_region(group, image), _CROP_VIEWS[0][0], quarter_turns=quarter_turns(group[0]))
    for group in groups:
        region = union_region(group, image)
        for turns in sorted({quarter_turns(person) for person in group}):
            for long_side, mirrored in _CROP_VIEWS[1:]:
                yield View(region, long_side, mirrored, turns)
    yield View(_full_region(image), _FULL_SIDES[-1])


def _groups(expected: list[Detection], image: Image) -> list[list[Detection]]:
    """People who are seen in one crop: all, or each group of overlapping people where they are small and far apart."""
    groups = [[person] for person in expected]
    for a, b in combinations(expected, 2):
        one, other = (next(group for group in groups if any(p is person for p in group)) for person in (a, b))
        if one is not other and _near(a, b):
            one.extend(other)
            groups = [group for group in groups if group is not other]
    everyone = _long_side(union_region(expected, image))
    largest = max(_long_side(union_region(group, image)) for group in groups)
    return groups if 1 < len(groups) and everyone > _SPLIT_RATIO * largest else [expected]


def _long_side(region: Region) -> int:
    return max(region[2] - region[0], region[3] - region[1])


def _near(a: Detection, b: Detection) -> bool:
    pad = _PADDING * max(a.diagonal, b.diagonal)
    return bool((np.minimum(a.box[2:], b.box[2:]) - np.maximum(a.box[:2], b.box[:2]) > -pad).all())


def quarter_turns(person: Detection) -> int:
    """Counterclockwise rotations by 90 degrees after which the trunk of the person is nearest to upright."""
    hip, shoulder = person.keypoints[[11, 12], :2].mean(0), person.keypoints[[5, 6], :2].mean(0)
    right, up = shoulder[0] - hip[0], hip[1] - shoulder[1]
    # Directions within 60 degrees of upright stay: detectors are trained on them.
    if up >= 0.5 * np.hypot(right, up) or np.hypot(right, up) == 0:
        return 0
    return round(np.degrees(np.arctan2(right, up)) / 90) % 4


def boxes_overlap(a: Detection, b: Detection) -> bool:
    """Whether more than a tenth of the smaller box lies inside the other."""
    width, height = np.minimum(a.box[2:], b.box[2:]) - np.maximum(a.box[:2], b.box[:2])
    return bool(max(width, 0) * max(height, 0) > _OVERLAP * min(a.area, b.area))


def box_iou(a: Detection, b: Detection) -> float:
    """Intersection over union of the two boxes."""
    width, height = np.minimum(a.box[2:], b.box[2:]) - np.maximum(a.box[:2], b.box[:2])
    common = max(width, 0) * max(height, 0)
    return float(common / (a.area + b.area - common))


def union_region(people: list[Detection], image: Image, padding: float = _PADDING) -> Region:
    """x0, y0, x1, y1 pixels of the padded box around all people, inside the image [H, W, 3]."""
    boxes = np.stack([person.box for person in people])
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    pad = padding * (high - low).max()
    size = np.array(image.shape[1::-1])
    low, high = np.clip(low - pad, 0, size - 2), np.clip(high + pad, 2, size)
    (x0, y0), (x1, y1) = low.astype(int), np.maximum(high, low + 2).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def detect_view(detector: Detector, image: Image, view: View) -> list[Detection]:
    """People in a view of the image [H, W, 3], in pixels of the image."""
    x0, y0, x1, y1 = view.region
    crop = np.rot90(image[y0:y1, x0:x1], view.quarter_turns)
    if view.mirrored:
        crop = crop[:, ::-1]
    crop = np.ascontiguousarray(crop)
    people = detector.detect(crop, view.long_side)
    height, width = crop.shape[:2]
    if view.mirrored:
        people = [unmirror(person, width) for person in people]
    for _ in range(view.quarter_turns):
        people = [rotate_back(person, height) for person in people]
        height, width = width, height
    return [person.translated(np.array([x0, y0], float)) for person in people]


def unmirror(person: Detection, width: int) -> Detection:
    """A detection in a mirrored image of this width, in the original image."""
    keypoints = person.keypoints.copy()
    keypoints[:, 0] = width - 1 - keypoints[:, 0]
    box = person.box.copy()
    box[[0, 2]] = width - 1 - person.box[[2, 0]]
    return Detection(box, keypoints, person.score).flip_left_right()


def rotate_back(person: Detection, height: int) -> Detection:
    """A detection in an image of this height, in the image before a counterclockwise rotation by 90 degrees."""
    # np.rot90 takes pixel (x, y) of an image of width W to (y, W - 1 - x), and W is the height of the result.
    keypoints = person.keypoints.copy()
    keypoints[:, 0], keypoints[:, 1] = height - 1 - person.keypoints[:, 1], person.keypoints[:, 0]
    x0, y0, x1, y1 = person.box
    return Detection(np.array([height - 1 - y1, x0, height - 1 - y0, x1]), keypoints, person.score)


def all_found(expected: list[Detection], found: list[Detection]) -> bool:
    """Whether each of the expected people is among the found ones."""
    reliable = [person for person in found if person.score >= _FOUND_SCORE]
    if not expected or len(reliable) < len(expected):
        return not expected
    similarity = np.array([[oks(a, b) for b in reliable] for a in expected])
    rows, columns = linear_sum_assignment(-similarity)
    return bool((similarity[rows, columns] > _FOUND_OKS).all())


def _add_rotated(found: list[Detection], rotated: list[Detection]) -> list[Detection]:
    """The detections with those of a rotated view that are new, or clearly better at the same place."""
    for person in rotated:
        same = [other for other in found if box_iou(person, other) > _SAME_BOX]
        if all(person.score > _ROTATED_ADVANTAGE * other.score for other in same):
            found = [other for other in found if not any(other is one for one in same)] + [person]
    return found


def without_chimeras(found: list[Detection]) -> list[Detection]:
    """The detections without those whose keypoints nearly all belong to better ones.

    At some scales the detector joins the parts of two people who embrace to a third one.
    """
    accepted: list[Detection] = []
    for person in sorted(found, key=lambda p: -p.score):
        if not accepted or explained_fraction(person, accepted) < _EXPLAINED:
            accepted.append(person)
    return accepted


def explained_fraction(person: Detection, others: list[Detection]) -> float:
    """Fraction of the confident keypoints that lie on the same keypoint, of either side, of one of the others."""
    confident = person.keypoints[:, 2] > _MIN_CONFIDENCE
    if not confident.any():
        return 1.0
    names = np.array([np.arange(NUM_BODY_KEYPOINTS), KEYPOINT_MIRROR[:NUM_BODY_KEYPOINTS]])
    points = np.stack([other.keypoints[names] for other in others])  # [N, 2, 17, 3]
    distance = np.linalg.norm(points[..., :2] - person.keypoints[:, :2], axis=-1)
    near = (distance < _SAME_POINT * person.diagonal) & (points[..., 2] > _MIN_CONFIDENCE)
    return float(near.any((0, 1))[confident].mean())
