"""Detection, CropPose, Detector and Segmenter protocols.

What every detector gives, and the records that it gives it in.

Who makes better masks than the closer look does, and how prompts and masks belong to people.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from closemesh.body.skeleton import KEYPOINT_MIRROR
from closemesh.core.arrays import Floats

Image = NDArray[np.uint8]

NUM_BODY = 17
BODY_MIRROR = KEYPOINT_MIRROR[:NUM_BODY]


@dataclass(frozen=True)
class Detection:
    """One person in one image."""

    box: Floats
    """[4] x0, y0, x1, y1 pixels."""
    keypoints: Floats
    """[17, 3] COCO body keypoints: x, y pixels and confidence 0..1."""
    score: float
    """0..1."""

    @property
    def diagonal(self) -> float:
        """Length of the box diagonal in pixels; the person's size wherever a limit is relative."""
        return float(np.hypot(*(self.box[2:] - self.box[:2])))

    @property
    def area(self) -> float:
        """Of the box, square pixels."""
        return float(np.prod(np.maximum(self.box[2:] - self.box[:2], 1)))

    def moved(self, shift: Floats) -> Detection:
        """Shifted by [2] pixels."""
        keypoints = self.keypoints.copy()
        keypoints[:, :2] += shift
        return Detection(self.box + np.tile(shift, 2), keypoints, self.score)

    def flip_left_right(self) -> Detection:
        """With left called right and right called left."""
        return Detection(self.box, self.keypoints[list(BODY_MIRROR)], self.score)


@dataclass(frozen=True)
class CropPose:
    """A closer look at one person."""

    keypoints: Floats
    """[133, 3] x, y pixels and confidence; COCO-WholeBody."""
    keypoints3d: Floats
    """[23, 4] metres from the mid-hip, z along the viewing ray to `centre`, x and y as in the image; confidence."""
    centre: Floats
    """[2] pixel that the person was looked at along."""
    mask: Floats
    """[h, w] probability that a pixel of the look shows this person."""
    T_image_mask: Floats
    """[2, 3] affine map from mask pixels to image pixels."""
    presence: float
    """0..1, is there a person at all."""


class Detector(Protocol):
    """Finds people in an image and looks closer at one of them. Images are RGB [H, W, 3]."""

    @property
    def name(self) -> str:
        """What is written into the results."""
        ...

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        """Everybody in the image, looked at with its longer side scaled to `long_side` pixels."""
        ...

    def refine(self, image: Image, person: Detection) -> CropPose | None:
        """Whole-body keypoints, 3D cue and mask of one detected person; None when there is too little to go by."""
        ...


@dataclass(frozen=True)
class CropEstimate:
    """One person, seen twice."""

    person: int
    detection: Detection
    refinement: CropPose
    agreement: float
    """0..1 share of the limb keypoints on which detection and refinement agree."""


class Segmenter(Protocol):
    """Puts better masks in place of those of the closer look."""

    def refine_masks(self, image: Image, looks: dict[int, CropEstimate]) -> dict[int, CropEstimate]:
        """The looks with new masks; who gets none keeps the old one. image: RGB [H, W, 3]. Nothing is kept of it."""
        ...


def with_mask(look: CropEstimate, mask: Floats, T_image_mask: Floats) -> CropEstimate:
    """The look with this mask: [h, w] probabilities, and the affine map [2, 3] from its pixels to the image's."""
    return replace(look, refinement=replace(look.refinement, mask=mask, T_image_mask=T_image_mask))
