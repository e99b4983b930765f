"""Keypoints and soles without the mesh, for inner loops.

Keypoints and soles without the skin: points that are fixed shares of skinned vertices and joints.

Blend skinning is linear in the joints' transforms, so a fixed mixture of vertices moves as a mixture of those
transforms with precomputed moments: exact, without a vertex. Only the pose correctives of a licensed body, which move
keypoints by millimetres, are left out.

The soles of a body.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX, PARENTS
from closemesh.body.skinning import forward_kinematics
from closemesh.structures import NUM_BODY_JOINTS


@dataclass(frozen=True)
class LandmarkBody:
    """The 133 keypoints and the soles of a body, ready for inner loops; betas only, a neutral face."""

    joint_template: Tensor  # [J, 3] J is 55, or 22 without fingers, jaw and eyes
    joint_dirs: Tensor  # [J, 3, B]
    blend_weights: Tensor  # [N, J] how much of each joint's transform moves each point
    moments: Tensor  # [N, J, 3] share-weighted rest positions
    moment_dirs: Tensor  # [N, J, 3, B]
    hand_mean: Tensor  # [2, 15, 3] axis-angle
    num_keypoints: int  # The first points; the rest are soles, the left foot's before the right foot's.

    @property
    def num_betas(self) -> int:
        return self.joint_dirs.shape[-1]

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> LandmarkBody:
        """The same elsewhere or in another precision."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), Tensor)}
        return replace(self, **{name: tensor.to(device, dtype) for name, tensor in tensors.items()})  # type: ignore[arg-type]

    def coarse(self, count: int) -> LandmarkBody:
        """The first `count` keypoints, moved by the 22 body joints alone; no soles.

        Exact while fingers, jaw and eyes are at rest: they then move as the joint they hang on.
        """
        bearer = list(range(len(PARENTS)))
        for joint in range(NUM_BODY_JOINTS, len(PARENTS)):
            bearer[joint] = bearer[PARENTS[joint]]

        def borne(tensor: Tensor) -> Tensor:
            few = tensor.new_zeros(count, NUM_BODY_JOINTS, *tensor.shape[2:])
            return few.index_add(1, torch.tensor(bearer, device=tensor.device), tensor[:count])

        few = {name: borne(getattr(self, name)) for name in ("blend_weights", "moments", "moment_dirs")}
        joints = {name: getattr(self, name)[:NUM_BODY_JOINTS] for name in ("joint_template", "joint_dirs")}
        return replace(self, **few, **joints, num_keypoints=count)

    def rest_joints(self, betas: Tensor) -> Tensor:
        """Joints [..., J, 3] of the shaped body in the zero pose, metres."""
        return self.joint_template + torch.einsum("...k,jdk->...jd", betas, self.joint_dirs)


@dataclass(frozen=True)
class PosedLandmarks:
    """Where they are in the camera frame, metres."""

    joints: Tensor  # [T, P, J, 3]
    keypoints: Tensor  # [T, P, 133, 3]
    soles: Tensor  # [T, P, 2, S, 3]


def make_landmark_body(body: BodyModel, soles: Tensor) -> LandmarkBody:
    """The points of a body; soles [2, S] are vertex ids."""
    num_keypoints, num_soles = len(body.keypoint_vertices), soles.numel()
    vertices = body.keypoint_vertices.new_zeros(num_keypoints + num_soles, len(body.v_template))
    vertices[:num_keypoints, body.keypoint_vertex_ids] = body.keypoint_vertices
    vertices[torch.arange(num_keypoints, len(vertices)), soles.flatten()] = 1
    joints = torch.cat([body.keypoint_joints, body.keypoint_joints.new_zeros(num_soles, 55)])
    used = vertices.any(0).nonzero()[:, 0]
    spread = vertices[:, used, None] * body.skin_weights[used]  # [N, U, 55]
    joint_dirs = body.joint_shape_dirs[..., : body.num_betas]
    moments = torch.einsum("nuj,ud->njd", spread, body.v_template[used])
    moment_dirs = torch.einsum("nuj,udk->njdk", spread, body.shape_dirs[used])
    return LandmarkBody(
        joint_template=body.joint_template,
        joint_dirs=joint_dirs,
        blend_weights=spread.sum(1) + joints,
        moments=moments + joints[..., None] * body.joint_template,
        moment_dirs=moment_dirs + joints[..., None, None] * joint_dirs,
        hand_mean=body.hand_mean,
        num_keypoints=num_keypoints,
    )


def pose_landmarks(body: LandmarkBody, betas: Tensor, rotations: Tensor, transl: Tensor) -> PosedLandmarks:
    """Joints, keypoints and soles; betas [P, B], rotations [T, P, J, 3, 3] as in `skin`, transl [T, P, 3] metres."""
    joints_rest = body.rest_joints(betas)  # [P, J, 3]
    global_rotations, joints = forward_kinematics(rotations, joints_rest)
    joints = joints + transl[..., None, :]
    offsets = joints - (global_rotations @ joints_rest[..., None])[..., 0]  # [T, P, J, 3]
    moments = body.moments + torch.einsum("pk,njdk->pnjd", betas, body.moment_dirs)  # [P, N, J, 3]
    turned = global_rotations.transpose(-1, -2).flatten(-3, -2)  # [T, P, J * 3, 3]
    points = moments.flatten(-2) @ turned + body.blend_weights @ offsets  # [T, P, N, 3]
    keypoints, soles = points.split([body.num_keypoints, points.shape[-2] - body.num_keypoints], dim=-2)
    return PosedLandmarks(joints, keypoints, soles.unflatten(-2, (2, soles.shape[-2] // 2)))


SOLE_THICKNESS = 0.015  # Metres above a foot's lowest vertex that still count as sole.
SOLE_POINTS = 12  # For each foot.


def sole_vertices(body: BodyModel) -> Tensor:
    """Vertex ids [2, SOLE_POINTS] spread from heel to toe under the left and the right foot."""
    soles = []
    for side in ("left", "right"):
        joints = [JOINT_INDEX[f"{side}_ankle"], JOINT_INDEX[f"{side}_foot"]]
        foot = (body.skin_weights[:, joints].sum(-1) > 0.9).nonzero()[:, 0]
        height = body.v_template[foot, 1]
        sole = foot[height < height.min() + SOLE_THICKNESS]
        along = body.v_template[sole, 2].argsort()
        spread = torch.linspace(0, len(sole) - 1, SOLE_POINTS, device=sole.device).round().long()
        soles.append(sole[along][spread])
    return torch.stack(soles)
