"""The compiled parts of the projection: each for a range of Gaussians, on one thread."""

from __future__ import annotations

import math

import numpy as np

from closemesh.avatars.splatting.numba_compile import compiled
from closemesh.avatars.splatting.rasterize import BLUR, MIN_ALPHA, NEAR

# Compiled functions carry no hints: numba infers the types.
# pyright: reportMissingParameterType=false


_REACH = np.float32(math.sqrt(-2 * math.log(MIN_ALPHA)))
_BLUR, _NEAR = np.float32(BLUR), np.float32(NEAR)
_BLOCK = 256  # Gaussians whose matrices are made and used up while they lie in the nearest cache.
_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)


@compiled
def project_matrices(means, matrices, scales, camera, means2d, conics, depths, visible):
    """Fills means2d [n, 2], conics [n, 3], depths [n], visible [n]; camera [9] is focal, centre, size, limits."""
    focal, centre_x, centre_y, height, width = camera[0], camera[1], camera[2], camera[3], camera[4]
    for g in range(len(means)):
        visible[g], depths[g] = False, means[g, 2]
        means2d[g, 0], means2d[g, 1] = _ZERO, _ZERO
        conics[g, 0], conics[g, 1], conics[g, 2] = _ZERO, _ZERO, _ZERO
        if not means[g, 2] > _NEAR:
            continue
        inverse = _ONE / means[g, 2]
        x, y, per_metre = means[g, 0] * inverse, means[g, 1] * inverse, focal * inverse
        along_x, along_y = min(max(x, camera[5]), camera[6]), min(max(y, camera[7]), camera[8])
        p, q, r = _BLUR, _ZERO, _BLUR
        for j in range(3):
            s = scales[g, j] * per_metre
            u = (matrices[g, 0, j] - along_x * matrices[g, 2, j]) * s
            v = (matrices[g, 1, j] - along_y * matrices[g, 2, j]) * s
            p, q, r = p + u * u, q + u * v, r + v * v
        image_x, image_y = focal * x + centre_x, focal * y + centre_y
        reach_x, reach_y = _REACH * math.sqrt(p), _REACH * math.sqrt(r)
        meets_x = image_x + reach_x > 0 and image_x - reach_x < width
        if not (meets_x and image_y + reach_y > 0 and image_y - reach_y < height):
            continue
        share = _ONE / (p * r - q * q)
        visible[g] = True
        means2d[g, 0], means2d[g, 1] = image_x, image_y
        conics[g, 0], conics[g, 1], conics[g, 2] = r * share, -q * share, p * share


@compiled
def differentiate_matrices(
    means, matrices, scales, camera, conics, visible, means2d_gradient, conics_gradient, depths_gradient,
    means_gradient, matrices_gradient, scales_gradient,
):  # fmt: skip
    """Fills the last three from the gradients of means2d [n, 2], conics [n, 3] and depths [n].

    What is not visible has a gradient of its depth alone.
    """
    focal = camera[0]
    for g in range(len(means)):
        if not visible[g]:
            for i in range(3):
                means_gradient[g, i], scales_gradient[g, i] = _ZERO, _ZERO
                for j in range(3):
                    matrices_gradient[g, i, j] = _ZERO
            means_gradient[g, 2] = depths_gradient[g]
            continue
        inverse = _ONE / means[g, 2]
        x, y, per_metre = means[g, 0] * inverse, means[g, 1] * inverse, focal * inverse
        along_x, along_y = min(max(x, camera[5]), camera[6]), min(max(y, camera[7]), camera[8])
        # The covariance [[p, q], [q, r]] is the inverse of the conic: its gradient is -conic * gradient * conic.
        a, b, c = conics[g, 0], conics[g, 1], conics[g, 2]
        to_a, to_b, to_c = conics_gradient[g, 0], conics_gradient[g, 1], conics_gradient[g, 2]
        to_p = -(a * a * to_a + a * b * to_b + b * b * to_c)
        to_q = -(_TWO * a * b * to_a + (a * c + b * b) * to_b + _TWO * b * c * to_c)
        to_r = -(b * b * to_a + b * c * to_b + c * c * to_c)
        to_per_metre, to_along_x, to_along_y = _ZERO, _ZERO, _ZERO
        for j in range(3):
            scale = scales[g, j]
            across_x = matrices[g, 0, j] - along_x * matrices[g, 2, j]
            across_y = matrices[g, 1, j] - along_y * matrices[g, 2, j]
            u, v = across_x * scale * per_metre, across_y * scale * per_metre
            to_u, to_v = _TWO * u * to_p + v * to_q, _TWO * v * to_r + u * to_q
            to_per_metre += (across_x * to_u + across_y * to_v) * scale
            scales_gradient[g, j] = (across_x * to_u + across_y * to_v) * per_metre
            to_x, to_y = to_u * scale * per_metre, to_v * scale * per_metre
            matrices_gradient[g, 0, j], matrices_gradient[g, 1, j] = to_x, to_y
            matrices_gradient[g, 2, j] = -(along_x * to_x + along_y * to_y)
            to_along_x -= matrices[g, 2, j] * to_x
            to_along_y -= matrices[g, 2, j] * to_y
        # Where the direction is held at the limit it does not follow the middle.
        to_x = focal * means2d_gradient[g, 0] + (to_along_x if along_x == x else _ZERO)
        to_y = focal * means2d_gradient[g, 1] + (to_along_y if along_y == y else _ZERO)
        means_gradient[g, 0], means_gradient[g, 1] = to_x * inverse, to_y * inverse
        means_gradient[g, 2] = depths_gradient[g] - (x * to_x + y * to_y + to_per_metre * per_metre) * inverse


