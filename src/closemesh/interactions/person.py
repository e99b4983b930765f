"""Where the solver begins: bodies of random shapes in the pose of their role, standing on the floor."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.interactions.hands import NUM_BENDS
from closemesh.interactions.limb_directions import lean_forward, set_arm, set_leg, trunk_rotation, turn_palm
from closemesh.interactions.marks import Marks
from closemesh.interactions.person_energy import Person
from closemesh.interactions.posed_bodies import PoseVariables, shape_bodies
from closemesh.interactions.posture import POSTURES, Posture
from closemesh.interactions.recipe import Direction, Limb, Role

_JITTER = 0.12  # Of the unit directions of limbs, so that no two starts are alike.
_LEAN_JITTER = 0.25  # Of a lean, as a share of it.
_RISE = 0.02  # Metres above the floor at which bodies begin that nothing bears.


def begin(
    body: BodyModel,
    marks: Marks,
    role: Role,
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
