"""Top-down pose estimates per person: crop estimates of a frame, and detectors that combine networks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from closemesh.body.skeleton import ANKLE_OF_FOOT, KEYPOINT_MIRROR
from closemesh.config.schema import ObserveConfig, PoseNetwork
from closemesh.core.arrays import Floats
from closemesh.core.parallel import available_cores, map_in_order
from closemesh.perception.detectors.occluded import covered_pixels, paint_over
from closemesh.perception.detectors.person_detectors import MoveNet
from closemesh.perception.keypoints.pose_networks import BlazePose, Rtmw
from closemesh.perception.keypoints.selection import AGREEMENT_DISTANCE
from closemesh.perception.types import (
    NUM_BODY_KEYPOINTS,
    CropEstimate,
    CropPose,
    Detection,
    Detector,
    Image,
    PersonDetector,
)

MEDIAPIPE_NAMES: dict[PoseNetwork, str] = {"full": "mediapipe", "heavy": "mediapipe-heavy"}
"""Name of the bundled detector in result files."""
_RELIABLE = 0.7  # Agreement from which a crop pose shows the detected person.
_MIN_CONFIDENCE = 0.2
_LIMBS = slice(5, NUM_BODY_KEYPOINTS)  # Shoulders to ankles.
_FACE = slice(23, 91)
_TURN = 0.12  # Radians.
_ZOOM = 0.14  # Logarithm of the scale.
_SHIFT = 0.05  # Fraction of the box diagonal.
_TURNED = ((_TURN, 0.0, (0.0, 0.0)), (-_TURN, 0.0, (0.0, 0.0)))
_ZOOMED = ((0.0, _ZOOM, (0.0, 0.0)), (0.0, -_ZOOM, (0.0, 0.0)))
_SHIFTED = tuple((0.0, 0.0, shift) for shift in ((_SHIFT, 0.0), (-_SHIFT, 0.0), (0.0, _SHIFT), (0.0, -_SHIFT)))
_CROP_CHANGES = (*_TURNED, *_ZOOMED, *_SHIFTED)
"""Turn, zoom and shift of a crop, as `change_crop` takes them."""
_STABLE_DEVIATION = 0.03  # Fraction of the box diagonal: deviation at which a keypoint keeps a third of its confidence.


def estimate_frame(
    detector: Detector, image: Image, people: dict[int, Detection], change_crops: bool = False
) -> dict[int, CropEstimate]:
    """The best crop estimate of each detected person in a frame; people without any are left out.

    A person whose crop shows a partner instead is estimated again with the partners painted over. change_crops:
    estimate each person in several crops, which takes nine times as long. Photos have no frames around them that show
    which keypoints are stable; changed crops show it.
    """
    if change_crops:
        detector = _ChangedCrops(detector)
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


@dataclass(frozen=True)
class _ChangedCrops:
    """A detector whose crop poses are those that agree best over slightly changed crops."""

    detector: Detector

    @property
    def name(self) -> str:
        return self.detector.name

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        return self.detector.detect(image, long_side)

    def refine(self, image: Image, person: Detection) -> CropPose | None:
        """The pose of the unchanged crop with the 2D keypoints nearest to those of all crops.

        2D and 3D keypoints that move with the crop lose confidence. A network that takes the box is not turned.
        """
        pose = self.detector.refine(image, person)
        if pose is None:
            return None
        people = [change_crop(person, *change) for change in _CROP_CHANGES]
        changed = map_in_order(lambda one: self.detector.refine(image, one), people, available_cores())
        keypoints = np.stack([pose.keypoints, *(one.keypoints for one in changed if one is not None)])  # [N, 133, 3]
        points, deviation = _medoid(keypoints)
        stability = np.exp(-((deviation / max(person.diagonal, 1) / _STABLE_DEVIATION) ** 2))
        keypoints3d = pose.keypoints3d.copy()
        keypoints3d[:, 3] *= stability[: len(keypoints3d)]
        confidence = stability * keypoints[..., 2].mean(0)
        return replace(pose, keypoints=np.column_stack([points, confidence]), keypoints3d=keypoints3d)


def _medoid(estimates: Floats) -> tuple[Floats, Floats]:
    """Points [K, 2] with the smallest weighted distance to all estimates [N, K, 3], and the median distance [K].

    The mean of two places between which a keypoint jumps would be a third place.
    """
    points, weight = estimates[..., :2], estimates[..., 2] + 1e-3
    distance = np.linalg.norm(points[:, None] - points, axis=-1)  # [N, N, K]
    best = (distance * weight).sum(1).argmin(0)  # [K]
    every = np.arange(points.shape[1])
    return points[best, every], np.median(distance[best, :, every], axis=1)


def change_crop(person: Detection, turn: float, zoom: float, shift: tuple[float, float]) -> Detection:
    """The detection turned by `turn` radians and exp(zoom) times as large about its trunk, shifted by diagonals."""
    center = person.keypoints[[5, 6, 11, 12], :2].mean(0)
    target = center + np.array(shift) * person.diagonal
    R = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    keypoints = person.keypoints.copy()
    keypoints[:, :2] = np.exp(zoom) * (keypoints[:, :2] - center) @ R.T + target
    box = (np.exp(zoom) * (person.box.reshape(2, 2) - center) + target).ravel()
    return Detection(box, keypoints, person.score)


def reestimate_occluded(
    detector: Detector, image: Image, estimate: CropEstimate, others: list[CropEstimate]
) -> CropEstimate | None:
    """The person of `estimate` again, in an image with the `others` painted over in its mean color."""
    covered = covered_pixels([other.pose for other in others], image.shape)
    again = _estimate(detector, paint_over(image, covered), estimate.person, estimate.detection)
    if again is None:
        return None
    T = again.pose.T_image_mask
    size = again.pose.mask.shape[::-1]
    hidden = cv2.warpAffine(255 * covered, T, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP) / 255
    return replace(again, pose=replace(again.pose, mask=again.pose.mask * (1 - hidden)))


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
        keypoints3d = _agreeing_keypoints3d(person, with_matching_sides(person, pose))
        return replace(pose, keypoints=self._whole_body.keypoints(image, person.box), keypoints3d=keypoints3d)


def _agreeing_keypoints3d(detection: Detection, pose: CropPose) -> Floats:
    """[23, 4] 3D keypoints of the pose, with confidence 0 where its 2D keypoint is not at the detected one."""
    distance = np.linalg.norm(pose.keypoints[:NUM_BODY_KEYPOINTS, :2] - detection.keypoints[:, :2], axis=1)
    agree = distance < AGREEMENT_DISTANCE * detection.diagonal
    keypoints3d = pose.keypoints3d.copy()
    keypoints3d[:, 3] *= agree[list(ANKLE_OF_FOOT)]
    return keypoints3d
