"""COCO-WholeBody 133 keypoints of a body as linear functions of its joints and vertices."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from closemesh.body.skeleton import COCO_BODY, COCO_FEET, JOINT_INDEX, KEYPOINT_INDEX, other_side

KeypointMap = tuple[Tensor, Tensor, Tensor]
"""Weights of the 55 joints [133, 55], weights of N vertices [133, N], and their ids [N]."""

# Vertex ids of the SMPL-X mesh by the names of `smplx.vertex_ids`; the file of the bundled body has its own.
_SMPLX_VERTICES = {
    **{"nose": 9120, "leye": 9448, "lear": 6, "reye": 9929, "rear": 616},
    **{"lthumb": 5361, "lindex": 4933, "lmiddle": 5058, "lring": 5169, "lpinky": 5286},
    **{"rthumb": 8079, "rindex": 7669, "rmiddle": 7794, "rring": 7905, "rpinky": 8022},
    **{"LBigToe": 5770, "LSmallToe": 5780, "LHeel": 8846, "RBigToe": 8463, "RSmallToe": 8474, "RHeel": 8635},
}
_HEAD_AND_FEET = {
    **{"nose": "nose", "left_eye": "leye", "right_eye": "reye", "left_ear": "lear", "right_ear": "rear"},
    **{"left_big_toe": "LBigToe", "left_small_toe": "LSmallToe", "left_heel": "LHeel"},
    **{"right_big_toe": "RBigToe", "right_small_toe": "RSmallToe", "right_heel": "RHeel"},
}
# Meters along x (to the left), y (up) and z (forward) of the zero pose from a keypoint of the regressor in the file to
# where detectors put it on people; mirrored for the right side. Fitted to 14 people of `street`, `seven` and `sofa`,
# jointly with their poses and shapes. Without these offsets arms and thighs are too short for the keypoints.
_DETECTOR_OFFSETS = {
    "left_ear": (-0.011, 0.0, 0.026),
    "left_elbow": (0.013, 0.0, 0.0),
    "left_wrist": (0.021, 0.0, 0.0),
    "left_hip": (0.0, 0.009, 0.0),
    "left_knee": (-0.006, 0.0, 0.0),
    "left_ankle": (0.0, 0.0, 0.012),
}
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_FACE_CONTOUR = 17


def regressed_keypoints(data: dict[str, np.ndarray]) -> KeypointMap:
    """Map [133, ...] of the bundled body: its regressor for body and feet, joints and vertices for hands and face.

    data: arrays of the body file, among them v_template [V, 3].
    """
    builder = _Builder(len(data["v_template"]))
    # By name: the order of the foot keypoints in the file is not that of COCO-WholeBody.
    for name, weights in zip(data["open_coco23_names"].tolist(), data["open_coco23_regressor"], strict=True):
        row = _shift(weights, data["v_template"], _detector_offset(name))
        for vertex in np.nonzero(row)[0]:
            builder.add_vertex(KEYPOINT_INDEX[name], int(vertex), float(row[vertex]))
    ids = dict(zip(data["open_vertex_ids_names"].tolist(), data["open_vertex_ids"].tolist(), strict=True))
    return _hands_and_face(builder, data, ids)


def _detector_offset(name: str) -> np.ndarray:
    """Offset [3] of a keypoint in the zero pose, meters."""
    if name in _DETECTOR_OFFSETS:
        return np.array(_DETECTOR_OFFSETS[name])
    return np.array(_DETECTOR_OFFSETS.get(other_side(name), (0.0, 0.0, 0.0))) * (-1, 1, 1)


def _shift(weights: np.ndarray, template: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Weights [V] of a point that lies `offset` [3] beyond that of `weights` [V] on the template [V, 3], meters.

    The same vertices carry it, and their weights change least.
    """
    shifted = weights.astype(float)
    used = np.flatnonzero(weights)
    constraints = np.vstack([template[used].T, np.ones(len(used))])  # Place and sum of the weights.
    shifted[used] += np.linalg.pinv(constraints) @ [*offset, 0.0]
    return shifted


def named_vertex_keypoints(data: dict[str, np.ndarray]) -> KeypointMap:
    """Map [133, ...] of the SMPL-X mesh: limbs from joints, head and feet from named vertices.

    data: arrays of the body file, among them v_template [V, 3].
    """
    builder = _Builder(len(data["v_template"]))
    for name in (*COCO_BODY, *COCO_FEET):
        if name in _HEAD_AND_FEET:
            builder.add_vertex(KEYPOINT_INDEX[name], _SMPLX_VERTICES[_HEAD_AND_FEET[name]])
        else:
            builder.add_joint(KEYPOINT_INDEX[name], JOINT_INDEX[name])
    return _hands_and_face(builder, data, _SMPLX_VERTICES)


def _hands_and_face(builder: _Builder, data: dict[str, np.ndarray], ids: dict[str, int]) -> KeypointMap:
    for side in ("left", "right"):
        builder.add_joint(KEYPOINT_INDEX[f"{side}_hand_wrist"], JOINT_INDEX[f"{side}_wrist"])
        for finger in _FINGERS:
            for k in (1, 2, 3):
                builder.add_joint(KEYPOINT_INDEX[f"{side}_hand_{finger}{k}"], JOINT_INDEX[f"{side}_{finger}{k}"])
            builder.add_vertex(KEYPOINT_INDEX[f"{side}_hand_{finger}4"], ids[side[0] + finger])
    if "lmk_faces_idx" in data:
        # The landmarks of the contour depend on the view; those of the frontal view are taken.
        faces = np.concatenate([data["dynamic_lmk_faces_idx"][0], data["lmk_faces_idx"]])
        barycentric = np.concatenate([data["dynamic_lmk_bary_coords"][0], data["lmk_bary_coords"]])
        for k, (face, weights) in enumerate(zip(faces, barycentric, strict=True)):
            for vertex, weight in zip(data["f"][face].tolist(), weights.tolist(), strict=True):
                builder.add_vertex(KEYPOINT_INDEX[f"face_{k}"], vertex, weight)
    return builder.build()


class _Builder:
    """Collects the weights keypoint by keypoint."""

    def __init__(self, num_vertices: int) -> None:
        self._joints = torch.zeros(len(KEYPOINT_INDEX), len(JOINT_INDEX))
        self._vertices = torch.zeros(len(KEYPOINT_INDEX), num_vertices)

    def add_joint(self, keypoint: int, joint: int) -> None:
        self._joints[keypoint, joint] = 1

    def add_vertex(self, keypoint: int, vertex: int, weight: float = 1.0) -> None:
        self._vertices[keypoint, vertex] += weight

    def build(self) -> KeypointMap:
        ids = self._vertices.any(0).nonzero()[:, 0]
        return self._joints, self._vertices[:, ids].contiguous(), ids
