"""Training of the pose prior: expectation maximization of a Gaussian mixture over captured poses."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from closemesh.body.skeleton import JOINT_NAMES, other_side
from closemesh.core.arrays import expect, npz_keys, read_npz
from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file
from closemesh.core.foreign import foreign_reader
from closemesh.core.progress import Progress
from closemesh.geometry.rotations import matrix_to_axis_angle
from closemesh.lab.datasets.registry import read_motion, split_motion_files
from closemesh.losses.pose_prior import PosePrior, component_nll
from closemesh.structures import NUM_BODY_JOINTS

# Joints that motion capture measures well; the joint limits cover wrists, collars, toes and head.
PRIOR_JOINTS = tuple(
    JOINT_NAMES.index(name) - 1
    for name in (
        *("left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle"),
        *("spine3", "neck", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow"),
    )
)
MEASUREMENT_NOISE = np.deg2rad(6.0)  # Added to every covariance: capture, retargeting, other proportions.
MAX_NECK_ANGLE = np.deg2rad(60.0)  # Frames beyond are capture errors.
FRAME_STEP = 3  # Consecutive frames are nearly equal.


def train_pose_prior(data: Path, out: Path, progress: Progress, components: int = 16, steps: int = 40) -> float:
    """Fits the prior to the motion files below `data` and writes it to `out`.

    Each clip counts by the square root of its length, so that long walks do not dominate; every pose is also used
    mirrored. Returns the median negative log likelihood of the test split; nan without one. Raises InputError when
    there is no motion, and OutputError when the file cannot be written.
    """
    train, test = split_motion_files(data)
    poses, weights = _load_poses(train)
    if not len(poses):
        raise InputError(
            f"no motion found below {data}; it needs .npz files with poses [T, 22, 3], .bvh, .amc or the like"
        )
    means, covariances, priors = _fit_mixture(poses, weights, components, steps, progress)
    whitening = torch.linalg.inv(torch.linalg.cholesky(covariances))
    constants = priors.log() + whitening.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    mixture = PosePrior(torch.tensor(PRIOR_JOINTS), means, whitening, constants - constants.max())
    prior = mixture.to("cpu", torch.float32)
    with atomic_file(out) as part, part.open("wb") as file:
        np.savez(file, **{name: tensor.numpy() for name, tensor in vars(prior).items()})
    test_poses, _ = _load_poses(test)
    return float(component_nll(prior, test_poses.float()).median()) if len(test_poses) else math.nan


def _load_poses(files: list[Path]) -> tuple[Tensor, Tensor]:
    """Poses [N, D] of the prior's joints, mirrored ones included, and the weight [N] of each."""
    poses, weights = [np.empty((0, 3 * len(PRIOR_JOINTS)))], [np.empty(0)]
    for path in files:
        clip = _load_clip(path)
        for version in (clip, mirror_pose(clip)):
            poses.append(version[:, PRIOR_JOINTS].reshape(len(version), 3 * len(PRIOR_JOINTS)))
            weights.append(np.full(len(version), 1 / np.sqrt(max(len(version), 1))))
    return torch.as_tensor(np.concatenate(poses)), torch.as_tensor(np.concatenate(weights))


@foreign_reader
def _load_clip(path: Path) -> np.ndarray:
    """Valid body poses [N, 21, 3] of one file; none when the file holds no motion."""
    poses, valid = _read_poses(path)
    clip = poses[valid][::FRAME_STEP, 1:]
    neck = clip[:, JOINT_NAMES.index("neck") - 1]
    return clip[np.linalg.norm(neck, axis=-1) < MAX_NECK_ANGLE]


def _read_poses(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Poses [..., 22, 3] axis-angle and their validity [...]; an .npz file needs no pelvis.

    Raises InputError when the file is damaged.
    """
    if path.suffix == ".npz":
        arrays = read_npz(path, (), ("poses", "valid"))
        if "poses" in arrays and arrays["poses"].shape[-2:] == (NUM_BODY_JOINTS, 3):
            poses = expect(path, "poses", arrays["poses"], tuple("ABCDEF"[: arrays["poses"].ndim]))
            valid = expect(path, "valid", arrays.get("valid", np.ones(poses.shape[:-2])), poses.shape[:-2])
            return poses, valid != 0
        if "trans" not in npz_keys(path):
            return np.empty((0, NUM_BODY_JOINTS, 3)), np.empty(0, bool)
    sequence = read_motion(path)
    rotations = torch.as_tensor(sequence.rotations[:, :, :NUM_BODY_JOINTS], dtype=torch.float64)
    return matrix_to_axis_angle(rotations).numpy(), sequence.valid


def mirror_pose(body_pose: np.ndarray) -> np.ndarray:
    """The mirrored body_pose [..., 21, 3]: sides swapped, y and z components negated."""
    names = JOINT_NAMES[1:22]
    other = [names.index(other_side(name)) for name in names]
    return body_pose[..., other, :] * np.array([1.0, -1.0, -1.0])


def _fit_mixture(
    x: Tensor, weights: Tensor, components: int, steps: int, progress: Progress
) -> tuple[Tensor, Tensor, Tensor]:
    """Means [M, D], covariances [M, D, D] and priors [M] by expectation maximization from seeded random poses."""
    generator = torch.Generator().manual_seed(0)
    means = x[torch.multinomial(weights, components, generator=generator)]
    noise = torch.eye(x.shape[1], dtype=x.dtype) * MEASUREMENT_NOISE**2
    covariances = (torch.cov(x.T, aweights=weights) + noise).expand(components, -1, -1)
    priors = torch.full((components,), 1 / components, dtype=x.dtype)
    with progress.task("pose prior", steps) as advance:
        for _ in range(steps):
            normal = torch.distributions.MultivariateNormal(means, covariances)
            responsibility = torch.softmax(normal.log_prob(x[:, None]) + priors.log(), dim=1) * weights[:, None]
            mass = responsibility.sum(0)  # [M]
            means = (responsibility.T @ x) / mass[:, None]
            difference = x[:, None] - means  # [N, M, D]
            covariances = torch.einsum("nm,nmi,nmj->mij", responsibility, difference, difference) / mass[:, None, None]
            covariances = covariances + noise
            priors = mass / mass.sum()
            advance(1)
    return means, covariances, priors
