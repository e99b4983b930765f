"""Top-down pose estimates per person: crop estimates of a frame, fusion with detections, combined detectors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from closemesh.body.skeleton import KEYPOINT_INDEX, KEYPOINT_MIRROR
from closemesh.config.schema import ObserveConfig, PoseNetwork
from closemesh.core.arrays import Bools, Floats
from closemesh.perception.detectors.person_detectors import MoveNet
from closemesh.perception.keypoints.pose_networks import BlazePose, Rtmw
from closemesh.perception.types import (
    NUM_BODY_KEYPOINTS,
    CropEstimate,
    CropPose,
    Detection,
    Detector,
    Image,
    PersonDetector,
)
from closemesh.structures import NUM_KEYPOINTS, NUM_KEYPOINTS3D

MEDIAPIPE_NAMES: dict[PoseNetwork, str] = {"full": "mediapipe", "heavy": "mediapipe-heavy"}
"""Name of the bundled detector in result files."""
AGREEMENT_DISTANCE = 0.12  # Fraction of the box diagonal; detection and crop pose that lie farther apart disagree.
_RELIABLE = 0.7  # Agreement from which a crop pose shows the detected person.
_MIN_CONFIDENCE = 0.2
_MIN_FUSED_CONFIDENCE = 0.1
_MIN_MASK_PROBABILITY = 0.5
_LIMBS = slice(5, NUM_BODY_KEYPOINTS)  # Shoulders to ankles.
_FACE = slice(23, 91)
_DEPENDENT = {
    KEYPOINT_INDEX["nose"]: _FACE,
    KEYPOINT_INDEX["left_ankle"]: slice(17, 20),
    KEYPOINT_INDEX["right_ankle"]: slice(20, 23),
    KEYPOINT_INDEX["left_wrist"]: slice(91, 112),
    KEYPOINT_INDEX["right_wrist"]: slice(112, 133),
}
"""Feet, hands and face are taken only where their ankle, wrist or nose agrees."""


def estimate_frame(detector: Detector, image: Image, people: dict[int, Detection]) -> dict[int, CropEstimate]:
    """The best crop estimate of each detected person in a frame; people without any are left out.

    A person whose crop shows a partner instead is estimated again with the partners painted over.
    """
    estimates = {person: _estimate(detector, image, person, detection) for person, detection in people.items()}
    found = {person: estimate for person, estimate in estimates.items() if estimate is not None}
    reliable = [estimate for estimate in found.values() if estimate.agreement >= _RELIABLE]
    for person, estimate in found.items():
        others = [other for other in reliable if other.person != person]
        if estimate.agreement < _RELIABLE and others:
            again = reestimate_occluded(detector, image, estimate, others)
            if again is not None and again.agreement > estimate.agreement:
                found[person] = again
    return found


def reestimate_occluded(
    detector: Detector, image: Image, estimate: CropEstimate, others: list[CropEstimate]
) -> CropEstimate | None:
    """The person of `estimate` again, in an image with the `others` painted over in its mean color."""
    covered = _covered(others, image.shape)
    painted = np.where(covered[..., None], image[::16, ::16].reshape(-1, 3).mean(0).astype(np.uint8), image)
    again = _estimate(detector, painted, estimate.person, estimate.detection)
    if again is None:
        return None
    T = again.pose.T_image_mask
    size = again.pose.mask.shape[::-1]
    hidden = cv2.warpAffine(covered.astype(np.float32), T, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return replace(again, pose=replace(again.pose, mask=again.pose.mask * (1 - hidden)))


def _covered(estimates: list[CropEstimate], shape: tuple[int, ...]) -> Bools:
    """[H, W] where the masks of these people lie."""
    masks = (cv2.warpAffine(one.pose.mask, one.pose.T_image_mask, shape[1::-1]) for one in estimates)
    return np.any([mask > _MIN_MASK_PROBABILITY for mask in masks], axis=0)


def _estimate(detector: Detector, image: Image, person: int, detection: Detection) -> CropEstimate | None:
    pose = detector.refine(image, detection)
    return None if pose is None else CropEstimate(person, detection, pose, keypoint_agreement(detection, pose))


def keypoint_agreement(detection: Detection, pose: CropPose) -> float:
    """0..1 fraction of the confident keypoints from shoulders to ankles at the same place in both.

    The better of both left-right assignments counts: a person seen from behind is still the same person.
    """
    return max(_fraction_in_place(detection, pose), _fraction_in_place(detection.flip_left_right(), pose))


def _fraction_in_place(detection: Detection, pose: CropPose) -> float:
    confident = detection.keypoints[_LIMBS, 2] > _MIN_CONFIDENCE
    distance = np.linalg.norm(detection.keypoints[_LIMBS, :2] - pose.keypoints[_LIMBS, :2], axis=1)
    near = distance[confident] < AGREEMENT_DISTANCE / 2 * detection.diagonal
    return float(near.mean()) if confident.any() else 0.0


@dataclass(frozen=True)
class FusedPose:
    """Detection and crop pose of one person in one frame, fused."""

    keypoints: Floats
    """[133, 3] x, y pixels and confidence."""
    disagreement: Floats
    """[133] pixels between detection and crop pose, at most AGREEMENT_DISTANCE; 0 where only one gives the keypoint."""
    keypoints3d: Floats
    """[23, 4] as in CropPose."""


def fuse(detection: Detection, pose: CropPose | None) -> FusedPose:
    """The mean of both where they agree, the detection where they do not.

    Feet, hands and face come from the crop pose, only where their ankle, wrist or nose agrees.
    """
    keypoints = np.zeros((NUM_KEYPOINTS, 3))
    keypoints[:NUM_BODY_KEYPOINTS] = detection.keypoints
    disagreement = np.zeros(NUM_KEYPOINTS)
    if pose is None:
        return FusedPose(keypoints, disagreement, np.zeros((NUM_KEYPOINTS3D, 4)))
    pose = with_matching_sides(detection, pose)
    limit = AGREEMENT_DISTANCE * detection.diagonal
    body = pose.keypoints[:NUM_BODY_KEYPOINTS]
    distance = np.linalg.norm(body[:, :2] - detection.keypoints[:, :2], axis=1)
    given = body[:, 2] > _MIN_FUSED_CONFIDENCE
    disagreement[:NUM_BODY_KEYPOINTS] = np.where(given, np.minimum(distance, limit), 0)
    agree = (distance < limit) & (detection.keypoints[:, 2] > _MIN_FUSED_CONFIDENCE)
    keypoints[:NUM_BODY_KEYPOINTS] = _weighted_mean(detection.keypoints, body, agree)
    keypoints3d = pose.keypoints3d.copy()
    keypoints3d[:NUM_BODY_KEYPOINTS, 3] *= agree
    for joint, dependent in _DEPENDENT.items():
        if agree[joint]:
            keypoints[dependent] = pose.keypoints[dependent]
        elif dependent.stop <= NUM_KEYPOINTS3D:
            keypoints3d[dependent, 3] = 0
    return FusedPose(keypoints, disagreement, keypoints3d)


def _weighted_mean(a: Floats, b: Floats, agree: Bools) -> Floats:
    """[17, 3] mean weighted by confidence where `agree`, else a."""
    both = agree & (b[:, 2] > _MIN_FUSED_CONFIDENCE)
    weight = np.where(both, b[:, 2] / (a[:, 2] + b[:, 2] + 1e-9), 0)[:, None]
    confidence = np.where(both, np.maximum(a[:, 2], b[:, 2]), a[:, 2])
    return np.column_stack([a[:, :2] + weight * (b[:, :2] - a[:, :2]), confidence])


def with_matching_sides(detection: Detection, pose: CropPose) -> CropPose:
    """The crop pose with left and right exchanged where that fits the detection much better.

    Such a pose mistook the back for the front: its depth and its face are wrong and get confidence 0.
    """
    order = [*KEYPOINT_MIRROR, *range(23, 91), *range(112, 133), *range(91, 112)]
    exchanged = pose.keypoints[order]
    exchanged[_FACE, 2] = 0
    if _limb_distance(detection, exchanged) >= 0.5 * _limb_distance(detection, pose.keypoints):
        return pose
    keypoints3d = pose.keypoints3d.copy()
    keypoints3d[:, 3] = 0
    return replace(pose, keypoints=exchanged, keypoints3d=keypoints3d)


def _limb_distance(detection: Detection, keypoints: Floats) -> float:
    """Mean distance of shoulders to ankles, weighted by confidence, pixels."""
    distance = np.linalg.norm(keypoints[_LIMBS, :2] - detection.keypoints[_LIMBS, :2], axis=1)
    return float(np.average(distance, weights=detection.keypoints[_LIMBS, 2] + 1e-6))


class MediaPipeDetector:
    """The bundled detector: MoveNet MultiPose for people, one of the BlazePose networks for crops.

    Raises ModelFileError when a model file is missing or damaged.
    """

    def __init__(self, pose_network: PoseNetwork = ObserveConfig.pose_network) -> None:
        self.name = MEDIAPIPE_NAMES[pose_network]
        self._movenet = MoveNet()
        self._blazepose = BlazePose(pose_network)

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        return self._movenet.detect(image, long_side)

    def refine(self, image: Image, person: Detection) -> CropPose | None:
        return self._blazepose.refine(image, person)


class CombinedDetector:
    """A person detector, BlazePose and, if given, RTMW behind the Detector protocol.

    Boxes and 17 keypoints come from the person detector, 3D keypoints, mask and presence from BlazePose. RTMW replaces
    BlazePose's 2D keypoints; the 3D keypoints stay where BlazePose's own 2D keypoints agree with the detection.
    """

    def __init__(
        self, name: str, person_detector: PersonDetector, pose_network: PoseNetwork, whole_body: Rtmw | None = None
    ) -> None:
        self.name = name
        self._person_detector, self._whole_body = person_detector, whole_body
        self._blazepose = BlazePose(pose_network)

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        return self._person_detector.detect(image, long_side)

    def refine(self, image: Image, person: Detection) -> CropPose | None:
        """Crop pose of one detected person; None where the keypoints do not define a crop. image: RGB [H, W, 3]."""
        pose = self._blazepose.refine(image, person)
        if pose is None or self._whole_body is None:
            return pose
        agreed = fuse(person, pose).keypoints3d
        return replace(pose, keypoints=self._whole_body.keypoints(image, person.box), keypoints3d=agreed)
