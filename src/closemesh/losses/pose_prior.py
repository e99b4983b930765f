"""Pose prior: a Gaussian mixture over the rotations of trunk and limbs, fitted to captured motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from closemesh.core.arrays import read_npz
from closemesh.core.errors import ModelFileError
from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.weights.locate import find_model

MODEL_FILE = "pose_prior/pose_prior.npz"


@dataclass(frozen=True)
class PosePrior(TensorDataclass):
    """Mixture of M Gaussians over the axis-angle vectors of `joints`, D = 3 * len(joints)."""

    TIME_AXIS: ClassVar[int | None] = None

    joints: Tensor  # [D / 3] int64, indices among the 21 body joints (SMPL-X joint number - 1)
    means: Tensor  # [M, D] radians
    whitening: Tensor  # [M, D, D] lower triangular; whitening @ (x - mean) has unit covariance
    constants: Tensor  # [M] log weight + log determinant of whitening; the largest is 0


def load_pose_prior() -> PosePrior:
    """The bundled prior. Raises ModelFileError when its file is missing or damaged."""
    path = find_model(MODEL_FILE)
    names = ("joints", "means", "whitening", "constants")
    arrays = read_npz(path, names, (), ModelFileError, "is not a pose prior", "reinstall closemesh")
    return PosePrior(**{name: torch.as_tensor(array) for name, array in arrays.items()})


def pose_prior_nll(prior: PosePrior, body_pose: Tensor) -> Tensor:
    """Twice the negative log-likelihood [...] under the most likely component, up to a constant.

    body_pose [..., 21, 3] axis-angle in radians. The maximum over the components replaces their sum
    (Bogo et al. 2016).
    """
    return component_nll(prior, body_pose[..., prior.joints, :].flatten(-2))


def component_nll(prior: PosePrior, x: Tensor) -> Tensor:
    """The same [...] for x [..., D], the axis-angle vectors of the joints of the prior."""
    # (x - mean) whitened for all components in one product: W x - W mean.
    whitened = torch.einsum("mij,...j->...mi", prior.whitening, x)
    centered = whitened - torch.einsum("mij,mj->mi", prior.whitening, prior.means)
    return (centered.square().sum(-1) - 2 * prior.constants).amin(-1)
