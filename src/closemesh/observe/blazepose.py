"""BlazePose: a closer look at one person: 33 points, 33 points in metres, a mask."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.special import expit

from closemesh.body.skeleton import COCO_BODY, KEYPOINT_INDEX
from closemesh.observe.detector import Detection, Image, Refinement
from closemesh.observe.onnx_model import load_onnx
from closemesh.scene import NUM_CUE_POINTS, NUM_KEYPOINTS, Floats

MODEL_NAME = "blazepose/blazepose_full_fp16.onnx"
CROP = 256  # Pixels a side, fixed by the network.
_HEATMAP = 64
_KERNEL = 4  # Cells on each side of a point that its heat map may move it by.
_MIN_CONFIDENCE = 0.1
_REACH = 2.1 * 1.15  # Side of the crop over the distance from the mid-hip to the farthest keypoint.
_LEFT_HIP, _RIGHT_HIP = 23, 24

# BlazePose index of each COCO-WholeBody keypoint that it knows; it has no small toe.
_BODY = dict(zip(COCO_BODY, (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28), strict=True))
_FEET = {"left_big_toe": 31, "left_heel": 29, "right_big_toe": 32, "right_heel": 30}
_HANDS = {
    **{"left_hand_pinky1": 17, "left_hand_index1": 19, "left_hand_thumb2": 21},
    **{"right_hand_pinky1": 18, "right_hand_index1": 20, "right_hand_thumb2": 22},
}
_SOURCE = {KEYPOINT_INDEX[name]: index for name, index in {**_BODY, **_FEET, **_HANDS}.items()}


class BlazePose:
    """The network, ready to run."""

    def __init__(self) -> None:
        self._session = load_onnx(MODEL_NAME)
        self._input = self._session.get_inputs()[0].name

    def refine(self, image: Image, person: Detection) -> Refinement | None:
        """image: RGB [H, W, 3]. None when hips and shoulders are not known well enough to place the crop."""
        T_crop_image = crop_transform(person.keypoints)
        if T_crop_image is None:
            return None
        crop = cv2.warpAffine(image, T_crop_image, (CROP, CROP), flags=cv2.INTER_LINEAR)
        landmarks, presence, mask, heatmaps, world = self._session.run(
            None, {self._input: crop[None].astype(np.float32) / 255}
        )
        points = landmarks.reshape(39, 5)[:33].astype(float)  # x, y crop pixels, z, logits of visibility and presence
        confidence = expit(points[:, 3]) * expit(points[:, 4])
        T_image_crop = np.asarray(cv2.invertAffineTransform(T_crop_image), float)
        pixels = refine_with_heatmaps(points[:, :2], expit(heatmaps[0])) @ T_image_crop[:, :2].T + T_image_crop[:, 2]
        return Refinement(
            keypoints=_as_wholebody(np.column_stack([pixels, confidence])),
            cue_points=_as_cue(world.reshape(39, 3)[:33].astype(float), confidence, T_image_crop),
            centre=T_image_crop @ np.array([CROP / 2, CROP / 2, 1]),
            mask=expit(mask[0, :, :, 0]),
            T_image_mask=T_image_crop,
            presence=float(presence[0, 0]),
        )


def crop_transform(keypoints: Floats) -> Floats | None:
    """Affine map [2, 3] from the image to a square on the mid-hip, with mid-hip to mid-shoulder pointing up.

    keypoints: [17, 3] COCO. None when hips and shoulders fall together or are not seen.
    """
    seen = keypoints[:, 2] > _MIN_CONFIDENCE
    hip, shoulder = keypoints[[11, 12], :2].mean(0), keypoints[[5, 6], :2].mean(0)
    trunk = float(np.linalg.norm(shoulder - hip))
    if not seen[[5, 6, 11, 12]].any() or trunk < 1:
        return None
    up = (shoulder - hip) / trunk
    right = np.array([-up[1], up[0]])
    reach = np.linalg.norm(keypoints[seen, :2] - hip, axis=1).max()
    half = _REACH / 2 * max(reach, 1.5 * trunk)
    corners = np.array([hip + half * (up - right), hip + half * (up + right), hip - half * (up + right)])
    return cv2.getAffineTransform(corners.astype(np.float32), np.float32([[0, 0], [CROP, 0], [0, CROP]]))  # type: ignore[arg-type]


def refine_with_heatmaps(points: Floats, heatmaps: Floats) -> Floats:
    """Move each point to the centre of mass of its heat map nearby, where the heat map is sure of itself.

    points: [K, 2] crop pixels. heatmaps: [64, 64, >=K] probabilities. Source: MediaPipe's
    RefineLandmarksFromHeatmapCalculator (kernel 9, least confidence 0.5).
    """
    refined = points.copy()
    cell = CROP / _HEATMAP
    for k, (x, y) in enumerate((points / cell).astype(int)):
        if not (0 <= x < _HEATMAP and 0 <= y < _HEATMAP):
            continue
        rows = slice(max(0, y - _KERNEL), y + _KERNEL + 1)
        columns = slice(max(0, x - _KERNEL), x + _KERNEL + 1)
        near = heatmaps[rows, columns, k]
        if near.max() >= 0.5:
            moments = near.sum(0) @ np.arange(near.shape[1]), near.sum(1) @ np.arange(near.shape[0])
            refined[k] = (np.array(moments) / near.sum() + (columns.start, rows.start)) * cell
    return refined


def _as_wholebody(points: Floats) -> Floats:
    """[33, 3] -> [133, 3]."""
    keypoints = np.zeros((NUM_KEYPOINTS, 3))
    for target, source in _SOURCE.items():
        keypoints[target] = points[source]
    return keypoints


def _as_cue(world: Floats, confidence: Floats, T_image_crop: Floats) -> Floats:
    """[33, 3] metres in the axes of the turned crop -> [23, 4] in the axes of the image."""
    R_image_crop = np.eye(3)
    R_image_crop[:2, :2] = T_image_crop[:, :2] / np.sqrt(np.linalg.det(T_image_crop[:, :2]))
    upright = (world - world[[_LEFT_HIP, _RIGHT_HIP]].mean(0)) @ R_image_crop.T
    cue = np.zeros((NUM_CUE_POINTS, 4))
    for target, source in _SOURCE.items():
        if target < NUM_CUE_POINTS:
            cue[target] = (*upright[source], confidence[source])
    return cue
