"""Sampling: from the initial motion to one that two people could have made together, in five steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from closemesh.proxemics.denoiser import Denoiser
from closemesh.proxemics.schedule import Schedule, ddim_step, sample_times
from closemesh.proxemics.state import PairState, pack, pack_spread, unpack
from closemesh.proxemics.windows import PairBody, PairWindows, constant_conditions, estimate_conditions

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
