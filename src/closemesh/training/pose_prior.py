"""Fits the pose prior: expectation maximisation of a Gaussian mixture over captured poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from closemesh.body.skeleton import JOINT_NAMES
from closemesh.errors import InputError
from closemesh.progress import Progress

# Joints that motion capture measures well; wrists, collars, toes and head are left to the joint limits.
PRIOR_JOINTS = tuple(
    JOINT_NAMES.index(name) - 1
    for name in (
        *("left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle"),
        *("spine3", "neck", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow"),
    )
)
MEASUREMENT_NOISE = np.deg2rad(6.0)  # Added to every covariance: capture, retargeting and another body's proportions.
LARGEST_NECK_ANGLE = np.deg2rad(60.0)  # Frames beyond are capture faults.
FRAME_STEP = 3  # Neighbouring frames are nearly equal.
_RIGHT_OF_LEFT = {name.replace("left", "right"): name for name in JOINT_NAMES[1:22] if "left" in name}


def train_pose_prior(data: Path, out: Path, progress: Progress, components: int = 16, steps: int = 60) -> None:
    """Learns the prior from every .npz below `data` (poses [T, (P,) 22, 3] axis-angle, valid) and writes it to `out`.

    Each clip counts by the square root of its length, so that long walks do not drown the rest; every pose is also
    taken mirrored.
    """
    poses, weights = _load_poses(data)
    means, covariances, shares = _fit_mixture(poses, weights, components, steps, progress)
    whitening = torch.linalg.inv(torch.linalg.cholesky(covariances))
    constants = shares.log() + whitening.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        out,
        joints=np.array(PRIOR_JOINTS),
        means=means.float().numpy(),
        whitening=whitening.float().numpy(),
        constants=(constants - constants.max()).float().numpy(),
    )


def _load_poses(data: Path) -> tuple[Tensor, Tensor]:
    """Poses [N, D] of the prior's joints, mirrored ones included, and the weight [N] of each."""
    poses, weights = [], []
    for path in sorted(data.rglob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            if "poses" not in file.files or file["poses"].shape[-2:] != (22, 3):
                continue
            clip = file["poses"].astype(np.float64)
            valid = file["valid"] if "valid" in file.files else np.ones(clip.shape[:-2], bool)
        clip = clip[valid.astype(bool)][::FRAME_STEP, 1:]  # [N, 21, 3]
        neck = clip[:, JOINT_NAMES.index("neck") - 1]
        clip = clip[np.linalg.norm(neck, axis=-1) < LARGEST_NECK_ANGLE]
        for version in (clip, mirror_pose(clip)):
            poses.append(version[:, PRIOR_JOINTS].reshape(len(version), -1))
            weights.append(np.full(len(version), 1 / np.sqrt(max(len(version), 1))))
    if not poses:
        raise InputError(f"no motion found below {data}; it needs .npz files with poses [T, 22, 3]")
    return torch.as_tensor(np.concatenate(poses)), torch.as_tensor(np.concatenate(weights))


def mirror_pose(body_pose: np.ndarray) -> np.ndarray:
    """The body pose [..., 21, 3] seen in a mirror: sides swapped, y and z components negated."""
    names = JOINT_NAMES[1:22]
    other = [names.index(_other_side(name)) for name in names]
    return body_pose[..., other, :] * np.array([1.0, -1.0, -1.0])


def _other_side(name: str) -> str:
    if name in _RIGHT_OF_LEFT:
        return _RIGHT_OF_LEFT[name]
    return name.replace("left", "right")


def _fit_mixture(
    x: Tensor, weights: Tensor, components: int, steps: int, progress: Progress
) -> tuple[Tensor, Tensor, Tensor]:
    """Means [M, D], covariances [M, D, D] and shares [M] by expectation maximisation from seeded random poses."""
    generator = torch.Generator().manual_seed(0)
    means = x[torch.multinomial(weights, components, generator=generator)]
    noise = torch.eye(x.shape[1], dtype=x.dtype) * MEASUREMENT_NOISE**2
    covariances = (torch.cov(x.T, aweights=weights) + noise).expand(components, -1, -1)
    shares = torch.full((components,), 1 / components, dtype=x.dtype)
    with progress.task("pose prior", steps) as advance:
        for _ in range(steps):
            normal = torch.distributions.MultivariateNormal(means, covariances)
            responsibility = torch.softmax(normal.log_prob(x[:, None]) + shares.log(), dim=1) * weights[:, None]
            mass = responsibility.sum(0)  # [M]
            means = (responsibility.T @ x) / mass[:, None]
            centred = x[:, None] - means  # [N, M, D]
            covariances = torch.einsum("nm,nmi,nmj->mij", responsibility, centred, centred) / mass[:, None, None]
            covariances = covariances + noise
            shares = mass / mass.sum()
            advance(1)
    return means, covariances, shares
