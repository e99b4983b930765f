"""The interaction codebook: a VQ-VAE over windows of two people (CloseInt), and the frame that it works in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from closemesh.interaction_prior.state import NUM_BETAS, NUM_ROTATIONS, STATE_WIDTH, PairState, pack
from closemesh.networks.checkpoint import load_network
from closemesh.networks.layers import (
    PairTransformerBlock,
    VectorQuantizer,
    fold_pairs,
    swap_partners,
    time_embedding,
    unfold_pairs,
)
from closemesh.weights.locate import find_model

CODEBOOK_FILE = "prior/codebook.safetensors"


@dataclass(frozen=True)
class CodebookConfig:
    """Sizes; 512 codes of 32 numbers as in CloseInt."""

    width: int = 256
    layers: int = 4
    heads: int = 8
    hidden: int = 512
    codes: int = 512
    code_width: int = 32
    decay: float = 0.99
    """Of the moving averages that update the codes."""
    groups: int = 4
    """Codes that together represent one person in one frame."""


@dataclass(frozen=True)
class CodebookOutput:
    """The output of the network for a batch of windows."""

    motion: Tensor  # [B, T, 2, STATE_WIDTH] decoded, canonical frame
    codes: Tensor  # [B, T, 2, groups] int64
    commitment: Tensor  # [] distance of the encoder from its codes


class Codebook(nn.Module):
    """Dual-branch encoder, quantizer and dual-branch decoder over windows in the frame of person a."""

    def __init__(self, config: CodebookConfig) -> None:
        super().__init__()
        self.config = config
        inner = config.groups * config.code_width
        self.embed = nn.Linear(STATE_WIDTH, config.width)
        self.masked = nn.Parameter(torch.zeros(config.width))
        self.encoder = nn.ModuleList(self._block() for _ in range(config.layers))
        self.to_codes = nn.Linear(config.width, inner)
        self.quantizer = VectorQuantizer(config.codes, config.code_width, config.decay)
        self.from_codes = nn.Linear(inner, config.width)
        self.decoder = nn.ModuleList(self._block() for _ in range(config.layers))
        self.partner_norm = nn.LayerNorm(config.width)
        last = nn.Linear(config.width, STATE_WIDTH)
        # A fresh network decodes two people at rest: 6D numbers far from a rotation have steep gradients.
        nn.init.normal_(last.weight, std=0.02)
        with torch.no_grad():
            last.bias.copy_(_rest_state())
        self.head = nn.Sequential(nn.LayerNorm(config.width), last)

    def forward(self, motion: Tensor, times: Tensor, masked: Tensor | None = None) -> CodebookOutput:
        """motion [B, T, 2, STATE_WIDTH] canonical, times [B, T] seconds, masked [B, T, 2] bool frames to fill in."""
        x = self.embed(motion)
        if masked is not None:
            x = torch.where(masked[..., None], self.masked, x)
        time_features = time_embedding(times - times[:, :1], self.config.width)[:, :, None]
        latent = self.to_codes(self._run(self.encoder, x + time_features)).unflatten(-1, (self.config.groups, -1))
        quantized, codes, commitment = self.quantizer(latent)
        decoded = self._run(self.decoder, self.from_codes(quantized.flatten(-2)) + time_features)
        return CodebookOutput(self.head(decoded).float(), codes, commitment)

    def _run(self, blocks: nn.ModuleList, x: Tensor) -> Tensor:
        own = fold_pairs(x)
        for block in blocks:
            # The partner's features are also the condition, as in the authors' later release. They grow from layer to
            # layer, and a condition multiplies: hence the norm.
            other = swap_partners(own)
            own = block(own, other, self.partner_norm(other))
        return unfold_pairs(own)

    def _block(self) -> PairTransformerBlock:
        return PairTransformerBlock(self.config.width, self.config.heads, self.config.hidden)


def _rest_state() -> Tensor:
    """The state [STATE_WIDTH] of a person in the rest pose, of mean shape, at the origin."""
    rotations = torch.eye(3).expand(1, 1, 1, NUM_ROTATIONS, 3, 3)
    return pack(PairState(rotations, torch.zeros(1, 1, 1, NUM_BETAS), torch.zeros(1, 1, 1, 3))).flatten()


@dataclass(frozen=True)
class CanonicalFrame:
    """The root of person a in the first frame of each window."""

    rotation: Tensor  # [B, 3, 3] R_view_canonical
    origin: Tensor  # [B, 3]


def canonical_frame(state: PairState) -> CanonicalFrame:
    """The canonical frame of each window."""
    return CanonicalFrame(state.rotations[:, 0, 0, 0], state.pelvis[:, 0, 0])


def to_canonical(state: PairState, frame: CanonicalFrame) -> PairState:
    """The pair in the canonical frame."""
    rotations = state.rotations.clone()
    rotations[:, :, :, 0] = torch.einsum("bji,btpjk->btpik", frame.rotation, state.rotations[:, :, :, 0])
    pelvis = torch.einsum("bji,btpj->btpi", frame.rotation, state.pelvis - frame.origin[:, None, None])
    return PairState(rotations, state.betas, pelvis)


def from_canonical(state: PairState, frame: CanonicalFrame) -> PairState:
    """The inverse of `to_canonical`."""
    rotations = state.rotations.clone()
    rotations[:, :, :, 0] = torch.einsum("bij,btpjk->btpik", frame.rotation, state.rotations[:, :, :, 0])
    pelvis = torch.einsum("bij,btpj->btpi", frame.rotation, state.pelvis) + frame.origin[:, None, None]
    return PairState(rotations, state.betas, pelvis)


def load_codebook(device: torch.device | str, path: Path | None = None) -> Codebook:
    """The codebook of a file, or the bundled one. Raises ModelFileError when it is missing or damaged."""
    path = path or find_model(CODEBOOK_FILE)
    return load_network(path, lambda config: Codebook(CodebookConfig(**config)), device)
