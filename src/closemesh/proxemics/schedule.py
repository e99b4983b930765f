"""The noise of the diffusion: cosine schedule, noising, and the deterministic way back in few steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

TRAIN_STEPS = 100
SAMPLE_STEPS = 5
_LARGEST_BETA = 0.999


@dataclass(frozen=True)
class Schedule:
    """abar_t, the share of the signal that is left after step t."""

    alpha_bar: Tensor  # [TRAIN_STEPS]

    def to(self, device: torch.device | str) -> Schedule:
        return Schedule(self.alpha_bar.to(device))


def cosine_schedule(steps: int = TRAIN_STEPS) -> Schedule:
    """abar(u) = cos^2((u + 0.008) / 1.008 * pi / 2), each beta at most 0.999 (Nichol & Dhariwal 2021)."""
    u = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    alpha_bar = ((u + 0.008) / 1.008 * math.pi / 2).cos().square()
    betas = (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=_LARGEST_BETA)
    return Schedule((1 - betas).cumprod(0).float())


def sample_times(train_steps: int = TRAIN_STEPS, sample_steps: int = SAMPLE_STEPS) -> list[int]:
    """The training steps that are visited in sampling, the noisiest first: 80, 60, 40, 20, 0."""
    return list(range(0, train_steps, train_steps // sample_steps))[::-1]


def add_noise(schedule: Schedule, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps (CloseApp Eq. 1); t [B], x0 and noise [B, ...]."""
    alpha_bar = schedule.alpha_bar[t].reshape(-1, *([1] * (x0.ndim - 1)))
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise


def ddim_step(schedule: Schedule, x_t: Tensor, x0: Tensor, t: int, t_next: int | None) -> Tensor:
    """x at the next, less noisy step from the predicted x0 (DDIM, eta 0); x0 itself after the last."""
    if t_next is None:
        return x0
    now, then = schedule.alpha_bar[t], schedule.alpha_bar[t_next]
    noise = (x_t - now.sqrt() * x0) / (1 - now).sqrt()
    return then.sqrt() * x0 + (1 - then).sqrt() * noise
