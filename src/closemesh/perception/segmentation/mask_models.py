"""Masks of people by YOLO segmentation, assigned to people afterwards, or by SAM 2.1 with prompts per person."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.special import expit

from closemesh.core.arrays import Floats
from closemesh.perception.detectors.onnx_runtime import T_image_cells, letterbox
from closemesh.perception.detectors.person_detectors import preprocess
from closemesh.perception.detectors.ultralytics_backend import SamNetwork, YoloNetwork
from closemesh.perception.types import CropEstimate, Detection, Image, with_mask

_LONG_SIDE = 640  # Pixels, the training size of YOLO.
_MIN_SCORE = 0.2
_MASK_CELL = 4  # Pixels of the input image per cell of a mask, in both networks.
_MIN_MASK_SCORE = 0.4  # For example half of the keypoints in the mask and half of the boxes in common.
_MIN_KEYPOINT_CONFIDENCE = 0.2

_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_STD = np.array([58.395, 57.12, 57.375], np.float32)
_INNER = (0, 5, 6, 7, 8, 11, 12, 13, 14)  # Nose, shoulders, elbows, hips, knees: well inside the body.
_MIN_PROMPT_CONFIDENCE = 0.4
_MIN_DISTANCE = 0.06  # Fraction of the box diagonal; a partner's keypoint nearer to an own one may lie on this person.
_MAX_NEGATIVE = 6
_POSITIVE, _NEGATIVE, _CORNERS, _PADDING = 1, 0, (2, 3), -1  # Labels of prompt points.


class YoloMasks:
    """Masks by YOLO segmentation. Raises ModelFileError when the file holds another network."""

    def __init__(self, path: Path, device: torch.device) -> None:
        self._network = YoloNetwork(path, device, "segment")

    def refine_masks(self, image: Image, estimates: dict[int, CropEstimate]) -> dict[int, CropEstimate]:
        """The estimates with the best matching masks; a person without a match keeps the old one."""
        scale = _LONG_SIDE / max(image.shape[:2])
        rows, prototypes = self._network.run(preprocess(image, scale), _MIN_SCORE)
        if not estimates or len(rows) == 0 or prototypes is None:
            return estimates
        masks = instance_masks(rows, prototypes)
        T = T_image_cells(_MASK_CELL, scale)
        people = list(estimates)
        scores = np.array(
            [
                [mask_score(estimates[p].detection, r[:4] / scale, m, T) for r, m in zip(rows, masks, strict=True)]
                for p in people
            ]
        )
        refined = dict(estimates)
        for i, j in zip(*linear_sum_assignment(-scores), strict=True):
            if scores[i, j] > _MIN_MASK_SCORE:
                refined[people[i]] = with_mask(estimates[people[i]], masks[j], T)
        return refined


def instance_masks(rows: Floats, prototypes: Floats) -> Floats:
    """[N, h, w] probabilities: linear combinations of the prototypes, 0 outside each row's box.

    rows: [N, 6 + C] box, score, class, coefficients. prototypes: [C, h, w].
    """
    logits = np.einsum("nc,chw->nhw", rows[:, 6:], prototypes)
    y, x = np.mgrid[: prototypes.shape[1], : prototypes.shape[2]] * _MASK_CELL + (_MASK_CELL - 1) / 2
    x0, y0, x1, y1 = (rows[:, k, None, None] for k in range(4))
    return expit(logits) * ((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))


def mask_score(person: Detection, box: Floats, mask: Floats, T_image_mask: Floats) -> float:
    """0..1 match of a mask with a person: mean of box overlap and of the fraction of keypoints in the mask.

    Where the boxes of two people nearly coincide, the keypoints decide. box: [4] pixels. mask: [h, w].
    T_image_mask: [2, 3].
    """
    low, high = np.maximum(person.box[:2], box[:2]), np.minimum(person.box[2:], box[2:])
    common = float(np.prod(np.maximum(high - low, 0)))
    overlap = common / (person.area + float(np.prod(box[2:] - box[:2])) - common + 1e-9)
    points = person.keypoints[person.keypoints[:, 2] > _MIN_KEYPOINT_CONFIDENCE, :2]
    cells = np.round((points - T_image_mask[:, 2]) / T_image_mask[0, 0]).astype(int)
    inside = ((cells >= 0) & (cells < mask.shape[::-1])).all(1)
    hits = mask[cells[inside, 1], cells[inside, 0]] > 0.5
    return 0.5 * overlap + 0.5 * float(hits.sum()) / max(len(points), 1)


class SamMasks:
    """Masks by SAM 2.1, each frame by itself: identities come from the tracks, and memory does not grow with the clip.

    Tested on networks of the real shape with random weights, where results equal ultralytics' own predictor; the
    trained files have not been run. Raises ModelFileError when the file does not hold SAM 2.1.
    """

    def __init__(self, path: Path, device: torch.device, side: int = 1024) -> None:
        self._network = SamNetwork(path, device, side)

    def refine_masks(self, image: Image, estimates: dict[int, CropEstimate]) -> dict[int, CropEstimate]:
        """The estimates with new masks. image: RGB [H, W, 3]."""
        if not estimates:
            return estimates
        scale = self._network.side / max(image.shape[:2])
        encoded = self._network.encode(normalized_pixels(image, self._network.side))
        points, labels = make_prompts([estimate.detection for estimate in estimates.values()])
        logits = self._network.segment(encoded, points * scale, labels)
        T = T_image_cells(_MASK_CELL, scale)
        return {
            person: with_mask(estimate, expit(mask), T)
            for (person, estimate), mask in zip(estimates.items(), logits, strict=True)
        }


def normalized_pixels(image: Image, side: int) -> Floats:
    """[3, side, side] the image [H, W, 3] scaled to the longer side, padded and normalized."""
    canvas = letterbox(image, side / max(image.shape[:2]), (side, side))
    return ((canvas - _MEAN) / _STD).transpose(2, 0, 1)


def make_prompts(people: list[Detection]) -> tuple[Floats, Floats]:
    """Points [N, K, 2] in pixels and labels [N, K] as SamNetwork.segment takes them, one row per person.

    Each person has the box, the own confident keypoints, and keypoints of partners as negative points.
    """
    rows = []
    for person in people:
        own = confident_points(person)
        others = list(chain.from_iterable(confident_points(other) for other in people if other is not person))
        distance = _MIN_DISTANCE * person.diagonal
        negative = [point for point in others if is_farther(point, own, distance)][:_MAX_NEGATIVE]
        points = [*person.box.reshape(2, 2), *own, *negative]
        rows.append((points, [*_CORNERS, *[_POSITIVE] * len(own), *[_NEGATIVE] * len(negative)]))
    longest = max(len(labels) for _, labels in rows)
    points = np.zeros((len(rows), longest, 2))
    labels = np.full((len(rows), longest), _PADDING)
    for n, (row_points, row_labels) in enumerate(rows):
        points[n, : len(row_points)], labels[n, : len(row_labels)] = row_points, row_labels
    return points, labels


def confident_points(person: Detection) -> Floats:
    """[K, 2] pixels of the confident keypoints that lie well inside the body."""
    inner = person.keypoints[list(_INNER)]
    return inner[inner[:, 2] > _MIN_PROMPT_CONFIDENCE, :2]


def is_farther(point: Floats, others: Floats, distance: float) -> bool:
    """Whether point [2] is farther than `distance` from all others [K, 2]."""
    return len(others) == 0 or float(np.linalg.norm(others - point, axis=1).min()) > distance
