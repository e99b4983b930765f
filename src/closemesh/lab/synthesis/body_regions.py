"""Named regions of the body surface, finer than the body parts, for any variant of the bundled body."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX, other_side
from closemesh.contact.body_parts import PART_INDEX, part_labels
from closemesh.geometry.mesh import vertex_normals

_ANY_ANGLE = 180.0
_MIDLINE = 0.01  # Half width in meters of the strip along the midline that belongs to neither side.


@dataclass(frozen=True)
class _Rule:
    """Vertices of some parts and joints whose normal in the T-pose has about one direction."""

    parts: tuple[str, ...]
    normal: tuple[float, float, float] = (0.0, 0.0, 1.0)
    max_angle: float = _ANY_ANGLE
    """Largest angle between the vertex normal and `normal`, degrees."""
    joints: tuple[str, ...] = ()
    """Only vertices whose largest skinning weight belongs to one of these joints; empty for any."""
    bone: tuple[str, str, float, float] | None = None
    """Only vertices between two fractions of the way from one joint to another."""
    side: int = 0
    """1: only vertices left of the midline; -1: only those right of it."""


_UP, _DOWN, _FRONT, _BACK, _OUT, _IN = (
    *((0.0, 1.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)),
    *((0.0, 0.0, -1.0), (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)),
)

_MIDDLE: dict[str, _Rule] = {
    "crown": _Rule(("head",), _UP, 45),
    "forehead": _Rule(("head",), (0, 0.4, 1), 40, bone=("neck", "head", 1.75, 3.0)),
    "face": _Rule(("head",), _FRONT, 60, bone=("neck", "head", 0.7, 1.9)),
    "back_of_head": _Rule(("head",), _BACK, 55),
    "back_of_neck": _Rule(("neck",), _BACK, 65),
    "chest": _Rule(("chest",), _FRONT, 45),
    "belly": _Rule(("abdomen",), _FRONT, 50),
    "upper_back": _Rule(("upper_back",), _BACK, 45),
    "lower_back": _Rule(("lower_back",), _BACK, 50),
    "pelvis_front": _Rule(("hips",), _FRONT, 50),
    "seat": _Rule(("buttocks",), (0, -1, -1), 50),
}
# In the T-pose the outer side of an arm faces up and its inner side faces down.
_LEFT: dict[str, _Rule] = {
    "left_cheek": _Rule(("head",), (1, 0, 0.6), 40, bone=("neck", "head", 0.7, 1.7)),
    "left_temple": _Rule(("head",), _OUT, 40, bone=("neck", "head", 1.3, 2.5)),
    "left_chest": _Rule(("chest",), _FRONT, 45, side=1),
    "left_upper_back": _Rule(("upper_back",), _BACK, 45, side=1),
    "left_lower_back": _Rule(("lower_back",), _BACK, 50, side=1),
    "left_waist": _Rule(("abdomen", "lower_back"), _OUT, 50, side=1),
    "left_ribs": _Rule(("chest", "upper_back"), (1, -0.2, 0), 50, side=1),
    "left_hip": _Rule(("hips",), _OUT, 50, side=1),
    "left_shoulder_top": _Rule(("left_shoulder",), _UP, 50, bone=("left_collar", "left_shoulder", 0.4, 1.1)),
    "left_shoulder_outer": _Rule(("left_shoulder",), (0.3, 1, 0), 60, bone=("left_shoulder", "left_elbow", 0.0, 0.5)),
    "left_upper_arm_outer": _Rule(("left_upper_arm",), _UP, 60),
    "left_upper_arm_inner": _Rule(("left_upper_arm",), _DOWN, 60),
    "left_upper_arm_front": _Rule(("left_upper_arm",), _FRONT, 50),
    "left_upper_arm_back": _Rule(("left_upper_arm",), _BACK, 60),
    "left_elbow_crook": _Rule(
        ("left_upper_arm", "left_forearm"), _FRONT, 60, bone=("left_shoulder", "left_elbow", 0.8, 1.3)
    ),
    "left_forearm": _Rule(("left_forearm",)),
    "left_forearm_inner": _Rule(("left_forearm",), _DOWN, 60),
    "left_forearm_outer": _Rule(("left_forearm",), _UP, 60),
    "left_forearm_front": _Rule(("left_forearm",), _FRONT, 60),
    "left_wrist": _Rule(("left_forearm", "left_hand"), bone=("left_elbow", "left_wrist", 0.75, 1.02)),
    "left_palm": _Rule(
        ("left_hand",), _DOWN, 45, joints=("left_wrist",), bone=("left_wrist", "left_middle1", 0.25, 1.0)
    ),
    "left_back_of_hand": _Rule(
        ("left_hand",), _UP, 45, joints=("left_wrist",), bone=("left_wrist", "left_middle1", 0.2, 1.0)
    ),
    "left_hand_edge": _Rule(
        ("left_hand",),
        (0, -0.2, -1),
        60,
        joints=("left_wrist", "left_pinky1"),
        bone=("left_wrist", "left_middle1", 0.2, 1.1),
    ),
    "left_web": _Rule(("left_hand",), (0.6, 0, 0.8), 60, bone=("left_wrist", "left_middle1", 0.35, 0.95)),
    "left_thumb": _Rule(("left_hand",), joints=("left_thumb2", "left_thumb3")),
    "left_fist": _Rule(
        ("left_hand",), _UP, 60, joints=tuple(f"left_{finger}1" for finger in ("index", "middle", "ring"))
    ),
    "left_fingers": _Rule(
        ("left_hand",), _DOWN, 60, joints=tuple(f"left_{f}{k}" for f in ("index", "middle", "ring") for k in (1, 2))
    ),
    "left_fingertips": _Rule(
        ("left_hand",), _DOWN, 70, joints=tuple(f"left_{finger}3" for finger in ("index", "middle", "ring"))
    ),
    "left_thigh_front": _Rule(("left_thigh",), _FRONT, 50),
    "left_thigh_back": _Rule(("left_thigh",), _BACK, 50, bone=("left_hip", "left_knee", 0.25, 0.95)),
    "left_thigh_outer": _Rule(("left_thigh",), _OUT, 50),
    "left_thigh_inner": _Rule(("left_thigh",), _IN, 50),
    "left_knee": _Rule(("left_thigh", "left_lower_leg"), _FRONT, 60, bone=("left_hip", "left_knee", 0.93, 1.08)),
    "left_back_of_knee": _Rule(("left_thigh", "left_lower_leg"), _BACK, 60, bone=("left_hip", "left_knee", 0.85, 1.12)),
    "left_shin": _Rule(("left_lower_leg",), _FRONT, 50, bone=("left_knee", "left_ankle", 0.05, 0.95)),
    "left_calf": _Rule(("left_lower_leg",), _BACK, 55, bone=("left_knee", "left_ankle", 0.1, 0.9)),
    "left_instep": _Rule(("left_foot",), (0, 1, 0.6), 45),
    "left_sole": _Rule(("left_foot",), _DOWN, 40),
    "left_ball": _Rule(("left_foot",), _DOWN, 40, bone=("left_ankle", "left_foot", 0.6, 2.5)),
    "left_heel": _Rule(("left_foot",), (0, -1, -0.3), 50, bone=("left_ankle", "left_foot", -1.5, 0.2)),
}


def _mirrored(rule: _Rule) -> _Rule:
    x, y, z = rule.normal
    bone = rule.bone and (other_side(rule.bone[0]), other_side(rule.bone[1]), *rule.bone[2:])
    return _Rule(
        tuple(map(other_side, rule.parts)),
        (-x, y, z),
        rule.max_angle,
        tuple(map(other_side, rule.joints)),
        bone,  # type: ignore[arg-type]
        -rule.side,
    )


REGION_NAMES: tuple[str, ...] = (*_MIDDLE, *_LEFT, *(other_side(name) for name in _LEFT))
"""Left and right as seen by the person."""


def rest_normals(body: BodyModel) -> Tensor:
    """Unit outward normals [V, 3] of the mean shape in the zero pose."""
    faces, vertices = body.faces.cpu().numpy(), body.v_template.cpu().numpy()
    normals = vertex_normals(vertices, faces)
    return torch.as_tensor(normals).to(body.v_template)


def find_regions(body: BodyModel) -> dict[str, Tensor]:
    """Vertex ids [N] of every region in REGION_NAMES."""
    labels, normals = part_labels(body), rest_normals(body)
    left = {name: _vertices(body, rule, labels, normals) for name, rule in {**_MIDDLE, **_LEFT}.items()}
    right = {other_side(name): _vertices(body, _mirrored(rule), labels, normals) for name, rule in _LEFT.items()}
    return {**left, **right}


def faces_within(body: BodyModel, region: Tensor) -> np.ndarray:
    """Faces [F, 3] of the body with at least two corners in a region [N]."""
    faces = body.faces.cpu().numpy()
    return faces[np.isin(faces, region.cpu().numpy()).sum(-1) >= 2]


def _vertices(body: BodyModel, rule: _Rule, labels: Tensor, normals: Tensor) -> Tensor:
    """Ids of the vertices that match a rule; labels [V] and normals [V, 3] of the body."""
    vertices = body.v_template
    matches = torch.isin(labels, torch.tensor([PART_INDEX[part] for part in rule.parts], device=labels.device))
    direction = torch.tensor(rule.normal).to(vertices)
    matches &= normals @ (direction / direction.norm()) >= math.cos(math.radians(rule.max_angle)) - 1e-6
    if rule.joints:
        joints = torch.tensor([JOINT_INDEX[joint] for joint in rule.joints], device=vertices.device)
        matches &= torch.isin(body.skin_weights.argmax(-1), joints)
    if rule.bone is not None:
        matches &= _along_bone(body, *rule.bone)
    if rule.side != 0:
        matches &= rule.side * vertices[:, 0] > _MIDLINE
    return matches.nonzero()[:, 0]


def _along_bone(body: BodyModel, start: str, end: str, low: float, high: float) -> Tensor:
    """[V] bool: between the fractions `low` and `high` of the way from joint to joint."""
    a, b = body.joint_template[JOINT_INDEX[start]], body.joint_template[JOINT_INDEX[end]]
    fraction = (body.v_template - a) @ (b - a) / (b - a).square().sum()
    return (fraction >= low) & (fraction <= high)
