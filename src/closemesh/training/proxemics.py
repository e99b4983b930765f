"""Trains the networks of the interaction prior, one after the other."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch

from closemesh.initialise.lifter import load_lifter
from closemesh.progress import Progress
from closemesh.proxemics.codebook import Codebook, load_codebook
from closemesh.proxemics.denoiser import Denoiser, load_denoiser
from closemesh.proxemics.windows import PairBody
from closemesh.training.codebook import CodebookTraining, train_codebook
from closemesh.training.lifter_loss import Banks
from closemesh.training.prior import PriorTraining, train_denoiser
from closemesh.training.sightings import Studio, open_studio
from closemesh.training.starts import Starts, make_starts

FRAMES = 32  # Of each first motion.
FIT_STEPS = 30  # Of the fit that follows the lifter; fewer than any preset spends.
TOGETHER = {"cpu": 256, "cuda": 1024}  # First motions made at once.
_CHECKED = 16  # One first motion to check on for so many to learn from.

NETWORKS = "denoiser", "codebook"

Trained = dict[str, tuple[Denoiser | Codebook, dict[str, float]]]


def train_proxemics(
    learn: Banks,
    check: Banks,
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
    learn: Banks, check: Banks, studio: Studio, windows: int, seed: int, device: torch.device, progress: Progress
) -> tuple[Starts, Starts]:
    """To learn from and to check on."""
    lifter = load_lifter(device)

    def starts(banks: Banks, count: int, seed: int) -> Starts:
        generator, batch = torch.Generator(device).manual_seed(seed), min(TOGETHER.get(device.type, 256), count)
        return make_starts(banks.to(device), lifter, studio, count, batch, FRAMES, FIT_STEPS, generator, progress)

    return starts(learn, windows, seed), starts(check, max(2, windows // _CHECKED), seed + 1)
