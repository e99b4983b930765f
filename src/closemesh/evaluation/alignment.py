"""Least-squares alignment of point sets: with scale (Procrustes), or rigid."""

from __future__ import annotations

import numpy as np

from closemesh.scene import Floats


def procrustes(points: Floats, target: Floats) -> Floats:
    """`points` [..., N, 3] moved onto `target` [..., N, 3] by the best rotation, scale and translation.

    Umeyama (1991); never a reflection. Points that all coincide keep their scale.
    """
    R, centred, target_mean, trace = _rotation(points, target)
    size = np.square(centred).sum((-2, -1))
    scale = np.divide(trace, size, out=np.ones_like(trace), where=size > 0)
    return scale[..., None, None] * centred @ R.swapaxes(-1, -2) + target_mean


def rigid_alignment(points: Floats, target: Floats) -> Floats:
    """T_target_points [..., 4, 4], rotation and translation, that brings points [..., N, 3] nearest to the target."""
    R, _, target_mean, _ = _rotation(points, target)
    T = np.zeros((*R.shape[:-2], 4, 4))
    T[..., :3, :3], T[..., 3, 3] = R, 1
    T[..., :3, 3] = target_mean[..., 0, :] - np.einsum("...ij,...j->...i", R, points.mean(-2))
    return T


def _rotation(points: Floats, target: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """R [..., 3, 3], the centred points, the target's mean [..., 1, 3] and the trace [...] that gives the scale."""
    points, target = np.asarray(points, np.float64), np.asarray(target, np.float64)
    centred, target_mean = points - points.mean(-2, keepdims=True), target.mean(-2, keepdims=True)
    covariance = (target - target_mean).swapaxes(-1, -2) @ centred
    U, strengths, Vt = np.linalg.svd(covariance)
    mirrored = np.linalg.det(U) * np.linalg.det(Vt) < 0
    signs = np.ones_like(strengths)
    signs[..., 2] = np.where(mirrored, -1, 1)
    R = (U * signs[..., None, :]) @ Vt
    return R, centred, target_mean, (strengths * signs).sum(-1)
