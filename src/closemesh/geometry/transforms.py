"""Rigid transforms as [..., 4, 4] matrices, T_a_b takes points of b to a; least-squares alignment of point sets."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from closemesh.core.arrays import Floats


def make_transform(R: Tensor, t: Tensor) -> Tensor:
    """Transform [..., 4, 4] of rotation R [..., 3, 3] and translation t [..., 3]."""
    top = torch.cat([R, t[..., None]], dim=-1)
    bottom = torch.zeros_like(top[..., :1, :])
    bottom[..., 3] = 1
    return torch.cat([top, bottom], dim=-2)


def invert_transform(T: Tensor) -> Tensor:
    """T_b_a [..., 4, 4] of T = T_a_b [..., 4, 4]."""
    R = T[..., :3, :3].transpose(-1, -2)
    return make_transform(R, -(R @ T[..., :3, 3:])[..., 0])


def upright_axes(up: Floats, towards: Floats) -> Floats:
    """Rotation [3, 3] whose columns are x, y = up, and z, the horizontal part of `towards`.

    up [3] is a unit vector. Where towards [3] is along it, z is the horizontal part of -y.
    """
    z = towards - (towards @ up) * up
    if np.linalg.norm(z) < 1e-6 * np.linalg.norm(towards):
        z = np.array([0.0, -1.0, 0.0]) + up[1] * up
    z = z / np.linalg.norm(z)
    return np.stack([np.cross(up, z), up, z], axis=1)


def transform_points(T_a_b: Tensor, points: Tensor) -> Tensor:
    """points [..., N, 3] of frame b in frame a [..., N, 3]; T_a_b [..., 4, 4] broadcasts over leading dimensions."""
    return points @ T_a_b[..., :3, :3].transpose(-1, -2) + T_a_b[..., None, :3, 3]


def procrustes(points: Floats, target: Floats) -> Floats:
    """points [..., N, 3] after the similarity transform that fits target [..., N, 3] best; shape [..., N, 3].

    Least squares without reflection (Umeyama 1991). Coinciding points keep their scale.
    """
    R, centered, target_mean, trace = _rotation(points, target)
    size = np.square(centered).sum((-2, -1))
    scale = np.divide(trace, size, out=np.ones_like(trace), where=size > 0)
    return scale[..., None, None] * centered @ R.swapaxes(-1, -2) + target_mean


def rigid_alignment(points: Floats, target: Floats) -> Floats:
    """T_target_points [..., 4, 4], the least-squares rigid transform of points [..., N, 3] to target [..., N, 3]."""
    R, _, target_mean, _ = _rotation(points, target)
    T = np.zeros((*R.shape[:-2], 4, 4))
    T[..., :3, :3], T[..., 3, 3] = R, 1
    T[..., :3, 3] = target_mean[..., 0, :] - np.einsum("...ij,...j->...i", R, points.mean(-2))
    return T


def _rotation(points: Floats, target: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """R [..., 3, 3], centered points, mean of the target [..., 1, 3] and the trace [...] that gives the scale."""
    points, target = np.asarray(points, np.float64), np.asarray(target, np.float64)
    centered, target_mean = points - points.mean(-2, keepdims=True), target.mean(-2, keepdims=True)
    covariance = (target - target_mean).swapaxes(-1, -2) @ centered
    U, strengths, Vt = np.linalg.svd(covariance)
    mirrored = np.linalg.det(U) * np.linalg.det(Vt) < 0
    signs = np.ones_like(strengths)
    signs[..., 2] = np.where(mirrored, -1, 1)
    R = (U * signs[..., None, :]) @ Vt
    return R, centered, target_mean, (strengths * signs).sum(-1)
