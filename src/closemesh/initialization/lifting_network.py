"""The lifter, a transformer from one person's keypoint sequence to a distribution over pose, shape and place.

Its inputs and outputs are normalized: a virtual camera turns towards the person, and the person's size is 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closemesh.fitting.keypoint_noise import inv_sigma_in_training
from closemesh.fitting.keypoint_tracks import NUM_POINTS, KeypointTracks
from closemesh.geometry.rotations import matrix_to_6d, rotation_6d_to_matrix, shortest_arc_rotation
from closemesh.networks.checkpoint import load_network
from closemesh.networks.layers import TransformerBlock, time_embedding
from closemesh.weights.locate import find_model

LIFTER_FILE = "lifter/lifter.safetensors"
NUM_FEATURES = NUM_POINTS * 8 + 4
NUM_ROTATIONS = 22  # Root and body.
NUM_PLACE = 3  # Ray and logarithm of depth.
MIN_LOG_STD = -5.0
_MIN_KEYPOINTS = 4  # That determine a normalized view.


@dataclass(frozen=True)
class NormalizedView:
    """The camera turned towards each person in each frame, and the person's size in it."""

    R_view_cam: Tensor  # [B, T, 3, 3]
    size: Tensor  # [B, T] half of the larger side of the detected points, tangent of an angle


def fit_view(tracks: KeypointTracks) -> NormalizedView:
    """The view at the middle of the detected points; frames without a person take the view of a frame around them.

    tracks: per person, [B, T, 23, ...].
    """
    rays = (tracks.points2d - tracks.principal_point[:, None, None]) / tracks.focal[:, None, None, None]
    known = (tracks.inv_sigma > 0)[..., None]
    lowest = torch.where(known, rays, torch.inf).amin(-2)  # [B, T, 2]
    highest = torch.where(known, rays, -torch.inf).amax(-2)
    enough = (known[..., 0].sum(-1) >= _MIN_KEYPOINTS) & tracks.detected
    middle = torch.where(enough[..., None], (lowest + highest) / 2, 0.0)
    half = torch.where(enough, (highest - lowest).amax(-1) / 2, 1.0)
    middle, size = _fill(middle, enough), _fill(half.log()[..., None], enough)[..., 0].exp()
    direction = F.normalize(F.pad(middle, (0, 1), value=1.0), dim=-1)
    return NormalizedView(
        shortest_arc_rotation(direction, direction.new_tensor([0.0, 0.0, 1.0]).expand_as(direction)), size
    )


def lifter_features(tracks: KeypointTracks, view: NormalizedView) -> Tensor:
    """[B, T, 23 * 8 + 4] 2D and 3D keypoints in the view with their confidence, and the view itself.

    tracks: per person, [B, T, 23, ...].
    """
    assert tracks.points3d is not None
    rays = (tracks.points2d - tracks.principal_point[:, None, None]) / tracks.focal[:, None, None, None]
    known = (tracks.inv_sigma > 0).float() * tracks.detected[..., None]  # [B, T, 23]
    turned = torch.einsum("btij,btkj->btki", view.R_view_cam, F.pad(rays, (0, 1), value=1.0))
    flat = turned[..., :2] / turned[..., 2:].clamp(min=0.1) / view.size[..., None, None]
    sharpness = inv_sigma_in_training(tracks.inv_sigma) * (
        tracks.focal[:, None, None] * view.size[..., None]
    )  # Sizes per sigma.
    points2d = torch.cat([flat.clamp(-3, 3), torch.log1p(sharpness)[..., None] / 4, torch.ones_like(flat[..., :1])], -1)
    points3d = torch.einsum("btij,btkj->btki", view.R_view_cam, tracks.points3d[..., :3])
    confidence = tracks.points3d[..., 3:] * tracks.detected[..., None, None]
    place = torch.cat([view.R_view_cam[..., 2, :], view.size.log()[..., None]], dim=-1)
    return torch.cat(
        [
            (points2d * known[..., None]).flatten(-2),
            torch.cat([points3d * confidence, confidence], -1).flatten(-2),
            place,
        ],
        -1,
    )


