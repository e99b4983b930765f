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

from closemesh.body.load import fitting_points, load_open_body
from closemesh.language.clauses import clauses_of
from closemesh.language.pose_tokens import NUM_JOINTS, PoseTokens, PoseTokensConfig, Tokens
from closemesh.language.text_encoder import TextEncoder, TextEncoderConfig
from closemesh.language.words import Pieces, load_pieces
from closemesh.networks.checkpoint import load_network, save_network
from closemesh.weights.search import find_model

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


class PoseReader(nn.Module):
    """Tokens of one or two people, in the common space."""

    def __init__(self, config: PoseReaderConfig) -> None:
        super().__init__()
        self.config = config
        tokens = config.tokens
        self.tokens = PoseTokens(tokens)
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

    def smooth(self, pose: Tensor, place: Tensor | None = None) -> Tensor:
        """The unit vectors without codes: their gradients tell how to come nearer to a text."""
        return self._pool(self.tokens.smooth(pose, place))

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


class Sayings(nn.Module):
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
        self.sayings = Sayings(config.sayings, config.space)

    def forward(self, numbers: Tensor, known: Tensor) -> Tensor:
        """Log-odds [S, sayings] that each thing is said by sentences of pieces [S, N], padding where not `known`."""
        return self.head(self.encoder(numbers, known)).float()

    def vectors(self, numbers: Tensor, known: Tensor) -> Tensor:
        """[S, space]: the longer, the more is told."""
        return self(numbers, known).sigmoid() @ self.sayings.vectors


class Alignment(nn.Module):
    """Both readers, and the pieces that texts are cut into.

    The vectors of the sentences of a text add up, as the logarithms of independent chances do: a text is read piece by
    piece, and words that were never learned together are still understood together.
    """

    def __init__(self, poses: PoseReader, text: TextReader, pieces: Pieces) -> None:
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


def new_alignment(poses: PoseReaderConfig, text: TextReaderConfig, pieces: Pieces) -> Alignment:
    """With random weights, and the joints of the mean open body."""
    made = Alignment(PoseReader(poses), TextReader(text), pieces)
    body = fitting_points(load_open_body("light"))
    made.poses.tokens.rest.copy_(body.rest_joints(torch.zeros(1, body.num_betas))[0, :NUM_JOINTS])
    return made


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
    files = folder / Path(POSES_FILE).name, folder / Path(TEXT_FILE).name
    for file, network in zip(files, (alignment.poses, alignment.text), strict=True):
        save_network(file, network, network.config, about)
    return files
