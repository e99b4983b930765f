"""Trains both networks of the interaction prior, one after the other."""

from __future__ import annotations

from pathlib import Path

import torch

from closemesh.initialise.lifter import load_lifter
from closemesh.progress import Progress
from closemesh.proxemics.codebook import Codebook
from closemesh.proxemics.denoiser import Denoiser
from closemesh.proxemics.windows import PairBody
from closemesh.training.codebook import CodebookTraining, train_codebook
from closemesh.training.lifter_loss import Banks
from closemesh.training.prior import PriorTraining, train_denoiser
from closemesh.training.sightings import open_studio
from closemesh.training.starts import Starts, make_starts

FRAMES = 32  # Of each first motion.
FIT_STEPS = 30  # Of the fit that follows the lifter; what the preset `balanced` spends.
TOGETHER = 256  # First motions made at once.
_CHECKED = 16  # One first motion to check on for so many to learn from.

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
) -> Trained:
    """Denoiser and codebook with their figures; the first motions come from the bundled lifter and a short fit.

    Raises ModelFileError when there is no lifter.
    """
    studio, lifter = open_studio().to(device), load_lifter(device)
    body = PairBody(studio.points, studio.capsules)

    def starts(banks: Banks, count: int, seed: int) -> Starts:
        generator, batch = torch.Generator(device).manual_seed(seed), min(TOGETHER, count)
        return make_starts(banks.to(device), lifter, studio, count, batch, FRAMES, FIT_STEPS, generator, progress)

    seed = denoising.seed
    known, unseen = starts(learn, windows, seed), starts(check, max(2, windows // _CHECKED), seed + 1)
    denoiser = train_denoiser(known, unseen, body, folder / "denoiser", denoising, device, progress, resume)
    codebook = train_codebook(learn, check, body, folder / "codebook", coding, device, progress, resume)
    return {"denoiser": denoiser, "codebook": codebook}
