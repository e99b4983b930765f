"""Imported poses and those of the lifter as one distribution, each by its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from closemesh.body.motion import MotionParameters
from closemesh.body.skeleton import PARENTS
from closemesh.core.arrays import Bools, Floats
from closemesh.fitting.keypoint_tracks import PoseReference
from closemesh.geometry.rotations import matrix_to_6d, matrix_to_axis_angle
from closemesh.importers.uncertainty import (
    DEPTH_STD,
    LATERAL_STD,
    Comparison,
    Gaussian,
    fuse,
    fuse_rotations,
    place_std,
    rotation_std,
)
from closemesh.initialization.lifting import lifted_reference
from closemesh.initialization.lifting_network import PoseDistribution
from closemesh.structures import NUM_BODY_JOINTS, PoseUncertainty

RELATIVE_DEPTH_STD = 0.02  # Of the logarithm of the depth, for people of one world frame.
_OWN_IN_CAMERA = 1.15  # Errors of the lifter in the camera frame, relative to those from joint to joint.


@dataclass(frozen=True)
class FusedPoses:
    """Fused parameters, the same as the reference of a fit, and their uncertainty."""

    parameters: MotionParameters
    reference: PoseReference
    uncertainty: PoseUncertainty


def fuse_poses(
    imported: MotionParameters,
    lifted: PoseDistribution,
    valid: Bools,
    unseen: Bools,
    times: Floats,
    limbs: Comparison | None = None,
    one_world: bool = False,
) -> FusedPoses:
    """The product of imported and lifted distributions; the lifted one alone where no pose was imported.

    valid [T, P]: frames with an imported pose. unseen [T, P, 22]: joints without a confident keypoint. times [T]
    seconds. limbs: the imported poses against the keypoints. one_world: all people were imported in one world frame, so
    that their depths relative to each other are kept. The betas and their uncertainty are the lifter's.
    """
    own = lifted_reference(lifted)
    rotations, std = _fuse_rotations(imported, own, valid, unseen, times, limbs)
    ray, ray_std, log_depth, depth_std = _fuse_places(imported, lifted, valid)
    if one_world:
        log_depth = _shift_together(_numpy(imported.log_depth), log_depth, valid)
        depth_std = np.where(valid, np.minimum(depth_std, RELATIVE_DEPTH_STD), depth_std)
    parameters = imported.with_tensors(
        root=matrix_to_6d(_like(rotations[:, :, 0], imported.root)),
        body_pose=matrix_to_axis_angle(_like(rotations[:, :, 1:], imported.root)),
        pelvis_ray=_like(ray, imported.root),
        log_depth=_like(log_depth, imported.root),
        betas=lifted.betas,
    )
    reference = PoseReference(
        rotations=_like(rotations, imported.root),
        rotation_std=_like(std, imported.root),
        log_depth=_like(log_depth, imported.root),
        log_depth_std=_like(depth_std, imported.root),
    )
    pelvis_std = np.concatenate([ray_std, depth_std[..., None]], axis=-1) * np.exp(log_depth)[..., None]
    uncertainty = PoseUncertainty(
        std.astype(np.float32), pelvis_std.astype(np.float32), _numpy(lifted.betas_std).astype(np.float32)
    )
    return FusedPoses(parameters, reference, uncertainty)


def _fuse_rotations(
    imported: MotionParameters,
    own: PoseReference,
    valid: Bools,
    unseen: Bools,
    times: Floats,
    limbs: Comparison | None,
) -> tuple[Floats, Floats]:
    """Rotations [T, P, 22, 3, 3] and standard deviations [T, P, 22].

    Both are combined in the camera frame: there an error of a joint does not carry over to the limbs after it.
    """
    rotations = _numpy(imported.rotations()[..., :NUM_BODY_JOINTS, :, :])
    lifted = Gaussian(_numpy(own.rotations), _numpy(own.rotation_std))
    local_std = rotation_std(rotations, lifted, valid, unseen, times, limbs)
    in_camera = Gaussian(_chain(lifted.mean), _OWN_IN_CAMERA * lifted.std)
    placed = _chain(rotations)
    placed_std = rotation_std(placed, in_camera, valid, unseen, times, limbs)
    fused = fuse_rotations(Gaussian(placed, placed_std), in_camera)
    std = fuse(Gaussian(local_std, local_std), Gaussian(lifted.std, lifted.std)).std
    known = valid[..., None]
    rotations = np.where(known[..., None, None], _unchain(fused.mean), lifted.mean)
    return rotations, np.where(known, std, lifted.std)


def _fuse_places(
    imported: MotionParameters, lifted: PoseDistribution, valid: Bools
) -> tuple[Floats, Floats, Floats, Floats]:
    """Viewing ray [T, P, 2] and its standard deviation, logarithm of the depth [T, P] and its standard deviation."""
    own_ray, own_depth = _numpy(lifted.ray.transpose(0, 1)), _numpy(lifted.log_depth.T)
    own_std = _numpy(lifted.place_std.transpose(0, 1))
    ray, log_depth = _numpy(imported.pelvis_ray), _numpy(imported.log_depth)
    meters = np.exp(log_depth)
    rays = []
    for axis in range(2):
        squared = np.square((ray[..., axis] - own_ray[..., axis]) * meters)
        std = place_std(squared, own_std[..., axis] * meters, valid, LATERAL_STD) / meters
        own = Gaussian(own_ray[..., axis], own_std[..., axis])
        rays.append(_where(valid, fuse(Gaussian(ray[..., axis], std), own), own))
    std = place_std(np.square(log_depth - own_depth), own_std[..., 2], valid, DEPTH_STD)
    own = Gaussian(own_depth, own_std[..., 2])
    depth = _where(valid, fuse(Gaussian(log_depth, std), own), own)
    mean, std = (np.stack([getattr(one, name) for one in rays], axis=-1) for name in ("mean", "std"))
    return mean, std, depth.mean, depth.std


def _shift_together(log_depth: Floats, fused: Floats, valid: Bools) -> Floats:
    """The depths log_depth [T, P] all moved by one distance, the mean change to `fused` [T, P], where valid [T, P]."""
    shift = (np.exp(fused) - np.exp(log_depth))[valid].mean()
    moved = np.maximum(np.exp(log_depth) + shift, 0.5 * np.exp(log_depth))  # In front of the camera.
    return np.where(valid, np.log(moved), fused)


def _where(valid: Bools, fused: Gaussian, own: Gaussian) -> Gaussian:
    return Gaussian(np.where(valid, fused.mean, own.mean), np.where(valid, fused.std, own.std))


def _chain(rotations: Floats) -> Floats:
    """Rotations [..., 22, 3, 3] from each joint to the camera, from those relative to the parent."""
    chained = rotations.copy()
    for joint, parent in enumerate(PARENTS[:NUM_BODY_JOINTS]):
        if parent >= 0:
            chained[..., joint, :, :] = chained[..., parent, :, :] @ rotations[..., joint, :, :]
    return chained


def _unchain(chained: Floats) -> Floats:
    """The inverse of `_chain`."""
    rotations = chained.copy()
    for joint, parent in enumerate(PARENTS[:NUM_BODY_JOINTS]):
        if parent >= 0:
            rotations[..., joint, :, :] = np.swapaxes(chained[..., parent, :, :], -1, -2) @ chained[..., joint, :, :]
    return rotations


def _numpy(tensor: Tensor) -> Floats:
    return tensor.detach().cpu().double().numpy()


def _like(array: Floats, tensor: Tensor) -> Tensor:
    return torch.as_tensor(array).to(tensor)
