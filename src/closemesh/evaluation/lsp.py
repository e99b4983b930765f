"""The 14 joints of the LSP data set, which the field's errors are told on."""

from __future__ import annotations

import numpy as np

from closemesh.body.skeleton import JOINT_INDEX, KEYPOINT_INDEX
from closemesh.scene import Bools, Floats

LSP_NAMES: tuple[str, ...] = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    *("neck", "head"),
)
"""LSP order. On the body each is the SMPL-X kinematic joint of that name. The field's regressors take the top of the
head and other points of hips and neck, so errors are near to published ones, not the same."""

LSP_JOINTS: tuple[int, ...] = tuple(JOINT_INDEX[name] for name in LSP_NAMES)
LSP_HIPS: tuple[int, int] = (2, 3)

_SHOULDERS = ("left_shoulder", "right_shoulder")
_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")


def lsp_joints(joints: Floats) -> Floats:
    """[..., 14, 3] of SMPL-X joints [..., 55, 3]."""
    return joints[..., list(LSP_JOINTS), :]


def lsp_hidden(hidden: Bools) -> Bools:
    """Which of the 14 joints [..., 14] are hidden, given the hidden keypoints [..., 23] of COCO-WholeBody.

    The neck is hidden with both shoulders, the head with the whole face; all others have a keypoint of their own.
    """
    ids = {name: [KEYPOINT_INDEX[name]] for name in LSP_NAMES if name in KEYPOINT_INDEX}
    ids |= {"neck": [KEYPOINT_INDEX[name] for name in _SHOULDERS], "head": [KEYPOINT_INDEX[name] for name in _FACE]}
    return np.stack([hidden[..., ids[name]].all(-1) for name in LSP_NAMES], axis=-1)
