"""Layers that several networks share: attention over frames, conditioned two-person blocks, vector quantizers."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FIRST_USES = 0.25  # Mean moving count of a code that k-means placed.


class Attention(nn.Module):
    """Multi-head attention with a learned null key and value, so that a query can attend to nothing."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.null = nn.Parameter(torch.zeros(2, width))
        self.out = nn.Linear(width, width)

    def forward(self, query: Tensor, source: Tensor, known: Tensor | None = None) -> Tensor:
        """Attention [..., T, C] of query [..., T, C] to source [..., S, C]; known [..., S] bool masks the source."""
        key_value = torch.cat([self.null.flatten().expand(*source.shape[:-2], 1, -1), self.key_value(source)], dim=-2)
        q, k, v = (self._split(x) for x in (self.query(query), *key_value.chunk(2, dim=-1)))
        mask = None if known is None else F.pad(known, (1, 0), value=True)[..., None, None, :]
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out(attended.transpose(-3, -2).flatten(-2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)  # [..., heads, T, C / heads]


class FeedForward(nn.Sequential):
    """Two linear layers; the second starts at zero, so that an untrained block is the identity."""

    def __init__(self, width: int, hidden: int) -> None:
        last = nn.Linear(hidden, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(nn.Linear(width, hidden), nn.GELU(), last)


class TransformerBlock(nn.Module):
    """Self-attention over frames and a feed-forward layer, with a norm before each."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = Attention(width, heads)
        self.feed_forward = FeedForward(width, hidden)

    def forward(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Features [..., T, C] of x [..., T, C]; known [..., T] bool masks frames."""
        normed = self.norms[0](x)
        x = x + self.attention(normed, normed, known)
        return x + self.feed_forward(self.norms[1](x))


class AdaLayerNorm(nn.Module):
    """LayerNorm with scale and shift computed from a condition (AdaLN); a plain LayerNorm before training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Features [..., T, C] of x [..., T, C] under condition [..., T, C]."""
        scale, shift = self.modulation(F.silu(condition)).chunk(2, dim=-1)
        return self.norm(x) * (1 + scale) + shift


class PairTransformerBlock(nn.Module):
    """One person's half of a two-person layer (CloseInt): self-attention, attention to the partner, feed-forward."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(AdaLayerNorm(width) for _ in range(4))
        self.own = Attention(width, heads)
        self.partner = Attention(width, heads)
        self.feed_forward = FeedForward(width, hidden)

    def forward(self, x: Tensor, other: Tensor | None, condition: Tensor) -> Tensor:
        """Features [..., T, C] of x [..., T, C] under condition [..., T, C].

        other [..., T, C]: the partner before this layer, or None. Its norm takes the own condition, as in CloseInt.
        """
        normed = self.norms[0](x, condition)
        x = x + self.own(normed, normed)
        if other is not None:
            x = x + self.partner(self.norms[1](x, condition), self.norms[2](other, condition))
        return x + self.feed_forward(self.norms[3](x, condition))


def fold_pairs(pairs: Tensor) -> Tensor:
    """People [B * 2, T, C] of pairs [B, T, 2, C]: a block processes both people in one batch."""
    return pairs.transpose(1, 2).flatten(0, 1)


def unfold_pairs(people: Tensor) -> Tensor:
    """Pairs [B, T, 2, C] of people [B * 2, T, C]: the inverse of `fold_pairs`."""
    return people.unflatten(0, (-1, 2)).transpose(1, 2)


def swap_partners(people: Tensor) -> Tensor:
    """The partner [B * 2, T, C] of each of the people [B * 2, T, C]."""
    return people.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)


def time_embedding(times: Tensor, width: int, longest: float = 10.0) -> Tensor:
    """Sines and cosines [..., width] of times [...] in seconds, with periods from 1/15 s to `longest` seconds."""
    periods = torch.logspace(math.log10(1 / 15), math.log10(longest), width // 2, device=times.device)
    angles = 2 * math.pi * times[..., None] / periods
    return torch.cat([angles.sin(), angles.cos()], dim=-1).to(times.dtype)


class VectorQuantizer(nn.Module):
    """Nearest code with a straight-through gradient (VQ-VAE); codes follow moving averages, unused ones are reset."""

    codebook: Tensor  # [codes, width]
    uses: Tensor  # [codes] moving counts of the vectors that chose each code

    def __init__(self, codes: int, width: int, decay: float) -> None:
        """decay: of the moving averages that the codes follow."""
        super().__init__()
        self.decay = decay
        self.register_buffer("codebook", torch.randn(codes, width))
        self.register_buffer("uses", torch.ones(codes))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Code vectors [..., C], code indices [...] and commitment loss [] of vectors x [..., C]."""
        flat = x.detach().float().flatten(0, -2)
        indices = torch.cdist(flat, self.codebook).argmin(-1)
        if self.training:
            self._update_codebook(flat, indices)
        x = x.float()
        quantized = self.codebook[indices].view_as(x)
        commitment = F.mse_loss(x, quantized)
        return x + (quantized - x).detach(), indices.view(x.shape[:-1]), commitment

    @torch.no_grad()
    def fit(self, x: Tensor, iterations: int = 10) -> None:
        """Places the codes among vectors x [N, C] by k-means.

        Their moving counts begin small, so that the codes soon follow the vectors of the training.
        """
        codes, x = len(self.codebook), x.float()
        chosen = torch.randperm(len(x), device=x.device)[:codes]
        self.codebook[: len(chosen)] = x[chosen]
        for _ in range(iterations):
            nearest = torch.cdist(x, self.codebook).argmin(-1)
            uses = torch.bincount(nearest, minlength=codes)
            means = torch.zeros_like(self.codebook).index_add_(0, nearest, x) / uses[:, None].clamp(min=1)
            self.codebook.copy_(torch.where(uses[:, None] > 0, means, self.codebook))
            self.uses.copy_(uses.clamp(min=1) * (_FIRST_USES * codes / len(x)))

    @torch.no_grad()
    def _update_codebook(self, flat: Tensor, indices: Tensor) -> None:
        """flat [N, C], indices [N]."""
        one_hot = F.one_hot(indices, len(self.codebook)).float()
        sums = self.codebook * self.uses[:, None] * self.decay + (1 - self.decay) * one_hot.T @ flat
        self.uses.mul_(self.decay).add_(one_hot.sum(0), alpha=1 - self.decay)
        self.codebook.copy_(sums / self.uses[:, None].clamp(min=1e-5))
        unused = self.uses < 1e-2 * len(flat) / len(self.codebook)
        samples = flat[torch.randint(len(flat), (len(self.codebook),), device=flat.device)]
        self.codebook.copy_(torch.where(unused[:, None], samples, self.codebook))
        self.uses.copy_(torch.where(unused, torch.ones_like(self.uses), self.uses))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **options: Any) -> None:
        state_dict.pop(f"{prefix}sums", None)  # Of earlier versions: the codes times their counts.
        super()._load_from_state_dict(state_dict, prefix, *args, **options)


class ResidualQuantizer(nn.Module):
    """Vector quantizers in a row (RVQ): each one codes what those before it left over."""

    def __init__(self, levels: int, codes: int, width: int, decay: float) -> None:
        """codes: of each level. decay: as of VectorQuantizer."""
        super().__init__()
        self.levels = nn.ModuleList(VectorQuantizer(codes, width, decay) for _ in range(levels))

    def forward(self, x: Tensor, levels: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Sums of codes [..., C], their indices [..., levels] and commitment loss [] of vectors x [..., C].

        levels: use only the first so many; all if None.
        """
        residual, commitment, indices = x.float(), x.new_zeros((), dtype=torch.float32), []
        for level in self.levels[:levels]:
            vectors, chosen, distance = level(residual)
            residual, commitment = residual - vectors.detach(), commitment + distance
            indices.append(chosen)
        return x.float() - residual.detach(), torch.stack(indices, dim=-1), commitment

    @torch.no_grad()
    def fit(self, x: Tensor, start: int = 0) -> None:
        """Places the codes of each level from `start` on by k-means among what those before leave of vectors x [N, C].

        The levels before `start` keep theirs.
        """
        residual = x.float()
        for k, level in enumerate(self.levels):
            assert isinstance(level, VectorQuantizer)
            if k >= start:
                level.fit(residual)
            residual = residual - level.codebook[torch.cdist(residual, level.codebook).argmin(-1)]
