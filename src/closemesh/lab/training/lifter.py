"""Lifter, its loss, calibration.

What the lifter learns from: windows of motion before random cameras, their simulated detections, and the truth.

Trains the lifter, calibrates its spreads, and measures it on motion that it has not seen.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closemesh.body.skinning import forward_kinematics
from closemesh.core.progress import Progress
from closemesh.geometry.rotations import geodesic_angle, matrix_to_6d, rotation_6d_to_matrix
from closemesh.initialization.lifting_network import (
    NUM_PLACE,
    NUM_ROTATIONS,
    Lifter,
    LifterConfig,
    LifterOutput,
    NormalizedView,
    fit_view,
    lifter_features,
    to_view,
)
from closemesh.lab.training.loop import Forward, LoopConfig, Losses, Trainer
from closemesh.lab.training.motion_bank import (
    FPS_RANGE,
    MotionBatch,
    MotionDatasets,
    draw_windows,
    join_batches,
    side_by_side,
)
from closemesh.lab.training.simulated_views import DetectionSimulator, SeenBatch, open_studio, simulate_views

APART = (0.3, 1.6)  # Metres between two single people who are put side by side.


@dataclass(frozen=True)
class LifterLoss:
    """How much each part counts."""

    rotation: float = 1.0
    joints: float = 10.0
    velocity: float = 20.0
    betas: float = 0.1
    ray: float = 2.0
    depth: float = 2.0
    spread: float = 0.05


@dataclass(frozen=True)
class Target:
    """The truth in the view of each frame, people of all windows one after the other."""

    rotations: Tensor  # [N, T, 22, 3, 3]
    place: Tensor  # [N, T, 3]
    betas: Tensor  # [N, num_betas]
    known: Tensor  # [N, 22] bool
    joints: Tensor  # [N, T, 22, 3] in the view, pelvis at the origin


@dataclass(frozen=True)
class Examples:
    """What the network is shown of N people, and what it should tell."""

    inputs: Tensor  # [N, T, NUM_FEATURES]
    visible: Tensor  # [N, T] bool
    times: Tensor  # [N, T] seconds
    target: Target

    def part(self, index: Tensor) -> Examples:
        """Some of the people."""
        target = Target(*(tensor[index] for tensor in vars(self.target).values()))
        return Examples(self.inputs[index], self.visible[index], self.times[index], target)


def draw_batch(
    banks: MotionDatasets, count: int, frames: int, fps: float, generator: torch.Generator, strangers: float = 0.5
) -> MotionBatch:
    """Pairs: a share `strangers` two single people side by side, the others captured or generated couples."""
    couples = [bank for bank in (banks.pairs, banks.interactions) if len(bank.length)]
    alone = round(count * strangers) if couples else count
    parts = []
    if alone:
        parts.append(side_by_side(draw_windows(banks.singles, 2 * alone, frames, fps, generator), generator, APART))
    for k, bank in enumerate(couples):
        share = (count - alone) // len(couples) if k + 1 < len(couples) else count - sum(len(p.pelvis) for p in parts)
        if share:
            parts.append(draw_windows(bank, share, frames, fps, generator))
    return join_batches(parts)


def simulate(
    banks: MotionDatasets,
    studio: DetectionSimulator,
    count: int,
    frames: int,
    fps: float,
    generator: torch.Generator,
    strangers: float = 0.5,
) -> SeenBatch:
    """`count` windows of pairs, a share of them `strangers`, as they would be detected."""
    with torch.no_grad():
        return simulate_views(draw_batch(banks, count, frames, fps, generator, strangers), studio, fps, generator)


def examples_of(batch: SeenBatch) -> Examples:
    """One example for each person of each window."""
    view = fit_view(batch.seen)
    return Examples(
        lifter_features(batch.seen, view), batch.seen.visible, batch.seen.times, target_in_view(batch, view)
    )


def target_in_view(batch: SeenBatch, view: NormalizedView) -> Target:
    """The truth as the network should tell it."""

    def each(tensor: Tensor) -> Tensor:
        return tensor.transpose(1, 2).flatten(0, 1)

    truth = batch.truth
    rotations, pelvis = each(truth.rotations), each(truth.pelvis)
    root, ray, log_depth = to_view(view, rotations[:, :, 0], pelvis)
    joints = each(truth.joints)
    joints = torch.einsum("ntij,ntkj->ntki", view.R_view_cam, joints - joints[..., :1, :])
    return Target(
        rotations=torch.cat([root[:, :, None], rotations[:, :, 1:]], dim=2),
        place=torch.cat([ray, log_depth[..., None]], dim=-1),
        betas=truth.betas.flatten(0, 1),
        known=truth.known.flatten(0, 1),
        joints=joints,
    )


def lifter_loss(
    told: LifterOutput, target: Target, studio: DetectionSimulator, weights: LifterLoss
) -> dict[str, Tensor]:
    """The weighted terms; spreads are fitted to residuals that they do not move."""
    rotations = rotation_6d_to_matrix(told.rotations_6d)
    known = target.known[:, None].float()  # [N, 1, 22]
    difference = (matrix_to_6d(rotations) - matrix_to_6d(target.rotations)).abs().sum(-1)
    joints = centred_joints(studio, rotations, told.betas)
    speed = joints.diff(dim=1) - target.joints.diff(dim=1)
    place = (told.place - target.place).abs()
    return {
        "rotation": weights.rotation * (difference * known).sum() / known.expand_as(difference).sum(),
        "joints": weights.joints * (joints - target.joints).norm(dim=-1).mean(),
        "velocity": weights.velocity * speed.norm(dim=-1).mean(),
        "betas": weights.betas * (told.betas - target.betas).abs().mean(),
        "ray": weights.ray * place[..., :2].mean(),
        "depth": weights.depth * place[..., 2].mean(),
        "spread": weights.spread * _spread_loss(told, target, rotations),
    }


def residuals(told: LifterOutput, target: Target, rotations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Angles [N, T, 22] in radians, places [N, T, 3] and betas [N, num_betas] off the truth."""
    angle = geodesic_angle(rotations, target.rotations)
    return angle, told.place - target.place, told.betas - target.betas


