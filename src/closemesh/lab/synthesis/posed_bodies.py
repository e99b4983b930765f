"""Batches of bodies posed vertex by vertex, hand shapes, and the minimizer of their poses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_NAMES
from closemesh.body.skinning import forward_kinematics, rest_joints, shaped_template
from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.synthesis.body_regions import rest_normals
from closemesh.lab.synthesis.templates.schema import HandShape

NUM_FINGER_BENDS = 6
"""Degrees of freedom of a hand: flexion of index, middle, little and ring finger, two directions of the thumb."""

_NUM_FINGERS = 4  # Without the thumb, which is last in the skeleton.
# Flexion in degrees of the three joints of each finger.
_FLEXION: dict[str, tuple[float, float, float]] = {"grip": (35, 40, 20), "fist": (82, 92, 62)}
# Rotation in degrees about the axes of the left hand in the zero pose, for the three joints of the thumb.
_THUMB: dict[str, tuple[tuple[float, float, float], ...]] = {
    "grip": ((15, 0, 0), (0, 10, 0), (0, 15, 0)),
    "fist": ((25, 25, -25), (0, 35, 0), (0, 45, 0)),
}
_BEND_PER_JOINT = (1.0, 0.9, 0.6)  # Relative flexion of the joints of a finger, from the knuckle.
_MIRROR = (1.0, -1.0, -1.0)
_NORMAL_LENGTH = 0.02  # Meters from a vertex to the second skinned point that gives its posed normal.
_LARGEST_BETA = 2.0


@dataclass(frozen=True)
class PoseVariables(TensorDataclass):
    """Optimized variables of M bodies. Frame: world, meters, radians."""

    root: Tensor  # [M, 3] axis-angle of R_world_root
    body_pose: Tensor  # [M, 21, 3] axis-angle
    pelvis: Tensor  # [M, 3]
    finger_bend: Tensor  # [M, 2, 6] of the left and right hand, along `bend_directions`


@dataclass(frozen=True)
class PosedBodies:
    """Joints and joint transforms of M posed bodies, from which single vertices are skinned."""

    shapes: BodyShapes
    joints: Tensor  # [M, 55, 3] world, meters
    transforms: Tensor  # [M, 55, 3, 4] from the shaped zero pose to the world

    def points(self, ids: Tensor) -> Tensor:
        """World positions [M, N, 3] of the vertices ids [M, N] or [N]."""
        return self._skin(self.shapes.rest, ids)

    def points_and_normals(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """World positions and unit outward normals [M, N, 3] of the vertices ids [M, N] or [N]."""
        points = self._skin(self.shapes.rest, ids)
        offsets = self._skin(self.shapes.rest_offset, ids) - points
        return points, offsets / torch.linalg.vector_norm(offsets, dim=-1, keepdim=True).clamp(min=1e-6)

    def _skin(self, rest: Tensor, ids: Tensor) -> Tensor:
        if ids.ndim == 1:
            chosen, weights = rest[:, ids], self.shapes.weights[ids]
        else:
            chosen = rest.gather(1, ids[..., None].expand(-1, -1, 3))
            weights = self.shapes.weights[ids]  # [M, N, 55]
        blended = (weights @ self.transforms.flatten(-2)).unflatten(-1, (3, 4))  # [M, N, 3, 4]
        return (blended[..., :3] * chosen[..., None, :]).sum(-1) + blended[..., 3]


@dataclass(frozen=True)
class BodyShapes:
    """Shaped zero pose of M bodies, and the shape of their hands."""

    rest: Tensor  # [M, V, 3]
    rest_offset: Tensor  # [M, V, 3] each vertex moved along its normal
    joints_rest: Tensor  # [M, 55, 3]
    weights: Tensor  # [V, 55]
    hands: Tensor  # [M, 2, 15, 3] axis-angle of the fingers at zero bend
    bends: Tensor  # [2, 6, 15, 3] change of the fingers for one radian of each bend

    def pose(self, variables: PoseVariables) -> PosedBodies:
        """The bodies in the pose of M `variables`."""
        rotations = axis_angle_to_matrix(self.axis_angle(variables))
        global_rotations, joints = forward_kinematics(rotations, self.joints_rest)
        joints = joints + (variables.pelvis - self.joints_rest[:, 0])[:, None]
        offsets = joints - (global_rotations @ self.joints_rest[..., None])[..., 0]
        return PosedBodies(self, joints, torch.cat([global_rotations, offsets[..., None]], dim=-1))

    def axis_angle(self, variables: PoseVariables) -> Tensor:
        """Axis-angle [M, 55, 3] of all joints."""
        face = variables.body_pose.new_zeros(len(variables.root), 3, 3)
        fingers = self.finger_pose(variables)
        return torch.cat([variables.root[:, None], variables.body_pose, face, fingers], dim=1)

    def finger_pose(self, variables: PoseVariables) -> Tensor:
        """Axis-angle [M, 30, 3] of the fingers, left hand first."""
        return (self.hands + torch.einsum("msk,skjd->msjd", variables.finger_bend, self.bends)).flatten(1, 2)


def shape_bodies(body: BodyModel, betas: Tensor, hands: Tensor) -> BodyShapes:
    """Bodies of betas [M, B] with fingers as in hands [M, 30, 3] at zero bend."""
    rest = shaped_template(body, betas)
    return BodyShapes(
        rest=rest,
        rest_offset=rest + _NORMAL_LENGTH * rest_normals(body),
        joints_rest=rest_joints(body, betas),
        weights=body.skin_weights,
        hands=hands.unflatten(1, (2, 15)),
        bends=bend_directions(rest),
    )


def random_betas(count: int, num_betas: int, generator: torch.Generator) -> Tensor:
    """Normally distributed shapes [count, B], clamped to two standard deviations."""
    return torch.randn(count, num_betas, generator=generator).clamp(-_LARGEST_BETA, _LARGEST_BETA)


def hand_shapes(body: BodyModel, shapes: Sequence[tuple[HandShape, HandShape]]) -> Tensor:
    """Axis-angle [len(shapes), 30, 3] in radians of pairs of a left and a right hand."""
    return torch.stack([torch.cat([_hand(body, left, 0), _hand(body, right, 1)]) for left, right in shapes])


def bend_directions(like: Tensor) -> Tensor:
    """Axis-angle [2, NUM_FINGER_BENDS, 15, 3] of the joints of both hands for one radian of each bend.

    like [...]: any tensor with the wanted dtype and device.
    """
    left = like.new_zeros(NUM_FINGER_BENDS, 15, 3)
    # The fingers of the left hand point along +x with the palm down and the thumb forward: they close about -z.
    for joint, bend in enumerate(_BEND_PER_JOINT):
        for finger in range(_NUM_FINGERS):
            left[finger, 3 * finger + joint, 2] = -bend
        left[_NUM_FINGERS, 3 * _NUM_FINGERS + joint, 1] = bend
    left[_NUM_FINGERS + 1, 3 * _NUM_FINGERS, 0] = 1.0
    return torch.stack([left, left * torch.tensor(_MIRROR).to(left)])


def _hand(body: BodyModel, shape: HandShape, side: int) -> Tensor:
    """Axis-angle [15, 3] of one hand; side 0 is left."""
    if shape == "relaxed":
        return body.hand_mean[side]
    if shape == "flat":
        return torch.zeros_like(body.hand_mean[side])
    joints = [(0.0, 0.0, -angle) for _ in range(_NUM_FINGERS) for angle in _FLEXION[shape]] + list(_THUMB[shape])
    pose = torch.tensor(joints).to(body.hand_mean) * (math.pi / 180)
    return pose if side == 0 else pose * torch.tensor(_MIRROR).to(pose)


# Standard deviation in radians of the change of each joint from the captured pose: arms move, trunk and legs hardly.
_JOINT_SIGMA = {
    **{"hip": 0.3, "knee": 0.35, "ankle": 0.3, "foot": 0.1, "spine1": 0.15, "spine2": 0.15, "spine3": 0.15},
    **{"neck": 0.2, "head": 0.2, "collar": 0.15, "shoulder": 0.6, "elbow": 0.6, "wrist": 0.5},
}


def joint_sigmas(like: Tensor) -> Tensor:
    """Standard deviation [21, 1] in radians of the change of each body joint, with dtype and device of like [...]."""
    names = [name.removeprefix("left_").removeprefix("right_") for name in JOINT_NAMES[1:22]]
    return torch.tensor([_JOINT_SIGMA[name] for name in names]).to(like)[:, None]


_FINAL_RATE = 0.05  # Fraction of the learning rate, at the last step of the cosine decay.
_ROOT_SCALE, _PELVIS_SCALE, _FINGER_SCALE = 0.2, 0.12, 0.5  # Radians, meters, radians per unit of the learning rate.
BatchedBodies = Sequence[PoseVariables]


def minimize_batch(
    start: BatchedBodies, energy: Callable[[BatchedBodies, int], Tensor], steps: int, learning_rate: float
) -> tuple[PoseVariables, ...]:
    """Variables that lower the sum of `energy(bodies, step)` [N], by Adam with a cosine decay.

    start: one batch of N bodies, or two of N pairs. The learning rate is in units of the standard deviation of each
    joint, so that a spine turns slowly and an arm fast.
    """
    scales = _scales(start[0])
    origin = [vars(_detached(body)) for body in start]
    changes = [{name: torch.zeros_like(value, requires_grad=True) for name, value in body.items()} for body in origin]

    def current() -> list[PoseVariables]:
        return [
            PoseVariables(**{name: value + scales[name] * change[name] for name, value in body.items()})
            for body, change in zip(origin, changes, strict=True)
        ]

    optimizer = torch.optim.Adam([change for body in changes for change in body.values()], betas=(0.85, 0.98))
    for step in range(steps):
        decay = _FINAL_RATE + (1 - _FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.param_groups[0]["lr"] = learning_rate * decay
        optimizer.zero_grad(set_to_none=True)
        energy(current(), step).sum().backward()
        optimizer.step()
    return tuple(_detached(body) for body in current())


def _detached(body: PoseVariables) -> PoseVariables:
    return body.map(lambda tensor: tensor.detach().clone())


def _scales(like: PoseVariables) -> dict[str, Tensor | float]:
    """Size of a step of each field of PoseVariables."""
    return {
        "root": _ROOT_SCALE,
        "body_pose": joint_sigmas(like.body_pose),
        "pelvis": _PELVIS_SCALE,
        "finger_bend": _FINGER_SCALE,
    }
