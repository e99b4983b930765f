"""Where the pelvis of the SMPL family rests, so that a file's transl tells where the pelvis was."""

from __future__ import annotations

import numpy as np
import torch

from closemesh.body.model import BodyModel
from closemesh.body.skinning import rest_joints
from closemesh.scene import Floats

# Joint 0 of each body at rest with zero betas, metres; published with SMPL (Loper et al. 2015), SMPL-H (Romero et al.
# 2017) and SMPL-X (Pavlakos et al. 2019). SMPL-H has SMPL's body; neutral SMPL lies between the two.
_SMPL = {
    "neutral": (-0.0018, -0.2233, 0.0282),
    "male": (-0.00217368, -0.24078918, 0.02858379),
    "female": (-0.00087631, -0.21141872, 0.02782112),
}
_SMPLX_NEUTRAL = (0.00312326, -0.35140747, 0.01203655)
MEAN_REST_PELVIS = {"smpl": _SMPL, "smplh": _SMPL, "smplx": dict.fromkeys(_SMPL, _SMPLX_NEUTRAL)}
"""By model, then by gender; of SMPL-X the neutral one stands for all."""


def rest_pelvis(model: str, gender: str, betas: Floats | None = None, body: BodyModel | None = None) -> Floats:
    """[P, 3] or [3] rest position of the pelvis, to be added to transl; metres.

    model: smpl, smplh or smplx. Exact when `body` is the licensed SMPL-X body and betas [..., B] belong to it; else
    the published mean, which knows nothing of the shape: those of men and of women lie 29 mm apart.
    """
    if model == "smplx" and body is not None and not body.is_open and betas is not None:
        shape = np.zeros((*betas.shape[:-1], body.num_betas))
        kept = min(body.num_betas, betas.shape[-1])
        shape[..., :kept] = betas[..., :kept]
        return rest_joints(body, torch.as_tensor(shape).to(body.joint_template))[..., 0, :].double().cpu().numpy()
    by_gender = MEAN_REST_PELVIS[model]
    return np.array(by_gender.get(gender, by_gender["neutral"]))