def _spread_loss(told: LifterOutput, target: Target, rotations: Tensor) -> Tensor:
    """Negative log likelihood of the residuals, which it does not move."""
    angle, place, betas = (r.detach() for r in residuals(told, target, rotations))
    of_rotation, of_place = told.log_spread.split([NUM_ROTATIONS, NUM_PLACE], dim=-1)
    known = target.known[:, None].float().expand_as(angle)
    likelihood = (_unlikely(angle, of_rotation, dimensions=3) * known).sum() / known.sum()
    return likelihood + _unlikely(place, of_place).mean() + _unlikely(betas, told.betas_log_spread).mean()


def _unlikely(residual: Tensor, log_spread: Tensor, dimensions: int = 1) -> Tensor:
    """Of a residual, the length of a vector of so many dimensions; beyond four sigmas it grows only linearly."""
    z = residual.abs() / log_spread.exp()
    return dimensions * log_spread + F.huber_loss(z, torch.zeros_like(z), reduction="none", delta=4.0)


def centred_joints(studio: DetectionSimulator, rotations: Tensor, betas: Tensor) -> Tensor:
    """[N, T, 22, 3] with the pelvis at the origin."""
    _, joints = forward_kinematics(rotations, studio.points.rest_joints(betas)[:, None])
    return joints - joints[..., :1, :]


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
    learn: MotionDatasets,
    check: MotionDatasets,
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
def figures(lifter: nn.Module, studio: DetectionSimulator, batches: Iterable[Examples]) -> dict[str, float]:
    """Mean errors, and which share of the truth lies in the 90 % intervals."""
    lifter.eval()
    rows = [_figures(lifter, studio, batch) for batch in batches]
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def _figures(lifter: nn.Module, studio: DetectionSimulator, shown: Examples) -> dict[str, float]:
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


def _stream(
    learn: MotionDatasets, studio: DetectionSimulator, config: LifterTraining, generator: torch.Generator
) -> Iterator[Examples]:
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
