"""A joint embedding space of texts and poses: pose VQ-VAE, pose encoder and text encoder."""

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
from closemesh.text.text_encoder import (
    TextTransformer,
    TextTransformerConfig,
    WordPieceTokenizer,
    load_tokenizer,
    split_clauses,
)
from closemesh.weights.locate import find_model

NUM_JOINTS = 22
POSE_WIDTH = (NUM_JOINTS - 1) * 6 + 3
PLACE_WIDTH = 9
POSES_FILE, TEXT_FILE = "language/poses.safetensors", "language/text.safetensors"
# The encoders of the VQ-VAE stay in half precision: rounded more, they choose other codes.
_POSES_QUANTIZED, _TEXT_QUANTIZED = ("layers", "vqvae.decoders"), ("transformer", "head", "labels")
_ENCODER_WIDTH = POSE_WIDTH + (NUM_JOINTS - 1) * 4
_JOINT_SCALE = 3.0  # Brings joints, which are less than 1 m from the pelvis, to the scale of the other inputs.
_INITIAL_SCALE = 10.0
_INITIAL_LOG_ODDS = -5.0  # A sentence has few of all labels.
_BATCH = 256  # Sentences encoded at once.


@dataclass(frozen=True)
class PoseVQVAEConfig:
    """Sizes; 512 codes as in the codebook of CloseInt."""

    hidden: int = 512
    pose_tokens: int = 16
    """Tokens for the pose of one person."""
    place_tokens: int = 8
    """Tokens for the place of the partner, for each of two people."""
    codes: int = 512
    levels: int = 4
    """Residual codes of a token."""
    code_width: int = 32
    decay: float = 0.99
    """Of the moving averages of the codes."""


@dataclass(frozen=True)
class PoseTokens:
    """One or two people (P) as tokens, and decoded."""

    vectors: Tensor  # [B, P, tokens, code_width]: pose tokens, then place tokens when P is 2
    pose: Tensor  # [B, P, POSE_WIDTH] decoded
    place: Tensor | None  # [B, 2, PLACE_WIDTH] decoded
    commitment: Tensor  # [] distance of the encoders from their codes


def pose_input(rotations: Tensor, up: Tensor) -> Tensor:
    """Body rotations in 6D and the up direction in pelvis axes [..., POSE_WIDTH], invariant to the heading.

    rotations: [..., 22, 3, 3] with the root first; up: [..., 3] unit vector against gravity, in the frame of the root.
    """
    body = matrix_to_6d(rotations[..., 1:, :, :]).flatten(-2)
    return torch.cat([body, torch.einsum("...ji,...j->...i", rotations[..., 0, :, :], up)], dim=-1)


def place_input(root: Tensor, pelvis: Tensor) -> Tensor:
    """The partner's pelvis, in meters, and its rotation in 6D, in own pelvis axes [..., 2, PLACE_WIDTH].

    root: [..., 2, 3, 3]; pelvis: [..., 2, 3] meters, in one frame.
    """
    rotation = root.transpose(-1, -2) @ root.flip(-3)
    offset = torch.einsum("...ji,...j->...i", root, pelvis.flip(-2) - pelvis)
    return torch.cat([offset, matrix_to_6d(rotation)], dim=-1)


def append_joints(pose: Tensor, rest: Tensor) -> Tensor:
    """Poses followed by scaled joint positions and heights in pelvis axes [..., _ENCODER_WIDTH].

    pose: [..., POSE_WIDTH]; rest: [22, 3] meters, joints at rest. Texts describe positions, which are hard to infer
    from rotations.
    """
    local = rotation_6d_to_matrix(pose[..., :-3].unflatten(-1, (-1, 6)))
    places, rotations = [torch.zeros_like(pose[..., -3:])], [torch.eye(3).to(pose).expand(*pose.shape[:-1], 3, 3)]
    for joint in range(1, NUM_JOINTS):
        parent = PARENTS[joint]
        places.append(places[parent] + torch.einsum("...ij,j->...i", rotations[parent], rest[joint] - rest[parent]))
        rotations.append(rotations[parent] @ local[..., joint - 1, :, :])
    joints = _JOINT_SCALE * torch.stack(places[1:], dim=-2)
    heights = torch.einsum("...ji,...i->...j", joints, pose[..., -3:])
    return torch.cat([pose, joints.flatten(-2), heights], dim=-1)


