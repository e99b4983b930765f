"""Pose VQ-VAE, pose and text encoders, shared space.

Poses of one or of two people as tokens of learned books, and back (residual pose VQ-VAE).

Text and poses in one space: the nearer, the more surely the text is about the pose (contrastive learning).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closemesh.body.loading import load_bundled_body, load_landmark_body
from closemesh.body.skeleton import PARENTS
from closemesh.geometry.rotations import matrix_to_6d, rotation_6d_to_matrix
from closemesh.networks.checkpoint import load_network, save_network
from closemesh.networks.layers import VectorQuantizer
from closemesh.text.text_encoder import TextEncoder, TextEncoderConfig, WordPieceTokenizer, clauses_of, load_pieces
from closemesh.weights.locate import find_model

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


class PoseVQVAE(nn.Module):
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

    def soft(self, pose: Tensor, place: Tensor | None = None) -> Tensor:
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


def _book(config: PoseTokensConfig) -> VectorQuantizer:
    return VectorQuantizer(config.codes, config.code_width, config.decay)


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


POSES_FILE, TEXT_FILE = "language/poses.safetensors", "language/text.safetensors"
_FIRST_SCALE = 10.0
_FIRST_ODDS = -5.0  # Of all that can be said a sentence says little.
_TOGETHER = 256  # Sentences that are read at once.


@dataclass(frozen=True)
class PoseReaderConfig:
    """The pose VQ-VAE, and what turns its tokens into one vector."""

    tokens: PoseTokensConfig = field(default_factory=PoseTokensConfig)
    hidden: int = 640
    space: int = 256
    """Numbers of a vector of the common space."""


class PoseEncoder(nn.Module):
    """Tokens of one or two people, in the common space."""

    def __init__(self, config: PoseReaderConfig) -> None:
        super().__init__()
        self.config = config
        tokens = config.tokens
        self.tokens = PoseVQVAE(tokens)
        self.width = (tokens.pose_tokens + tokens.place_tokens) * tokens.code_width
        self.layers = nn.Sequential(
            nn.Linear(2 * self.width, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.space),
        )

    def forward(self, pose: Tensor, place: Tensor | None = None) -> tuple[Tensor, Tokens]:
        """Unit vectors [B, space] and the tokens of pose [B, P, POSE_WIDTH] and, of two, place [B, 2, PLACE_WIDTH]."""
        tokens = self.tokens(pose, place)
        return self._pool(tokens.vectors), tokens

    def soft(self, pose: Tensor, place: Tensor | None = None) -> Tensor:
        """The unit vectors without codes: their gradients tell how to come nearer to a text."""
        return self._pool(self.tokens.soft(pose, place))

    def _pool(self, vectors: Tensor) -> Tensor:
        own = vectors.flatten(2)  # [B, P, tokens * code_width]
        both = F.pad(own, (0, self.width - own.shape[-1], 0, 2 - own.shape[1]))  # Who is not there is nought.
        return F.normalize(self.layers(both.flatten(1)).float(), dim=-1)


@dataclass(frozen=True)
class TextReaderConfig:
    """The transformer, and how many things can be read out of a sentence."""

    encoder: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    sayings: int = 1
    space: int = 256


class LabelEmbeddings(nn.Module):
    """Everything that can be read out of a sentence, each thing a vector of the common space.

    A pose's unit vector times `scale` times the vector of a thing, with its log-odds, tells how surely it holds of it.
    """

    def __init__(self, count: int, space: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(0.1 * torch.randn(count, space))
        self.log_odds = nn.Parameter(torch.zeros(count))
        self.log_scale = nn.Parameter(torch.tensor(math.log(_FIRST_SCALE)))

    @property
    def scale(self) -> Tensor:
        """That products of vectors are multiplied by to give log-odds."""
        return self.log_scale.exp()


class TextReader(nn.Module):
    """A sentence in the common space: the sum of the vectors of what is read out of it."""

    def __init__(self, config: TextReaderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.encoder.width
        self.encoder = TextEncoder(config.encoder)
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, config.sayings))
        nn.init.constant_(self.head[-1].bias, _FIRST_ODDS)  # type: ignore[arg-type]
        self.sayings = LabelEmbeddings(config.sayings, config.space)

    def forward(self, numbers: Tensor, known: Tensor) -> Tensor:
        """Log-odds [S, sayings] that each thing is said by sentences of pieces [S, N], padding where not `known`."""
        return self.head(self.encoder(numbers, known)).float()

    def vectors(self, numbers: Tensor, known: Tensor) -> Tensor:
        """[S, space]: the longer, the more is told."""
        return self(numbers, known).sigmoid() @ self.sayings.vectors


class PoseTextModel(nn.Module):
    """Both readers, and the pieces that texts are cut into.

    The vectors of the sentences of a text add up, as the logarithms of independent chances do: a text is read piece by
    piece, and words that were never learned together are still understood together.
    """

    def __init__(self, poses: PoseEncoder, text: TextReader, pieces: WordPieceTokenizer) -> None:
        super().__init__()
        self.poses, self.text, self.pieces = poses, text, pieces

    def read(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors [len(texts), space] of texts."""
        parts = [(number, part) for number, text in enumerate(texts) for part in clauses_of(text)]
        place = {part: number for number, part in enumerate(dict.fromkeys(part for _, part in parts))}
        vectors = self.read_sentences(list(place))
        vectors = vectors[[place[part] for _, part in parts]]
        owners = torch.tensor([number for number, _ in parts], device=vectors.device)
        total = vectors.new_zeros(len(texts), vectors.shape[1]).index_add(0, owners, vectors)
        return F.normalize(total, dim=-1)

    @torch.no_grad()
    def read_sentences(self, sentences: Sequence[str]) -> Tensor:
        """Vectors [len(sentences), space]: the longer, the more is told."""
        device, pad = self.text.sayings.vectors.device, self.pieces.pad
        rows = [torch.tensor(self.pieces.numbers(sentence)) for sentence in sentences]
        found = torch.zeros(len(rows), self.poses.config.space, device=device)
        order = sorted(range(len(rows)), key=lambda number: len(rows[number]))  # Of one length there is less padding.
        for first in range(0, len(rows), _TOGETHER):
            chosen = order[first : first + _TOGETHER]
            numbers = nn.utils.rnn.pad_sequence([rows[k] for k in chosen], batch_first=True, padding_value=pad)
            found[chosen] = self.text.vectors(numbers.to(device), (numbers != pad).to(device))
        return found


