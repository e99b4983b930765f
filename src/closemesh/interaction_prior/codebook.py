"""The interaction codebook: a VQ-VAE over windows of two people (CloseInt), and the frame that it works in."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
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
    frames: int = CODEBOOK_FRAMES
    """Of a window."""
    slots: int = 4
    """Mixtures of the frames that are represented, at first the lowest frequencies: postures change slowly."""
    groups: int = 16
    """Parts of the representation of one person in one window, each with its own codes."""
    levels: int = 5
    """Codes that are added up to represent one part."""

    @property
    def channels(self) -> int:
        """Numbers that represent one person in one slot."""
        return self.groups * self.code_width // self.slots


@dataclass(frozen=True)
class CodebookOutput:
    """The output of the network for a batch of windows."""

    motion: Tensor  # [B, T, 2, STATE_WIDTH] decoded, canonical frame
    codes: Tensor  # [B, 2, groups, levels] int64
    commitment: Tensor  # [] distance of the encoder from its codes


class Codebook(nn.Module):
    """Dual-branch encoder, residual quantizers and dual-branch decoder over windows in the frame of person a.

    Without training of the blocks, it is a linear code of each frame: the blocks begin as the identity.
    """

    mean: Tensor  # [STATE_WIDTH]
    scale: Tensor  # [STATE_WIDTH] how far each number moves the body
    order: Tensor  # [groups * code_width] number of a person's window that each number of the groups is

    def __init__(self, config: CodebookConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", _rest_state())
        self.register_buffer("scale", torch.ones(STATE_WIDTH))
        self.register_buffer("order", torch.arange(config.groups * config.code_width))
        self.embed = nn.Linear(STATE_WIDTH, config.width)
        self.masked = nn.Parameter(torch.zeros(config.width))
        self.time = nn.Linear(config.width, config.width)
        self.encoder = nn.ModuleList(self._block() for _ in range(config.layers))
        self.to_codes = nn.Linear(config.width, config.channels)
        self.to_slots = nn.Linear(config.frames, config.slots, bias=False)
        self.quantizers = nn.ModuleList(
            ResidualQuantizer(config.levels, config.codes, config.code_width, config.decay)
            for _ in range(config.groups)
        )
        self.from_slots = nn.Linear(config.slots, config.frames, bias=False)
        self.from_codes = nn.Linear(config.channels, config.width)
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
        latent = self._encode(motion, time_features, masked)
        parts = zip(self.quantizers, latent.unbind(-2), strict=True)
        quantized, codes, commitments = zip(*(quantizer(part, levels) for quantizer, part in parts), strict=True)
        mixed = torch.cat(quantized, dim=-1)[..., self.order.argsort()].unflatten(-1, (self.config.slots, -1))
        latent = _along_time(self.from_slots, mixed.transpose(1, 2))
        decoded = self._run(self.decoder, self.from_codes(latent) + time_features)
        motion = self.mean + self.head(decoded).float() / self.scale
        return CodebookOutput(motion, torch.stack(codes, dim=-2), torch.stack(commitments).mean())

    def _encode(self, motion: Tensor, time_features: Tensor, masked: Tensor | None = None) -> Tensor:
        """What the codes stand for, [B, 2, groups, code_width], before it is quantized."""
        x = self.embed((motion - self.mean) * self.scale)
        if masked is not None:
            x = torch.where(masked[..., None], self.masked, x)
        return self._to_groups(self._run(self.encoder, x + time_features))

    def _to_groups(self, x: Tensor) -> Tensor:
        """[B, 2, groups, code_width] of encoded frames x [B, T, 2, width]."""
        slots = _along_time(self.to_slots, self.to_codes(x))
        return slots.transpose(1, 2).flatten(-2)[..., self.order].unflatten(-1, (self.config.groups, -1))

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
        """Starts from the best linear code: principal components of frames, low frequencies, codes by k-means.

        motion [B, T, 2, STATE_WIDTH] canonical; scale [STATE_WIDTH] how far each number moves the body.
        For a network that was not trained before.
        """
        self.mean.copy_(motion.mean((0, 1, 2)))
        scaled = (motion - self.mean) * scale
        unit = scaled.square().mean().sqrt()
        self.scale.copy_(scale / unit)
        basis = _principal_components((scaled / unit).flatten(0, 2))  # [STATE_WIDTH, STATE_WIDTH] rows
        components, channels = min(STATE_WIDTH, self.config.width), self.config.channels
        for linear in (self.embed, self.to_codes, self.from_codes):
            nn.init.zeros_(linear.bias)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.embed.weight[:components] = basis[:components]
        self.head.weight[:, :components] = basis[:components].T
        self.to_codes.weight.copy_(torch.eye(channels, self.config.width))
        self.from_codes.weight.copy_(torch.eye(self.config.width, channels))
        low = _low_frequencies(self.config.frames, self.config.slots)
        self.to_slots.weight.copy_(low)
        self.from_slots.weight.copy_(low.T)
        latent = self._to_groups(self.embed(scaled / unit)).flatten(-2)  # The blocks are the identity.
        self.order.copy_(_balanced_order(latent.flatten(0, 1).var(0), self.config.groups))
        self._fit_codes(latent[..., self.order].unflatten(-1, (self.config.groups, -1)))

    @torch.no_grad()
    def with_levels(self, levels: int, motion: Tensor, times: Tensor) -> Codebook:
        """The same network with more levels of codes, placed by k-means.

        motion [B, T, 2, STATE_WIDTH] canonical and times [B, T] to place them by.
        """
        grown = Codebook(replace(self.config, levels=levels)).to(motion.device)
        grown.load_state_dict(self.state_dict(), strict=False)
        grown._fit_codes(grown._encode(motion, grown._time_features(times)), self.config.levels)
        return grown

    def _fit_codes(self, latent: Tensor, start: int = 0) -> None:
        for quantizer, part in zip(self.quantizers, latent.flatten(0, 1).unbind(-2), strict=True):
            assert isinstance(quantizer, ResidualQuantizer)
            quantizer.fit(part, start)


def _along_time(linear: nn.Module, x: Tensor) -> Tensor:
    """[B, S, 2, C] of x [B, T, 2, C]: a linear layer from T to S times."""
    return linear(x.movedim(1, -1)).movedim(-1, 1)


def _low_frequencies(frames: int, slots: int) -> Tensor:
    """[slots, frames] orthonormal cosines over the frames (DCT-II), lowest frequency first."""
    k, n = torch.meshgrid(torch.arange(slots), torch.arange(frames), indexing="ij")
    matrix = torch.cos(math.pi * k * (2 * n + 1) / (2 * frames)) * (2 / frames) ** 0.5
    matrix[0] /= 2**0.5
    return matrix


def _principal_components(x: Tensor) -> Tensor:
    """Orthonormal rows [W, W] of centered x [N, W], the largest variance first."""
    _, columns = torch.linalg.eigh(x.double().T @ x.double() / len(x))
    return columns.T.flip(0).to(x)


def _balanced_order(variances: Tensor, groups: int) -> Tensor:
    """Indices of `variances` [N], group after group, so that all groups have about the same product of variances."""
    size = len(variances) // groups
    members: list[list[int]] = [[] for _ in range(groups)]
    products = [0.0] * groups
    sorted_variances, order = variances.clamp(min=1e-9).sort(descending=True)
    for k, value in zip(order.tolist(), sorted_variances.log().tolist(), strict=True):
        group = min((g for g in range(groups) if len(members[g]) < size), key=lambda g: products[g])
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
