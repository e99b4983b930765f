"""Text and poses in one space: the nearer, the more surely the text is about the pose (contrastive learning)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closemesh.language.pose_tokens import PoseTokens, PoseTokensConfig, Tokens
from closemesh.language.text_encoder import TextEncoder, TextEncoderConfig
from closemesh.language.words import Pieces, load_pieces
from closemesh.networks.attention import FrameBlock
from closemesh.networks.checkpoint import load_network, save_network
from closemesh.weights.search import find_model

POSES_FILE, TEXT_FILE = "language/poses.safetensors", "language/text.safetensors"
_FIRST_TEMPERATURE = 0.07
_TOGETHER = 64  # Texts that are read at once.


@dataclass(frozen=True)
class PoseReaderConfig:
    """The pose VQ-VAE, and what turns its tokens into one vector."""

    tokens: PoseTokensConfig = field(default_factory=PoseTokensConfig)
    width: int = 192
    layers: int = 2
    heads: int = 6
    space: int = 256
    """Numbers of a vector of the common space."""


class PoseReader(nn.Module):
    """Tokens of one or two people, attention over them, their mean, in the common space."""

    def __init__(self, config: PoseReaderConfig) -> None:
        super().__init__()
        self.config = config
        tokens = config.tokens
        self.tokens = PoseTokens(tokens)
        self.embed = nn.Linear(tokens.code_width, config.width)
        self.slot = nn.Parameter(0.02 * torch.randn(tokens.pose_tokens + tokens.place_tokens, config.width))
        self.who = nn.Parameter(0.02 * torch.randn(2, 1, config.width))
        self.blocks = nn.ModuleList(
            FrameBlock(config.width, config.heads, 2 * config.width) for _ in range(config.layers)
        )
        self.head = nn.Sequential(nn.LayerNorm(config.width), nn.Linear(config.width, config.space))

    def forward(self, pose: Tensor, place: Tensor | None = None) -> tuple[Tensor, Tokens]:
        """Unit vectors [B, space] and the tokens of pose [B, P, POSE_WIDTH] and, of two, place [B, 2, PLACE_WIDTH]."""
        tokens = self.tokens(pose, place)
        return self._pool(tokens.vectors), tokens

    def soft(self, pose: Tensor, place: Tensor | None = None) -> Tensor:
        """The unit vectors through smooth mixtures of codes: its gradient tells how to come nearer to a text."""
        return self._pool(self.tokens.soft(pose, place))

    def _pool(self, vectors: Tensor) -> Tensor:
        people, count = vectors.shape[1:3]
        x = self.embed(vectors) + self.slot[:count] + self.who[:people]
        x = x.flatten(1, 2)
        for block in self.blocks:
            x = block(x)
        return F.normalize(self.head(x.mean(1)).float(), dim=-1)


@dataclass(frozen=True)
class TextReaderConfig:
    """The transformer, and what brings its vector into the common space."""

    encoder: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    space: int = 256
    frozen: bool = False
    """The transformer is as it was begun with, and only what follows it has learned."""


class TextReader(nn.Module):
    """A text in the common space."""

    def __init__(self, config: TextReaderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.encoder.width
        self.encoder = TextEncoder(config.encoder)
        self.head = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, config.space))

    def forward(self, numbers: Tensor, known: Tensor) -> Tensor:
        """Unit vectors [B, space] of pieces [B, N] whose `known` [B, N] bool are not padding."""
        if self.config.frozen:
            with torch.no_grad():
                read = self.encoder(numbers, known)
        else:
            read = self.encoder(numbers, known)
        return F.normalize(self.head(read).float(), dim=-1)


class Alignment(nn.Module):
    """Both readers and the temperature that they learned with."""

    def __init__(self, poses: PoseReader, text: TextReader, pieces: Pieces) -> None:
        super().__init__()
        self.poses, self.text, self.pieces = poses, text, pieces
        self.log_temperature = nn.Parameter(torch.tensor(math.log(_FIRST_TEMPERATURE)))

    def forward(
        self, batches: Sequence[tuple[Tensor, Tensor, Tensor, Tensor | None]]
    ) -> list[tuple[Tensor, Tensor, Tokens]]:
        """For each batch of (pieces, known, pose, place) the vectors of text and of poses, and the tokens."""
        return [(self.text(numbers, known), *self.poses(pose, place)) for numbers, known, pose, place in batches]

    @property
    def temperature(self) -> Tensor:
        """That similarities are divided by."""
        return self.log_temperature.exp().clamp(min=0.01)

    @torch.no_grad()
    def read(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors [len(texts), space] of texts."""
        device = self.log_temperature.device
        found = []
        for first in range(0, len(texts), _TOGETHER):
            rows = [torch.tensor(self.pieces.numbers(text)) for text in texts[first : first + _TOGETHER]]
            numbers = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self.pieces.pad).to(device)
            found.append(self.text(numbers, numbers != self.pieces.pad))
        return torch.cat(found)


def new_alignment(poses: PoseReaderConfig, text: TextReaderConfig, pieces: Pieces) -> Alignment:
    """With random weights."""
    return Alignment(PoseReader(poses), TextReader(text), pieces)


def load_alignment(device: torch.device | str, folder: Path | None = None) -> Alignment:
    """The readers of a folder, or the bundled ones. Raises ModelFileError when a file is missing or damaged."""

    def file(name: str) -> Path:
        return folder / Path(name).name if folder else find_model(name)

    def poses(config: dict[str, Any]) -> PoseReader:
        return PoseReader(PoseReaderConfig(**{**config, "tokens": PoseTokensConfig(**config["tokens"])}))

    def text(config: dict[str, Any]) -> TextReader:
        return TextReader(TextReaderConfig(**{**config, "encoder": TextEncoderConfig(**config["encoder"])}))

    readers = load_network(file(POSES_FILE), poses, device), load_network(file(TEXT_FILE), text, device)
    return Alignment(*readers, load_pieces()).to(device).eval().requires_grad_(False)


def save_alignment(folder: Path, alignment: Alignment, about: dict[str, Any]) -> tuple[Path, Path]:
    """Two files, half precision, each with its configuration."""
    about = about | {"temperature": float(alignment.temperature.detach())}
    files = folder / Path(POSES_FILE).name, folder / Path(TEXT_FILE).name
    for file, network in zip(files, (alignment.poses, alignment.text), strict=True):
        save_network(file, network, network.config, about)
    return files