def from_view(
    view: NormalizedView, R_view_root: Tensor, ray_view: Tensor, log_depth_view: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Root rotation [B, T, 3, 3], ray [B, T, 2] and log depth [B, T] in the camera.

    R_view_root [B, T, 3, 3]; ray_view [B, T, 2] in sizes from the middle of the view; log_depth_view [B, T] of depth
    times size.
    """
    R_cam_view = view.R_view_cam.transpose(-1, -2)
    z = (log_depth_view - view.size.log()).exp()[..., None]
    pelvis_view = torch.cat([ray_view * view.size[..., None] * z, z], dim=-1)
    pelvis = (R_cam_view @ pelvis_view[..., None])[..., 0]
    depth = pelvis[..., 2:].clamp(min=0.1)
    return R_cam_view @ R_view_root, pelvis[..., :2] / depth, depth[..., 0].log()


def to_view(view: NormalizedView, R_cam_root: Tensor, pelvis: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The inverse of `from_view`: root rotation [B, T, 3, 3], ray [B, T, 2] and log depth [B, T] in the view.

    R_cam_root [B, T, 3, 3]; pelvis [B, T, 3] in meters, camera frame.
    """
    pelvis_view = (view.R_view_cam @ pelvis[..., None])[..., 0]
    depth = pelvis_view[..., 2:].clamp(min=0.1)
    ray = pelvis_view[..., :2] / depth / view.size[..., None]
    return view.R_view_cam @ R_cam_root, ray, depth[..., 0].log() + view.size.log()


def _fill(values: Tensor, known: Tensor) -> Tensor:
    """values [B, T, C]; frames that are not known [B, T] take the last known one, else the first."""
    frames = torch.arange(values.shape[1], device=values.device).expand_as(known)
    last = torch.where(known, frames, -1).cummax(1).values
    first = torch.where(known, frames, values.shape[1]).amin(1, keepdim=True).clamp(max=values.shape[1] - 1)
    source = torch.where(last >= 0, last, first)
    return values.gather(1, source[..., None].expand_as(values))


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
    """Mean and standard deviations for B people over T frames, camera frame."""

    root: Tensor  # [B, T, 3, 3] R_cam_root
    body_pose: Tensor  # [B, T, 21, 3, 3]
    ray: Tensor  # [B, T, 2] pelvis x / z and y / z
    log_depth: Tensor  # [B, T] logarithm of the pelvis depth in meters
    betas: Tensor  # [B, num_betas]
    rotation_std: Tensor  # [B, T, 22] radians about each axis, root first
    place_std: Tensor  # [B, T, 3] of the ray, and of log_depth
    betas_std: Tensor  # [B, num_betas]


@dataclass(frozen=True)
class LifterOutput:
    """The output of the network in the view of each frame, which training compares with the truth."""

    rotations_6d: Tensor  # [B, T, 22, 6] root in the view first
    place: Tensor  # [B, T, 3] ray in sizes, log of depth times size
    betas: Tensor  # [B, num_betas]
    log_std: Tensor  # [B, T, 22 + 3]
    betas_log_std: Tensor  # [B, num_betas]


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
        self.blocks = nn.ModuleList(
            TransformerBlock(config.width, config.heads, config.hidden) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.mean = nn.Linear(config.width, NUM_ROTATIONS * 6 + NUM_PLACE)
        self.log_std = nn.Linear(config.width, NUM_ROTATIONS + NUM_PLACE)
        self.shape = nn.Linear(config.width, 2 * config.num_betas)
        # Upright and facing the camera: y and z of the person are opposite to those of the view.
        facing = torch.eye(3).repeat(NUM_ROTATIONS, 1, 1)
        facing[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
        self.register_buffer("rest", matrix_to_6d(facing), persistent=False)
        # Logarithms of the factors that calibrate the standard deviations; measured after training.
        self.register_buffer("calibration", torch.zeros(NUM_ROTATIONS + NUM_PLACE + config.num_betas))

    def forward(self, features: Tensor, detected: Tensor, times: Tensor) -> LifterOutput:
        """features [B, T, NUM_FEATURES] of `lifter_features`, detected [B, T] bool, times [B, T] seconds."""
        x = torch.where(detected[..., None], self.embed(features), self.unseen)
        x = x + time_embedding(times - times[:, :1], self.config.width)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        rotations, place = self.mean(x).float().split([NUM_ROTATIONS * 6, NUM_PLACE], dim=-1)
        weights = detected / detected.sum(1, keepdim=True).clamp(min=1)
        betas, betas_log_std = self.shape((x * weights[..., None]).sum(1)).float().chunk(2, dim=-1)
        frame_scale, betas_scale = self.calibration.split([NUM_ROTATIONS + NUM_PLACE, self.config.num_betas])
        return LifterOutput(
            rotations_6d=rotations.unflatten(-1, (NUM_ROTATIONS, 6)) + self.rest,
            place=place,
            betas=betas,
            log_std=(self.log_std(x).float() - 2 + frame_scale).clamp(MIN_LOG_STD, 2),
            betas_log_std=(betas_log_std + betas_scale).clamp(MIN_LOG_STD, 2),
        )


def lift(lifter: Lifter, tracks: KeypointTracks) -> PoseDistribution:
    """The distribution of every person in every frame; tracks: per person, [B, T, 23, ...]."""
    view = fit_view(tracks)
    output = lifter(lifter_features(tracks, view), tracks.detected, tracks.times)
    rotations = rotation_6d_to_matrix(output.rotations_6d)
    root, ray, log_depth = from_view(view, rotations[..., 0, :, :], output.place[..., :2], output.place[..., 2])
    std = output.log_std.exp()
    ray_std = std[..., NUM_ROTATIONS : NUM_ROTATIONS + 2] * view.size[..., None]
    return PoseDistribution(
        root=root,
        body_pose=rotations[..., 1:, :, :],
        ray=ray,
        log_depth=log_depth,
        betas=output.betas,
        rotation_std=std[..., :NUM_ROTATIONS],
        place_std=torch.cat([ray_std, std[..., NUM_ROTATIONS + 2 :]], dim=-1),
        betas_std=output.betas_log_std.exp(),
    )


def load_lifter(device: torch.device | str, path: Path | None = None) -> Lifter:
    """The lifter of a file, or the bundled one. Raises ModelFileError when it is missing or damaged."""
    return load_network(path or find_model(LIFTER_FILE), lambda config: Lifter(LifterConfig(**config)), device)
