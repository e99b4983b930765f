"""Rigid transforms as [..., 4, 4] matrices: T_a_b takes points of b to a."""

from __future__ import annotations

import torch
from torch import Tensor


def rigid(R: Tensor, t: Tensor) -> Tensor:
    """T [..., 4, 4] of rotation [..., 3, 3] and translation [..., 3]."""
    top = torch.cat([R, t[..., None]], dim=-1)
    bottom = torch.zeros_like(top[..., :1, :])
    bottom[..., 3] = 1
    return torch.cat([top, bottom], dim=-2)


def inverse(T: Tensor) -> Tensor:
    """T_b_a of T_a_b [..., 4, 4]."""
    R = T[..., :3, :3].transpose(-1, -2)
    return rigid(R, -(R @ T[..., :3, 3:])[..., 0])


def transform_points(T_a_b: Tensor, points: Tensor) -> Tensor:
    """Points [..., N, 3] of b in a; T [..., 4, 4] broadcasts over the leading dimensions."""
    return points @ T_a_b[..., :3, :3].transpose(-1, -2) + T_a_b[..., None, :3, 3]
