"""Masks by SAM 2.1, pointed at each person in each frame: the box, the own keypoints, and where the partners are not.

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
from scipy.special import expit

from closemesh.observe.closer import Look
from closemesh.observe.detector import Detection, Image
from closemesh.observe.letterbox import T_image_cells, letterbox
from closemesh.observe.mask_maker import with_mask
from closemesh.observe.ultralytics_networks import SamNetwork
from closemesh.scene import Floats

_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)
_CELL = 4  # Pixels of the network's picture that a cell of a mask is wide.
_INNER = (0, 5, 6, 7, 8, 11, 12, 13, 14)  # Nose, shoulders, elbows, hips, knees: well inside of the body.
_MIN_CONFIDENCE = 0.4
_APART = 0.06  # Of the box diagonal; a partner's keypoint nearer to an own one may be on this person.
_MOST_OTHERS = 6
_ON, _OFF, _CORNERS, _NONE = 1, 0, (2, 3), -1


class SamMasks:
    """The network, ready to run. Raises ModelFileError when the file does not hold SAM 2.1."""

    def __init__(self, path: Path, device: torch.device, side: int = 1024) -> None:
        self._network = SamNetwork(path, device, side)

    def remade(self, image: Image, looks: dict[int, Look]) -> dict[int, Look]:
        """The looks with new masks; see MaskMaker."""
        if not looks:
            return looks
        scale = self._network.side / max(image.shape[:2])
        seen = self._network.look(as_pixels(image, self._network.side))
        points, labels = prompts([look.detection for look in looks.values()])
        logits = self._network.cut_out(seen, points * scale, labels)
        T = T_image_cells(_CELL, scale)
        return {
            person: with_mask(look, expit(mask), T) for (person, look), mask in zip(looks.items(), logits, strict=True)
        }


def as_pixels(image: Image, side: int) -> Floats:
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
