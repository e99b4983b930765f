"""Trains the book of interactions: windows of two people, coded, and decoded again; parts of them hidden."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from closemesh.body.capsules import capsule_gap
from closemesh.progress import Progress
from closemesh.proxemics.codebook import (
    CanonicalFrame,
    Codebook,
    CodebookConfig,
    canonical_frame,
    from_canonical,
    to_canonical,
)
from closemesh.proxemics.loss import NUM_JOINTS, LossWeights, motion_loss
from closemesh.proxemics.state import PairState, pack, unpack
from closemesh.proxemics.windows import WINDOW, PairBody, by_window, pose_pair
from closemesh.training.bank import FPS_RANGE, MotionBatch
from closemesh.training.lifter_loss import Banks, draw_batch
from closemesh.training.loop import Forward, LoopConfig, Losses, Trainer
from closemesh.training.masking import random_hidden
from closemesh.training.starts import STRANGERS, TOUCH

CHECK_BATCHES = 8
_APART = 0.15


@dataclass(frozen=True)
class CodebookTraining:
    """How the book is trained."""

    network: CodebookConfig = field(default_factory=CodebookConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    loss: LossWeights = field(default_factory=LossWeights)
    commitment: float = 0.02
    batch: int = 256
    hide_frames: float = 0.5
    """Share of windows in which frames of both people are hidden."""
    seed: int = 0


def train_codebook(
    learn: Banks,
    check: Banks,
    body: PairBody,
    folder: Path,
    config: CodebookTraining,
    device: torch.device,
    progress: Progress,
    resume: bool = True,
    first: Codebook | None = None,
) -> tuple[Codebook, dict[str, float]]:
    """The book, and its figures on the motion of `check`, which it has not learned from.

    It begins with the weights of `first`, else with random ones.
    """
    torch.manual_seed(config.seed)
    learn, check = learn.to(device), check.to(device)
    trainer = Trainer(first or Codebook(config.network), config.loop, folder, device)
    generator = torch.Generator(device).manual_seed(config.seed + 1)

    def loss(forward: Forward, step: int) -> Losses:
        low, high = FPS_RANGE
        fps = low + (high - low) * ((step * 0.618034) % 1)
        batch = draw_batch(learn, config.batch, WINDOW, fps, generator, STRANGERS)
        hidden = random_hidden(config.batch, config.hide_frames, 0.0, generator, device)
        state, frame = _canonical(batch)
        coded = forward(pack(state), _times(batch), hidden)
        decoded = from_canonical(unpack(coded.motion), frame)
        everybody = torch.ones_like(hidden)
        terms = motion_loss(body, decoded, state_of(batch), batch.known, everybody, config.loss)
        return {**terms, "commitment": config.commitment * coded.commitment}

    def evaluate(network: nn.Module) -> dict[str, float]:
        assert isinstance(network, Codebook)
        return figures(network.eval(), check, body, config.batch)

    codebook = trainer.run(loss, progress, evaluate, resume)
    assert isinstance(codebook, Codebook)
    return codebook, evaluate(codebook)


def state_of(batch: MotionBatch) -> PairState:
    """The windows as the state that the prior works on; any frame will do for the view."""
    betas = batch.betas[:, None].expand(-1, batch.pelvis.shape[1], -1, -1)
    return PairState(batch.rotations, betas, batch.pelvis)


@torch.no_grad()
def figures(codebook: Codebook, check: Banks, body: PairBody, batch: int) -> dict[str, float]:
    """Reconstruction in mm, how many codes are used how evenly, and how far codes of touch differ from those of none.

    `code_difference` is the total variation, 0 to 1, between the codes of windows in which people touch and of those in
    which they stay apart; `code_difference_by_chance` the same between two random halves of all windows.
    """
    generator = torch.Generator(check.pairs.poses.device).manual_seed(0)
    counts = torch.zeros(4, codebook.config.codes, device=generator.device)
    joints, between = [], []
    for _ in range(CHECK_BATCHES):
        windows = draw_batch(check, batch, WINDOW, 30.0, generator, STRANGERS)
        state, frame = _canonical(windows)
        coded = codebook(pack(state), _times(windows))
        apart = _measure(body, from_canonical(unpack(coded.motion), frame), state_of(windows), joints, between)
        half = torch.arange(batch, device=apart.device) % 2 == 0
        for row, chosen in enumerate((apart < TOUCH, apart > _APART, half, ~half)):
            counts[row] += torch.bincount(coded.codes[chosen].flatten(), minlength=codebook.config.codes)
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    use = shares[2:].mean(0)
    return {
        "joints_mm": 1000 * sum(joints) / len(joints),
        "between_mm": 1000 * sum(between) / len(between),
        "codes_used": float((counts.sum(0) > 0).float().mean()),
        "perplexity": float(torch.special.entr(use).sum().exp()),
        "code_difference": float((shares[0] - shares[1]).abs().sum() / 2),
        "code_difference_by_chance": float((shares[2] - shares[3]).abs().sum() / 2),
    }


def _measure(body: PairBody, decoded: PairState, truth: PairState, joints: list[float], between: list[float]) -> Tensor:
    """Adds the errors of a batch; smallest distance [B] between the two people of each window."""
    found, true = pose_pair(body, decoded), pose_pair(body, truth)
    a, b = (by_window(posed.joints[..., :NUM_JOINTS, :]) for posed in (found, true))
    centred = (a - a[..., :1, :]) - (b - b[..., :1, :])
    joints.append(float(centred.norm(dim=-1).mean()))
    between.append(float((torch.cdist(a[:, :, 0], a[:, :, 1]) - torch.cdist(b[:, :, 0], b[:, :, 1])).abs().mean()))
    keypoints = by_window(true.keypoints)
    return capsule_gap(keypoints[:, :, 0], keypoints[:, :, 1], body.capsules).amin(1)


def _canonical(batch: MotionBatch) -> tuple[PairState, CanonicalFrame]:
    state = state_of(batch)
    frame = canonical_frame(state)
    return to_canonical(state, frame), frame


def _times(batch: MotionBatch) -> Tensor:
    return batch.times.expand(len(batch.pelvis), -1)
