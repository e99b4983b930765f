"""Conversions between axis-angle vectors, rotation matrices, quaternions and 6D; differentiable, any batch shape."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_SMALL_ANGLE_SQUARED = 1e-8  # Below this squared angle the Taylor series is exact to float64 rounding.


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] of axis_angle [..., 3] in radians (Rodrigues); smooth at zero."""
    angle_squared = axis_angle.square().sum(-1)[..., None, None]  # [..., 1, 1]
    small = angle_squared < _SMALL_ANGLE_SQUARED
    safe = torch.where(small, torch.ones_like(angle_squared), angle_squared)
    angle = safe.sqrt()
    sine = torch.where(small, 1 - angle_squared / 6, angle.sin() / angle)
    cosine = torch.where(small, 0.5 - angle_squared / 24, (1 - angle.cos()) / safe)
    K = hat(axis_angle)
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + sine * K + cosine * (K @ K)


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """Axis-angle vectors [..., 3], angle in [0, pi], of rotation matrix [..., 3, 3]; stable at 0 and pi."""
    quaternion = matrix_to_quaternion(matrix)
    real, imaginary = quaternion[..., :1], quaternion[..., 1:]
    sine_squared = imaginary.square().sum(-1, keepdim=True)
    small = sine_squared < _SMALL_ANGLE_SQUARED
    sine = torch.where(small, torch.ones_like(sine_squared), sine_squared).sqrt()
    ratio = torch.where(small, 2 / real.clamp(min=0.5), 2 * torch.atan2(sine, real) / sine)
    return imaginary * ratio


def matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """Unit quaternions [..., 4], real part first and not negative, of rotation matrix [..., 3, 3]."""
    m = matrix
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    # Four algebraically equal forms, each scaled by one component: the largest component divides safely.
    forms = torch.stack(
        [
            _stack(
                1 + trace,
                m[..., 2, 1] - m[..., 1, 2],
                m[..., 0, 2] - m[..., 2, 0],
                m[..., 1, 0] - m[..., 0, 1],
            ),
            _stack(
                m[..., 2, 1] - m[..., 1, 2],
                1 + 2 * m[..., 0, 0] - trace,
                m[..., 0, 1] + m[..., 1, 0],
                m[..., 0, 2] + m[..., 2, 0],
            ),
            _stack(
                m[..., 0, 2] - m[..., 2, 0],
                m[..., 0, 1] + m[..., 1, 0],
                1 + 2 * m[..., 1, 1] - trace,
                m[..., 1, 2] + m[..., 2, 1],
            ),
            _stack(
                m[..., 1, 0] - m[..., 0, 1],
                m[..., 0, 2] + m[..., 2, 0],
                m[..., 1, 2] + m[..., 2, 1],
                1 + 2 * m[..., 2, 2] - trace,
            ),
        ],
        dim=-2,
    )  # [..., 4, 4]
    best = forms.diagonal(dim1=-2, dim2=-1).argmax(-1)  # [...]
    quaternion = forms.gather(-2, best[..., None, None].expand(*best.shape, 1, 4))[..., 0, :]
    quaternion = F.normalize(quaternion, dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] of quaternion [..., 4] of any length, real part first."""
    w, x, y, z = (quaternion * quaternion.square().sum(-1, keepdim=True).rsqrt()).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([entry for row in rows for entry in row], dim=-1).unflatten(-1, (3, 3))


def matrix_to_6d(matrix: Tensor) -> Tensor:
    """The first two rows [..., 6] of matrix [..., 3, 3] (Zhou et al. 2019; convention of pytorch3d)."""
    return matrix[..., :2, :].flatten(-2)


def rotation_6d_to_matrix(rotation_6d: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] of rotation_6d [..., 6], halves not parallel (Gram-Schmidt on rows)."""
    first, second = rotation_6d[..., :3], rotation_6d[..., 3:]
    x = F.normalize(first, dim=-1)
    y = F.normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-2)


def geodesic_angle(a: Tensor, b: Tensor) -> Tensor:
    """Angle [...] in radians between rotations a [..., 3, 3] and b [..., 3, 3]."""
    relative = a.transpose(-1, -2) @ b
    cosine = (relative.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    sine = torch.linalg.norm(vee(relative), dim=-1)
    return torch.atan2(sine, cosine)


def shortest_arc_rotation(a: Tensor, b: Tensor) -> Tensor:
    """Shortest rotation [..., 3, 3] that takes unit vectors a [..., 3] to b [..., 3]."""
    K = hat(torch.linalg.cross(a, b))
    cosine = (a * b).sum(-1)[..., None, None]
    identity = torch.eye(3, dtype=a.dtype, device=a.device)
    return identity + K + K @ K / (1 + cosine).clamp(min=1e-3)


def hat(vector: Tensor) -> Tensor:
    """Cross-product matrices [..., 3, 3] of vector [..., 3]."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*vector.shape[:-1], 3, 3)


def vee(matrix: Tensor) -> Tensor:
    """Vector [..., 3] whose cross-product matrix is the antisymmetric part of matrix [..., 3, 3]."""
    m = (matrix - matrix.transpose(-1, -2)) / 2
    return torch.stack([m[..., 2, 1], m[..., 0, 2], m[..., 1, 0]], dim=-1)


def _stack(*parts: Tensor) -> Tensor:
    return torch.stack(parts, dim=-1)
