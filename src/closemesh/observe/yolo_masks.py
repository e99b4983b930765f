"""Masks by YOLO segmentation: everybody in the picture is cut out, then each mask is given to whom it fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.special import expit

from closemesh.observe.closer import Look
from closemesh.observe.detector import Detection, Image
from closemesh.observe.letterbox import T_image_cells
from closemesh.observe.mask_maker import with_mask
from closemesh.observe.ultralytics_networks import YoloNetwork
from closemesh.observe.yolo import as_pixels
from closemesh.scene import Floats

_LONG_SIDE = 640  # Pixels, the size that YOLO was trained in.
_MIN_SCORE = 0.2
_CELL = 4  # Pixels of the network's picture that a cell of a mask is wide.
_MIN_FIT = 0.4  # Half of a person's keypoints in half of the mask's box, or better.
_MIN_CONFIDENCE = 0.2


class YoloMasks:
    """The network, ready to run. Raises ModelFileError when the file is no YOLO segmentation network."""

    def __init__(self, path: Path, device: torch.device) -> None:
        self._network = YoloNetwork(path, device, "segment")

    def remade(self, image: Image, looks: dict[int, Look]) -> dict[int, Look]:
        """The looks with the masks that fit them; see MaskMaker."""
        scale = _LONG_SIDE / max(image.shape[:2])
        rows, prototypes = self._network.run(as_pixels(image, scale), _MIN_SCORE)
        if not looks or len(rows) == 0 or prototypes is None:
            return looks
        masks = instance_masks(rows, prototypes)
        T = T_image_cells(_CELL, scale)
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
    y, x = np.mgrid[: prototypes.shape[1], : prototypes.shape[2]] * _CELL + (_CELL - 1) / 2
    x0, y0, x1, y1 = (rows[:, k, None, None] for k in range(4))
    return expit(logits) * ((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))


def fit(person: Detection, box: Floats, mask: Floats, T_image_mask: Floats) -> float:
    """0..1 how well a mask [h, w] with this box [4] fits a person: overlap of the boxes, keypoints in the mask.

    Where two people's boxes nearly coincide the keypoints decide.
    """
    low, high = np.maximum(person.box[:2], box[:2]), np.minimum(person.box[2:], box[2:])
    common = float(np.prod(np.maximum(high - low, 0)))
    overlap = common / (person.area + float(np.prod(box[2:] - box[:2])) - common + 1e-9)
    points = person.keypoints[person.keypoints[:, 2] > _MIN_CONFIDENCE, :2]
    cells = np.round((points - T_image_mask[:, 2]) / T_image_mask[0, 0]).astype(int)
    inside = ((cells >= 0) & (cells < mask.shape[::-1])).all(1)
    hits = mask[cells[inside, 1], cells[inside, 0]] > 0.5
    return 0.5 * overlap + 0.5 * float(hits.sum()) / max(len(points), 1)
