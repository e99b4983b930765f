"""Poses of one or of two people as tokens of a learned book, and back (pose VQ-VAE)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from closemesh.geometry.rotations import matrix_to_6d
from closemesh.networks.quantiser import Quantiser

NUM_JOINTS = 22
POSE_WIDTH = (NUM_JOINTS - 1) * 6 + 3
PLACE_WIDTH = 9


@dataclass(frozen=True)
class PoseTokensConfig:
    """Sizes; 512 codes as in CloseInt's book."""

    hidden: int = 512
    pose_tokens: int = 16
    """That stand for one person's pose."""
    place_tokens: int = 8
    """That stand for where the other one is, as seen by each of two people."""
    codes: int = 512
    code_width: int = 32
    decay: float = 0.99
    """Of the moving averages that the codes follow."""


@dataclass(frozen=True)
class Tokens:
    """People in tokens: of P people, 16 of the own pose, and 8 of where the other is when P is 2."""

    vectors: Tensor  # [B, P, tokens, code_width]
    pose: Tensor  # [B, P, POSE_WIDTH] decoded
    place: Tensor | None  # [B, 2, PLACE_WIDTH] decoded
    commitment: Tensor  # [] how far the encoders are from their codes


def pose_features(rotations: Tensor, up: Tensor) -> Tensor:
    """[..., POSE_WIDTH] body rotations in 6D and the way up as the pelvis has it, whatever the heading.

    rotations [..., 22, 3, 3] root first; up [..., 3] unit vector against gravity, in the frame of the root.
    """
    body = matrix_to_6d(rotations[..., 1:, :, :]).flatten(-2)
    return torch.cat([body, torch.einsum("...ji,...j->...i", rotations[..., 0, :, :], up)], dim=-1)


def place_features(root: Tensor, pelvis: Tensor) -> Tensor:
    """[..., 2, PLACE_WIDTH] where the other one's pelvis is and how it is turned, as the own pelvis has it.

    root [..., 2, 3, 3] and pelvis [..., 2, 3] metres, in any common frame.
    """
    turned = root.transpose(-1, -2) @ root.flip(-3)
    away = torch.einsum("...ji,...j->...i", root, pelvis.flip(-2) - pelvis)
    return torch.cat([away, matrix_to_6d(turned)], dim=-1)


class PoseTokens(nn.Module):
    """Encoders, books and decoders of poses and of places; one set of weights for everybody."""

    def __init__(self, config: PoseTokensConfig) -> None:
        super().__init__()
        self.config = config
        inner = {"pose": config.pose_tokens * config.code_width, "place": config.place_tokens * config.code_width}
        widths = {"pose": POSE_WIDTH, "place": PLACE_WIDTH}
        self.encoders = nn.ModuleDict({n: _layers(widths[n], config.hidden, inner[n]) for n in widths})
        self.books = nn.ModuleDict({n: Quantiser(config.codes, config.code_width, config.decay) for n in widths})
        self.decoders = nn.ModuleDict({n: _layers(inner[n], config.hidden, widths[n]) for n in widths})
        *_, bias = self.decoders["pose"].parameters()
        with torch.no_grad():  # A fresh network decodes poses near rest: far from any rotation the way is steep.
            bias.copy_(pose_features(torch.eye(3).expand(NUM_JOINTS, 3, 3), torch.tensor([0.0, 1.0, 0.0])))

    def forward(self, pose: Tensor, place: Tensor | None = None) -> Tokens:
        """pose [B, P, POSE_WIDTH], place [B, 2, PLACE_WIDTH] when P is 2: nearest codes, gradients straight through."""
        vectors, decoded, far = self._code("pose", pose)
        if place is None:
            return Tokens(vectors, decoded, None, far)
        placed, decoded_place, place_far = self._code("place", place)
        return Tokens(torch.cat([vectors, placed], dim=-2), decoded, decoded_place, far + place_far)

    def soft(self, pose: Tensor, place: Tensor | None = None) -> Tensor:
        """The vectors as smooth mixtures of codes, for guidance."""
        told = {"pose": pose} if place is None else {"pose": pose, "place": place}
        return torch.cat([self._book(name).soft(self._encode(name, x)) for name, x in told.items()], dim=-2)

    def _encode(self, name: str, features: Tensor) -> Tensor:
        return self.encoders[name](features).float().unflatten(-1, (-1, self.config.code_width))

    def _code(self, name: str, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        vectors, _, commitment = self._book(name)(self._encode(name, features))
        return vectors, self.decoders[name](vectors.flatten(-2)).float(), commitment

    def _book(self, name: str) -> Quantiser:
        book = self.books[name]
        assert isinstance(book, Quantiser)
        return book


def _layers(width: int, hidden: int, out: int) -> nn.Sequential:
    last = nn.Linear(hidden, out)
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), last)
