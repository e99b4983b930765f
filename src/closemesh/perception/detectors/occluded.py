"""Search for people behind others: the people who are found are painted over, and the rest is searched again."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from closemesh.perception.detectors.multi_scale import (
    View,
    boxes_overlap,
    detect_view,
    explained_fraction,
    union_region,
    without_chimeras,
)
from closemesh.perception.tracking.similarity import keypoint_nms, oks
from closemesh.perception.types import CropPose, Detection, Detector, Image

_MIN_MASK_PROBABILITY = 0.5
_SIDE = 320  # Pixels of the long side of the view.
_PADDING = 0.5  # Of the view, as a fraction of the longer side of the box.
_MIN_SCORE = 0.25
_MIN_KEYPOINTS = 10  # With at least _MIN_CONFIDENCE.
_MIN_CONFIDENCE = 0.2
_MAX_OKS = 0.6  # Similarity to a known person from which a detection shows that person.
_MAX_EXPLAINED = 0.65  # Fraction of the keypoints that known people have too, from which it shows them.
_MAX_PAINTED = 0.6  # Fraction of the keypoints on painted pixels: a silhouette alone resembles a person.


def find_occluded(detector: Detector, image: Image, found: Sequence[Detection]) -> list[Detection]:
    """People who are mostly behind one of the `found` people, as in an embrace that is detected as one person.

    People whose boxes overlap are left out: their partners are found. image: RGB [H, W, 3].
    """
    new: list[Detection] = []
    for person in found:
        if any(boxes_overlap(person, other) for other in found if other is not person):
            continue
        pose = detector.refine(image, person)
        if pose is None:
            continue
        covered = covered_pixels([pose], image.shape)
        view = View(union_region([person], image, _PADDING), _SIDE)
        candidates = without_chimeras(keypoint_nms(detect_view(detector, paint_over(image, covered), view)))
        known = [*found, *new]
        new += [one for one in candidates if _is_new(one, known, covered)]
    return new


def covered_pixels(poses: Sequence[CropPose], shape: tuple[int, ...]) -> Image:
    """[H, W] 1 where the masks of these people lie, else 0."""
    masks = (np.asarray(pose.mask > _MIN_MASK_PROBABILITY, np.uint8) for pose in poses)
    warped = (cv2.warpAffine(mask, pose.T_image_mask, shape[1::-1]) for mask, pose in zip(masks, poses, strict=True))
    return np.maximum.reduce(list(warped))


def paint_over(image: Image, covered: Image) -> Image:
    """The image [H, W, 3] with its mean color where covered [H, W] is not 0."""
    painted = image.copy()
    painted[covered > 0] = image[::16, ::16].reshape(-1, 3).mean(0).astype(np.uint8)
    return painted


def _is_new(candidate: Detection, known: list[Detection], covered: Image) -> bool:
    confident = candidate.keypoints[:, 2] > _MIN_CONFIDENCE
    if candidate.score < _MIN_SCORE or confident.sum() < _MIN_KEYPOINTS:
        return False
    limit = np.array(covered.shape[::-1]) - 1
    columns, rows = np.clip(candidate.keypoints[confident, :2].astype(int), 0, limit).T
    return bool(
        covered[rows, columns].mean() < _MAX_PAINTED
        and max(oks(candidate, one) for one in known) < _MAX_OKS
        and explained_fraction(candidate, known) < _MAX_EXPLAINED
    )
