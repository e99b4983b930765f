"""The dual-branch denoiser: two people's noisy motion, what was seen of them, and the motion it takes for true."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from closemesh.body.capsules import COARSE_PARTS
from closemesh.networks.attention import PairBlock, in_pairs, one_by_one, partners, time_features
from closemesh.networks.checkpoint import load_network
from closemesh.proxemics.schedule import TRAIN_STEPS
from closemesh.proxemics.state import STATE_WIDTH
from closemesh.proxemics.windows import NUM_LIMBS, NUM_POINTS
from closemesh.weights.search import find_model

DENOISER_FILE = "prior/denoiser.safetensors"
CONDITIONS = {
    **{"keypoints": NUM_POINTS * 4, "limbs": NUM_LIMBS * 4, "spread": 25},
    **{"estimate": STATE_WIDTH, "penetration": 1, "projection": NUM_POINTS * 3},
    "touching": len(COARSE_PARTS) ** 2,
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
        self.blocks = nn.ModuleList(PairBlock(config.width, config.heads, config.hidden) for _ in range(config.layers))
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
        x = x + time_features(times - times[:, :1], self.config.width)[:, :, None]
        condition = one_by_one(self._condition(t, conditions).expand_as(x))
        own = one_by_one(x)
        for block in self.blocks:
            own = block(own, self._other(own, alone), condition)
        return self.head(self.norm(in_pairs(own))).float()

    def _other(self, own: Tensor, alone: Tensor | None) -> Tensor | None:
        """Everybody's partner, of own [B * 2, T, C]."""
        if not self.config.cross_attention:
            return None
        return partners(own) if alone is None else partners(own) * ~alone.repeat_interleave(2)[:, None, None]

    def _condition(self, t: Tensor, conditions: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
        """[B, 1 or T, 1 or 2, width]."""
        phase = time_features(t.float() / TRAIN_STEPS, self.config.width, longest=2.0)
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
