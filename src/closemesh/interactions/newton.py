"""Least squares over the frames of a motion: Gauss-Newton steps on a block-banded system."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_REACH = 2  # Frames to either side that the smoothness of a frame involves.


@dataclass(frozen=True)
class Rows:
    """N linearised residuals, each already divided by its standard deviation, of one frame each."""

    frame: Tensor  # [N] int64
    values: Tensor  # [N]
    derivatives: Tensor  # [N, D] with the parameters of that frame

    @staticmethod
    def join(parts: list[Rows]) -> Rows:
        """All rows of several."""
        return Rows(*(torch.cat([getattr(p, name) for p in parts]) for name in ("frame", "values", "derivatives")))


def newton_step(rows: Rows, total: Tensor, inverse_sigmas: Tensor, bends: Tensor, damping: float = 0.0) -> Tensor:
    """The step [F, D] that minimises rows, the size of the parameters and how unevenly they change over time.

    total [F, D]: the parameters so far. inverse_sigmas [F, D]: of their size. bends [M, F]: linear combinations over
    time, each of at most 3 neighbouring frames, that are to be small in units of the same sigmas. damping: how much the
    step itself is to be small (Levenberg-Marquardt), in units of the weights of the size.
    """
    frames, count = total.shape
    blocks = min(_REACH + 1, frames) if len(bends) else 1
    system = torch.zeros(frames, blocks, count, count)  # Block (f, k) couples frames f and f + k.
    right = torch.zeros(frames, count)
    for frame, index in _by_frame(rows.frame):
        derivatives = rows.derivatives[index]
        system[frame, 0] += derivatives.T @ derivatives
        right[frame] -= derivatives.T @ rows.values[index]
    squared = inverse_sigmas.square()
    scale = squared.mean(0)  # Bends compare frames, so that they share one sigma.
    coupling = bends.T @ bends  # [F, F]
    system[:, 0].diagonal(dim1=-2, dim2=-1).add_((1 + damping) * squared)
    for k in range(blocks):
        along = coupling.diagonal(k)  # [F - k]
        system[: len(along), k].diagonal(dim1=-2, dim2=-1).add_(along[:, None] * scale)
    right -= squared * total + scale * (coupling @ total)
    return _solve(system, right)


def _by_frame(frame: Tensor) -> list[tuple[int, Tensor]]:
    """Each frame that occurs, with the rows that belong to it."""
    order = frame.argsort(stable=True)
    values, counts = frame[order].unique_consecutive(return_counts=True)
    return list(zip(values.tolist(), order.split(counts.tolist()), strict=True))


def _solve(system: Tensor, right: Tensor) -> Tensor:
    """x [F, D] of the symmetric positive definite system [F, K, D, D] (upper blocks), right [F, D].

    Block Cholesky: each frame, once eliminated, changes the two that follow. In single precision, which damping bears.
    """
    frames, blocks, count, _ = system.shape
    ahead = system.new_zeros(_REACH, _REACH + 1, count, count)
    A = torch.cat([F.pad(system, (0, 0, 0, 0, 0, _REACH + 1 - blocks)), ahead])  # [F + 2, 3, D, D]
    b = F.pad(right, (0, 0, 0, _REACH))[..., None]  # [F + 2, D, 1]
    factors, links = [], []
    for f in range(frames):
        factors.append(torch.linalg.cholesky(A[f, 0]))
        beyond = torch.cat([A[f, 1], A[f, 2]], dim=1)  # [D, 2 D]
        links.append(torch.linalg.solve_triangular(factors[f], beyond, upper=False))
        b[f] = torch.linalg.solve_triangular(factors[f], b[f], upper=False)
        near, far = links[f].split(count, dim=1)
        A[f + 1, :2] -= (near.mT @ links[f]).unflatten(1, (2, count)).movedim(1, 0)
        A[f + 2, 0] -= far.mT @ far
        b[f + 1 : f + 3] -= (links[f].mT @ b[f]).unflatten(0, (2, count))
    x = torch.zeros_like(b)
    for f in reversed(range(frames)):
        known = links[f] @ x[f + 1 : f + 3].flatten(0, 1)
        x[f] = torch.linalg.solve_triangular(factors[f].mT, b[f] - known, upper=True)
    return x[:frames, :, 0]
