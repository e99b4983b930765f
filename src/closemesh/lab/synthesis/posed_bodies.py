"""Batched bodies, hand shapes, batched minimizer.

Finger poses of a few shapes of the hand, and the ways in which fingers give.

A batch of bodies of fixed shapes whose surface points are posed one by one, without the whole skin.

How far each joint readily goes from a captured pose to reach a touch.

The minimiser of key poses: Adam on the poses of one or two batches of bodies, with a cosine decay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_NAMES
from closemesh.body.skinning import forward_kinematics, rest_joints, shaped_template
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.synthesis.body_regions import rest_normals
from closemesh.lab.synthesis.templates.schema import HandShape

NUM_BENDS = 6
"""Ways in which a hand gives: index, middle, little and ring finger close, the thumb goes beside and under the palm."""

_FINGERS = 4  # The thumb comes last in the skeleton.
# Degrees of flexion of the three joints of each finger.
_FLEXION: dict[str, tuple[float, float, float]] = {"grip": (35, 40, 20), "fist": (82, 92, 62)}
# Degrees about the axes of the left hand in the zero pose, for the three joints of the thumb.
_THUMB: dict[str, tuple[tuple[float, float, float], ...]] = {
    "grip": ((15, 0, 0), (0, 10, 0), (0, 15, 0)),
    "fist": ((25, 25, -25), (0, 35, 0), (0, 45, 0)),
}
_BEND_SHARES = (1.0, 0.9, 0.6)  # Of the joints of a finger, from the knuckle.
_MIRROR = (1.0, -1.0, -1.0)


def hand_shapes(body: BodyModel, shapes: Sequence[tuple[HandShape, HandShape]]) -> Tensor:
    """Axis-angle [len(shapes), 30, 3] in radians of pairs of a left and a right hand."""
    return torch.stack([torch.cat([_hand(body, left, 0), _hand(body, right, 1)]) for left, right in shapes])


def bend_directions(like: Tensor) -> Tensor:
    """Axis-angle [2, NUM_BENDS, 15, 3] of the left and right hand's joints for one radian of each bend."""
    left = like.new_zeros(NUM_BENDS, 15, 3)
    # The fingers of the left hand point along +x with the palm down and the thumb forward: they close about -z.
    for joint, share in enumerate(_BEND_SHARES):
        for finger in range(_FINGERS):
            left[finger, 3 * finger + joint, 2] = -share
        left[_FINGERS, 3 * _FINGERS + joint, 1] = share
    left[_FINGERS + 1, 3 * _FINGERS, 0] = 1.0
    return torch.stack([left, left * torch.tensor(_MIRROR).to(left)])


def _hand(body: BodyModel, shape: HandShape, side: int) -> Tensor:
    """[15, 3] of one hand; side 0 is left."""
    if shape == "relaxed":
        return body.hand_mean[side]
    if shape == "flat":
        return torch.zeros_like(body.hand_mean[side])
    joints = [(0.0, 0.0, -angle) for _ in range(_FINGERS) for angle in _FLEXION[shape]] + list(_THUMB[shape])
    pose = torch.tensor(joints).to(body.hand_mean) * (math.pi / 180)
    return pose if side == 0 else pose * torch.tensor(_MIRROR).to(pose)


_TIP = 0.02  # Metres along the normal at which a second skinned point stands, whose direction is the posed normal.


