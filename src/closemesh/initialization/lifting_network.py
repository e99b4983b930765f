"""Temporal transformer and its normalized view.

Each person as a camera that looks straight at him would see him, at one size: what the lifter sees and says.

The lifter: keypoint sequences of one person to a distribution over pose, shape and place, frame by frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closemesh.geometry.rotations import matrix_to_6d, rotation_6d_to_matrix, shortest_arc_rotation
from closemesh.networks.checkpoint import load_network
from closemesh.networks.layers import TransformerBlock, time_embedding
from closemesh.weights.locate import find_model

NUM_POINTS = 23  # Body and feet of COCO-WholeBody.


@dataclass(frozen=True)
class Sightings:
    """What was seen of B people, each over T frames, in pixels of the full frame."""

    points: Tensor  # [B, T, 23, 2] pixels
    inverse_sigmas: Tensor  # [B, T, 23] 1 / pixels; 0 where nothing was seen
    cue_points: Tensor  # [B, T, 23, 4] metres in the axes of cam, mid-hip at the origin, and confidence
    visible: Tensor  # [B, T] bool
    times: Tensor  # [B, T] seconds
    focal: Tensor  # [B] pixels
    centre: Tensor  # [B, 2] pixels

    def frames(self, index: slice) -> Sightings:
        """The same people in some of the frames."""
        names = ("points", "inverse_sigmas", "cue_points", "visible", "times")
        return replace(self, **{name: getattr(self, name)[:, index] for name in names})


@dataclass(frozen=True)
class NormalizedView:
    """The camera turned towards each person in each frame, and the person's size in it."""

    R_view_cam: Tensor  # [B, T, 3, 3]
    size: Tensor  # [B, T] half of the larger side of the seen points, tangent of an angle


def fit_view(seen: Sightings) -> NormalizedView:
    """Looks at the middle of the seen points; frames in which nobody is seen take the view of the sightings around."""
    rays = (seen.points - seen.centre[:, None, None]) / seen.focal[:, None, None, None]  # [B, T, 23, 2]
    known = (seen.inverse_sigmas > 0)[..., None]
    lowest = torch.where(known, rays, torch.inf).amin(-2)  # [B, T, 2]
    highest = torch.where(known, rays, -torch.inf).amax(-2)
    enough = (known[..., 0].sum(-1) >= 4) & seen.visible
    middle = torch.where(enough[..., None], (lowest + highest) / 2, 0.0)
    half = torch.where(enough, (highest - lowest).amax(-1) / 2, 1.0)
    middle, size = _fill(middle, enough), _fill(half.log()[..., None], enough)[..., 0].exp()
    direction = F.normalize(F.pad(middle, (0, 1), value=1.0), dim=-1)
    return NormalizedView(
        shortest_arc_rotation(direction, direction.new_tensor([0.0, 0.0, 1.0]).expand_as(direction)), size
    )


def lifter_features(seen: Sightings, view: NormalizedView) -> Tensor:
    """[B, T, 23 * 8 + 4] points and cue in the view, how sure each is, and where and how large the person is seen."""
    rays = (seen.points - seen.centre[:, None, None]) / seen.focal[:, None, None, None]
    known = (seen.inverse_sigmas > 0).float() * seen.visible[..., None]  # [B, T, 23]
    turned = torch.einsum("btij,btkj->btki", view.R_view_cam, F.pad(rays, (0, 1), value=1.0))
    flat = turned[..., :2] / turned[..., 2:].clamp(min=0.1) / view.size[..., None, None]
    sharpness = seen.inverse_sigmas * (seen.focal[:, None, None] * view.size[..., None])  # sizes per sigma
    points = torch.cat([flat.clamp(-3, 3), torch.log1p(sharpness)[..., None] / 4, torch.ones_like(flat[..., :1])], -1)
    cue = torch.einsum("btij,btkj->btki", view.R_view_cam, seen.cue_points[..., :3])
    trust = seen.cue_points[..., 3:] * seen.visible[..., None, None]
    place = torch.cat([view.R_view_cam[..., 2, :], view.size.log()[..., None]], dim=-1)
    return torch.cat(
        [(points * known[..., None]).flatten(-2), torch.cat([cue * trust, trust], -1).flatten(-2), place], -1
    )


def from_view(
    view: NormalizedView, R_view_root: Tensor, ray_view: Tensor, log_depth_view: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Root rotation [B, T, 3, 3], ray [B, T, 2] and log depth [B, T] in the camera of those in the view.

    ray_view is in sizes from the view's centre; log_depth_view is that of depth times size.
    """
    R_cam_view = view.R_view_cam.transpose(-1, -2)
    z = (log_depth_view - view.size.log()).exp()[..., None]
    pelvis_view = torch.cat([ray_view * view.size[..., None] * z, z], dim=-1)
    pelvis = (R_cam_view @ pelvis_view[..., None])[..., 0]
    depth = pelvis[..., 2:].clamp(min=0.1)
    return R_cam_view @ R_view_root, pelvis[..., :2] / depth, depth[..., 0].log()


def to_view(view: NormalizedView, R_cam_root: Tensor, pelvis: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The inverse of `from_view`, from the pelvis [B, T, 3] in metres."""
    pelvis_view = (view.R_view_cam @ pelvis[..., None])[..., 0]
    depth = pelvis_view[..., 2:].clamp(min=0.1)
    ray = pelvis_view[..., :2] / depth / view.size[..., None]
    return view.R_view_cam @ R_cam_root, ray, depth[..., 0].log() + view.size.log()


def _fill(values: Tensor, known: Tensor) -> Tensor:
    """values [B, T, C] with the frames that are not known [B, T] taken from the last, or else the first, known one."""
    frames = torch.arange(values.shape[1], device=values.device).expand_as(known)
    last = torch.where(known, frames, -1).cummax(1).values
    first = torch.where(known, frames, values.shape[1]).amin(1, keepdim=True).clamp(max=values.shape[1] - 1)
    source = torch.where(last >= 0, last, first)
    return values.gather(1, source[..., None].expand_as(values))


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
class LifterOutput:
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
        self.blocks = nn.ModuleList(
            TransformerBlock(config.width, config.heads, config.hidden) for _ in range(config.layers)
        )
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

    def forward(self, inputs: Tensor, visible: Tensor, times: Tensor) -> LifterOutput:
        """inputs [B, T, NUM_FEATURES] of `features`, visible [B, T] bool, times [B, T] seconds."""
        x = torch.where(visible[..., None], self.embed(inputs), self.unseen)
        x = x + time_embedding(times - times[:, :1], self.config.width)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        rotations, place = self.mean(x).float().split([NUM_ROTATIONS * 6, NUM_PLACE], dim=-1)
        share = visible / visible.sum(1, keepdim=True).clamp(min=1)
        betas, betas_log_spread = self.shape((x * share[..., None]).sum(1)).float().chunk(2, dim=-1)
        of_frames, of_betas = self.calibration.split([NUM_ROTATIONS + NUM_PLACE, self.config.num_betas])
        return LifterOutput(
            rotations_6d=rotations.unflatten(-1, (NUM_ROTATIONS, 6)) + self.rest,
            place=place,
            betas=betas,
            log_spread=(self.spread(x).float() - 2 + of_frames).clamp(-SMALLEST_SPREAD, 2),
            betas_log_spread=(betas_log_spread + of_betas).clamp(-SMALLEST_SPREAD, 2),
        )


def lift(lifter: Lifter, seen: Sightings) -> PoseDistribution:
    """The distribution of every person in every frame."""
    view = fit_view(seen)
    told = lifter(lifter_features(seen, view), seen.visible, seen.times)
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
