"""Denoiser, noise schedule, DDIM sampler.

The noise of the diffusion: cosine schedule, noising, and the deterministic way back in few steps.

The dual-branch denoiser: two people's noisy motion, what was seen of them, and the motion it takes for true.

Sampling: from the initial motion to one that two people could have made together, in five steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from closemesh.body.capsules import CAPSULE_PARTS
from closemesh.interaction_prior.state import STATE_WIDTH, PairState, pack, pack_spread, unpack
from closemesh.interaction_prior.windows import (
    NUM_LIMBS,
    NUM_POINTS,
    PairBody,
    PairWindows,
    constant_conditions,
    estimate_conditions,
)
from closemesh.networks.checkpoint import load_network
from closemesh.networks.layers import PairTransformerBlock, fold_pairs, swap_partners, time_embedding, unfold_pairs
from closemesh.weights.locate import find_model

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


DENOISER_FILE = "prior/denoiser.safetensors"
CONDITIONS = {
    **{"keypoints": NUM_POINTS * 4, "limbs": NUM_LIMBS * 4, "spread": 25},
    **{"estimate": STATE_WIDTH, "penetration": 1, "projection": NUM_POINTS * 3},
    "touching": len(CAPSULE_PARTS) ** 2,
}
"""Name and width of each condition; a window that lacks one takes a learned null in its place."""


@dataclass(frozen=True)
class DenoiserConfig:
    """Size of the network, and what it may look at; as in CloseInt but for the conditions."""

    width: int = 256
    layers: int = 4
    heads: int = 8
    hidden: int = 512
    cross_attention: bool = True


class Denoiser(nn.Module):
    """Predicts x0, in spreads from the initial motion, of both people; one set of weights serves both."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        self.motion = nn.Linear(2 * STATE_WIDTH, config.width)
        self.masked = nn.Parameter(torch.zeros(config.width))
        self.step = nn.Sequential(
            nn.Linear(config.width, config.width), nn.SiLU(), nn.Linear(config.width, config.width)
        )
        self.conditions = nn.ModuleDict({name: nn.Linear(width, config.width) for name, width in CONDITIONS.items()})
        self.nulls = nn.ParameterDict({name: nn.Parameter(torch.zeros(config.width)) for name in CONDITIONS})
        self.blocks = nn.ModuleList(
            PairTransformerBlock(config.width, config.heads, config.hidden) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, STATE_WIDTH)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(
        self,
        x_t: Tensor,
        mean: Tensor,
        t: Tensor,
        times: Tensor,
        conditions: dict[str, tuple[Tensor, Tensor]],
        hidden: Tensor | None = None,
        alone: Tensor | None = None,
    ) -> Tensor:
        """x0 [B, T, 2, STATE_WIDTH] in spreads from `mean`.

        x_t and mean [B, T, 2, STATE_WIDTH], t [B] int64, times [B, T] seconds; conditions: name -> values
        [B, T, 2, W] and whether they are known [B, T, 2]; hidden [B, T, 2] bool: nothing is known of these frames;
        alone [B] bool: there is no partner.
        """
        x = self.motion(torch.cat([x_t, mean], dim=-1))
        if hidden is not None:
            x = x + hidden[..., None] * self.masked
        x = x + time_embedding(times - times[:, :1], self.config.width)[:, :, None]
        condition = fold_pairs(self._condition(t, conditions).expand_as(x))
        own = fold_pairs(x)
        for block in self.blocks:
            own = block(own, self._other(own, alone), condition)
        return self.head(self.norm(unfold_pairs(own))).float()

    def _other(self, own: Tensor, alone: Tensor | None) -> Tensor | None:
        """Everybody's partner, of own [B * 2, T, C]."""
        if not self.config.cross_attention:
            return None
        return swap_partners(own) if alone is None else swap_partners(own) * ~alone.repeat_interleave(2)[:, None, None]

    def _condition(self, t: Tensor, conditions: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
        """[B, 1 or T, 1 or 2, width]."""
        phase = time_embedding(t.float() / TRAIN_STEPS, self.config.width, longest=2.0)
        total = self.step(phase)[:, None, None]
        for name, layer in self.conditions.items():
            if name in conditions:
                values, known = conditions[name]
                total = total + torch.where(known[..., None], layer(values), self.nulls[name])
            else:
                total = total + self.nulls[name]
        return total


def load_denoiser(device: torch.device | str, path: Path | None = None) -> Denoiser:
    """The denoiser of a file, or the bundled one. Raises ModelFileError when it is missing or damaged."""
    path = path or find_model(DENOISER_FILE)
    return load_network(path, lambda config: Denoiser(DenoiserConfig(**config)), device)


Guide = Callable[[PairState, int], PairState]
"""A better x0 for the one predicted at step t; it may also make windows agree that share frames."""


@dataclass(frozen=True)
class Sampler:
    """The denoiser with all that sampling needs besides the windows."""

    denoiser: Denoiser
    schedule: Schedule
    body: PairBody
    use_projection: bool = True


@torch.no_grad()
def sample(sampler: Sampler, windows: PairWindows, guides: list[Guide], noise: Tensor | None = None) -> PairState:
    """The refined motion of each window; noise [B, T, 2, STATE_WIDTH] in spreads, none by default.

    DDIM with eta 0 over x0 predictions (CloseInt). Starting at the initial motion itself instead of a noisy one gives
    the most likely motion rather than one of the likely ones. Each step sees where its own last estimate falls in the
    picture and how its bodies cross.
    """
    mean, spread = pack(windows.mean), pack_spread(windows.spread)
    x_t = torch.zeros_like(mean) if noise is None else noise
    fixed, estimate = constant_conditions(windows), windows.mean
    times = sample_times()
    for t, t_next in zip(times, [*times[1:], None], strict=True):
        told = fixed | estimate_conditions(windows, estimate, sampler.body)
        if not sampler.use_projection:
            told.pop("projection")
        step = torch.full((len(windows),), t, dtype=torch.long, device=mean.device)
        x0 = sampler.denoiser(x_t, mean, step, windows.times, told, windows.hidden, windows.alone)
        estimate = unpack(mean + spread * x0)
        for guide in guides:
            estimate = guide(estimate, t)
        x_t = ddim_step(sampler.schedule, x_t, (pack(estimate) - mean) / spread, t, t_next)
    return estimate
