"""How likely a body pose is: a mixture of Gaussians over the trunk and limb rotations, learned from captured motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from closemesh.core.errors import ModelFileError
from closemesh.weights.locate import find_model

MODEL_FILE = "pose_prior/pose_prior.npz"


@dataclass(frozen=True)
class PosePrior:
    """Mixture of M Gaussians over the axis-angle vectors of `joints`, D = 3 * len(joints)."""

    joints: Tensor  # [D / 3] int64, indices among the 21 body joints (SMPL-X joint number - 1)
    means: Tensor  # [M, D] radians
    whitening: Tensor  # [M, D, D] lower triangular; whitening @ (x - mean) has unit covariance
    constants: Tensor  # [M] log weight + log determinant of whitening, the largest being 0

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> PosePrior:
        moved = (tensor.to(device, dtype) for tensor in (self.means, self.whitening, self.constants))
        return PosePrior(self.joints.to(device), *moved)


def load_pose_prior() -> PosePrior:
    """The bundled prior. Raises ModelFileError when it is missing or damaged."""
    path = find_model(MODEL_FILE)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: torch.as_tensor(file[name]) for name in ("joints", "means", "whitening", "constants")}
    except (OSError, ValueError, KeyError) as error:
        raise ModelFileError(f"{path} is not a pose prior ({error}); reinstall closemesh") from error
    return PosePrior(**arrays)


def pose_prior_nll(prior: PosePrior, body_pose: Tensor) -> Tensor:
    """Squared Mahalanobis distance [...] to the most likely component, plus what that component is rarer by.

    body_pose [..., 21, 3] axis-angle in radians. The maximum over the components stands for their sum
    (Bogo et al. 2016).
    """
    return component_nll(prior, body_pose[..., prior.joints, :].flatten(-2))


def component_nll(prior: PosePrior, x: Tensor) -> Tensor:
    """The same of the rotations [..., D] of the prior's joints alone."""
    # (x - mean) whitened for all components in one product: W x - W mean.
    whitened = torch.einsum("mij,...j->...mi", prior.whitening, x)
    centred = whitened - torch.einsum("mij,mj->mi", prior.whitening, prior.means)
    return (centred.square().sum(-1) - 2 * prior.constants).amin(-1)
