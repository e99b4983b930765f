"""Trains the lifter, calibrates its spreads, and measures it on motion that it has not seen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from closemesh.geometry.rotations import rotation_6d_to_matrix
from closemesh.initialise.lifter import NUM_ROTATIONS, Lifter, LifterConfig, ViewPrediction
from closemesh.initialise.view import choose_view, features
from closemesh.progress import Progress
from closemesh.training.bank import FPS_RANGE
from closemesh.training.lifter_loss import (
    Banks,
    LifterLoss,
    Target,
    centred_joints,
    lifter_loss,
    residuals,
    simulate,
    target_in_view,
)
from closemesh.training.loop import Forward, LoopConfig, Losses, Trainer
from closemesh.training.sightings import SeenBatch, Studio, open_studio

CHECK_BATCHES = 8
_CHI_90, _NORMAL_90 = 2.5003, 1.6449  # Ends of the 90 % intervals of three numbers' length, and of one number.


@dataclass(frozen=True)
class LifterTraining:
    """How the lifter is trained."""

    network: LifterConfig = field(default_factory=LifterConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    loss: LifterLoss = field(default_factory=LifterLoss)
    batch: int = 128
    """Windows of two people each."""
    frames: int = 32
    seed: int = 0


def train_lifter(
    learn: Banks,
    check: Banks,
    folder: Path,
    config: LifterTraining,
    device: torch.device,
    progress: Progress,
    resume: bool = True,
) -> tuple[Lifter, dict[str, float]]:
    """The calibrated lifter, and its figures on the motion of `check`, which it has not learned from."""
    torch.manual_seed(config.seed)
    studio = open_studio().to(device)
    learn, check = learn.to(device), check.to(device)
    trainer = Trainer(Lifter(config.network), config.loop, folder, device)
    generator = torch.Generator(device).manual_seed(config.seed + 1)

    def loss(forward: Forward, step: int) -> Losses:
        batch = simulate(learn, studio, config.batch, config.frames, _rate(step), generator)
        told, target = _tell(forward, batch)
        return lifter_loss(told, target, studio, config.loss)

    def checks(seed: int) -> Iterator[SeenBatch]:
        drawn = torch.Generator(device).manual_seed(seed)
        return (simulate(check, studio, config.batch, config.frames, 30.0, drawn) for _ in range(CHECK_BATCHES))

    lifter = trainer.run(loss, progress, lambda network: figures(network, studio, checks(0)), resume)
    assert isinstance(lifter, Lifter)
    calibrate(lifter, checks(1))
    return lifter, figures(lifter, studio, checks(2))


@torch.no_grad()
def calibrate(lifter: Lifter, batches: Iterable[SeenBatch]) -> None:
    """Scales the spreads so that nine tenths of the residuals fall into their 90 % intervals."""
    scores = [_scores(lifter, batch) for batch in batches]
    scale = torch.cat([torch.nanquantile(torch.cat(parts), 0.9, dim=0) for parts in zip(*scores, strict=True)])
    lifter.calibration += scale.log()


@torch.no_grad()
def figures(lifter: nn.Module, studio: Studio, batches: Iterable[SeenBatch]) -> dict[str, float]:
    """Mean errors, and which share of the truth lies in the 90 % intervals."""
    lifter.eval()
    rows = [_figures(lifter, studio, batch) for batch in batches]
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def _figures(lifter: nn.Module, studio: Studio, batch: SeenBatch) -> dict[str, float]:
    told, target = _tell(lifter, batch)
    rotations = rotation_6d_to_matrix(told.rotations_6d)
    angle, place, betas = residuals(told, target, rotations)
    apart = (centred_joints(studio, rotations, told.betas) - target.joints).norm(dim=-1)
    known = target.known[:, None].expand_as(angle)
    inside = [(score[score.isfinite()] < 1).float().mean() for score in _scores(lifter, batch)]
    return {
        "joints_mm": 1000 * float(apart[..., 1:].mean()),
        "rotation_deg": math.degrees(float(angle[known].mean())),
        "root_deg": math.degrees(float(angle[..., 0].mean())),
        "log_depth": float(place[..., 2].abs().mean()),
        "betas": float(betas.abs().mean()),
        **{f"covered_{name}": float(v) for name, v in zip(("rotation", "place", "betas"), inside, strict=True)},
    }


def _scores(lifter: nn.Module, batch: SeenBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Residuals [N, 22], [N, 3], [M, num_betas] over the ends of their 90 % intervals; nan where nothing is known."""
    told, target = _tell(lifter, batch)
    angle, place, betas = residuals(told, target, rotation_6d_to_matrix(told.rotations_6d))
    of_rotation, of_place = told.log_spread.exp().split([NUM_ROTATIONS, place.shape[-1]], dim=-1)
    angle = torch.where(target.known[:, None], angle, torch.nan)
    return (
        (angle / of_rotation / _CHI_90).flatten(0, 1),
        (place.abs() / of_place / _NORMAL_90).flatten(0, 1),
        betas.abs() / told.betas_log_spread.exp() / _NORMAL_90,
    )


def _tell(forward: Forward, batch: SeenBatch) -> tuple[ViewPrediction, Target]:
    view = choose_view(batch.seen)
    return forward(features(batch.seen, view), batch.seen.visible, batch.seen.times), target_in_view(batch, view)


def _rate(step: int) -> float:
    """Frames a second, another in each step."""
    low, high = FPS_RANGE
    return low + (high - low) * ((step * 0.618034) % 1)
