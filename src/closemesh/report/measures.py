"""Quantities that show how far to trust a result: evidence of each joint in the image, motion of camera and people."""

from __future__ import annotations

import cv2
import numpy as np

from closemesh.body.motion import motion_joints
from closemesh.body.skeleton import COCO_BODY
from closemesh.core.arrays import Bools, Floats
from closemesh.report.records import ReportRecords
from closemesh.structures import NUM_KEYPOINTS3D
from closemesh.video.video_files import Image

NUM_COCO_KEYPOINTS = len(COCO_BODY)
MIN_CONFIDENCE = 0.3
"""Confidence from which a keypoint counts as seen, as in rendered images."""

_SIDE = 320  # Pixels, the longer side of the images in which the background is followed.
_STEP = 0.5  # Seconds between the frames that are compared.
_MAX_CORNERS, _MIN_CORNERS = 300, 20
_BOX_MARGIN = 0.1  # Of the box, around each person.
_MAX_RETURN = 0.5  # Pixels by which a point that is followed forth and back may miss its start.
_MIN_FRAMES_STILL = 0.8  # Fraction of the frames in which a keypoint must be seen.


def keypoint_std(records: ReportRecords) -> Floats:
    """Standard deviation of each body and foot keypoint in meters [T, P, 23], at the depth of the person.

    Infinite where the keypoint is not seen: not detected, or with a confidence below 0.3.
    """
    depth = np.maximum(motion_joints(records.motion, records.body)[:, :, 0, 2], 0)  # [T, P]
    observed = records.observations
    sigmas = observed.sigmas[:, :, :NUM_KEYPOINTS3D].astype(np.float64)
    seen = (observed.keypoints[:, :, :NUM_KEYPOINTS3D, 2] >= MIN_CONFIDENCE) & observed.detected[..., None]
    return np.where(seen, sigmas * depth[..., None] / records.camera.focal, np.inf)


def keypoint_range(records: ReportRecords) -> Floats:
    """How far each person moves in the image [P], relative to the height of the box; nan where too little is seen.

    The median over the COCO keypoints of the range from the 10th to the 90th percentile over time, the larger of x
    and y.
    """
    observed = records.observations
    points = observed.keypoints[:, :, :NUM_COCO_KEYPOINTS].astype(np.float64)  # [T, P, 17, 3]
    seen = (points[..., 2] >= MIN_CONFIDENCE) & observed.detected[..., None]
    height = observed.boxes[..., 3] - observed.boxes[..., 1]  # [T, P]
    ranges = np.full(observed.num_people, np.nan)
    for person in range(observed.num_people):
        always = seen[:, person].mean(0) >= _MIN_FRAMES_STILL  # [17]
        if always.sum() >= NUM_COCO_KEYPOINTS // 2:
            shown = np.where(seen[:, person, always, None], points[:, person, always, :2], np.nan)
            low, high = np.nanpercentile(shown, (10, 90), axis=0)  # [K, 2]
            size = np.median(height[observed.detected[:, person], person])
            ranges[person] = np.median((high - low).max(-1)) / max(size, 1.0)
    return ranges


class BackgroundMotion:
    """How far the background moves between frames half a second apart, measured while the frames are read."""

    def __init__(self, boxes: Floats, fps: float) -> None:
        """boxes [T, P, 4]: where people are, pixels."""
        self._boxes = boxes
        self._step = max(1, round(_STEP * fps))
        self._earlier: tuple[Image, Floats | None] | None = None
        self.shifts: dict[int, float] = {}
        """Median motion by frame, relative to the diagonal of the image; only where the background has corners."""

    def add(self, frame: int, image: Image) -> None:
        """Measure a frame, RGB [H, W, 3]. Frames come in order."""
        if frame % self._step:
            return
        scale = min(1.0, _SIDE / max(image.shape[:2]))
        width, height = (max(1, round(side * scale)) for side in image.shape[1::-1])
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        gray = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
        free = _outside_boxes(self._boxes[frame] * scale, gray.shape)
        corners = cv2.goodFeaturesToTrack(gray, _MAX_CORNERS, 0.01, 5, mask=free.astype(np.uint8))
        if self._earlier is not None and self._earlier[1] is not None:
            shift = _median_shift(self._earlier[0], gray, self._earlier[1], free)
            if shift is not None:
                self.shifts[frame] = shift / float(np.hypot(width, height))
        self._earlier = gray, None if corners is None else np.asarray(corners, np.float32)


def _outside_boxes(boxes: Floats, shape: tuple[int, ...]) -> Bools:
    """[h, w] pixels outside the enlarged boxes [P, 4]."""
    free = np.ones(shape[:2], bool)
    margin = _BOX_MARGIN * (boxes[:, 2:] - boxes[:, :2])  # [P, 2]
    for x0, y0, x1, y1 in np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], -1).round().astype(int):
        free[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = False
    return free


def _median_shift(before: Image, after: Image, corners: Floats, free: Bools) -> float | None:
    """Median length in pixels of the motion of corners [N, 1, 2] that are found again; None with too few of them."""
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None)  # type: ignore[call-overload]
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, moved, None)  # type: ignore[call-overload]
    returned = np.linalg.norm(back - corners, axis=-1)[:, 0] < _MAX_RETURN
    x, y = np.clip(np.nan_to_num(moved[:, 0]).round().astype(int), 0, (free.shape[1] - 1, free.shape[0] - 1)).T
    used = (found[:, 0] > 0) & (found_back[:, 0] > 0) & returned & free[y, x]
    if used.sum() < _MIN_CORNERS:
        return None
    return float(np.median(np.linalg.norm(moved - corners, axis=-1)[used, 0]))
