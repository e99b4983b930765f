"""Records and protocols of perception: detections, crop estimates, detectors and segmenters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from closemesh.body.skeleton import KEYPOINT_MIRROR
from closemesh.core.arrays import Floats

Image = NDArray[np.uint8]

NUM_BODY_KEYPOINTS = 17
BODY_MIRROR = KEYPOINT_MIRROR[:NUM_BODY_KEYPOINTS]


@dataclass(frozen=True)
class Detection:
    """One person in one image."""

    box: Floats
    """[4] x0, y0, x1, y1 pixels."""
    keypoints: Floats
    """[17, 3] COCO body keypoints: x, y pixels and confidence 0..1."""
    score: float
    """0..1; 0 for a detection interpolated between frames."""

    @property
    def diagonal(self) -> float:
        """Length of the box diagonal, pixels. Relative thresholds refer to it."""
        return float(np.hypot(*(self.box[2:] - self.box[:2])))

    @property
    def area(self) -> float:
        """Area of the box, square pixels."""
        return float(np.prod(np.maximum(self.box[2:] - self.box[:2], 1)))

    def translated(self, shift: Floats) -> Detection:
        """The same detection moved by shift [2], pixels."""
        keypoints = self.keypoints.copy()
        keypoints[:, :2] += shift
        return Detection(self.box + np.tile(shift, 2), keypoints, self.score)

    def flip_left_right(self) -> Detection:
        """The same detection with left and right keypoints exchanged."""
        return Detection(self.box, self.keypoints[list(BODY_MIRROR)], self.score)


@dataclass(frozen=True)
class CropPose:
    """Pose and mask that a network estimated in the crop around one person."""

    keypoints: Floats
    """[133, 3] COCO-WholeBody: x, y pixels of the image and confidence."""
    keypoints3d: Floats
    """[23, 4] meters from the mid-hip and confidence; z along the viewing ray to `center`, x and y as in the image."""
    center: Floats
    """[2] center of the crop, pixels of the image."""
    mask: Floats
    """[h, w] probability that a pixel of the crop shows this person."""
    T_image_mask: Floats
    """[2, 3] affine map from mask pixels to image pixels."""
    presence: float
    """0..1 probability that the crop shows a person."""


class PersonDetector(Protocol):
    """Detects people in an image: MoveNet, YoloPose or YoloxDetector."""

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        """All people in the image, which is scaled to a longer side of about `long_side` pixels."""
        ...


class Detector(Protocol):
    """Detects people in RGB images [H, W, 3] and estimates the pose of one of them.

    Several threads call `refine` at once.
    """

    @property
    def name(self) -> str:
        """Name of the detector in result files."""
        ...

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        """All people in the image, which is scaled to a longer side of `long_side` pixels."""
        ...

    def refine(self, image: Image, person: Detection) -> CropPose | None:
        """Whole-body pose and mask of one detected person; None where the keypoints do not define a crop."""
        ...


@dataclass(frozen=True)
class CropEstimate:
    """Detection and crop pose of one person in one frame."""

    person: int
    detection: Detection
    pose: CropPose
    agreement: float
    """0..1 fraction of the limb keypoints on which detection and crop pose agree."""


class Segmenter(Protocol):
    """Replaces the masks of crop estimates by better ones."""

    def refine_masks(self, image: Image, estimates: dict[int, CropEstimate]) -> dict[int, CropEstimate]:
        """The estimates with new masks; a person without a new mask keeps the old one. image: RGB [H, W, 3]."""
        ...


def with_mask(estimate: CropEstimate, mask: Floats, T_image_mask: Floats) -> CropEstimate:
    """The estimate with this mask [h, w] of probabilities; T_image_mask [2, 3] maps its pixels to the image's."""
    return replace(estimate, pose=replace(estimate.pose, mask=mask, T_image_mask=T_image_mask))
