"""The arrays of Observations: what was seen of everybody is collected frame by frame, and put together at the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from closemesh.geometry.camera import default_focal
from closemesh.observe.closer import Look
from closemesh.observe.detector import NUM_BODY, Detection, Refinement
from closemesh.observe.flips import sides_told, swapped_sides
from closemesh.observe.fusion import fuse
from closemesh.observe.sigmas import keypoint_sigmas, settle_claims
from closemesh.observe.viewing_ray import R_cam_ray
from closemesh.scene import NUM_CUE_POINTS, NUM_KEYPOINTS, Clip, Floats, Observations

_NO_MASK = np.zeros((0, 0))  # Masks are written when they are made, and not kept.


class Record:
    """Collects what is seen of each person; `finish` adds what only all frames together tell."""

    def __init__(self, clip: Clip, num_people: int) -> None:
        T, P = len(clip), num_people
        self._size = clip.size
        self._focal = clip.focal_px or default_focal(clip.size)
        self._seen: list[dict[int, tuple[Detection, Refinement | None]]] = [{} for _ in range(P)]
        self.boxes = np.zeros((T, P, 4))
        self.keypoints = np.zeros((T, P, NUM_KEYPOINTS, 3))
        self.spread = np.zeros((T, P, NUM_KEYPOINTS))
        self.cue_points = np.zeros((T, P, NUM_CUE_POINTS, 4))
        self.visible = np.zeros((T, P), bool)

    def add(self, frame: int, person: int, detection: Detection, look: Look | None) -> None:
        """Put in what was seen of one person in one frame."""
        self._seen[person][frame] = detection, replace(look.refinement, mask=_NO_MASK) if look else None

    def finish(self, track_scores: Floats, detector: str) -> Observations:
        """Sides and claims settled, sigmas added. track_scores: [T, P]."""
        for person, seen in enumerate(self._seen):
            for frame, (detection, refinement) in _with_told_sides(seen).items():
                self._put(frame, person, detection, refinement)
        keypoints = settle_claims(self.keypoints, self.boxes, self.visible)
        sigmas = keypoint_sigmas(keypoints, self.boxes, self.visible, self.spread)
        return Observations(
            self.boxes, keypoints, sigmas, self.cue_points, self.visible, track_scores * self.visible, detector
        )

    def _put(self, frame: int, person: int, detection: Detection, refinement: Refinement | None) -> None:
        fused = fuse(detection, refinement)
        width, height = self._size
        inside = (fused.keypoints[:, :2] >= 0).all(-1) & (fused.keypoints[:, :2] < (width, height)).all(-1)
        self.boxes[frame, person] = np.clip(detection.box, 0, (width, height, width, height))
        self.keypoints[frame, person] = fused.keypoints
        self.keypoints[frame, person, ~inside, 2] = 0
        self.spread[frame, person] = fused.spread
        self.visible[frame, person] = True
        if refinement is not None:
            self.cue_points[frame, person] = self._in_camera_axes(fused.cue_points, refinement.centre)

    def _in_camera_axes(self, cue_points: Floats, centre: Floats) -> Floats:
        R = R_cam_ray(centre, self._focal, self._size)
        return np.concatenate([cue_points[:, :3] @ R.T, cue_points[:, 3:]], 1)


def _with_told_sides(
    seen: dict[int, tuple[Detection, Refinement | None]],
) -> dict[int, tuple[Detection, Refinement | None]]:
    """One person's detections with left and right as most of the closer looks have them."""
    frames = sorted(seen)
    detections, looks = [seen[frame][0] for frame in frames], [seen[frame][1] for frame in frames]
    told = [
        sides_told(d, look.keypoints[:NUM_BODY]) if look else 0.0 for d, look in zip(detections, looks, strict=True)
    ]
    swapped = swapped_sides(frames, detections, np.array(told))
    return {
        frame: (detection.side_swapped() if swap else detection, look)
        for frame, detection, look, swap in zip(frames, detections, looks, swapped, strict=True)
    }
