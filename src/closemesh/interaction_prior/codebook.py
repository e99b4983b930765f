"""The interaction codebook: a VQ-VAE over windows of two people (CloseInt), and the frame that it works in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from closemesh.interaction_prior.state import NUM_BETAS, NUM_ROTATIONS, STATE_WIDTH, PairState, pack
from closemesh.networks.checkpoint import load_network
from closemesh.networks.layers import (
    PairTransformerBlock,
    ResidualQuantizer,
    fold_pairs,
    swap_partners,
    time_embedding,
    unfold_pairs,
)
from closemesh.weights.locate import find_model

CODEBOOK_FRAMES = 16  # Half a second, as in CloseInt.
CODEBOOK_FILE = "prior/codebook.safetensors"


@dataclass(frozen=True)
class CodebookConfig:
    """Sizes; 512 codes of 32 numbers as in CloseInt."""

    width: int = 256
    layers: int = 2
    heads: int = 8
    hidden: int = 512
    codes: int = 512
    code_width: int = 32
    decay: float = 0.99
    """Of the moving averages that update the codes."""
    groups: int = 4
    """Parts of the representation of one person at one time, each with its own codes."""
    levels: int = 6
    """Codes that are added up to represent one part."""
    frames: int = CODEBOOK_FRAMES
    """Of a window."""
    slots: int = 4
    """Times in a window that are represented: postures change more slowly than frames."""


@dataclass(frozen=True)
class CodebookOutput:
    """The output of the network for a batch of windows."""

    motion: Tensor  # [B, T, 2, STATE_WIDTH] decoded, canonical frame
    codes: Tensor  # [B, slots, 2, groups, levels] int64
    commitment: Tensor  # [] distance of the encoder from its codes


class Codebook(nn.Module):
    """Dual-branch encoder, residual quantizers and dual-branch decoder over windows in the frame of person a.

    Without training of the blocks, it is a linear code of each frame: the blocks begin as the identity.
    """

    mean: Tensor  # [STATE_WIDTH]
    scale: Tensor  # [STATE_WIDTH] how far each number moves the body

    def __init__(self, config: CodebookConfig) -> None:
        super().__init__()
        self.config = config
        inner = config.groups * config.code_width
        self.register_buffer("mean", _rest_state())
        self.register_buffer("scale", torch.ones(STATE_WIDTH))
        self.embed = nn.Linear(STATE_WIDTH, config.width)
        self.masked = nn.Parameter(torch.zeros(config.width))
        self.time = nn.Linear(config.width, config.width)
        self.encoder = nn.ModuleList(self._block() for _ in range(config.layers))
        self.to_codes = nn.Linear(config.width, inner)
        self.to_slots = nn.Linear(config.frames, config.slots, bias=False)
        self.quantizers = nn.ModuleList(
            ResidualQuantizer(config.levels, config.codes, config.code_width, config.decay)
            for _ in range(config.groups)
        )
        self.from_slots = nn.Linear(config.slots, config.frames, bias=False)
        self.from_codes = nn.Linear(inner, config.width)
        self.decoder = nn.ModuleList(self._block() for _ in range(config.layers))
        self.partner_norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, STATE_WIDTH)
        for layer in (self.time, self.head):  # A fresh network decodes two people at rest.
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self, motion: Tensor, times: Tensor, masked: Tensor | None = None, levels: int | None = None
    ) -> CodebookOutput:
        """motion [B, T, 2, STATE_WIDTH] canonical, times [B, T] seconds, masked [B, T, 2] bool frames to fill in.

        levels: use only the first so many levels of codes, for a coarser motion; all if None.
        """
        time_features = self._time_features(times)
        latent = self.encode(motion, time_features, masked)
        parts = zip(self.quantizers, latent.unflatten(-1, (self.config.groups, -1)).unbind(-2), strict=True)
        quantized, codes, commitments = zip(*(quantizer(part, levels) for quantizer, part in parts), strict=True)
        latent = _along_time(self.from_slots, torch.cat(quantized, dim=-1))
        decoded = self._run(self.decoder, self.from_codes(latent) + time_features)
        motion = self.mean + self.head(decoded).float() / self.scale
        return CodebookOutput(motion, torch.stack(codes, dim=-2), torch.stack(commitments).mean())

    def encode(self, motion: Tensor, time_features: Tensor, masked: Tensor | None = None) -> Tensor:
        """What the codes stand for, [B, slots, 2, groups * code_width], before it is quantized."""
        x = self.embed((motion - self.mean) * self.scale)
        if masked is not None:
            x = torch.where(masked[..., None], self.masked, x)
        return _along_time(self.to_slots, self.to_codes(self._run(self.encoder, x + time_features)))

    def _time_features(self, times: Tensor) -> Tensor:
        return self.time(time_embedding(times - times[:, :1], self.config.width))[:, :, None]

    def _run(self, blocks: nn.ModuleList, x: Tensor) -> Tensor:
        own = fold_pairs(x)
        for block in blocks:
            # The partner's features are also the condition, as in the authors' later release. They grow from layer to
            # layer, and a condition multiplies: hence the norm.
            other = swap_partners(own)
            own = block(own, other, self.partner_norm(other))
        return unfold_pairs(own)

    def _block(self) -> PairTransformerBlock:
        block = PairTransformerBlock(self.config.width, self.config.heads, self.config.hidden)
        for attention in (block.own, block.partner):
            nn.init.zeros_(attention.out.weight)
            nn.init.zeros_(attention.out.bias)
        return block

    @torch.no_grad()
    def fit_linear(self, motion: Tensor, scale: Tensor) -> None:
        """Starts from the best linear code of each frame: principal components, and codes among them by k-means.

        motion [B, T, 2, STATE_WIDTH] canonical; scale [STATE_WIDTH] how far each number moves the body.
        For a network that was not trained before.
        """
        self.mean.copy_(motion.mean((0, 1, 2)))
        scaled = (motion - self.mean) * scale
        unit = scaled.square().mean().sqrt()
        self.scale.copy_(scale / unit)
        basis, variances = _principal_components((scaled / unit).flatten(0, 2))  # [STATE_WIDTH, STATE_WIDTH] rows
        inner, width = self.config.groups * self.config.code_width, self.config.width
        order = _balanced_order(variances[:inner], self.config.groups)
        for linear in (self.embed, self.to_codes, self.from_codes):
            nn.init.zeros_(linear.bias)
        kept = min(STATE_WIDTH, width)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.embed.weight[:kept] = basis[:kept]
        self.head.weight[:, :kept] = basis[:kept].T
        nn.init.zeros_(self.to_codes.weight)
        used = torch.arange(len(order), device=order.device)
        self.to_codes.weight[used, order] = 1.0
        self.from_codes.weight.copy_(self.to_codes.weight.T)
        low_pass = _low_pass(self.config.frames, self.config.slots).to(motion)
        self.to_slots.weight.copy_(low_pass)
        self.from_slots.weight.copy_(torch.linalg.pinv(low_pass))
        latent = _along_time(self.to_slots, (scaled / unit @ basis[:kept].T)[..., order]).flatten(0, 2)
        parts = latent.unflatten(-1, (self.config.groups, -1)).unbind(-2)
        for quantizer, part in zip(self.quantizers, parts, strict=True):
            assert isinstance(quantizer, ResidualQuantizer)
            quantizer.fit(part)


def _along_time(linear: nn.Module, x: Tensor) -> Tensor:
    """[B, S, 2, C] of x [B, T, 2, C]: a linear layer from T to S times."""
    return linear(x.movedim(1, -1)).movedim(-1, 1)


def _low_pass(frames: int, slots: int) -> Tensor:
    """[slots, frames] the lowest frequencies of `frames` numbers, at `slots` times: two cosine transforms."""
    forward, backward = _cosines(frames)[:slots], _cosines(slots)
    return backward.T @ forward * (slots / frames) ** 0.5


def _cosines(count: int) -> Tensor:
    """[count, count] orthonormal cosine transform (DCT-II), lowest frequency first."""
    k, n = torch.meshgrid(torch.arange(count), torch.arange(count), indexing="ij")
    matrix = torch.cos(math.pi * k * (2 * n + 1) / (2 * count)) * (2 / count) ** 0.5
    matrix[0] /= 2**0.5
    return matrix


def _principal_components(x: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal rows [W, W] and their variances [W], largest first, of centered x [N, W]."""
    variances, columns = torch.linalg.eigh(x.double().T @ x.double() / len(x))
    return columns.T.flip(0).to(x), variances.flip(0).to(x)


def _balanced_order(variances: Tensor, groups: int) -> Tensor:
    """The components [groups * n], group after group, so that all groups have about the same product of variances."""
    members: list[list[int]] = [[] for _ in range(groups)]
    products = [0.0] * groups
    for k, value in enumerate(variances.clamp(min=1e-9).log().tolist()):
        open_groups = [g for g in range(groups) if len(members[g]) < len(variances) // groups]
        group = min(open_groups, key=lambda g: products[g])
        members[group].append(k)
        products[group] += value
    return torch.tensor([k for group in members for k in group], device=variances.device)


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
