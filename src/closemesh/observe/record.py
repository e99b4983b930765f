"""The arrays of Observations while they are filled, frame by frame."""

from __future__ import annotations

import numpy as np

from closemesh.geometry.camera import default_focal
from closemesh.observe.closer import Look
from closemesh.observe.detector import Detection
from closemesh.observe.fusion import fuse
from closemesh.observe.sigmas import keypoint_sigmas, settle_claims
from closemesh.observe.viewing_ray import R_cam_ray
from closemesh.scene import NUM_CUE_POINTS, NUM_KEYPOINTS, Clip, Floats, Observations


class Record:
    """Collects what is seen of each person; `finish` adds what only all frames together tell."""

    def __init__(self, clip: Clip, num_people: int) -> None:
        T, P = len(clip), num_people
        self._size = clip.size
        self._focal = clip.focal_px or default_focal(clip.size)
        self.boxes = np.zeros((T, P, 4))
        self.keypoints = np.zeros((T, P, NUM_KEYPOINTS, 3))
        self.spread = np.zeros((T, P, NUM_KEYPOINTS))
        self.cue_points = np.zeros((T, P, NUM_CUE_POINTS, 4))
        self.visible = np.zeros((T, P), bool)

    def add(self, frame: int, person: int, detection: Detection, look: Look | None) -> None:
        """Put in what was seen of one person in one frame."""
        fused = fuse(detection, look.refinement if look else None)
        width, height = self._size
        inside = (fused.keypoints[:, :2] >= 0).all(-1) & (fused.keypoints[:, :2] < (width, height)).all(-1)
        self.boxes[frame, person] = np.clip(detection.box, 0, (width, height, width, height))
        self.keypoints[frame, person] = fused.keypoints
        self.keypoints[frame, person, ~inside, 2] = 0
        self.spread[frame, person] = fused.spread
        self.visible[frame, person] = True
        if look is not None:
            self.cue_points[frame, person] = self._in_camera_axes(fused.cue_points, look.refinement.centre)

    def finish(self, track_scores: Floats, detector: str) -> Observations:
        """Claims settled, sigmas added. track_scores: [T, P]."""
        keypoints = settle_claims(self.keypoints, self.boxes, self.visible)
        sigmas = keypoint_sigmas(keypoints, self.boxes, self.visible, self.spread)
        return Observations(
            self.boxes, keypoints, sigmas, self.cue_points, self.visible, track_scores * self.visible, detector
        )

    def _in_camera_axes(self, cue_points: Floats, centre: Floats) -> Floats:
        R = R_cam_ray(centre, self._focal, self._size)
        return np.concatenate([cue_points[:, :3] @ R.T, cue_points[:, 3:]], 1)
