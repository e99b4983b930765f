"""A BodyModel out of the arrays of an SMPL-X-layout file."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from closemesh.body.keypoints import named_vertex_keypoints, regressed_keypoints
from closemesh.body.model import BodyModel
from closemesh.body.npz_file import BodyArrays
from closemesh.body.texture import texture_arrays

_NUM_SHAPES = 10
_NUM_EXPRESSIONS = 10


def build_body(data: BodyArrays, name: str, sha256: str) -> BodyModel:
    """A BodyModel from the arrays of an SMPL-X-layout file."""
    directions = _float(data["shapedirs"])  # [V, 3, shapes + expressions]
    # Files with 300 shapes and 100 expressions keep the expressions behind index 300, short ones behind index 10.
    first_expression = 300 if directions.shape[-1] >= 400 else _NUM_SHAPES
    shape_dirs = directions[..., :_NUM_SHAPES]
    expression_dirs = directions[..., first_expression : first_expression + _NUM_EXPRESSIONS]
    template, regressor = _float(data["v_template"]), _float(data["J_regressor"])
    pose_dirs = _pose_dirs(data.get("posedirs"))
    keypoints = regressed_keypoints(data) if "open_coco23_regressor" in data else named_vertex_keypoints(data)
    return BodyModel(
        name=name,
        sha256=sha256,
        v_template=template,
        shape_dirs=shape_dirs,
        expression_dirs=expression_dirs,
        pose_dirs=pose_dirs,
        joint_template=regressor @ template,
        joint_shape_dirs=torch.einsum("jv,vdk->jdk", regressor, torch.cat([shape_dirs, expression_dirs], -1)),
        skin_weights=_float(data["weights"]),
        faces=torch.as_tensor(data["f"].astype(np.int64)),
        hand_mean=torch.stack([_hand(data, "hands_meanl"), _hand(data, "hands_meanr")]),
        keypoint_joints=keypoints[0],
        keypoint_vertices=keypoints[1],
        keypoint_vertex_ids=keypoints[2],
        **texture_arrays(data),
    )


def _pose_dirs(pose_dirs: np.ndarray | None) -> Tensor | None:
    """[486, V * 3], or None when all are zero: the open body has none and skinning gets three times faster."""
    if pose_dirs is None or not np.any(pose_dirs):
        return None
    return _float(pose_dirs).flatten(0, 1).T.contiguous()


def _hand(data: BodyArrays, key: str) -> Tensor:
    return _float(data[key]).reshape(15, 3) if key in data else torch.zeros(15, 3)


def _float(array: np.ndarray) -> Tensor:
    return torch.as_tensor(np.asarray(array, dtype=np.float32))
