"""A small transformer that reads a text: one vector for each (BERT's layout, so that its weights can be begun with)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closemesh.language.words import MOST_PIECES


@dataclass(frozen=True)
class TextEncoderConfig:
    """Sizes of MiniLM, with fewer layers and pieces of words."""

    pieces: int = 8000
    width: int = 384
    layers: int = 4
    heads: int = 12
    hidden: int = 1536


class TextEncoder(nn.Module):
    """Pieces and places embedded, then layers of self-attention, normalised after each; the mean over the pieces."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.pieces = nn.Embedding(config.pieces, config.width)
        self.places = nn.Embedding(MOST_PIECES, config.width)
        for embedding in (self.pieces, self.places):
            nn.init.normal_(embedding.weight, std=0.02)
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.layers = nn.ModuleList(TextLayer(config) for _ in range(config.layers))

    def forward(self, numbers: Tensor, known: Tensor) -> Tensor:
        """[B, width] of pieces [B, N] whose `known` [B, N] bool are not padding."""
        place = torch.arange(numbers.shape[1], device=numbers.device)
        x = self.norm(self.pieces(numbers) + self.places(place))
        for layer in self.layers:
            x = layer(x, known)
        weight = known[..., None].to(x.dtype)
        return (x * weight).sum(-2) / weight.sum(-2)


class TextLayer(nn.Module):
    """Attention and a feed-forward layer, each added and normalised."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query_key_value = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.attention_norm = nn.LayerNorm(config.width, eps=1e-12)
        self.widen = nn.Linear(config.width, config.hidden)
        self.narrow = nn.Linear(config.hidden, config.width)
        self.norm = nn.LayerNorm(config.width, eps=1e-12)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """x [B, N, C]; known [B, N] bool."""
        q, k, v = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=known[:, None, None])
        x = self.attention_norm(x + self.out(found.transpose(1, 2).flatten(-2)))
        return self.norm(x + self.narrow(F.gelu(self.widen(x))))