class PoseVQVAE(nn.Module):
    """Residual VQ-VAE of poses and of the places of partners; both people share the weights."""

    rest: Tensor  # [22, 3] meters, joints of the mean body at rest

    def __init__(self, config: PoseVQVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("rest", torch.zeros(NUM_JOINTS, 3))
        inner = {"pose": config.pose_tokens * config.code_width, "place": config.place_tokens * config.code_width}
        widths = {"pose": POSE_WIDTH, "place": PLACE_WIDTH}
        inputs = {"pose": _ENCODER_WIDTH, "place": PLACE_WIDTH}
        self.encoders = nn.ModuleDict({n: _mlp(inputs[n], config.hidden, inner[n]) for n in widths})
        self.codebooks = nn.ModuleDict(
            {n: nn.ModuleList(_codebook(config) for _ in range(config.levels)) for n in widths},
        )
        self.decoders = nn.ModuleDict({n: _mlp(inner[n], config.hidden, widths[n]) for n in widths})
        *_, bias = self.decoders["pose"].parameters()
        with torch.no_grad():  # An untrained network decodes poses near rest: gradients are steep far from rotations.
            bias.copy_(pose_input(torch.eye(3).expand(NUM_JOINTS, 3, 3), torch.tensor([0.0, 1.0, 0.0])))

    def forward(self, pose: Tensor, place: Tensor | None = None) -> PoseTokens:
        """Tokens of pose [B, P, POSE_WIDTH] and, for two people, place [B, 2, PLACE_WIDTH].

        The gradient passes straight through the quantization.
        """
        vectors, decoded, commitment = self._quantize("pose", pose)
        if place is None:
            return PoseTokens(vectors, decoded, None, commitment)
        place_vectors, decoded_place, place_commitment = self._quantize("place", place)
        both = torch.cat([vectors, place_vectors], dim=-2)
        return PoseTokens(both, decoded, decoded_place, commitment + place_commitment)

    def soft(self, pose: Tensor, place: Tensor | None = None) -> Tensor:
        """Vectors [B, P, tokens, code_width] before quantization, which have a gradient, for guidance.

        pose: [B, P, POSE_WIDTH]; place: [B, 2, PLACE_WIDTH] when P is 2.
        """
        inputs = {"pose": pose} if place is None else {"pose": pose, "place": place}
        return torch.cat([self._encode(name, x) for name, x in inputs.items()], dim=-2)

    def _encode(self, name: str, features: Tensor) -> Tensor:
        if name == "pose":
            with torch.autocast(features.device.type, enabled=False):  # Half precision would cost centimeters.
                features = append_joints(features, self.rest)
        return self.encoders[name](features).float().unflatten(-1, (-1, self.config.code_width))

    def _quantize(self, name: str, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantized vectors, what they decode to, and the commitment loss."""
        residual = vectors = self._encode(name, features)
        commitment = vectors.new_zeros(())
        for codebook in self.codebooks[name]:  # type: ignore[union-attr]
            codes, _, level_commitment = codebook(residual)
            residual, commitment = residual - codes.detach(), commitment + level_commitment
        vectors = vectors - residual.detach()
        return vectors, self.decoders[name](vectors.flatten(-2)).float(), commitment


def _codebook(config: PoseVQVAEConfig) -> VectorQuantizer:
    return VectorQuantizer(config.codes, config.code_width, config.decay)


def _mlp(width: int, hidden: int, out: int) -> nn.Sequential:
    last = nn.Linear(hidden, out)
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), last)


@dataclass(frozen=True)
class PoseEncoderConfig:
    """Sizes of the pose encoder."""

    vqvae: PoseVQVAEConfig = field(default_factory=PoseVQVAEConfig)
    hidden: int = 640
    space: int = 256
    """Width of the joint space."""


class PoseEncoder(nn.Module):
    """Poses of one or two people as unit vectors of the joint space."""

    def __init__(self, config: PoseEncoderConfig) -> None:
        super().__init__()
        self.config = config
        vqvae = config.vqvae
        self.vqvae = PoseVQVAE(vqvae)
        self.width = (vqvae.pose_tokens + vqvae.place_tokens) * vqvae.code_width
        self.layers = nn.Sequential(
            nn.Linear(2 * self.width, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.space),
        )

    def forward(self, pose: Tensor, place: Tensor | None = None) -> tuple[Tensor, PoseTokens]:
        """Unit vectors [B, space] and tokens.

        pose: [B, P, POSE_WIDTH]; place: [B, 2, PLACE_WIDTH] when P is 2.
        """
        tokens = self.vqvae(pose, place)
        return self._pool(tokens.vectors), tokens

    def soft(self, pose: Tensor, place: Tensor | None = None) -> Tensor:
        """Unit vectors [B, space] without quantization, which have a gradient, for guidance.

        pose: [B, P, POSE_WIDTH]; place: [B, 2, PLACE_WIDTH] when P is 2.
        """
        return self._pool(self.vqvae.soft(pose, place))

    def _pool(self, vectors: Tensor) -> Tensor:
        own = vectors.flatten(2)  # [B, P, tokens * code_width]
        both = F.pad(own, (0, self.width - own.shape[-1], 0, 2 - own.shape[1]))  # Zeros for a missing person.
        return F.normalize(self.layers(both.flatten(1)).float(), dim=-1)


@dataclass(frozen=True)
class TextEncoderConfig:
    """Sizes of the text encoder, and the number of labels it predicts."""

    transformer: TextTransformerConfig = field(default_factory=TextTransformerConfig)
    num_labels: int = 1
    space: int = 256


class LabelEmbeddings(nn.Module):
    """A vector of the joint space for every label.

    The log-odds of a label for a pose are `scale` times the product of their vectors, plus `log_odds`.
    """

    def __init__(self, count: int, space: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(0.1 * torch.randn(count, space))
        self.log_odds = nn.Parameter(torch.zeros(count))
        self.log_scale = nn.Parameter(torch.tensor(math.log(_INITIAL_SCALE)))

    @property
    def scale(self) -> Tensor:
        """Factor [] from products of vectors to log-odds."""
        return self.log_scale.exp()


class TextEncoder(nn.Module):
    """Sentences in the joint space: the vectors of all labels, weighted by their predicted probabilities."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.transformer.width
        self.transformer = TextTransformer(config.transformer)
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, config.num_labels))
        nn.init.constant_(self.head[-1].bias, _INITIAL_LOG_ODDS)  # type: ignore[arg-type]
        self.labels = LabelEmbeddings(config.num_labels, config.space)

    def forward(self, tokens: Tensor, valid: Tensor) -> Tensor:
        """Log-odds [S, num_labels] that each sentence has each label; tokens: [S, N]; valid: [S, N] False: padding."""
        return self.head(self.transformer(tokens, valid)).float()

    def vectors(self, tokens: Tensor, valid: Tensor) -> Tensor:
        """Vectors [S, space] of sentences; their length grows with the number of labels.

        tokens: [S, N]; valid: [S, N] bool, False for padding.
        """
        return self(tokens, valid).sigmoid() @ self.labels.vectors