@compiled
def project_quaternions(means, quaternions, scales, camera, means2d, conics, depths, visible):
    """`project_matrices` for quaternions [n, 4] of any length."""
    matrices = np.empty((_BLOCK, 3, 3), dtype=np.float32)
    for first in range(0, len(means), _BLOCK):
        now = slice(first, min(first + _BLOCK, len(means)))
        _fill_matrices(quaternions[now], matrices)
        project_matrices(
            means[now], matrices, scales[now], camera, means2d[now], conics[now], depths[now], visible[now]
        )


@compiled
def differentiate_quaternions(
    means, quaternions, scales, camera, conics, visible, means2d_gradient, conics_gradient, depths_gradient,
    means_gradient, quaternions_gradient, scales_gradient,
):  # fmt: skip
    """`differentiate_matrices` for quaternions [n, 4] of any length."""
    matrices, gradient = np.empty((_BLOCK, 3, 3), dtype=np.float32), np.empty((_BLOCK, 3, 3), dtype=np.float32)
    for first in range(0, len(means), _BLOCK):
        now = slice(first, min(first + _BLOCK, len(means)))
        _fill_matrices(quaternions[now], matrices)
        differentiate_matrices(
            means[now], matrices, scales[now], camera, conics[now], visible[now], means2d_gradient[now],
            conics_gradient[now], depths_gradient[now], means_gradient[now], gradient, scales_gradient[now],
        )  # fmt: skip
        _fill_quaternion_gradients(quaternions[now], gradient, quaternions_gradient[now])


@compiled
def _fill_matrices(quaternions, matrices):
    """Rotation matrices [n, 3, 3] of quaternions [n, 4] of any length."""
    for g in range(len(quaternions)):
        w, x, y, z, _ = _unit(quaternions, g)
        matrices[g, 0, 0] = _ONE - _TWO * (y * y + z * z)
        matrices[g, 0, 1] = _TWO * (x * y - w * z)
        matrices[g, 0, 2] = _TWO * (x * z + w * y)
        matrices[g, 1, 0] = _TWO * (x * y + w * z)
        matrices[g, 1, 1] = _ONE - _TWO * (x * x + z * z)
        matrices[g, 1, 2] = _TWO * (y * z - w * x)
        matrices[g, 2, 0] = _TWO * (x * z - w * y)
        matrices[g, 2, 1] = _TWO * (y * z + w * x)
        matrices[g, 2, 2] = _ONE - _TWO * (x * x + y * y)


@compiled
def _fill_quaternion_gradients(quaternions, matrices_gradient, gradients):
    """Gradients [n, 4] of quaternions [n, 4] from those of their matrices [n, 3, 3]."""
    for g in range(len(quaternions)):
        w, x, y, z, per_length = _unit(quaternions, g)
        m = matrices_gradient[g]
        to_w = _TWO * (z * (m[1, 0] - m[0, 1]) + y * (m[0, 2] - m[2, 0]) + x * (m[2, 1] - m[1, 2]))
        to_x = _TWO * (y * (m[0, 1] + m[1, 0]) + z * (m[0, 2] + m[2, 0]) + w * (m[2, 1] - m[1, 2]))
        to_y = _TWO * (x * (m[0, 1] + m[1, 0]) + z * (m[1, 2] + m[2, 1]) + w * (m[0, 2] - m[2, 0]))
        to_z = _TWO * (x * (m[0, 2] + m[2, 0]) + y * (m[1, 2] + m[2, 1]) + w * (m[1, 0] - m[0, 1]))
        to_x -= _TWO * _TWO * x * (m[1, 1] + m[2, 2])
        to_y -= _TWO * _TWO * y * (m[0, 0] + m[2, 2])
        to_z -= _TWO * _TWO * z * (m[0, 0] + m[1, 1])
        # Only what turns the unit quaternion counts, not what makes it longer.
        longer = to_w * w + to_x * x + to_y * y + to_z * z
        gradients[g, 0], gradients[g, 1] = per_length * (to_w - longer * w), per_length * (to_x - longer * x)
        gradients[g, 2], gradients[g, 3] = per_length * (to_y - longer * y), per_length * (to_z - longer * z)


@compiled
def _unit(quaternions, g):
    """The unit quaternion g and one over the length of the given one."""
    w, x, y, z = quaternions[g, 0], quaternions[g, 1], quaternions[g, 2], quaternions[g, 3]
    per_length = _ONE / max(np.float32(math.sqrt(w * w + x * x + y * y + z * z)), np.float32(1e-12))
    return w * per_length, x * per_length, y * per_length, z * per_length, per_length
