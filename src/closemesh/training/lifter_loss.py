"""What the lifter learns from: windows of motion before random cameras, their simulated detections, and the truth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.skinning import forward_kinematics
from closemesh.geometry.rotations import geodesic_angle, matrix_to_6d, rotation_6d_to_matrix
from closemesh.initialise.lifter import NUM_PLACE, NUM_ROTATIONS, ViewPrediction
from closemesh.initialise.view import View, choose_view, features, to_view
from closemesh.training.bank import MotionBank, MotionBatch, draw_windows, join_batches, side_by_side
from closemesh.training.sightings import SeenBatch, Studio, look_at

APART = (0.3, 1.6)  # Metres between two single people who are put side by side.


@dataclass(frozen=True)
class Banks:
    """What windows are drawn from."""

    singles: MotionBank
    pairs: MotionBank
    interactions: MotionBank

    def to(self, device: torch.device | str) -> Banks:
        return Banks(self.singles.to(device), self.pairs.to(device), self.interactions.to(device))


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
    banks: Banks, count: int, frames: int, fps: float, generator: torch.Generator, strangers: float = 0.5
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
    banks: Banks,
    studio: Studio,
    count: int,
    frames: int,
    fps: float,
    generator: torch.Generator,
    strangers: float = 0.5,
) -> SeenBatch:
    """`count` windows of pairs, a share of them `strangers`, as they would be detected."""
    with torch.no_grad():
        return look_at(draw_batch(banks, count, frames, fps, generator, strangers), studio, fps, generator)


def examples_of(batch: SeenBatch) -> Examples:
    """One example for each person of each window."""
    view = choose_view(batch.seen)
    return Examples(features(batch.seen, view), batch.seen.visible, batch.seen.times, target_in_view(batch, view))


def target_in_view(batch: SeenBatch, view: View) -> Target:
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


def lifter_loss(told: ViewPrediction, target: Target, studio: Studio, weights: LifterLoss) -> dict[str, Tensor]:
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


def residuals(told: ViewPrediction, target: Target, rotations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Angles [N, T, 22] in radians, places [N, T, 3] and betas [N, num_betas] off the truth."""
    angle = geodesic_angle(rotations, target.rotations)
    return angle, told.place - target.place, told.betas - target.betas


def _spread_loss(told: ViewPrediction, target: Target, rotations: Tensor) -> Tensor:
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


def centred_joints(studio: Studio, rotations: Tensor, betas: Tensor) -> Tensor:
    """[N, T, 22, 3] with the pelvis at the origin."""
    _, joints = forward_kinematics(rotations, studio.points.rest_joints(betas)[:, None])
    return joints - joints[..., :1, :]
