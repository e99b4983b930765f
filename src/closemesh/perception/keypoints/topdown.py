"""Crop estimate per person, combined detector, fusion.

The detector that is always there: MoveNet MultiPose finds, BlazePose looks closer.

One answer from two looks: the detection's 17 keypoints and the refinement's whole body.

The closer look at everybody in one frame; whom a partner hides is looked at again without the partner.

One detector out of several networks: who finds people, and whose closer look is believed for what.

The rule: boxes and 17 keypoints are the finder's (YOLO pose, YOLOX with RTMW, MoveNet). BlazePose looks closer and
alone gives the 3D cue, a mask and the presence. Where RTMW is there, its 133 keypoints stand in place of BlazePose's in
that look, and the cue is kept only where BlazePose's own keypoints agree with the finder's. Look and finder are then
joined as always (fusion.py): the mean where they agree, the finder where they do not; feet, hands and face only where
the ankle, the wrist or the nose that they hang on agrees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from closemesh.body.skeleton import KEYPOINT_INDEX, KEYPOINT_MIRROR
from closemesh.core.arrays import Bools, Floats
from closemesh.perception.detectors.person_detectors import MoveNet
from closemesh.perception.keypoints.pose_networks import BlazePose, Rtmw
from closemesh.perception.types import NUM_BODY, CropEstimate, CropPose, Detection, Detector, Image
from closemesh.structures import NUM_CUE_POINTS, NUM_KEYPOINTS


class MediaPipeDetector:
    """Both networks behind the Detector protocol. Raises ModelFileError when a model file is missing or damaged."""

    name = "mediapipe"

    def __init__(self) -> None:
        self._movenet = MoveNet()
        self._blazepose = BlazePose()

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        return self._movenet.detect(image, long_side)

    def refine(self, image: Image, person: Detection) -> CropPose | None:
        return self._blazepose.refine(image, person)


AGREEMENT = 0.12  # Of the box diagonal; farther apart the two looks mean different points.
_MIN_FUSED_CONFIDENCE = 0.1
_LEFT_ANKLE, _RIGHT_ANKLE = KEYPOINT_INDEX["left_ankle"], KEYPOINT_INDEX["right_ankle"]
_LEFT_WRIST, _RIGHT_WRIST = KEYPOINT_INDEX["left_wrist"], KEYPOINT_INDEX["right_wrist"]
_FACE = slice(23, 91)
_FOLLOWS = {
    KEYPOINT_INDEX["nose"]: _FACE,
    **{_LEFT_ANKLE: slice(17, 20), _RIGHT_ANKLE: slice(20, 23)},
    **{_LEFT_WRIST: slice(91, 112), _RIGHT_WRIST: slice(112, 133)},
}
"""Feet, hands and face are believed only where the ankle, wrist or nose that they hang on is."""


@dataclass(frozen=True)
class Fused:
    """One person in one frame."""

    keypoints: Floats
    """[133, 3]."""
    spread: Floats
    """[133] pixels that the two looks lie apart, at most AGREEMENT; 0 where there is only one."""
    keypoints3d: Floats
    """[23, 4]."""


def fuse(person: Detection, look: CropPose | None) -> Fused:
    """Mean of both where they agree, the detection where they do not, feet, hands and face where their joint agrees."""
    keypoints = np.zeros((NUM_KEYPOINTS, 3))
    keypoints[:NUM_BODY] = person.keypoints
    spread = np.zeros(NUM_KEYPOINTS)
    if look is None:
        return Fused(keypoints, spread, np.zeros((NUM_CUE_POINTS, 4)))
    look = with_matching_sides(person, look)
    apart = np.linalg.norm(look.keypoints[:NUM_BODY, :2] - person.keypoints[:, :2], axis=1)
    known = look.keypoints[:NUM_BODY, 2] > _MIN_FUSED_CONFIDENCE
    spread[:NUM_BODY] = np.where(known, np.minimum(apart, AGREEMENT * person.diagonal), 0)
    agree = (apart < AGREEMENT * person.diagonal) & (person.keypoints[:, 2] > _MIN_FUSED_CONFIDENCE)
    keypoints[:NUM_BODY] = _mean(person.keypoints, look.keypoints[:NUM_BODY], agree)
    cue = look.keypoints3d.copy()
    cue[:NUM_BODY, 3] *= agree
    for joint, hanging in _FOLLOWS.items():
        if agree[joint]:
            keypoints[hanging] = look.keypoints[hanging]
        elif hanging.stop <= NUM_CUE_POINTS:
            cue[hanging, 3] = 0
    return Fused(keypoints, spread, cue)


def _mean(a: Floats, b: Floats, agree: Bools) -> Floats:
    """[17, 3] mean weighted by confidence where `agree`, else a."""
    both = agree & (b[:, 2] > _MIN_FUSED_CONFIDENCE)
    share = np.where(both, b[:, 2] / (a[:, 2] + b[:, 2] + 1e-9), 0)[:, None]
    confidence = np.where(both, np.maximum(a[:, 2], b[:, 2]), a[:, 2])
    return np.column_stack([a[:, :2] + share * (b[:, :2] - a[:, :2]), confidence])


def with_matching_sides(person: Detection, look: CropPose) -> CropPose:
    """The look with its sides exchanged when it took the back for the front; depth and face are wrong and dropped."""
    order = [*KEYPOINT_MIRROR, *range(23, 91), *range(112, 133), *range(91, 112)]
    exchanged = look.keypoints[order]
    exchanged[_FACE, 2] = 0
    if _distance(person, exchanged) >= 0.5 * _distance(person, look.keypoints):
        return look
    cue = look.keypoints3d.copy()
    cue[:, 3] = 0
    return replace(look, keypoints=exchanged, keypoints3d=cue)


def _distance(person: Detection, keypoints: Floats) -> float:
    """Mean distance of shoulders to ankles in pixels, weighted by confidence."""
    limbs = slice(5, NUM_BODY)
    apart = np.linalg.norm(keypoints[limbs, :2] - person.keypoints[limbs, :2], axis=1)
    return float(np.average(apart, weights=person.keypoints[limbs, 2] + 1e-6))


_TRUSTED = 0.7  # Share of agreeing limb keypoints from which a look shows the person that was meant.
_MIN_CONFIDENCE = 0.2
_SOLID = 0.5


def estimate_frame(detector: Detector, image: Image, people: dict[int, Detection]) -> dict[int, CropEstimate]:
    """The best look at each person; people too hidden for any are left out."""
    looks = {person: _look(detector, image, person, detection) for person, detection in people.items()}
    found = {person: look for person, look in looks.items() if look is not None}
    trusted = [look for look in found.values() if look.agreement >= _TRUSTED]
    for person, look in found.items():
        others = [other for other in trusted if other.person != person]
        if look.agreement < _TRUSTED and others:
            again = reestimate_occluded(detector, image, look, others)
            if again is not None and again.agreement > look.agreement:
                found[person] = again
    return found


def reestimate_occluded(
    detector: Detector, image: Image, look: CropEstimate, others: list[CropEstimate]
) -> CropEstimate | None:
    """A look at a person with the `others` painted over in the mean colour, so that the one behind draws attention."""
    covered = _shown(others, image.shape)
    painted = np.where(covered[..., None], image[::16, ::16].reshape(-1, 3).mean(0).astype(np.uint8), image)
    again = _look(detector, painted, look.person, look.detection)
    if again is None:
        return None
    T = again.refinement.T_image_mask
    size = again.refinement.mask.shape[::-1]
    hidden = cv2.warpAffine(covered.astype(np.float32), T, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return replace(again, refinement=replace(again.refinement, mask=again.refinement.mask * (1 - hidden)))


def _shown(looks: list[CropEstimate], shape: tuple[int, ...]) -> Bools:
    """[H, W] where these people are seen."""
    masks = (cv2.warpAffine(look.refinement.mask, look.refinement.T_image_mask, shape[1::-1]) for look in looks)
    return np.any([mask > _SOLID for mask in masks], axis=0)


def _look(detector: Detector, image: Image, person: int, detection: Detection) -> CropEstimate | None:
    refinement = detector.refine(image, detection)
    return None if refinement is None else CropEstimate(person, detection, refinement, agreement(detection, refinement))


def agreement(detection: Detection, refinement: CropPose) -> float:
    """Share of the confident keypoints from shoulders to ankles that both put in the same place.

    Whichever way round they face: who is seen from behind is the same person still.
    """
    return max(_share_in_place(detection, refinement), _share_in_place(detection.flip_left_right(), refinement))


def _share_in_place(detection: Detection, refinement: CropPose) -> float:
    confident = detection.keypoints[5:, 2] > _MIN_CONFIDENCE
    apart = np.linalg.norm(detection.keypoints[5:, :2] - refinement.keypoints[5:NUM_BODY, :2], axis=1)
    return float((apart[confident] < AGREEMENT / 2 * detection.diagonal).mean()) if confident.any() else 0.0


class PersonDetector(Protocol):
    """Finds people in an image: MoveNet, YoloPose, YoloxFinder."""

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        """Everybody in the image, looked at with its longer side scaled to about `long_side` pixels."""
        ...


class CombinedDetector:
    """A finder, BlazePose and, if given, RTMW behind the Detector protocol."""

    def __init__(self, name: str, finder: PersonDetector, whole_body: Rtmw | None = None) -> None:
        self.name = name
        self._finder, self._whole_body = finder, whole_body
        self._blazepose = BlazePose()

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        return self._finder.detect(image, long_side)

    def refine(self, image: Image, person: Detection) -> CropPose | None:
        look = self._blazepose.refine(image, person)
        if look is None or self._whole_body is None:
            return look
        agreed = fuse(person, look).keypoints3d
        return replace(look, keypoints=self._whole_body.keypoints(image, person.box), keypoints3d=agreed)
