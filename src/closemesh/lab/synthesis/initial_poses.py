"""Initial poses of the solver: limbs and trunks in given directions, bodies of random shapes on the floor."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.lab.synthesis.energy_terms import PersonBatch
from closemesh.lab.synthesis.key_poses import yaw_matrix
from closemesh.lab.synthesis.posed_bodies import NUM_FINGER_BENDS, PoseVariables, shape_bodies
from closemesh.lab.synthesis.surface_points import SurfacePoints
from closemesh.lab.synthesis.templates.schema import POSTURES, Direction, Limb, PersonTemplate, Posture

_MAX_TWIST = 1.3  # Radians of a forearm.
_DEFAULT_WEIGHT = 0.3  # Sine of the bend at which the default twist of a limb counts as much as that of its bend.
_SPINE_LEAN = {"spine1": 0.2, "spine2": 0.15, "spine3": 0.15}  # Fractions of a lean; the hips add the rest.


def set_arm(body_pose: Tensor, side: str, upper: Tensor, lower: Tensor) -> Tensor:
    """`body_pose` [M, 21, 3] with the arm of `side` along the directions upper and lower [M, 3].

    Directions are left, up and forward of the chest. The elbow bends about one axis only: the shoulder turns the
    forearm into the plane of the two directions.
    """
    sign = 1.0 if side == "left" else -1.0
    upper, lower = F.normalize(upper, dim=-1), F.normalize(lower, dim=-1)
    bend_direction = _perpendicular(lower, upper, default=(0.0, 0.2, 1.0))
    # In the T-pose the left upper arm points along +x, the right one along -x; both forearms bend towards +z.
    x = sign * upper
    R_shoulder = torch.stack([x, torch.linalg.cross(bend_direction, x), bend_direction], dim=-1)
    angle = _angle(upper, lower)
    elbow = torch.stack([torch.zeros_like(angle), -sign * angle, torch.zeros_like(angle)], dim=-1)
    return _with_joints(body_pose, {f"{side}_shoulder": matrix_to_axis_angle(R_shoulder), f"{side}_elbow": elbow})


def turn_palm(body_pose: Tensor, side: str, palm: Tensor) -> Tensor:
    """`body_pose` [M, 21, 3] with the forearm of `side` twisted until the normal of the palm is about `palm` [M, 3].

    Directions are left, up and forward of the chest. The wrist does not bend.
    """
    arm = body_pose[:, [JOINT_INDEX[f"{side}_shoulder"] - 1, JOINT_INDEX[f"{side}_elbow"] - 1]]
    R = axis_angle_to_matrix(arm)
    local = ((R[:, 0] @ R[:, 1]).mT @ palm[..., None])[..., 0]  # In the frame of the forearm, where palms face down.
    twist = torch.atan2(-local[:, 2], -local[:, 1]).clamp(-_MAX_TWIST, _MAX_TWIST)
    return _with_joints(body_pose, {f"{side}_wrist": torch.stack([twist, 0 * twist, 0 * twist], dim=-1)})


def set_leg(body_pose: Tensor, side: str, thigh: Tensor, shank: Tensor) -> Tensor:
    """`body_pose` [M, 21, 3] with the leg of `side` along the directions thigh and shank [M, 3].

    Directions are left, up and forward of the pelvis.
    """
    thigh, shank = F.normalize(thigh, dim=-1), F.normalize(shank, dim=-1)
    bend_direction = _perpendicular(shank, thigh, default=(0.0, -0.2, -1.0))
    y, z = -thigh, -bend_direction
    R_hip = torch.stack([torch.linalg.cross(y, z), y, z], dim=-1)
    angle = _angle(thigh, shank)
    knee = torch.stack([angle, torch.zeros_like(angle), torch.zeros_like(angle)], dim=-1)
    return _with_joints(body_pose, {f"{side}_hip": matrix_to_axis_angle(R_hip), f"{side}_knee": knee})


def lean_forward(root: Tensor, body_pose: Tensor, degrees: Tensor) -> tuple[Tensor, Tensor]:
    """Poses root [M, 3], body_pose [M, 21, 3] with the trunk leaning forward by degrees [M]; thighs do not move."""
    angle = torch.deg2rad(degrees)
    pose = body_pose.clone()
    for joint, fraction in _SPINE_LEAN.items():
        pose[:, JOINT_INDEX[joint] - 1, 0] += fraction * angle
    hips = angle * (1 - sum(_SPINE_LEAN.values()))
    forward = axis_angle_to_matrix(torch.stack([hips, torch.zeros_like(hips), torch.zeros_like(hips)], dim=-1))
    R_root = axis_angle_to_matrix(root) @ forward
    for joint in ("left_hip", "right_hip"):
        R_hip = forward.mT @ axis_angle_to_matrix(pose[:, JOINT_INDEX[joint] - 1])
        pose[:, JOINT_INDEX[joint] - 1] = matrix_to_axis_angle(R_hip)
    return matrix_to_axis_angle(R_root), pose


def trunk_rotation(head: Tensor, chest: Tensor) -> Tensor:
    """R [..., 3, 3] of a trunk with its head along `head` and its chest facing about along `chest` [..., 3]."""
    y = F.normalize(head, dim=-1)
    z = _perpendicular(chest, y, default=(0.0, 0.0, 1.0))
    return torch.stack([torch.linalg.cross(y, z), y, z], dim=-1)


def _perpendicular(direction: Tensor, axis: Tensor, default: tuple[float, float, float]) -> Tensor:
    """Unit part of `direction` [..., 3] perpendicular to the unit `axis`, drawn towards that of `default`.

    The bend of a nearly straight limb hardly determines its twist; there `default` decides.
    """
    usual = torch.tensor(default).to(direction).expand_as(direction)
    parallel = torch.linalg.vector_norm(_reject(usual, axis), dim=-1, keepdim=True) < 0.3
    usual = F.normalize(_reject(torch.where(parallel, usual.flip(-1), usual), axis), dim=-1)
    return F.normalize(_reject(direction, axis) + _DEFAULT_WEIGHT * usual, dim=-1)


def _reject(direction: Tensor, axis: Tensor) -> Tensor:
    return direction - (direction * axis).sum(-1, keepdim=True) * axis


def _angle(a: Tensor, b: Tensor) -> Tensor:
    return torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1))


def _with_joints(body_pose: Tensor, joints: dict[str, Tensor]) -> Tensor:
    changed = body_pose.clone()
    for name, axis_angle in joints.items():
        changed[:, JOINT_INDEX[name] - 1] = axis_angle
    return changed


_DIRECTION_NOISE = 0.12  # Added to the unit directions of limbs.
_LEAN_NOISE = 0.25  # Relative standard deviation of a lean.


@dataclass(frozen=True)
class InitialPose:
    """Pose of N bodies before a template is applied."""

    betas: Tensor  # [N, B]
    hands: Tensor  # [N, 30, 3] axis-angle
    root: Tensor  # [N, 3] axis-angle
    body_pose: Tensor  # [N, 21, 3] axis-angle


def apply_template(
    body: BodyModel,
    points: SurfacePoints,
    template: PersonTemplate,
    pose: InitialPose,
    generator: torch.Generator,
) -> PersonBatch:
    """N bodies with limbs and trunk of the template where it has some, else of `pose`; pelvis above the origin."""
    posture, count = POSTURES[template.posture], len(pose.betas)
    root, body_pose = pose.root, pose.body_pose
    for side in ("left", "right"):
        arm, leg = getattr(template, f"{side}_arm"), getattr(template, f"{side}_leg")
        if arm is not None:
            upper, lower = _with_noise(arm, count, generator, body_pose)
            body_pose = set_arm(body_pose, side, upper, lower)
        if leg is not None:
            thigh, shank = _with_noise(leg, count, generator, body_pose)
            body_pose = set_leg(body_pose, side, thigh, shank)
    for side, palm in zip(("left", "right"), template.palms, strict=True):
        if palm is not None:
            body_pose = turn_palm(body_pose, side, torch.tensor(palm).to(body_pose).expand(count, 3))
    if template.trunk is not None:
        head, chest = _with_noise(template.trunk, count, generator, root)
        root = matrix_to_axis_angle(trunk_rotation(head, chest))
    if template.lean:
        root, body_pose = lean_forward(root, body_pose, template.lean * _relative_noise(count, generator, root))
    shapes = shape_bodies(body, pose.betas, pose.hands)
    start = PoseVariables(root, body_pose, torch.zeros_like(root), root.new_zeros(len(root), 2, NUM_FINGER_BENDS))
    lowest = shapes.pose(start).points(points.surface)[..., 1].amin(-1)
    start.pelvis[:, 1] = -lowest if template.height is None else template.height
    seat, seat_supports = None, ()
    if posture.seat is not None:
        low, high = posture.seat
        seat = low + (high - low) * torch.rand(count, generator=generator).to(root)
        seat_supports = tuple(points.supports[name] for name in posture.on_seat)
        if not posture.supports:
            start.pelvis[:, 1] += seat
    supports = tuple(points.supports[name] for name in posture.supports)
    return PersonBatch(shapes, pose.betas, start, posture, supports, seat, seat_supports)


def posture_pose(posture: Posture, count: int, generator: torch.Generator, like: Tensor) -> tuple[Tensor, Tensor]:
    """Root [count, 3] and body_pose [count, 21, 3] of a posture, with random noise.

    like [...]: any tensor with the wanted dtype and device.
    """
    body_pose = like.new_zeros(count, 21, 3)
    for side in ("left", "right"):
        arm, leg = getattr(posture, f"{side}_arm"), getattr(posture, f"{side}_leg")
        if arm is not None:
            upper, lower = _with_noise(arm, count, generator, like)
            body_pose = set_arm(body_pose, side, upper, lower)
        thigh, shank = _with_noise(leg, count, generator, like)
        body_pose = set_leg(body_pose, side, thigh, shank)
    head, chest = _with_noise(posture.trunk, count, generator, like)
    root = matrix_to_axis_angle(trunk_rotation(head, chest))
    if posture.lean:
        root, body_pose = lean_forward(root, body_pose, posture.lean * _relative_noise(count, generator, like))
    for joint in ("left_ankle", "right_ankle"):
        body_pose[:, JOINT_INDEX[joint] - 1, 0] = posture.feet * torch.pi / 180
    for joint in ("neck", "head"):
        body_pose[:, JOINT_INDEX[joint] - 1, 0] += posture.head / 2 * torch.pi / 180
    return root, body_pose


def place_bodies(start: PoseVariables, yaw: Tensor, offset: Tensor) -> PoseVariables:
    """The bodies turned about the vertical axis by yaw [N] radians, then moved by offset [N, 2] meters (x, z)."""
    R = yaw_matrix(yaw)
    pelvis = (R @ start.pelvis[..., None])[..., 0]
    pelvis = pelvis + torch.stack([offset[:, 0], torch.zeros_like(yaw), offset[:, 1]], dim=-1)
    return replace(start, root=matrix_to_axis_angle(R @ axis_angle_to_matrix(start.root)), pelvis=pelvis)


def _with_noise(
    pair: tuple[Direction, Direction] | Limb, count: int, generator: torch.Generator, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Both directions [count, 3] with random noise."""
    directions = torch.tensor(pair).to(like)  # [2, 3]
    directions = directions / directions.norm(dim=-1, keepdim=True)
    noise = _DIRECTION_NOISE * torch.randn(2, count, 3, generator=generator).to(like)
    first, second = directions[:, None] + noise
    return first, second


def _relative_noise(count: int, generator: torch.Generator, like: Tensor) -> Tensor:
    """Factors [count] around 1."""
    return 1 + _LEAN_NOISE * torch.randn(count, generator=generator).to(like)
