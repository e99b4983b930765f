"""Body parts of the vertices of any body in the SMPL-X layout."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX, JOINT_NAMES

_TRUNK = ("head", "neck", "chest", "upper_back", "abdomen", "lower_back", "hips", "buttocks")
_LIMBS = ("shoulder", "upper_arm", "forearm", "hand", "thigh", "lower_leg", "foot")

PART_NAMES: tuple[str, ...] = (*_TRUNK, *(f"{side}_{limb}" for side in ("left", "right") for limb in _LIMBS))
"""22 parts; `hips` are the front and sides of the pelvis, left and right are those of the person."""

PART_INDEX = {name: index for index, name in enumerate(PART_NAMES)}

_LIMB_OF_JOINT = {
    **{"collar": "shoulder", "shoulder": "upper_arm", "elbow": "forearm", "wrist": "hand"},
    **{"hip": "thigh", "knee": "lower_leg", "ankle": "foot", "foot": "foot"},
}
_TRUNK_OF_JOINT = {
    **{"pelvis": "hips", "spine1": "hips", "spine2": "hips", "spine3": "hips", "neck": "neck"},
    **{"head": "head", "jaw": "head", "left_eye": "head", "right_eye": "head"},
}
_BACK_OF = {"chest": "upper_back", "abdomen": "lower_back", "hips": "buttocks"}
_WAIST, _RIBS = 0.15, 0.45  # Upper ends of hips and abdomen between hip joints (0) and shoulder joints (1).
_SLICE = 0.03  # Meters of height over which the front and the back of the trunk are determined.
_SHOULDER_CAP = 0.25  # Fraction of the upper arm, from the shoulder joint, that belongs to the shoulder.


def part_labels(body: BodyModel) -> Tensor:
    """Index into PART_NAMES [V] int64 of each vertex.

    The joint with the largest skinning weight gives the limb. The trunk is split by height between hip and shoulder
    joints and, at each height of the zero pose, halfway from front to back.
    """
    vertices = body.v_template.cpu().numpy()
    joints = body.joint_template.cpu().numpy()
    labels = _labels_of_joints()[body.skin_weights.cpu().numpy().argmax(axis=1)]
    _shape_shoulders(labels, vertices, joints)
    _shape_buttocks(labels, vertices, joints)
    _split_trunk(labels, vertices, joints)
    behind = _is_behind(labels, vertices)
    for front, back in _BACK_OF.items():
        labels[(labels == PART_INDEX[front]) & behind] = PART_INDEX[back]
    return torch.as_tensor(labels, device=body.v_template.device)


def _labels_of_joints() -> NDArray[np.int64]:
    """Part [55] of each joint; `hips` for the whole trunk."""
    labels = []
    for name in JOINT_NAMES:
        side, _, rest = name.partition("_")
        if name not in _TRUNK_OF_JOINT:
            labels.append(PART_INDEX[f"{side}_{_LIMB_OF_JOINT.get(rest, 'hand')}"])
        else:
            labels.append(PART_INDEX[_TRUNK_OF_JOINT[name]])
    return np.array(labels)


def _shape_shoulders(labels: NDArray[np.int64], vertices: NDArray, joints: NDArray) -> None:
    """The shoulder is the outer half of the collar and the top of the arm; the rest of the collar is trunk."""
    for side in ("left", "right"):
        collar, shoulder, elbow = (joints[JOINT_INDEX[f"{side}_{name}"]] for name in ("collar", "shoulder", "elbow"))
        arm, cap = PART_INDEX[f"{side}_upper_arm"], PART_INDEX[f"{side}_shoulder"]
        along = (vertices - shoulder) @ (elbow - shoulder) / ((elbow - shoulder) ** 2).sum()
        inner = (vertices[:, 0] - collar[0]) / (shoulder[0] - collar[0]) < 0.5
        labels[(labels == cap) & inner] = PART_INDEX["hips"]
        labels[(labels == arm) & (along < _SHOULDER_CAP)] = cap


def _shape_buttocks(labels: NDArray[np.int64], vertices: NDArray, joints: NDArray) -> None:
    """Vertices of the thigh behind the hip joint and above the crotch belong to the trunk."""
    crotch = vertices[(labels == PART_INDEX["hips"]), 1].min()
    for side in ("left", "right"):
        hip = joints[JOINT_INDEX[f"{side}_hip"]]
        thigh = labels == PART_INDEX[f"{side}_thigh"]
        labels[thigh & (vertices[:, 1] > crotch) & (vertices[:, 2] < hip[2])] = PART_INDEX["hips"]


def _split_trunk(labels: NDArray[np.int64], vertices: NDArray, joints: NDArray) -> None:
    """Split the trunk by height: hips, abdomen above the waist, chest above the lower ribs."""
    hip, shoulder = (
        joints[[JOINT_INDEX[f"left_{name}"], JOINT_INDEX[f"right_{name}"]], 1].mean() for name in ("hip", "shoulder")
    )
    height = (vertices[:, 1] - hip) / (shoulder - hip)
    trunk = labels == PART_INDEX["hips"]
    labels[trunk & (height > _WAIST)] = PART_INDEX["abdomen"]
    labels[trunk & (height > _RIBS)] = PART_INDEX["chest"]


def _is_behind(labels: NDArray[np.int64], vertices: NDArray) -> NDArray[np.bool_]:
    """Vertices [V] behind the middle of the trunk at their height."""
    trunk = np.isin(labels, [PART_INDEX[name] for name in _BACK_OF])
    height, depth = vertices[:, 1], vertices[:, 2]
    slices = np.arange(height[trunk].min(), height[trunk].max() + _SLICE, _SLICE)
    rows = np.searchsorted(slices, height[trunk])
    middles = np.array([_middle(depth[trunk][rows == row]) for row in range(len(slices))])
    valid = ~np.isnan(middles)
    return depth < np.interp(height, slices[valid] - _SLICE / 2, middles[valid])


def _middle(values: NDArray) -> float:
    return float(values.min() + values.max()) / 2 if len(values) else float("nan")
