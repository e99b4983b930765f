"""Two-person diffusion: the noise schedule, the dual-branch denoiser and the deterministic DDIM sampler."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from closemesh.body.capsules import CAPSULE_PARTS
from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.fitting.keypoint_tracks import NUM_POINTS
from closemesh.interaction_prior.state import STATE_WIDTH, PairState, pack, pack_std, unpack
from closemesh.interaction_prior.windows import (
    NUM_LIMBS,
    WINDOW,
    Conditions,
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
_MAX_BETA = 0.999

DENOISER_FILE = "prior/denoiser.safetensors"
CONDITIONS = {
    **{"keypoints": NUM_POINTS * 4, "limbs": NUM_LIMBS * 4, "std": 25},
    **{"estimate": STATE_WIDTH, "penetration": 1, "projection": NUM_POINTS * 3},
    "touching": len(CAPSULE_PARTS) ** 2,
}
"""Name and width of each condition; a learned null replaces one that a window lacks."""


@dataclass(frozen=True)
class Schedule(TensorDataclass):
    """abar_t, the fraction of the signal that is left after step t."""

    TIME_AXIS: ClassVar[int | None] = None

    alpha_bar: Tensor  # [TRAIN_STEPS]


def cosine_schedule(steps: int = TRAIN_STEPS) -> Schedule:
    """abar(u) = cos^2((u + 0.008) / 1.008 * pi / 2), each beta at most 0.999 (Nichol & Dhariwal 2021)."""
    u = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    alpha_bar = ((u + 0.008) / 1.008 * math.pi / 2).cos().square()
    betas = (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=_MAX_BETA)
    return Schedule((1 - betas).cumprod(0).float())


def sample_times(train_steps: int = TRAIN_STEPS, sample_steps: int = SAMPLE_STEPS) -> list[int]:
    """The training steps that sampling visits, the noisiest first: 80, 60, 40, 20, 0."""
    return list(range(0, train_steps, train_steps // sample_steps))[::-1]


def add_noise(schedule: Schedule, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps (CloseApp Eq. 1), [B, ...].

    x0 [B, ...], noise [B, ...], t [B] int64.
    """
    alpha_bar = schedule.alpha_bar[t].reshape(-1, *([1] * (x0.ndim - 1)))
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise


def ddim_step(schedule: Schedule, x_t: Tensor, x0: Tensor, t: int, t_next: int | None) -> Tensor:
    """x [B, ...] at the next, less noisy step (DDIM, eta 0); x0 itself after the last.

    x_t [B, ...] and the predicted x0 [B, ...].
    """
    if t_next is None:
        return x0
    current, following = schedule.alpha_bar[t], schedule.alpha_bar[t_next]
    noise = (x_t - current.sqrt() * x0) / (1 - current).sqrt()
    return following.sqrt() * x0 + (1 - following).sqrt() * noise


@dataclass(frozen=True)
class DenoiserConfig:
    """Size of the network, and its attention between people; as in CloseInt but for the conditions."""

    width: int = 256
    layers: int = 4
    heads: int = 8
    hidden: int = 512
    cross_attention: bool = True
    frames: int = WINDOW
    """Of the windows that it is trained on."""


class Denoiser(nn.Module):
    """Predicts x0 of both people, in standard deviations from the initial motion; both branches have the same weights.

    `conditions` and `nulls` hold one entry per name of CONDITIONS.
    """

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
        conditions: Conditions,
        masked: Tensor | None = None,
        unpaired: Tensor | None = None,
    ) -> Tensor:
        """x0 [B, T, 2, STATE_WIDTH] in standard deviations from `mean`.

        x_t [B, T, 2, STATE_WIDTH], mean [B, T, 2, STATE_WIDTH], t [B] int64, times [B, T] seconds,
        masked [B, T, 2] bool: nothing is known of these frames, unpaired [B] bool: there is no partner.
        """
        x = self.motion(torch.cat([x_t, mean], dim=-1))
        if masked is not None:
            x = x + masked[..., None] * self.masked
        x = x + time_embedding(times - times[:, :1], self.config.width)[:, :, None]
        condition = fold_pairs(self._condition(t, conditions).expand_as(x))
        own = fold_pairs(x)
        for block in self.blocks:
            own = block(own, self._partner(own, unpaired), condition)
        return self.head(self.norm(unfold_pairs(own))).float()

    def _partner(self, own: Tensor, unpaired: Tensor | None) -> Tensor | None:
        """The features of each person's partner, of own [B * 2, T, C]."""
        if not self.config.cross_attention:
            return None
        partner = swap_partners(own)
        return partner if unpaired is None else partner * ~unpaired.repeat_interleave(2)[:, None, None]

    def _condition(self, t: Tensor, conditions: Conditions) -> Tensor:
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
"""A better x0 for the one predicted at step t; it may also make windows with common frames agree."""


@dataclass(frozen=True)
class Sampler:
    """The denoiser with all that sampling needs besides the windows."""

    denoiser: Denoiser
    schedule: Schedule
    body: PairBody
    use_projection: bool = True


@torch.no_grad()
def sample(sampler: Sampler, windows: PairWindows, guides: list[Guide], noise: Tensor | None = None) -> PairState:
    """The refined motion of each window; noise [B, T, 2, STATE_WIDTH] in standard deviations, zero by default.

    DDIM with eta 0 over x0 predictions (CloseInt). Without noise, sampling starts at the initial motion and gives the
    most likely motion instead of a random one. Each step is conditioned on the reprojection and the body distance of
    its own last estimate.
    """
    mean, std = pack(windows.mean), pack_std(windows.std)
    x_t = torch.zeros_like(mean) if noise is None else noise
    constant, estimate = constant_conditions(windows), windows.mean
    times = sample_times()
    for t, t_next in zip(times, [*times[1:], None], strict=True):
        conditions = constant | estimate_conditions(windows, estimate, sampler.body)
        if not sampler.use_projection:
            conditions.pop("projection")
        step = torch.full((len(windows),), t, dtype=torch.long, device=mean.device)
        x0 = sampler.denoiser(x_t, mean, step, windows.tracks.times, conditions, windows.masked, windows.unpaired)
        estimate = unpack(mean + std * x0)
        for guide in guides:
            estimate = guide(estimate, t)
        x_t = ddim_step(sampler.schedule, x_t, (pack(estimate) - mean) / std, t, t_next)
    return estimate