@dataclass(frozen=True)
class PoseVariables:
    """What a solver changes of M bodies. Frame: world, metres, radians."""

    root: Tensor  # [M, 3] axis-angle of R_world_root
    body_pose: Tensor  # [M, 21, 3] axis-angle
    pelvis: Tensor  # [M, 3]
    bend: Tensor  # [M, 2, 6] how far the fingers of the left and right hand give (`hands.bend_directions`), radians

    def tensors(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def detached(self) -> PoseVariables:
        return PoseVariables(**{name: tensor.detach().clone() for name, tensor in self.tensors().items()})


@dataclass(frozen=True)
class PosedBodies:
    """Where the joints of M bodies are, and what moves their surface points."""

    shapes: BodyShapes
    joints: Tensor  # [M, 55, 3] world, metres
    transforms: Tensor  # [M, 55, 3, 4] from the shaped zero pose to the world

    def points(self, ids: Tensor) -> Tensor:
        """World points [M, N, 3] of the vertices ids [M, N] or [N]."""
        return self._skin(self.shapes.rest, ids)

    def points_and_normals(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The same with unit outward normals [M, N, 3]."""
        points = self._skin(self.shapes.rest, ids)
        offsets = self._skin(self.shapes.rest_tips, ids) - points
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
    """The shaped zero pose of M bodies, and the shape of their hands."""

    rest: Tensor  # [M, V, 3]
    rest_tips: Tensor  # [M, V, 3] each vertex moved a little along its normal
    joints_rest: Tensor  # [M, 55, 3]
    weights: Tensor  # [V, 55]
    hands: Tensor  # [M, 2, 15, 3] axis-angle of the fingers before they give
    bends: Tensor  # [2, 6, 15, 3] what they give

    def pose(self, variables: PoseVariables) -> PosedBodies:
        """The bodies in a pose."""
        rotations = axis_angle_to_matrix(self.axis_angle(variables))
        turned, joints = forward_kinematics(rotations, self.joints_rest)
        joints = joints + (variables.pelvis - self.joints_rest[:, 0])[:, None]
        offsets = joints - (turned @ self.joints_rest[..., None])[..., 0]
        return PosedBodies(self, joints, torch.cat([turned, offsets[..., None]], dim=-1))

    def axis_angle(self, variables: PoseVariables) -> Tensor:
        """All joints [M, 55, 3]."""
        face = variables.body_pose.new_zeros(len(variables.root), 3, 3)
        fingers = self.finger_pose(variables)
        return torch.cat([variables.root[:, None], variables.body_pose, face, fingers], dim=1)

    def finger_pose(self, variables: PoseVariables) -> Tensor:
        """Fingers [M, 30, 3], left hand first."""
        return (self.hands + torch.einsum("msk,skjd->msjd", variables.bend, self.bends)).flatten(1, 2)

    def where(self, chosen: Tensor) -> BodyShapes:
        """Some of the bodies."""
        names = ("rest", "rest_tips", "joints_rest", "hands")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})


def shape_bodies(body: BodyModel, betas: Tensor, hands: Tensor) -> BodyShapes:
    """The bodies of betas [M, B] with hands [M, 30, 3]."""
    rest = shaped_template(body, betas)
    return BodyShapes(
        rest=rest,
        rest_tips=rest + _TIP * rest_normals(body),
        joints_rest=rest_joints(body, betas),
        weights=body.skin_weights,
        hands=hands.unflatten(1, (2, 15)),
        bends=bend_directions(rest),
    )


# Radians at a cost of one: arms reach, trunk and legs stay about as they were.
_FREEDOM = {
    **{"hip": 0.3, "knee": 0.35, "ankle": 0.3, "foot": 0.1, "spine1": 0.15, "spine2": 0.15, "spine3": 0.15},
    **{"neck": 0.2, "head": 0.2, "collar": 0.15, "shoulder": 0.6, "elbow": 0.6, "wrist": 0.5},
}


def joint_freedom(like: Tensor) -> Tensor:
    """Radians [21, 1] of the body joints, with the type and device of `like`."""
    sides = [name.removeprefix("left_").removeprefix("right_") for name in JOINT_NAMES[1:22]]
    return torch.tensor([_FREEDOM[name] for name in sides]).to(like)[:, None]


_FINAL_RATE = 0.05
_ROOT, _PELVIS, _BEND = 0.2, 0.12, 0.5  # Radians, metres and radians that count as one step of the learning rate.
BatchedBodies = Sequence[PoseVariables]


def minimize_batch(
    start: BatchedBodies, energy: Callable[[BatchedBodies, int], Tensor], steps: int, learning_rate: float
) -> tuple[PoseVariables, ...]:
    """Variables that lower the sum of `energy(bodies, step)` [N]; every pair of the batch goes its own way.

    The learning rate is in units of each joint's freedom, so that a spine turns slowly and an arm fast.
    """
    scales = _scales(start[0])
    origin = [body.detached().tensors() for body in start]
    moves = [{name: torch.zeros_like(value, requires_grad=True) for name, value in body.items()} for body in origin]

    def moved() -> list[PoseVariables]:
        return [
            PoseVariables(**{name: value + scales[name] * move[name] for name, value in body.items()})
            for body, move in zip(origin, moves, strict=True)
        ]

    optimiser = torch.optim.Adam([move for body in moves for move in body.values()], betas=(0.85, 0.98))
    for step in range(steps):
        fade = _FINAL_RATE + (1 - _FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimiser.param_groups[0]["lr"] = learning_rate * fade
        optimiser.zero_grad(set_to_none=True)
        energy(moved(), step).sum().backward()
        optimiser.step()
    return tuple(body.detached() for body in moved())


def _scales(like: PoseVariables) -> dict[str, Tensor | float]:
    return {"root": _ROOT, "body_pose": joint_freedom(like.body_pose), "pelvis": _PELVIS, "bend": _BEND}
