"""YOLO and SAM 2.1 masks.

Masks by YOLO segmentation: everybody in the picture is cut out, then each mask is given to whom it fits.

Masks by SAM 2.1, pointed at each person in each frame: the box, the own keypoints, and where the partners are not.

Who is who comes from the tracks, so that SAM need not follow anybody: every frame is cut out by itself, nothing is
kept, and memory does not grow with the film. Its video memory would have to be told of the same points to keep two
people apart who embrace.

Run here on networks of the real shape with random weights, and there equal to ultralytics' own predictor; the trained
files have not been run here.
"""

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

_LONG_SIDE = 640  # Pixels, the size that YOLO was trained in.
_MIN_SCORE = 0.2
_PROTOTYPE_CELL = 4  # Pixels of the network's picture that a cell of a mask is wide.
_MIN_FIT = 0.4  # Half of a person's keypoints in half of the mask's box, or better.
_MIN_KEYPOINT_CONFIDENCE = 0.2


class YoloMasks:
    """The network, ready to run. Raises ModelFileError when the file is no YOLO segmentation network."""

    def __init__(self, path: Path, device: torch.device) -> None:
        self._network = YoloNetwork(path, device, "segment")

    def refine_masks(self, image: Image, looks: dict[int, CropEstimate]) -> dict[int, CropEstimate]:
        """The looks with the masks that fit them; see MaskMaker."""
        scale = _LONG_SIDE / max(image.shape[:2])
        rows, prototypes = self._network.run(preprocess(image, scale), _MIN_SCORE)
        if not looks or len(rows) == 0 or prototypes is None:
            return looks
        masks = instance_masks(rows, prototypes)
        T = T_image_cells(_PROTOTYPE_CELL, scale)
        people = list(looks)
        fits = np.array(
            [[fit(looks[p].detection, r[:4] / scale, m, T) for r, m in zip(rows, masks, strict=True)] for p in people]
        )
        new = dict(looks)
        for i, j in zip(*linear_sum_assignment(-fits), strict=True):
            if fits[i, j] > _MIN_FIT:
                new[people[i]] = with_mask(looks[people[i]], masks[j], T)
        return new


def instance_masks(rows: Floats, prototypes: Floats) -> Floats:
    """[N, h, w] probabilities: mixtures of the prototypes [C, h, w], 0 outside of each row's box."""
    logits = np.einsum("nc,chw->nhw", rows[:, 6:], prototypes)
    y, x = np.mgrid[: prototypes.shape[1], : prototypes.shape[2]] * _PROTOTYPE_CELL + (_PROTOTYPE_CELL - 1) / 2
    x0, y0, x1, y1 = (rows[:, k, None, None] for k in range(4))
    return expit(logits) * ((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))


def fit(person: Detection, box: Floats, mask: Floats, T_image_mask: Floats) -> float:
    """0..1 how well a mask [h, w] with this box [4] fits a person: overlap of the boxes, keypoints in the mask.

    Where two people's boxes nearly coincide the keypoints decide.
    """
    low, high = np.maximum(person.box[:2], box[:2]), np.minimum(person.box[2:], box[2:])
    common = float(np.prod(np.maximum(high - low, 0)))
    overlap = common / (person.area + float(np.prod(box[2:] - box[:2])) - common + 1e-9)
    points = person.keypoints[person.keypoints[:, 2] > _MIN_KEYPOINT_CONFIDENCE, :2]
    cells = np.round((points - T_image_mask[:, 2]) / T_image_mask[0, 0]).astype(int)
    inside = ((cells >= 0) & (cells < mask.shape[::-1])).all(1)
    hits = mask[cells[inside, 1], cells[inside, 0]] > 0.5
    return 0.5 * overlap + 0.5 * float(hits.sum()) / max(len(points), 1)


_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)
_MASK_CELL = 4  # Pixels of the network's picture that a cell of a mask is wide.
_INNER = (0, 5, 6, 7, 8, 11, 12, 13, 14)  # Nose, shoulders, elbows, hips, knees: well inside of the body.
_MIN_CONFIDENCE = 0.4
_APART = 0.06  # Of the box diagonal; a partner's keypoint nearer to an own one may be on this person.
_MOST_OTHERS = 6
_ON, _OFF, _CORNERS, _NONE = 1, 0, (2, 3), -1


class SamMasks:
    """The network, ready to run. Raises ModelFileError when the file does not hold SAM 2.1."""

    def __init__(self, path: Path, device: torch.device, side: int = 1024) -> None:
        self._network = SamNetwork(path, device, side)

    def refine_masks(self, image: Image, looks: dict[int, CropEstimate]) -> dict[int, CropEstimate]:
        """The looks with new masks; see MaskMaker."""
        if not looks:
            return looks
        scale = self._network.side / max(image.shape[:2])
        seen = self._network.look(normalized_pixels(image, self._network.side))
        points, labels = prompts([look.detection for look in looks.values()])
        logits = self._network.segment(seen, points * scale, labels)
        T = T_image_cells(_MASK_CELL, scale)
        return {
            person: with_mask(look, expit(mask), T) for (person, look), mask in zip(looks.items(), logits, strict=True)
        }


def normalized_pixels(image: Image, side: int) -> Floats:
    """[3, side, side] the image as large as it fits, normalised."""
    canvas = letterbox(image, side / max(image.shape[:2]), (side, side))
    return ((canvas - _MEAN) / _DEVIATION).transpose(2, 0, 1)


def prompts(people: list[Detection]) -> tuple[Floats, Floats]:
    """Points [N, K, 2] in pixels and labels [N, K] as SamNetwork.cut_out takes them, one row a person."""
    rows = []
    for person in people:
        own = sure_points(person)
        others = list(chain.from_iterable(sure_points(other) for other in people if other is not person))
        off = [point for point in others if is_apart(point, own, _APART * person.diagonal)][:_MOST_OTHERS]
        points = [*person.box.reshape(2, 2), *own, *off]
        rows.append((points, [*_CORNERS, *[_ON] * len(own), *[_OFF] * len(off)]))
    longest = max(len(labels) for _, labels in rows)
    points = np.zeros((len(rows), longest, 2))
    labels = np.full((len(rows), longest), _NONE)
    for n, (where, meaning) in enumerate(rows):
        points[n, : len(where)], labels[n, : len(meaning)] = where, meaning
    return points, labels


def sure_points(person: Detection) -> Floats:
    """[K, 2] keypoints that lie well inside of the body and are sure."""
    inner = person.keypoints[list(_INNER)]
    return inner[inner[:, 2] > _MIN_CONFIDENCE, :2]


def is_apart(point: Floats, others: Floats, distance: float) -> bool:
    """Whether all of the others [K, 2] are farther than this."""
    return len(others) == 0 or float(np.linalg.norm(others - point, axis=1).min()) > distance
