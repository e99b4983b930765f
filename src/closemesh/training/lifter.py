"""Trains the lifter, calibrates its spreads, and measures it on motion that it has not seen."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from closemesh.geometry.rotations import rotation_6d_to_matrix
from closemesh.initialise.lifter import NUM_ROTATIONS, Lifter, LifterConfig
from closemesh.progress import Progress
from closemesh.training.bank import FPS_RANGE
from closemesh.training.lifter_loss import (
    Banks,
    Examples,
    LifterLoss,
    centred_joints,
    examples_of,
    lifter_loss,
    residuals,
    simulate,
)
from closemesh.training.loop import Forward, LoopConfig, Losses, Trainer
from closemesh.training.sightings import Studio, open_studio

CHECK_BATCHES = 8
_AT_ONCE = 8192  # People simulated together, at most: memory grows with them, time hardly.
_CHI_90, _NORMAL_90 = 2.5003, 1.6449  # Ends of the 90 % intervals of three numbers' length, and of one number.


@dataclass(frozen=True)
class LifterTraining:
    """How the lifter is trained."""

    network: LifterConfig = field(default_factory=LifterConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    loss: LifterLoss = field(default_factory=LifterLoss)
    batch: int = 256
    """People in each step."""
    ahead: int = 8
    """Steps whose windows are simulated at once, as it costs little more than simulating those of one; at most."""
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
    first: Lifter | None = None,
) -> tuple[Lifter, dict[str, float]]:
    """The calibrated lifter, and its figures on the motion of `check`, which it has not learned from.

    It begins with the weights of `first`, else with random ones.
    """
    torch.manual_seed(config.seed)
    studio = open_studio().to(device)
    learn, check = learn.to(device), check.to(device)
    trainer = Trainer(first or Lifter(config.network), config.loop, folder, device)
    generator = torch.Generator(device).manual_seed(config.seed + 1)

    stream = _stream(learn, studio, config, generator)

    def loss(forward: Forward, _: int) -> Losses:
        shown = next(stream)
        told = forward(shown.inputs, shown.visible, shown.times)
        return lifter_loss(told, shown.target, studio, config.loss)

    def checks(seed: int) -> Iterator[Examples]:
        drawn, windows = torch.Generator(device).manual_seed(seed), config.batch // 2
        seen = (simulate(check, studio, windows, config.frames, 30.0, drawn) for _ in range(CHECK_BATCHES))
        return map(examples_of, seen)

    lifter = trainer.run(loss, progress, lambda network: figures(network, studio, checks(0)), resume)
    assert isinstance(lifter, Lifter)
    calibrate(lifter, checks(1))
    return lifter, figures(lifter, studio, checks(2))


@torch.no_grad()
def calibrate(lifter: Lifter, batches: Iterable[Examples]) -> None:
    """Scales the spreads so that nine tenths of the residuals fall into their 90 % intervals."""
    scores = [_scores(lifter, batch) for batch in batches]
    scale = torch.cat([torch.nanquantile(torch.cat(parts), 0.9, dim=0) for parts in zip(*scores, strict=True)])
    lifter.calibration += scale.log()


@torch.no_grad()
def figures(lifter: nn.Module, studio: Studio, batches: Iterable[Examples]) -> dict[str, float]:
    """Mean errors, and which share of the truth lies in the 90 % intervals."""
    lifter.eval()
    rows = [_figures(lifter, studio, batch) for batch in batches]
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def _figures(lifter: nn.Module, studio: Studio, shown: Examples) -> dict[str, float]:
    told, target = lifter(shown.inputs, shown.visible, shown.times), shown.target
    rotations = rotation_6d_to_matrix(told.rotations_6d)
    angle, place, betas = residuals(told, target, rotations)
    apart = (centred_joints(studio, rotations, told.betas) - target.joints).norm(dim=-1)
    known = target.known[:, None].expand_as(angle)
    inside = [(score[score.isfinite()] < 1).float().mean() for score in _scores(lifter, shown)]
    return {
        "joints_mm": 1000 * float(apart[..., 1:].mean()),
        "rotation_deg": math.degrees(float(angle[known].mean())),
        "root_deg": math.degrees(float(angle[..., 0].mean())),
        "log_depth": float(place[..., 2].abs().mean()),
        "betas": float(betas.abs().mean()),
        **{f"covered_{name}": float(v) for name, v in zip(("rotation", "place", "betas"), inside, strict=True)},
    }


def _scores(lifter: nn.Module, shown: Examples) -> tuple[Tensor, Tensor, Tensor]:
    """Residuals [N, 22], [N, 3], [M, num_betas] over the ends of their 90 % intervals; nan where nothing is known."""
    told, target = lifter(shown.inputs, shown.visible, shown.times), shown.target
    angle, place, betas = residuals(told, target, rotation_6d_to_matrix(told.rotations_6d))
    of_rotation, of_place = told.log_spread.exp().split([NUM_ROTATIONS, place.shape[-1]], dim=-1)
    angle = torch.where(target.known[:, None], angle, torch.nan)
    return (
        (angle / of_rotation / _CHI_90).flatten(0, 1),
        (place.abs() / of_place / _NORMAL_90).flatten(0, 1),
        betas.abs() / told.betas_log_spread.exp() / _NORMAL_90,
    )


def _stream(learn: Banks, studio: Studio, config: LifterTraining, generator: torch.Generator) -> Iterator[Examples]:
    """Endless batches; each lot of windows has another rate."""
    windows = config.batch * max(1, min(config.ahead, _AT_ONCE // config.batch)) // 2
    for lot in itertools.count():
        shown = examples_of(simulate(learn, studio, windows, config.frames, _rate(lot), generator))
        order = torch.randperm(2 * windows, generator=generator, device=generator.device)
        yield from (shown.part(index) for index in order.split(config.batch))


def _rate(lot: int) -> float:
    """Frames a second, another in each lot."""
    low, high = FPS_RANGE
    return low + (high - low) * ((lot * 0.618034) % 1)
