"""The meshes, joints and keypoints of a motion, a few frames at a time, so that memory does not grow with the clip."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skinning import keypoints133, posed_joints, skin
from closemesh.scene import BodyMotion, Floats

_MESHES_AT_ONCE = 8  # Enough to keep the cores busy; 0.25 MB for each person and frame.
_SKELETONS_AT_ONCE = 256


def stream_vertices(motion: BodyMotion, body: BodyModel) -> Iterator[Floats]:
    """Vertices [P, V, 3] of one frame after the other, metres, float32, in the frame of the motion."""
    for parameters in _chunks(motion, body, _MESHES_AT_ONCE):
        with torch.inference_mode():
            vertices, _ = skin(body, *parameters)
        yield from vertices.float().cpu().numpy()


def motion_joints(motion: BodyMotion, body: BodyModel) -> Floats:
    """Joints [T, P, 55, 3] of the whole motion, metres, float32, in the frame of the motion."""
    with torch.inference_mode():
        joints = [posed_joints(body, *parameters) for parameters in _chunks(motion, body, _SKELETONS_AT_ONCE)]
    return _together(joints)


def motion_keypoints(motion: BodyMotion, body: BodyModel) -> Floats:
    """COCO-WholeBody keypoints [T, P, 133, 3] of the whole motion, metres, float32, in the frame of the motion."""
    small = body.keypoint_body()
    with torch.inference_mode():
        parts = [
            keypoints133(small, *skin(small, *parameters)) for parameters in _chunks(motion, small, _SKELETONS_AT_ONCE)
        ]
    return _together(parts)


def _chunks(motion: BodyMotion, body: BodyModel, size: int) -> Iterator[tuple[Tensor, ...]]:
    """betas, rotations, transl and expression of `size` frames after the other, where the body lives."""
    for start in range(0, len(motion.transl), size):
        part = slice(start, start + size)
        arrays = (motion.betas, motion.rotations[part], motion.transl[part], motion.expression[part])
        yield tuple(torch.as_tensor(array).to(body.v_template) for array in arrays)


def _together(parts: list[Tensor]) -> Floats:
    return np.concatenate([part.float().cpu().numpy() for part in parts])
