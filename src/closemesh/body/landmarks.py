"""Keypoints and soles of a body without its mesh, for inner loops.

Linear blend skinning is linear in the transforms of the joints, so a weighted sum of vertices is a weighted sum of
transforms with precomputed moments. This is exact except for pose correctives, which move keypoints by millimeters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX, PARENTS
from closemesh.body.skinning import forward_kinematics
from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.structures import NUM_BODY_JOINTS


@dataclass(frozen=True)
class LandmarkBody(TensorDataclass):
    """The 133 keypoints and the soles of a body, with betas and a neutral face."""

    TIME_AXIS: ClassVar[int | None] = None

    joint_template: Tensor  # [J, 3]; J is 55, or 22 without fingers, jaw and eyes
    joint_dirs: Tensor  # [J, 3, B]
    blend_weights: Tensor  # [N, J] of the transform of each joint in each point
    moments: Tensor  # [N, J, 3] rest positions times blend weights
    moment_dirs: Tensor  # [N, J, 3, B]
    hand_mean: Tensor  # [2, 15, 3] axis-angle
    num_keypoints: int  # Of the N points; the soles follow, left foot first.

    @property
    def num_betas(self) -> int:
        return self.joint_dirs.shape[-1]

    def coarse(self, count: int) -> LandmarkBody:
        """The first `count` keypoints, moved by the 22 body joints only, without soles.

        Exact while fingers, jaw and eyes are at rest, since they then move with their parent.
        """
        body_joint = list(range(len(PARENTS)))
        for joint in range(NUM_BODY_JOINTS, len(PARENTS)):
            body_joint[joint] = body_joint[PARENTS[joint]]

        def reduced(tensor: Tensor) -> Tensor:
            zeros = tensor.new_zeros(count, NUM_BODY_JOINTS, *tensor.shape[2:])
            return zeros.index_add(1, torch.tensor(body_joint, device=tensor.device), tensor[:count])

        return replace(
            self,
            joint_template=self.joint_template[:NUM_BODY_JOINTS],
            joint_dirs=self.joint_dirs[:NUM_BODY_JOINTS],
            blend_weights=reduced(self.blend_weights),
            moments=reduced(self.moments),
            moment_dirs=reduced(self.moment_dirs),
            num_keypoints=count,
        )

    def rest_joints(self, betas: Tensor) -> Tensor:
        """Joints [..., J, 3] of the shaped body in the zero pose, meters; betas [..., B]."""
        return self.joint_template + torch.einsum("...k,jdk->...jd", betas, self.joint_dirs)


@dataclass(frozen=True)
class PosedLandmarks:
    """Joints, keypoints and soles in the frame of the translation, meters."""

    joints: Tensor  # [T, P, J, 3]
    keypoints: Tensor  # [T, P, 133, 3]
    soles: Tensor  # [T, P, 2, S, 3] left and right


def make_landmark_body(body: BodyModel, soles: Tensor) -> LandmarkBody:
    """The LandmarkBody of a body; soles [2, S] are vertex ids of the left and the right foot."""
    num_keypoints, num_soles = len(body.keypoint_vertices), soles.numel()
    vertices = body.keypoint_vertices.new_zeros(num_keypoints + num_soles, len(body.v_template))
    vertices[:num_keypoints, body.keypoint_vertex_ids] = body.keypoint_vertices
    vertices[torch.arange(num_keypoints, len(vertices)), soles.flatten()] = 1
    joints = torch.cat([body.keypoint_joints, body.keypoint_joints.new_zeros(num_soles, 55)])
    return _landmark_body(body, vertices, joints, num_keypoints)


def make_surface_body(body: BodyModel, count: int) -> LandmarkBody:
    """`count` vertices, evenly over the skin, in place of the keypoints; moved by the 22 body joints only."""
    chosen = [0]
    distance = torch.full_like(body.v_template[:, 0], torch.inf)
    while len(chosen) < count:
        distance = torch.minimum(distance, (body.v_template - body.v_template[chosen[-1]]).norm(dim=-1))
        chosen.append(int(distance.argmax()))
    vertices = body.keypoint_vertices.new_zeros(count, len(body.v_template))
    vertices[torch.arange(count), chosen] = 1
    return _landmark_body(body, vertices, body.keypoint_joints.new_zeros(count, 55), count).coarse(count)


def _landmark_body(body: BodyModel, vertices: Tensor, joints: Tensor, num_keypoints: int) -> LandmarkBody:
    """The body of N points: weights of vertices [N, V] and of joints [N, 55]."""
    used = vertices.any(0).nonzero()[:, 0]
    weights = vertices[:, used, None] * body.skin_weights[used]  # [N, U, 55]
    joint_dirs = body.joint_shape_dirs[..., : body.num_betas]
    moments = torch.einsum("nuj,ud->njd", weights, body.v_template[used])
    moment_dirs = torch.einsum("nuj,udk->njdk", weights, body.shape_dirs[used])
    return LandmarkBody(
        joint_template=body.joint_template,
        joint_dirs=joint_dirs,
        blend_weights=weights.sum(1) + joints,
        moments=moments + joints[..., None] * body.joint_template,
        moment_dirs=moment_dirs + joints[..., None, None] * joint_dirs,
        hand_mean=body.hand_mean,
        num_keypoints=num_keypoints,
    )


def pose_landmarks(body: LandmarkBody, betas: Tensor, rotations: Tensor, transl: Tensor) -> PosedLandmarks:
    """Joints, keypoints and soles; betas [P, B], rotations [T, P, J, 3, 3] as in `skin`, transl [T, P, 3] in meters."""
    joints_rest = body.rest_joints(betas)  # [P, J, 3]
    global_rotations, joints = forward_kinematics(rotations, joints_rest)
    joints = joints + transl[..., None, :]
    offsets = joints - (global_rotations @ joints_rest[..., None])[..., 0]  # [T, P, J, 3]
    moments = body.moments + torch.einsum("pk,njdk->pnjd", betas, body.moment_dirs)  # [P, N, J, 3]
    turned = global_rotations.transpose(-1, -2).flatten(-3, -2)  # [T, P, J * 3, 3]
    points = moments.flatten(-2) @ turned + body.blend_weights @ offsets  # [T, P, N, 3]
    keypoints, soles = points.split([body.num_keypoints, points.shape[-2] - body.num_keypoints], dim=-2)
    return PosedLandmarks(joints, keypoints, soles.unflatten(-2, (2, soles.shape[-2] // 2)))


SOLE_THICKNESS = 0.015  # Meters above the lowest vertex of a foot that belong to the sole.
SOLE_POINTS = 12  # Number for each foot.


def sole_vertices(body: BodyModel) -> Tensor:
    """Vertex ids [2, SOLE_POINTS], evenly from heel to toe under the left and the right foot."""
    soles = []
    for side in ("left", "right"):
        joints = [JOINT_INDEX[f"{side}_ankle"], JOINT_INDEX[f"{side}_foot"]]
        foot = (body.skin_weights[:, joints].sum(-1) > 0.9).nonzero()[:, 0]
        height = body.v_template[foot, 1]
        sole = foot[height < height.min() + SOLE_THICKNESS]
        along = body.v_template[sole, 2].argsort()
        chosen = torch.linspace(0, len(sole) - 1, SOLE_POINTS, device=sole.device).round().long()
        soles.append(sole[along][chosen])
    return torch.stack(soles)
