"""Attention, AdaLN, pair blocks, vector quantizer.

Attention over frames: the plain block of the lifter, and the conditioned, two-person block of the diffusion.

Vectors as the nearest of a book of codes (VQ-VAE).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention of queries [..., T, C] to keys and values [..., S, C]; a null key lets it look nowhere."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.null = nn.Parameter(torch.zeros(2, width))
        self.out = nn.Linear(width, width)

    def forward(self, query: Tensor, source: Tensor, known: Tensor | None = None) -> Tensor:
        """known [..., S] bool: which of the source may be looked at."""
        key_value = torch.cat([self.null.flatten().expand(*source.shape[:-2], 1, -1), self.key_value(source)], dim=-2)
        q, k, v = (self._split(x) for x in (self.query(query), *key_value.chunk(2, dim=-1)))
        mask = None if known is None else F.pad(known, (1, 0), value=True)[..., None, None, :]
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out(found.transpose(-3, -2).flatten(-2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)  # [..., heads, T, C / heads]


class FeedForward(nn.Sequential):
    """Two linear layers; the second starts at zero, so that a fresh block changes nothing."""

    def __init__(self, width: int, hidden: int) -> None:
        last = nn.Linear(hidden, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(nn.Linear(width, hidden), nn.GELU(), last)


class TransformerBlock(nn.Module):
    """Self-attention over frames and a feed-forward layer, normalised before each."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = Attention(width, heads)
        self.feed_forward = FeedForward(width, hidden)

    def forward(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """x [..., T, C]; known [..., T] bool."""
        normed = self.norms[0](x)
        x = x + self.attention(normed, normed, known)
        return x + self.feed_forward(self.norms[1](x))


class AdaLayerNorm(nn.Module):
    """LayerNorm whose scale and shift a condition decides (AdaLN); the identity norm at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x and condition [..., T, C]."""
        scale, shift = self.modulation(F.silu(condition)).chunk(2, dim=-1)
        return self.norm(x) * (1 + scale) + shift


class PairTransformerBlock(nn.Module):
    """One person's half of a two-person layer: over the own frames, over the partner's, feed-forward (CloseInt)."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(AdaLayerNorm(width) for _ in range(4))
        self.own = Attention(width, heads)
        self.partner = Attention(width, heads)
        self.feed_forward = FeedForward(width, hidden)

    def forward(self, x: Tensor, other: Tensor | None, condition: Tensor) -> Tensor:
        """x, condition [..., T, C]; other [..., T, C] the partner before this layer, None when there is none.

        The partner is normalised under the own condition, as in CloseInt.
        """
        normed = self.norms[0](x, condition)
        x = x + self.own(normed, normed)
        if other is not None:
            x = x + self.partner(self.norms[1](x, condition), self.norms[2](other, condition))
        return x + self.feed_forward(self.norms[3](x, condition))


def fold_pairs(pairs: Tensor) -> Tensor:
    """[B * 2, T, C] of pairs [B, T, 2, C]: both people go through a block together."""
    return pairs.transpose(1, 2).flatten(0, 1)


def unfold_pairs(people: Tensor) -> Tensor:
    """The inverse of `one_by_one`."""
    return people.unflatten(0, (-1, 2)).transpose(1, 2)


def swap_partners(people: Tensor) -> Tensor:
    """The other one of each pair, of people [B * 2, T, C]."""
    return people.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)


def time_embedding(times: Tensor, width: int, longest: float = 10.0) -> Tensor:
    """Sines and cosines [..., width] of times [...] in seconds, with periods from 1/15 s to `longest` seconds."""
    periods = torch.logspace(math.log10(1 / 15), math.log10(longest), width // 2, device=times.device)
    angles = 2 * math.pi * times[..., None] / periods
    return torch.cat([angles.sin(), angles.cos()], dim=-1).to(times.dtype)


class VectorQuantizer(nn.Module):
    """Nearest code, with the gradient passed straight through; codes follow moving averages, dead ones begin anew."""

    book: Tensor  # [codes, width]
    sums: Tensor  # [codes, width] moving sums of the vectors that chose each code
    uses: Tensor  # [codes] moving counts of them

    def __init__(self, codes: int, width: int, decay: float) -> None:
        """decay: of the moving averages that the codes follow."""
        super().__init__()
        self.decay = decay
        self.register_buffer("book", torch.randn(codes, width))
        self.register_buffer("sums", self.book.clone())
        self.register_buffer("uses", torch.ones(codes))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes' vectors [..., C], their numbers [...], and the commitment loss, of vectors [..., C]."""
        flat = x.detach().float().flatten(0, -2)
        numbers = torch.cdist(flat, self.book).argmin(-1)
        if self.training:
            self._follow(flat, numbers)
        x = x.float()
        quantised = self.book[numbers].view_as(x)
        commitment = F.mse_loss(x, quantised)
        return x + (quantised - x).detach(), numbers.view(x.shape[:-1]), commitment

    @torch.no_grad()
    def _follow(self, flat: Tensor, numbers: Tensor) -> None:
        one_hot = F.one_hot(numbers, len(self.book)).float()
        self.uses.mul_(self.decay).add_(one_hot.sum(0), alpha=1 - self.decay)
        self.sums.mul_(self.decay).add_(one_hot.T @ flat, alpha=1 - self.decay)
        self.book.copy_(self.sums / self.uses[:, None].clamp(min=1e-5))
        dead = self.uses < 1e-2 * len(flat) / len(self.book)
        fresh = flat[torch.randint(len(flat), (len(self.book),), device=flat.device)]
        self.book.copy_(torch.where(dead[:, None], fresh, self.book))
        self.sums.copy_(torch.where(dead[:, None], fresh, self.sums))
        self.uses.copy_(torch.where(dead, torch.ones_like(self.uses), self.uses))
