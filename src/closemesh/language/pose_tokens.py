"""Poses of one or of two people as tokens of learned books, and back (residual pose VQ-VAE)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from closemesh.body.skeleton import PARENTS
from closemesh.geometry.rotations import matrix_to_6d, rotation_6d_to_matrix
from closemesh.networks.quantiser import Quantiser

NUM_JOINTS = 22
POSE_WIDTH = (NUM_JOINTS - 1) * 6 + 3
PLACE_WIDTH = 9
_SEEN_WIDTH = POSE_WIDTH + (NUM_JOINTS - 1) * 4
_METRES = 3.0  # Joints are about so much below 1 m from the pelvis.


@dataclass(frozen=True)
class PoseTokensConfig:
    """Sizes; 512 codes as in CloseInt's book."""

    hidden: int = 512
    pose_tokens: int = 16
    """That stand for one person's pose."""
    place_tokens: int = 8
    """That stand for where the other one is, as seen by each of two people."""
    codes: int = 512
    levels: int = 4
    """Codes of a token, each of what those before it leave over."""
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

    rest: Tensor  # [22, 3] metres, joints of the mean body at rest

    def __init__(self, config: PoseTokensConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("rest", torch.zeros(NUM_JOINTS, 3))
        inner = {"pose": config.pose_tokens * config.code_width, "place": config.place_tokens * config.code_width}
        widths = {"pose": POSE_WIDTH, "place": PLACE_WIDTH}
        seen = {"pose": _SEEN_WIDTH, "place": PLACE_WIDTH}
        self.encoders = nn.ModuleDict({n: _layers(seen[n], config.hidden, inner[n]) for n in widths})
        self.books = nn.ModuleDict(
            {n: nn.ModuleList(_book(config) for _ in range(config.levels)) for n in widths},
        )
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

    def smooth(self, pose: Tensor, place: Tensor | None = None) -> Tensor:
        """The vectors before they are set to codes, for guidance: codes have no gradient, and are close to them."""
        told = {"pose": pose} if place is None else {"pose": pose, "place": place}
        return torch.cat([self._encode(name, x) for name, x in told.items()], dim=-2)

    def _encode(self, name: str, features: Tensor) -> Tensor:
        if name == "pose":
            with torch.autocast(features.device.type, enabled=False):  # Half precision would be centimetres.
                features = with_joints(features, self.rest)
        return self.encoders[name](features).float().unflatten(-1, (-1, self.config.code_width))

    def _code(self, name: str, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rest = vectors = self._encode(name, features)
        far = vectors.new_zeros(())
        for book in self.books[name]:  # type: ignore[union-attr]
            found, _, commitment = book(rest)
            rest, far = rest - found.detach(), far + commitment
        vectors = vectors - rest.detach()  # Its gradient goes straight through.
        return vectors, self.decoders[name](vectors.flatten(-2)).float(), far


def _book(config: PoseTokensConfig) -> Quantiser:
    return Quantiser(config.codes, config.code_width, config.decay)


def with_joints(pose: Tensor, rest: Tensor) -> Tensor:
    """[..., _SEEN_WIDTH] poses [..., POSE_WIDTH] with where the joints are, and how high, as the pelvis has it.

    rest [22, 3] metres, the joints at rest. Words speak of places, which are hard to read off rotations.
    """
    turns = rotation_6d_to_matrix(pose[..., :-3].unflatten(-1, (-1, 6)))
    places, turned = [torch.zeros_like(pose[..., -3:])], [torch.eye(3).to(pose).expand(*pose.shape[:-1], 3, 3)]
    for joint in range(1, NUM_JOINTS):
        parent = PARENTS[joint]
        places.append(places[parent] + torch.einsum("...ij,j->...i", turned[parent], rest[joint] - rest[parent]))
        turned.append(turned[parent] @ turns[..., joint - 1, :, :])
    joints = _METRES * torch.stack(places[1:], dim=-2)
    heights = torch.einsum("...ji,...i->...j", joints, pose[..., -3:])
    return torch.cat([pose, joints.flatten(-2), heights], dim=-1)


def _layers(width: int, hidden: int, out: int) -> nn.Sequential:
    last = nn.Linear(hidden, out)
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), last)
