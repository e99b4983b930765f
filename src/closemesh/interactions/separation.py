"""A rough measure of how far apart two people are: capsule-like bodies made of a few spheres."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.body.skeleton import JOINT_INDEX, PARENTS
from closemesh.scene import NUM_BODY_JOINTS

# Radius in metres of the body around each joint, and around the middle of the bone that leads to it.
_RADII = {
    **{"pelvis": 0.13, "hip": 0.09, "spine1": 0.12, "knee": 0.055, "spine2": 0.12, "ankle": 0.045, "spine3": 0.13},
    **{"foot": 0.04, "neck": 0.06, "collar": 0.08, "head": 0.10, "shoulder": 0.06, "elbow": 0.045, "wrist": 0.035},
}
_BONES = [(joint, PARENTS[joint]) for joint in range(1, NUM_BODY_JOINTS)]


def spheres(joints: Tensor) -> Tensor:
    """Centres [..., 43, 3] on joints [..., 22, 3] and halfway along the bones."""
    children, parents = zip(*_BONES, strict=True)
    middles = (joints[..., children, :] + joints[..., parents, :]) / 2
    return torch.cat([joints, middles], dim=-2)


def overlap(spheres_a: Tensor, spheres_b: Tensor) -> Tensor:
    """How far [...] the spheres [..., 43, 3] of two people reach into each other, metres; negative when apart."""
    radii = _sphere_radii().to(spheres_a)
    return (radii[:, None] + radii - torch.cdist(spheres_a, spheres_b)).flatten(-2).amax(-1)


def _sphere_radii() -> Tensor:
    names = {index: name.split("_")[-1] for name, index in JOINT_INDEX.items() if index < NUM_BODY_JOINTS}
    at_joints = [_RADII[names[joint]] for joint in range(NUM_BODY_JOINTS)]
    between = [(at_joints[child] + at_joints[parent]) / 2 for child, parent in _BONES]
    return torch.tensor([*at_joints, *between])