class PoseTextModel(nn.Module):
    """Pose encoder, text encoder and tokenizer.

    The vectors of the clauses of a text are added, as the logarithms of independent probabilities. So a text can
    combine clauses that were never seen together in training.
    """

    def __init__(self, pose_encoder: PoseEncoder, text_encoder: TextEncoder, tokenizer: WordPieceTokenizer) -> None:
        super().__init__()
        self.pose_encoder, self.text_encoder, self.tokenizer = pose_encoder, text_encoder, tokenizer

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors [len(texts), space] of texts of any number of sentences."""
        clauses = [(number, clause) for number, text in enumerate(texts) for clause in split_clauses(text)]
        row = {clause: number for number, clause in enumerate(dict.fromkeys(clause for _, clause in clauses))}
        vectors = self.encode_sentences(list(row))
        vectors = vectors[[row[clause] for _, clause in clauses]]
        owners = torch.tensor([number for number, _ in clauses], device=vectors.device)
        total = vectors.new_zeros(len(texts), vectors.shape[1]).index_add(0, owners, vectors)
        return F.normalize(total, dim=-1)

    @torch.no_grad()
    def encode_sentences(self, sentences: Sequence[str]) -> Tensor:
        """Vectors [len(sentences), space]; their length grows with the number of labels."""
        device, pad = self.text_encoder.labels.vectors.device, self.tokenizer.pad
        rows = [torch.tensor(self.tokenizer.encode(sentence)) for sentence in sentences]
        found = torch.zeros(len(rows), self.pose_encoder.config.space, device=device)
        order = sorted(range(len(rows)), key=lambda number: len(rows[number]))  # Equal lengths need little padding.
        for first in range(0, len(rows), _BATCH):
            chosen = order[first : first + _BATCH]
            tokens = nn.utils.rnn.pad_sequence([rows[k] for k in chosen], batch_first=True, padding_value=pad)
            found[chosen] = self.text_encoder.vectors(tokens.to(device), (tokens != pad).to(device))
        return found


def create_alignment(pose: PoseEncoderConfig, text: TextEncoderConfig, tokenizer: WordPieceTokenizer) -> PoseTextModel:
    """A model with random weights and the joints of the mean bundled body."""
    model = PoseTextModel(PoseEncoder(pose), TextEncoder(text), tokenizer)
    body = load_landmark_body(load_bundled_body("light"))
    model.pose_encoder.vqvae.rest.copy_(body.rest_joints(torch.zeros(1, body.num_betas))[0, :NUM_JOINTS])
    return model


def load_alignment(device: torch.device | str, folder: Path | None = None) -> PoseTextModel:
    """The model of a folder, or the bundled one. Raises ModelFileError when a file is missing or damaged."""

    def file(name: str) -> Path:
        return folder / Path(name).name if folder else find_model(name)

    def pose_encoder(config: dict[str, Any]) -> PoseEncoder:
        return PoseEncoder(PoseEncoderConfig(**{**config, "vqvae": PoseVQVAEConfig(**config["vqvae"])}))

    def text_encoder(config: dict[str, Any]) -> TextEncoder:
        transformer = TextTransformerConfig(**config["transformer"])
        return TextEncoder(TextEncoderConfig(**{**config, "transformer": transformer}))

    poses = load_network(file(POSES_FILE), pose_encoder, device)
    text = load_network(file(TEXT_FILE), text_encoder, device)
    return PoseTextModel(poses, text, load_tokenizer()).to(device).eval().requires_grad_(False)


def save_alignment(folder: Path, model: PoseTextModel, training_info: dict[str, Any]) -> tuple[Path, Path]:
    """The two files it writes, most weights in 8 bits, each with its configuration.

    Raises OutputError when they cannot be written.
    """
    poses, text = folder / Path(POSES_FILE).name, folder / Path(TEXT_FILE).name
    encoders = model.pose_encoder, model.text_encoder
    save_network(poses, encoders[0], encoders[0].config, training_info, quantize=_POSES_QUANTIZED)
    save_network(text, encoders[1], encoders[1].config, training_info, quantize=_TEXT_QUANTIZED)
    return poses, text
