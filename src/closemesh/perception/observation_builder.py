"""ObservationBuilder: from detections and crop poses of single frames to the observations of a clip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from closemesh.core.arrays import Bools, Floats
from closemesh.geometry.camera import default_focal, ray_rotation
from closemesh.perception.keypoints.left_right import left_right_score, swapped_sides
from closemesh.perception.keypoints.selection import (
    FusedKeypoints,
    KeypointCandidates,
    confirmed_keypoints3d,
    fuse_over_time,
)
from closemesh.perception.keypoints.topdown import keypoint_agreement, with_matching_sides
from closemesh.perception.keypoints.uncertainty import keypoint_sigmas, without_shared_keypoints
from closemesh.perception.types import NUM_BODY_KEYPOINTS, CropEstimate, CropPose, Detection
from closemesh.structures import NUM_KEYPOINTS, NUM_KEYPOINTS3D, Clip, Observations

_NO_MASK = np.zeros((0, 0))  # Masks are written per frame, not stored.
# The crop network only guesses where a joint outside the image is; the guess still separates standing from kneeling.
_OUTSIDE_CONFIDENCE = 0.1
_OUTSIDE_SIGMA = 0.05  # Fraction of the box diagonal.
BORDER_MARGIN = 0.015  # Fraction of the box diagonal; detectors place joints outside the image at its border.


class ObservationBuilder:
    """Collects detections and crop poses per frame; `finish` adds what depends on all frames."""

    def __init__(self, clip: Clip, num_people: int) -> None:
        T, P = len(clip), num_people
        self._size = clip.size
        self._focal = clip.focal_px or default_focal(clip.size)
        self._estimates: list[dict[int, tuple[Detection, CropPose | None]]] = [{} for _ in range(P)]
        self._detected = np.zeros((T, P, NUM_BODY_KEYPOINTS, 3))
        self._crop = np.zeros((T, P, NUM_KEYPOINTS, 3))
        self._crop3d = np.zeros((T, P, NUM_KEYPOINTS3D, 4))
        self._agreement = np.zeros((T, P))
        self._diagonal = np.ones((T, P))
        self.boxes = np.zeros((T, P, 4))
        self.keypoints = np.zeros((T, P, NUM_KEYPOINTS, 3))
        self.disagreement = np.zeros((T, P, NUM_KEYPOINTS))
        self.keypoints3d = np.zeros((T, P, NUM_KEYPOINTS3D, 4))
        self.detected = np.zeros((T, P), bool)
        self.mask_confidence = np.zeros((T, P))

    def add(self, frame: int, person: int, detection: Detection, estimate: CropEstimate | None) -> None:
        """Add the detection and, if given, the crop estimate of one person in one frame."""
        self._estimates[person][frame] = detection, replace(estimate.pose, mask=_NO_MASK) if estimate else None

    def finish(self, track_confidence: Floats, detector: str) -> Observations:
        """Observations with consistent left and right, detections and crop poses fused, and sigmas.

        track_confidence: [T, P].
        """
        for person, estimates in enumerate(self._estimates):
            for frame, (detection, pose) in _with_consistent_sides(estimates).items():
                self._fill(frame, person, detection, pose)
            estimates.clear()  # Of a long clip they take as much memory as the arrays.
        fused = fuse_over_time(
            KeypointCandidates(self._detected, self._crop, self._agreement, self._diagonal, self._size)
        )
        outside = self._outside(fused)
        self.disagreement[:, :, :NUM_BODY_KEYPOINTS] = fused.disagreement
        doubt = np.zeros_like(self.disagreement)
        doubt[:, :, :NUM_BODY_KEYPOINTS] = fused.doubt
        self.keypoints3d = confirmed_keypoints3d(self._crop3d, fused)
        self.keypoints = fused.keypoints
        self.keypoints[outside, 2] = np.minimum(self.keypoints[outside, 2], _OUTSIDE_CONFIDENCE)
        keypoints = without_shared_keypoints(self.keypoints, self.boxes, self.detected)
        sigmas = keypoint_sigmas(keypoints, self.boxes, self.detected, doubt, self._size)
        guess = np.broadcast_to(_OUTSIDE_SIGMA * self._diagonal[..., None], sigmas.shape)
        return Observations(
            boxes=self.boxes,
            keypoints=keypoints,
            sigmas=np.where(outside, guess, sigmas),
            keypoints3d=self.keypoints3d,
            detected=self.detected,
            track_confidence=track_confidence * self.detected,
            detector=detector,
            outside=outside[:, :, :NUM_KEYPOINTS3D],
            mask_confidence=self.mask_confidence,
            keypoints3d_focal=self._focal,
        )

    def _fill(self, frame: int, person: int, detection: Detection, pose: CropPose | None) -> None:
        width, height = self._size
        self.boxes[frame, person] = np.clip(detection.box, 0, (width, height, width, height))
        self.detected[frame, person] = True
        self._detected[frame, person] = detection.keypoints
        self._diagonal[frame, person] = max(detection.diagonal, 1.0)
        if pose is not None:
            pose = with_matching_sides(detection, pose)
            self._crop[frame, person] = pose.keypoints
            self._crop3d[frame, person] = self._in_camera_axes(pose.keypoints3d, pose.center)
            self._agreement[frame, person] = keypoint_agreement(detection, pose)

    def _outside(self, fused: FusedKeypoints) -> Bools:
        """[T, P, 133] keypoints at the border of the image or beyond it, of detected people."""
        points, border = fused.keypoints[..., :2], BORDER_MARGIN * self._diagonal[..., None, None]
        inside = (points > border) & (points < np.array(self._size) - border)
        return ~inside.all(-1) & self.detected[..., None] & (fused.keypoints[..., 2] > 0)

    def _in_camera_axes(self, keypoints3d: Floats, center: Floats) -> Floats:
        R = ray_rotation(center, self._focal, (self._size[0] / 2, self._size[1] / 2))
        return np.concatenate([keypoints3d[:, :3] @ R.T, keypoints3d[:, 3:]], 1)


def _with_consistent_sides(
    estimates: dict[int, tuple[Detection, CropPose | None]],
) -> dict[int, tuple[Detection, CropPose | None]]:
    """One person's detections by frame, with left and right as most of the crop poses have them."""
    frames = sorted(estimates)
    detections, poses = [estimates[frame][0] for frame in frames], [estimates[frame][1] for frame in frames]
    scores = [
        left_right_score(detection, pose.keypoints[:NUM_BODY_KEYPOINTS]) if pose else 0.0
        for detection, pose in zip(detections, poses, strict=True)
    ]
    swapped = swapped_sides(frames, detections, np.array(scores))
    return {
        frame: (detection.flip_left_right() if swap else detection, pose)
        for frame, detection, pose, swap in zip(frames, detections, poses, swapped, strict=True)
    }
