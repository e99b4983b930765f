"""Where the weight of a body is."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.body.skeleton import JOINT_INDEX

# Mass of a segment as a share of the body's, and where its centre lies from the first joint to the second
# (de Leva 1996, mean of women and men).
_TRUNK: tuple[tuple[str, str, float, float], ...] = (
    ("pelvis", "neck", 0.43, 0.47),
    ("neck", "head", 0.07, 1.8),
)
_LIMBS: tuple[tuple[str, str, float, float], ...] = (
    ("shoulder", "elbow", 0.026, 0.58),
    ("elbow", "wrist", 0.015, 0.46),
    ("wrist", "middle1", 0.006, 0.8),
    ("hip", "knee", 0.145, 0.39),
    ("knee", "ankle", 0.0455, 0.44),
    ("ankle", "foot", 0.0125, 0.5),
)
_SEGMENTS = (
    *_TRUNK,
    *((f"{side}_{a}", f"{side}_{b}", mass, at) for side in ("left", "right") for a, b, mass, at in _LIMBS),
)


def centre_of_mass(joints: Tensor) -> Tensor:
    """[..., 3] of joints [..., 55, 3]."""
    start = joints[..., [JOINT_INDEX[a] for a, *_ in _SEGMENTS], :]
    end = joints[..., [JOINT_INDEX[b] for _, b, *_ in _SEGMENTS], :]
    at = torch.tensor([at for *_, at in _SEGMENTS]).to(joints)
    mass = torch.tensor([mass for _, _, mass, _ in _SEGMENTS]).to(joints)
    centres = start + at[:, None] * (end - start)
    return (centres * (mass / mass.sum())[:, None]).sum(-2)
