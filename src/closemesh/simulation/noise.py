"""Random numbers that remember: standard normal, correlated over time and between keypoints."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def lasting_noise(
    shape: tuple[int, ...],
    shares: Tensor,
    times: Tensor,
    fps: float,
    generator: torch.Generator,
    mixing: Tensor | None = None,
    jumps: Tensor | float = 0.0,
) -> Tensor:
    """Standard normal numbers of `shape` [..., T, P, K, D], correlated over T.

    They are a sum of C processes whose correlation falls off as exp(-t / times[c]) (0 is white noise), with variances
    shares [C] or [K, C] that add up to 1. Of each process a part with the variance `jumps` (0..1, or [K]) stands still
    and jumps to another number now and then; the rest wanders. `mixing` [K, K] makes the keypoints depend on each
    other: a matrix whose product with its transpose is their correlation. Everything lives on the device of `shares`.
    """
    decay = torch.where(times > 0, torch.exp(-1 / (fps * times)), 0.0)  # [C]
    decay = decay.reshape(-1, *(1 for _ in shape[:-4]), 1, 1, 1)
    jumps = torch.as_tensor(jumps, dtype=shares.dtype, device=shares.device).expand(shape[-2])[:, None]
    variances = shares.expand(shape[-2], len(times))  # [K, C]
    total = torch.zeros(shape, dtype=shares.dtype, device=shares.device)
    for process, variance in ((_wander, (1 - jumps) * variances), (_jump, jumps * variances)):
        if variance.any():
            white = torch.randn((len(times), *shape), generator=generator, dtype=shares.dtype, device=shares.device)
            white = white if mixing is None else torch.einsum("kj,...jd->...kd", mixing, white)
            total += torch.einsum("kc,c...kd->...kd", variance.sqrt(), process(white, decay, generator))
    return total


def _wander(white: Tensor, decay: Tensor, generator: torch.Generator) -> Tensor:
    """White noise [C, ..., T, P, K, D] made to last: each step keeps `decay` [C, ..., 1, 1, 1] of the one before."""
    fresh = (1 - decay**2).sqrt()
    steps = list(white.unbind(-4))
    for t in range(1, len(steps)):
        steps[t] = decay * steps[t - 1] + fresh * steps[t]
    return torch.stack(steps, dim=-4)


def _jump(white: Tensor, decay: Tensor, generator: torch.Generator) -> Tensor:
    """The same by keeping the whole number with the probability `decay`, else taking a new one."""
    kept = torch.rand((*white.shape[:-1], 1), generator=generator, dtype=white.dtype, device=white.device)
    steps = list(white.unbind(-4))
    for t, rank in enumerate(kept.unbind(-4)):
        if t > 0:
            steps[t] = torch.where(rank < decay, steps[t - 1], steps[t])
    return torch.stack(steps, dim=-4)


def normal_rank(noise: Tensor) -> Tensor:
    """Share of a standard normal distribution below `noise`, 0..1."""
    return 0.5 * (1 + torch.erf(noise / math.sqrt(2)))


def quantile(table: Tensor, levels: Tensor, rank: Tensor, *index: Tensor) -> Tensor:
    """Values [...] of the quantile functions table [..., Q] that `index` picks, at rank [...] in 0..1.

    One integer tensor for each axis of the table but the last; they broadcast to the shape of rank. Linear between
    the levels [Q], which go from 0 to 1.
    """
    flat = torch.zeros_like(rank, dtype=torch.long)
    for length, choice in zip(table.shape[:-1], index, strict=True):
        flat = flat * length + choice
    above = torch.searchsorted(levels, rank.contiguous()).clamp(1, len(levels) - 1)
    share = (rank - levels[above - 1]) / (levels[above] - levels[above - 1])
    values = table.flatten()
    start = flat * len(levels) + above
    return torch.lerp(values[start - 1], values[start], share)
