"""Stances, limb directions.

Joint rotations that point arms, legs and trunk in given directions.

Where the solver begins: bodies of random shapes in the pose of their role, standing on the floor.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.lab.synthesis.energy_terms import Person
from closemesh.lab.synthesis.posed_bodies import NUM_BENDS, PoseVariables, shape_bodies
from closemesh.lab.synthesis.surface_points import Marks
from closemesh.lab.synthesis.templates.schema import POSTURES, Direction, Limb, PersonTemplate, Posture

_LARGEST_TWIST = 1.3  # Radians.
_USUAL_SHARE = 0.3  # Sine of the bend at which a limb's own twist counts as much as the usual one.
_LEAN_SHARES = {"spine1": 0.2, "spine2": 0.15, "spine3": 0.15}  # The rest of a lean comes from the hips.


def set_arm(body_pose: Tensor, side: str, upper: Tensor, lower: Tensor) -> Tensor:
    """`body_pose` [M, 21, 3] with the arm of `side` pointing along upper and lower [M, 3].

    Directions are left, up and forward of the chest. The elbow bends about one axis, as it does:
    the shoulder turns the forearm into the plane of the two directions.
    """
    sign = 1.0 if side == "left" else -1.0
    upper, lower = F.normalize(upper, dim=-1), F.normalize(lower, dim=-1)
    bend_towards = _across(lower, upper, otherwise=(0.0, 0.2, 1.0))
    # In the T-pose the left upper arm points along +x, the right one along -x; both forearms bend towards +z.
    x = sign * upper
    R_shoulder = torch.stack([x, torch.linalg.cross(bend_towards, x), bend_towards], dim=-1)
    angle = _angle(upper, lower)
    elbow = torch.stack([torch.zeros_like(angle), -sign * angle, torch.zeros_like(angle)], dim=-1)
    return _with_joints(body_pose, {f"{side}_shoulder": matrix_to_axis_angle(R_shoulder), f"{side}_elbow": elbow})


def turn_palm(body_pose: Tensor, side: str, palm: Tensor) -> Tensor:
    """`body_pose` with the forearm of `side` twisted at the wrist until the palm about faces `palm` [M, 3].

    Directions are left, up and forward of the chest; bending the wrist is left to others.
    """
    arm = body_pose[:, [JOINT_INDEX[f"{side}_shoulder"] - 1, JOINT_INDEX[f"{side}_elbow"] - 1]]
    R = axis_angle_to_matrix(arm)
    local = ((R[:, 0] @ R[:, 1]).mT @ palm[..., None])[..., 0]  # In the frame of the forearm, where palms look down.
    twist = torch.atan2(-local[:, 2], -local[:, 1]).clamp(-_LARGEST_TWIST, _LARGEST_TWIST)
    return _with_joints(body_pose, {f"{side}_wrist": torch.stack([twist, 0 * twist, 0 * twist], dim=-1)})


def set_leg(body_pose: Tensor, side: str, thigh: Tensor, shank: Tensor) -> Tensor:
    """`body_pose` with the leg of `side` pointing along thigh and shank [M, 3] (left, up, forward of the pelvis)."""
    thigh, shank = F.normalize(thigh, dim=-1), F.normalize(shank, dim=-1)
    behind = _across(shank, thigh, otherwise=(0.0, -0.2, -1.0))
    y, z = -thigh, -behind
    R_hip = torch.stack([torch.linalg.cross(y, z), y, z], dim=-1)
    angle = _angle(thigh, shank)
    knee = torch.stack([angle, torch.zeros_like(angle), torch.zeros_like(angle)], dim=-1)
    return _with_joints(body_pose, {f"{side}_hip": matrix_to_axis_angle(R_hip), f"{side}_knee": knee})


def lean_forward(root: Tensor, body_pose: Tensor, degrees: Tensor) -> tuple[Tensor, Tensor]:
    """Root [M, 3] and body_pose [M, 21, 3] with the trunk leaning forward by degrees [M]; thighs stay."""
    angle = torch.deg2rad(degrees)
    changed = body_pose.clone()
    for joint, share in _LEAN_SHARES.items():
        changed[:, JOINT_INDEX[joint] - 1, 0] += share * angle
    hips = angle * (1 - sum(_LEAN_SHARES.values()))
    forward = axis_angle_to_matrix(torch.stack([hips, torch.zeros_like(hips), torch.zeros_like(hips)], dim=-1))
    R_root = axis_angle_to_matrix(root) @ forward
    for joint in ("left_hip", "right_hip"):
        R_hip = forward.mT @ axis_angle_to_matrix(changed[:, JOINT_INDEX[joint] - 1])
        changed[:, JOINT_INDEX[joint] - 1] = matrix_to_axis_angle(R_hip)
    return matrix_to_axis_angle(R_root), changed


def trunk_rotation(head: Tensor, chest: Tensor) -> Tensor:
    """R [..., 3, 3] of a trunk whose head points along `head` and whose chest looks about along `chest` [..., 3]."""
    y = F.normalize(head, dim=-1)
    z = _across(chest, y, otherwise=(0.0, 0.0, 1.0))
    return torch.stack([torch.linalg.cross(y, z), y, z], dim=-1)


def _across(direction: Tensor, axis: Tensor, otherwise: tuple[float, float, float]) -> Tensor:
    """The unit part of `direction` [..., 3] across the unit `axis`, drawn towards that of `otherwise`.

    A limb that is nearly straight says little about its own twist; there `otherwise` decides.
    """
    usual = torch.tensor(otherwise).to(direction).expand_as(direction)
    parallel = torch.linalg.vector_norm(_reject(usual, axis), dim=-1, keepdim=True) < 0.3
    usual = F.normalize(_reject(torch.where(parallel, usual.flip(-1), usual), axis), dim=-1)
    return F.normalize(_reject(direction, axis) + _USUAL_SHARE * usual, dim=-1)


def _reject(direction: Tensor, axis: Tensor) -> Tensor:
    return direction - (direction * axis).sum(-1, keepdim=True) * axis


def _angle(a: Tensor, b: Tensor) -> Tensor:
    return torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1))


def _with_joints(body_pose: Tensor, joints: dict[str, Tensor]) -> Tensor:
    changed = body_pose.clone()
    for name, axis_angle in joints.items():
        changed[:, JOINT_INDEX[name] - 1] = axis_angle
    return changed


_JITTER = 0.12  # Of the unit directions of limbs, so that no two starts are alike.
_LEAN_JITTER = 0.25  # Of a lean, as a share of it.
_RISE = 0.02  # Metres above the floor at which bodies begin that nothing bears.


def begin(
    body: BodyModel,
    marks: Marks,
    role: PersonTemplate,
    betas: Tensor,
    hands: Tensor,
    root: Tensor,
    body_pose: Tensor,
    generator: torch.Generator,
) -> Person:
    """N bodies of betas [N, B] and hands [N, 30, 3] that begin from root [N, 3] and body_pose [N, 21, 3].

    The role's limbs and trunk take the place of the source's. The pelvis is above the origin.
    """
    posture = POSTURES[role.stance]
    for side in ("left", "right"):
        arm, leg = getattr(role, f"{side}_arm"), getattr(role, f"{side}_leg")
        if arm is not None:
            body_pose = set_arm(body_pose, side, *_near(arm, len(betas), generator, body_pose))
        if leg is not None:
            body_pose = set_leg(body_pose, side, *_near(leg, len(betas), generator, body_pose))
    for side, palm in zip(("left", "right"), role.palms, strict=True):
        if palm is not None:
            body_pose = turn_palm(body_pose, side, torch.tensor(palm).to(body_pose).expand(len(betas), 3))
    if role.trunk is not None:
        root = matrix_to_axis_angle(trunk_rotation(*_near(role.trunk, len(betas), generator, root)))
    if role.lean:
        root, body_pose = lean_forward(root, body_pose, role.lean * _about_one(len(betas), generator, root))
    shapes = shape_bodies(body, betas, hands)
    start = PoseVariables(root, body_pose, torch.zeros_like(root), root.new_zeros(len(root), 2, NUM_BENDS))
    lowest = shapes.pose(start).points(marks.anywhere)[..., 1].amin(-1)
    start.pelvis[:, 1] = -lowest if role.height is None else role.height
    seat, seat_vertices = None, None
    if posture.seat is not None:
        low, high = posture.seat
        seat = low + (high - low) * torch.rand(len(betas), generator=generator).to(root)
        seat_vertices = marks.regions["seat"]
    supports = tuple(marks.regions[name] for name in posture.supports)
    return Person(shapes, betas, start, posture, supports, seat, seat_vertices)


def synthetic_start(posture: Posture, count: int, generator: torch.Generator, like: Tensor) -> tuple[Tensor, Tensor]:
    """Root [count, 3] and body_pose [count, 21, 3] as the table of postures has them, a little astray."""
    body_pose = like.new_zeros(count, 21, 3)
    for side in ("left", "right"):
        arm, leg = getattr(posture, f"{side}_arm"), getattr(posture, f"{side}_leg")
        if arm is not None:
            body_pose = set_arm(body_pose, side, *_near(arm, count, generator, like))
        body_pose = set_leg(body_pose, side, *_near(leg, count, generator, like))
    root = matrix_to_axis_angle(trunk_rotation(*_near(posture.trunk, count, generator, like)))
    if posture.lean:
        root, body_pose = lean_forward(root, body_pose, posture.lean * _about_one(count, generator, like))
    for joint in ("left_ankle", "right_ankle"):
        body_pose[:, JOINT_INDEX[joint] - 1, 0] = posture.feet * torch.pi / 180
    for joint in ("neck", "head"):
        body_pose[:, JOINT_INDEX[joint] - 1, 0] += posture.head / 2 * torch.pi / 180
    return root, body_pose


def turned(start: PoseVariables, yaw: Tensor, place: Tensor) -> PoseVariables:
    """The bodies turned about the vertical by yaw [N] radians and moved by place [N, 2] metres (x, z)."""
    turn = torch.zeros_like(start.root)
    turn[:, 1] = yaw
    R = axis_angle_to_matrix(turn)
    pelvis = (R @ start.pelvis[..., None])[..., 0]
    pelvis = pelvis + torch.stack([place[:, 0], torch.zeros_like(yaw), place[:, 1]], dim=-1)
    root = matrix_to_axis_angle(R @ axis_angle_to_matrix(start.root))
    return PoseVariables(root, start.body_pose, pelvis, start.bend)


def _near(
    pair: tuple[Direction, Direction] | Limb, count: int, generator: torch.Generator, like: Tensor
) -> list[Tensor]:
    """Twice [count, 3]: the directions, each a little astray."""
    directions = torch.tensor(pair).to(like)  # [2, 3]
    directions = directions / directions.norm(dim=-1, keepdim=True)
    noise = _JITTER * torch.randn(2, count, 3, generator=generator).to(like)
    return list(directions[:, None] + noise)


def _about_one(count: int, generator: torch.Generator, like: Tensor) -> Tensor:
    return 1 + _LEAN_JITTER * torch.randn(count, generator=generator).to(like)
