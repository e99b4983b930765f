"""The lifter: keypoint sequences of one person to a distribution over pose, shape and place, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from closemesh.geometry.rotations import matrix_to_6d, rotation_6d_to_matrix
from closemesh.initialise.view import NUM_POINTS, Sightings, choose_view, features, from_view
from closemesh.networks.attention import FrameBlock, time_features
from closemesh.networks.checkpoint import load_network
from closemesh.weights.search import find_model

LIFTER_FILE = "lifter/lifter.safetensors"
NUM_FEATURES = NUM_POINTS * 8 + 4
NUM_ROTATIONS = 22  # Root and body.
NUM_PLACE = 3  # Ray and logarithm of depth.
SMALLEST_SPREAD = 5.0  # Minus the logarithm of the least standard deviation that a head may tell.


@dataclass(frozen=True)
class LifterConfig:
    """Size of the network."""

    width: int = 256
    layers: int = 6
    heads: int = 8
    hidden: int = 1024
    num_betas: int = 10


@dataclass(frozen=True)
class PoseDistribution:
    """Mean and spread (standard deviations) for B people over T frames, camera frame."""

    root: Tensor  # [B, T, 3, 3] R_cam_root
    body_pose: Tensor  # [B, T, 21, 3, 3]
    ray: Tensor  # [B, T, 2] pelvis x / z and y / z
    log_depth: Tensor  # [B, T] logarithm of the pelvis depth in metres
    betas: Tensor  # [B, num_betas]
    rotation_spread: Tensor  # [B, T, 22] radians about each axis, root first
    place_spread: Tensor  # [B, T, 3] of the ray, and of log_depth
    betas_spread: Tensor  # [B, num_betas]


@dataclass(frozen=True)
class ViewPrediction:
    """What the network says, in the view of each frame; what training compares."""

    rotations_6d: Tensor  # [B, T, 22, 6] root in the view first
    place: Tensor  # [B, T, 3] ray in sizes, log of depth times size
    betas: Tensor  # [B, num_betas]
    log_spread: Tensor  # [B, T, 22 + 3]
    betas_log_spread: Tensor  # [B, num_betas]


class Lifter(nn.Module):
    """A transformer over the frames of one person."""

    rest: Tensor  # [22, 6]
    calibration: Tensor  # [22 + 3 + num_betas]

    def __init__(self, config: LifterConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Sequential(
            nn.Linear(NUM_FEATURES, config.width), nn.GELU(), nn.Linear(config.width, config.width)
        )
        self.unseen = nn.Parameter(torch.zeros(config.width))
        self.blocks = nn.ModuleList(FrameBlock(config.width, config.heads, config.hidden) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.mean = nn.Linear(config.width, NUM_ROTATIONS * 6 + NUM_PLACE)
        self.spread = nn.Linear(config.width, NUM_ROTATIONS + NUM_PLACE)
        self.shape = nn.Linear(config.width, 2 * config.num_betas)
        # Upright and facing the camera: y and z of the person against those of the view.
        facing = torch.eye(3).repeat(NUM_ROTATIONS, 1, 1)
        facing[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
        self.register_buffer("rest", matrix_to_6d(facing), persistent=False)
        # Logarithms that turn the raw spreads into calibrated ones; measured after training.
        self.register_buffer("calibration", torch.zeros(NUM_ROTATIONS + NUM_PLACE + config.num_betas))

    def forward(self, inputs: Tensor, visible: Tensor, times: Tensor) -> ViewPrediction:
        """inputs [B, T, NUM_FEATURES] of `features`, visible [B, T] bool, times [B, T] seconds."""
        x = torch.where(visible[..., None], self.embed(inputs), self.unseen)
        x = x + time_features(times - times[:, :1], self.config.width)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        rotations, place = self.mean(x).float().split([NUM_ROTATIONS * 6, NUM_PLACE], dim=-1)
        share = visible / visible.sum(1, keepdim=True).clamp(min=1)
        betas, betas_log_spread = self.shape((x * share[..., None]).sum(1)).float().chunk(2, dim=-1)
        of_frames, of_betas = self.calibration.split([NUM_ROTATIONS + NUM_PLACE, self.config.num_betas])
        return ViewPrediction(
            rotations_6d=rotations.unflatten(-1, (NUM_ROTATIONS, 6)) + self.rest,
            place=place,
            betas=betas,
            log_spread=(self.spread(x).float() - 2 + of_frames).clamp(-SMALLEST_SPREAD, 2),
            betas_log_spread=(betas_log_spread + of_betas).clamp(-SMALLEST_SPREAD, 2),
        )


def lift(lifter: Lifter, seen: Sightings) -> PoseDistribution:
    """The distribution of every person in every frame."""
    view = choose_view(seen)
    told = lifter(features(seen, view), seen.visible, seen.times)
    rotations = rotation_6d_to_matrix(told.rotations_6d)
    root, ray, log_depth = from_view(view, rotations[..., 0, :, :], told.place[..., :2], told.place[..., 2])
    spread = told.log_spread.exp()
    ray_spread = spread[..., NUM_ROTATIONS : NUM_ROTATIONS + 2] * view.size[..., None]
    return PoseDistribution(
        root=root,
        body_pose=rotations[..., 1:, :, :],
        ray=ray,
        log_depth=log_depth,
        betas=told.betas,
        rotation_spread=spread[..., :NUM_ROTATIONS],
        place_spread=torch.cat([ray_spread, spread[..., NUM_ROTATIONS + 2 :]], dim=-1),
        betas_spread=told.betas_log_spread.exp(),
    )


def load_lifter(device: torch.device | str, path: Path | None = None) -> Lifter:
    """The lifter of a file, or the bundled one. Raises ModelFileError when it is missing or damaged."""
    return load_network(path or find_model(LIFTER_FILE), lambda config: Lifter(LifterConfig(**config)), device)
