"""Both networks, codebook.

Trains the book of interactions: windows of two people, coded, and decoded again; parts of them hidden.

Trains the networks of the interaction prior, one after the other.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from closemesh.body.capsules import capsule_distance
from closemesh.core.progress import Progress
from closemesh.initialization.lifting_network import load_lifter
from closemesh.interaction_prior.codebook import (
    CanonicalFrame,
    Codebook,
    CodebookConfig,
    canonical_frame,
    from_canonical,
    load_codebook,
    to_canonical,
)
from closemesh.interaction_prior.diffusion import Denoiser, load_denoiser
from closemesh.interaction_prior.state import PairState, pack, unpack
from closemesh.interaction_prior.windows import WINDOW, PairBody, by_window, pose_pair
from closemesh.lab.training.denoiser import NUM_JOINTS, LossWeights, PriorTraining, motion_loss, train_denoiser
from closemesh.lab.training.denoiser_examples import random_hidden
from closemesh.lab.training.initial_motions import STRANGERS, TOUCH, InitialMotions, simulate_initial_motions
from closemesh.lab.training.lifter import draw_batch
from closemesh.lab.training.loop import Forward, LoopConfig, Losses, Trainer
from closemesh.lab.training.motion_bank import FPS_RANGE, MotionBatch, MotionDatasets
from closemesh.lab.training.simulated_views import DetectionSimulator, open_studio

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
    learn: MotionDatasets,
    check: MotionDatasets,
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
        return codebook_metrics(network.eval(), check, body, config.batch)

    codebook = trainer.run(loss, progress, evaluate, resume)
    assert isinstance(codebook, Codebook)
    return codebook, evaluate(codebook)


def state_of(batch: MotionBatch) -> PairState:
    """The windows as the state that the prior works on; any frame will do for the view."""
    betas = batch.betas[:, None].expand(-1, batch.pelvis.shape[1], -1, -1)
    return PairState(batch.rotations, betas, batch.pelvis)


@torch.no_grad()
def codebook_metrics(codebook: Codebook, check: MotionDatasets, body: PairBody, batch: int) -> dict[str, float]:
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
    return capsule_distance(keypoints[:, :, 0], keypoints[:, :, 1], body.capsules).amin(1)


def _canonical(batch: MotionBatch) -> tuple[PairState, CanonicalFrame]:
    state = state_of(batch)
    frame = canonical_frame(state)
    return to_canonical(state, frame), frame


def _times(batch: MotionBatch) -> Tensor:
    return batch.times.expand(len(batch.pelvis), -1)


FRAMES = 32  # Of each first motion.
FIT_STEPS = 30  # Of the fit that follows the lifter; fewer than any preset spends.
TOGETHER = {"cpu": 256, "cuda": 1024}  # First motions made at once.
_CHECKED = 16  # One first motion to check on for so many to learn from.

NETWORKS = "denoiser", "codebook"

Trained = dict[str, tuple[Denoiser | Codebook, dict[str, float]]]


def train_proxemics(
    learn: MotionDatasets,
    check: MotionDatasets,
    folder: Path,
    windows: int,
    denoising: PriorTraining,
    coding: CodebookTraining,
    device: torch.device,
    progress: Progress,
    resume: bool = True,
    begin_with: Path | None = None,
    only: Collection[str] = NETWORKS,
) -> Trained:
    """Denoiser and codebook, or `only` one of them, with their figures.

    begin_with: folder with the networks of an earlier run, to be trained on. The first motions come from the bundled
    lifter and a short fit. Raises ModelFileError when a network to begin with is missing.
    """
    # Before hours are spent: a network that is missing is told of now.
    start, book = None, None
    if begin_with and "denoiser" in only:
        start = load_denoiser(device, begin_with / "denoiser.safetensors")
    if begin_with and "codebook" in only:
        book = load_codebook(device, begin_with / "codebook.safetensors")
    studio = open_studio().to(device)
    body = PairBody(studio.points, studio.capsules)
    trained: Trained = {}
    if "denoiser" in only:
        known, unseen = _first_motions(learn, check, studio, windows, denoising.seed, device, progress)
        trained["denoiser"] = train_denoiser(
            known, unseen, body, folder / "denoiser", denoising, device, progress, resume, start
        )
    if "codebook" in only:
        trained["codebook"] = train_codebook(
            learn, check, body, folder / "codebook", coding, device, progress, resume, book
        )
    return trained


def _first_motions(
    learn: MotionDatasets,
    check: MotionDatasets,
    studio: DetectionSimulator,
    windows: int,
    seed: int,
    device: torch.device,
    progress: Progress,
) -> tuple[InitialMotions, InitialMotions]:
    """To learn from and to check on."""
    lifter = load_lifter(device)

    def starts(banks: MotionDatasets, count: int, seed: int) -> InitialMotions:
        generator, batch = torch.Generator(device).manual_seed(seed), min(TOGETHER.get(device.type, 256), count)
        return simulate_initial_motions(
            banks.to(device), lifter, studio, count, batch, FRAMES, FIT_STEPS, generator, progress
        )

    return starts(learn, windows, seed), starts(check, max(2, windows // _CHECKED), seed + 1)