def new_alignment(poses: PoseReaderConfig, text: TextReaderConfig, pieces: WordPieceTokenizer) -> PoseTextModel:
    """With random weights, and the joints of the mean open body."""
    made = PoseTextModel(PoseEncoder(poses), TextReader(text), pieces)
    body = load_landmark_body(load_bundled_body("light"))
    made.poses.tokens.rest.copy_(body.rest_joints(torch.zeros(1, body.num_betas))[0, :NUM_JOINTS])
    return made


def load_alignment(device: torch.device | str, folder: Path | None = None) -> PoseTextModel:
    """The readers of a folder, or the bundled ones. Raises ModelFileError when a file is missing or damaged."""

    def file(name: str) -> Path:
        return folder / Path(name).name if folder else find_model(name)

    def poses(config: dict[str, Any]) -> PoseEncoder:
        return PoseEncoder(PoseReaderConfig(**{**config, "tokens": PoseTokensConfig(**config["tokens"])}))

    def text(config: dict[str, Any]) -> TextReader:
        return TextReader(TextReaderConfig(**{**config, "encoder": TextEncoderConfig(**config["encoder"])}))

    readers = load_network(file(POSES_FILE), poses, device), load_network(file(TEXT_FILE), text, device)
    return PoseTextModel(*readers, load_pieces()).to(device).eval().requires_grad_(False)


def save_alignment(folder: Path, alignment: PoseTextModel, about: dict[str, Any]) -> tuple[Path, Path]:
    """Two files, half precision, each with its configuration."""
    files = folder / Path(POSES_FILE).name, folder / Path(TEXT_FILE).name
    for file, network in zip(files, (alignment.poses, alignment.text), strict=True):
        save_network(file, network, network.config, about)
    return files
