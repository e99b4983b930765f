"""Simulated scenes with known ground truth: captured motion on a body in front of a random still camera."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.motion import motion_in_camera, motion_keypoints
from closemesh.core.arrays import Floats
from closemesh.geometry.camera import project
from closemesh.geometry.transforms import make_transform
from closemesh.motion_files.sequence import MotionSequence, to_body_motion
from closemesh.structures import NUM_KEYPOINTS3D, BodyMotion, Camera, Clip

IMAGE_SIZES = ((1280, 720), (960, 720), (720, 1280), (854, 480), (720, 960))
"""Width and height in pixels of common videos, landscape and portrait."""
FOCAL_RANGE = (0.48, 1.15)  # Of the image diagonal: from action cameras and depth cameras to a lens of 50 mm.
HEIGHT_RANGE = (0.5, 2.5)  # Meters above the floor.
FILL_RANGE = (0.55, 0.97)  # Extent of the people from the image center, relative to half the image.
CUT_FILL_RANGE = (1.1, 2.2)  # The same where the border cuts them.
CUT_RAISE_RANGE = (-0.1, 0.5)  # Meters by which such a camera aims higher.
DISTANCE_RANGE = (1.2, 20.0)  # Meters from the center of all people.
_ROLL = math.radians(1.5)  # Standard deviation.
_AIM = 0.2  # Meters, standard deviation of the target point around the center of the people.
_INSIDE = 0.97  # Fraction of outline points that lies within the drawn extent.
_BISECTIONS = 24
_MIN_DEPTH = 0.3  # Meters.

# Points around the pelvis that bound a person: head, feet, and an arm's length to all sides.
_OUTLINE = ((0, 0.85, 0), (0, -0.95, 0), (0.5, 0.2, 0), (-0.5, 0.2, 0), (0, 0.2, 0.5), (0, 0.2, -0.5))

_BETAS_STD = 0.7  # Standard deviation of each random beta; the bundled body's betas have 1.
_ON_FLOOR = 0.1  # Fraction of frames in which the lowest keypoint may be below its height when standing.
_OPEN = "closemesh_open"
_LOWEST_KEYPOINT = 0.02  # Meters from the sole to the lowest keypoint, a toe or a heel.


@dataclass(frozen=True)
class SimulatedScene:
    """A clip, its camera and the true motion of its people."""

    clip: Clip
    camera: Camera
    motion: BodyMotion
    """Ground truth, camera frame."""
    body: BodyModel
    """The body that the betas of the motion belong to."""
    name: str
    kind: str
    """The action of the sequence."""


@dataclass(frozen=True)
class TruePoints:
    """The 23 body and foot keypoints of all people, visible or hidden."""

    points_cam: Floats
    """[T, P, 23, 3] meters, camera frame."""
    pixels: Floats
    """[T, P, 23, 2]."""


def make_scene(sequence: MotionSequence, body: BodyModel, seed: int, betas: Floats | None = None) -> SimulatedScene:
    """The sequence on `body` in front of a random still camera. The clip has no file; `render_video` writes one.

    betas: [P, B] shapes; by default those of the sequence, or random ones. People of random shape are raised or lowered
    to stand on the floor.
    """
    generator = torch.Generator().manual_seed(seed)
    if betas is None:
        betas = _own_betas(sequence, body)
    if betas is None:
        betas = (_BETAS_STD * torch.randn(sequence.num_people, body.num_betas, generator=generator)).numpy()
        sequence = _place_on_floor(sequence, body, betas)
    motion_world = to_body_motion(sequence, body, betas)
    pelvis, valid = torch.as_tensor(sequence.pelvis)[None], torch.as_tensor(sequence.valid)[None]
    sampled = sample_cameras(pelvis.double(), generator, valid)
    width, height = (int(side) for side in sampled.size[0])
    camera = Camera(
        focal=float(sampled.focal[0]),
        principal_point=(width / 2, height / 2),
        size=(width, height),
        focal_source="option",
        T_cam_world=np.tile(sampled.T_cam_world[0].numpy(), (len(sequence), 1, 1)),
        floor_found=True,
    )
    frames = np.arange(len(sequence))
    clip = Clip(Path(f"{sequence.name}.mp4"), "", frames, frames / sequence.fps, camera.size, sequence.fps)
    motion = motion_in_camera(motion_world, camera, body)
    return SimulatedScene(clip, camera, motion, body, sequence.name, sequence.action)


def _own_betas(sequence: MotionSequence, body: BodyModel) -> Floats | None:
    """The betas of the sequence if they belong to `body`; all variants of the bundled body have the same betas."""
    if sequence.betas is None or sequence.body_model is None:
        return None
    same = sequence.body_model == body.name or (body.is_bundled and sequence.body_model.startswith(_OPEN))
    return sequence.betas if same else None


def _place_on_floor(sequence: MotionSequence, body: BodyModel, betas: Floats) -> MotionSequence:
    """The same motion, each person raised or lowered so that legs of another length end on the floor."""
    points = motion_keypoints(to_body_motion(sequence, body, betas), body)[:, :, :NUM_KEYPOINTS3D]
    lowest = np.where(sequence.valid, points[..., 1].min(2), np.nan)  # [T, P]
    lift = np.nan_to_num(_LOWEST_KEYPOINT - np.nanquantile(lowest, _ON_FLOOR, axis=0))  # [P]
    return replace(sequence, pelvis=(sequence.pelvis + lift[:, None] * (0, 1, 0)).astype(sequence.pelvis.dtype))


def true_points(scene: SimulatedScene) -> TruePoints:
    """Keypoints 0-22 of all people, in the camera frame and in the image."""
    points_cam = motion_keypoints(scene.motion, scene.body)[:, :, :NUM_KEYPOINTS3D]
    pixels = project(torch.as_tensor(points_cam), scene.camera.focal, scene.camera.principal_point)
    return TruePoints(points_cam, pixels.numpy())


@dataclass(frozen=True)
class SampledCameras:
    """One still camera for each of B scenes."""

    focal: Tensor  # [B] pixels
    principal_point: Tensor  # [B, 2] pixels
    size: Tensor  # [B, 2] width and height in pixels
    T_cam_world: Tensor  # [B, 4, 4]


def sample_cameras(
    pelvis: Tensor,
    generator: torch.Generator,
    valid: Tensor | None = None,
    sizes: tuple[tuple[int, int], ...] = IMAGE_SIZES,
    cut_fraction: float = 0.0,
) -> SampledCameras:
    """Random cameras for B scenes, from a random side and height.

    The distance follows from the random part of the image that the people fill. pelvis: [B, T, P, 3] meters, world
    frame (y up, floor at y = 0). valid: [B, T, P] people who are present. The generator lives on the device of
    `pelvis`. cut_fraction: fraction of the scenes in which the image border cuts people, mostly their legs.
    """
    draw = _Draw(len(pelvis), generator, pelvis)
    size = torch.tensor(sizes, dtype=pelvis.dtype, device=pelvis.device)[draw.index(len(sizes))]  # [B, 2]
    focal = size.norm(dim=-1) * draw.log_uniform(*FOCAL_RANGE)
    outline = _outline(pelvis)  # [B, N, 3]
    inside = torch.ones(outline.shape[:2], dtype=torch.bool, device=pelvis.device)
    if valid is not None:
        inside = valid.flatten(1).repeat_interleave(len(_OUTLINE), dim=1)
    middle = (outline * inside[..., None]).sum(1) / inside.sum(1).clamp(min=1)[:, None]
    aim = middle + _AIM * draw.normal(3)
    azimuth, height, roll = draw.uniform(0, 2 * math.pi), draw.uniform(*HEIGHT_RANGE), _ROLL * draw.normal()
    fill = draw.uniform(*FILL_RANGE)
    if cut_fraction > 0:
        cut = draw.uniform(0, 1) < cut_fraction
        fill = torch.where(cut, draw.uniform(*CUT_FILL_RANGE), fill)
        raised = draw.uniform(*CUT_RAISE_RANGE) * cut
        aim = torch.stack([aim[:, 0], aim[:, 1] + raised, aim[:, 2]], dim=-1)
    near, far = (draw.constant(math.log(limit)) for limit in DISTANCE_RANGE)
    for _ in range(_BISECTIONS):
        distance = ((near + far) / 2).exp()
        T = _look_at(aim, azimuth, height, distance, roll)
        too_near = _extent(outline, inside, T, focal, size) > fill
        near, far = torch.where(too_near, distance.log(), near), torch.where(too_near, far, distance.log())
    return SampledCameras(focal, size / 2, size, _look_at(aim, azimuth, height, far.exp(), roll))


def _outline(pelvis: Tensor) -> Tensor:
    """[B, T * P * N, 3] points that bound the people."""
    return (pelvis[..., None, :] + torch.tensor(_OUTLINE, dtype=pelvis.dtype, device=pelvis.device)).flatten(1, 3)


def _look_at(aim: Tensor, azimuth: Tensor, height: Tensor, distance: Tensor, roll: Tensor) -> Tensor:
    """T_cam_world [B, 4, 4] of cameras at `height` that look at `aim` [B, 3] from `distance` meters along the floor."""
    away = torch.stack([azimuth.sin(), torch.zeros_like(azimuth), azimuth.cos()], dim=-1)
    position = aim + distance[:, None] * away
    position = torch.stack([position[:, 0], height, position[:, 2]], dim=-1)
    forward = torch.nn.functional.normalize(aim - position, dim=-1)
    down = torch.tensor([0.0, -1.0, 0.0], dtype=aim.dtype, device=aim.device).expand_as(forward)
    right = torch.nn.functional.normalize(torch.linalg.cross(down, forward), dim=-1)
    down = torch.linalg.cross(forward, right)
    c, s = roll.cos()[:, None], roll.sin()[:, None]
    R = torch.stack([c * right + s * down, c * down - s * right, forward], dim=-2)
    return make_transform(R, -(R @ position[..., None])[..., 0])


def _extent(outline: Tensor, inside: Tensor, T_cam_world: Tensor, focal: Tensor, size: Tensor) -> Tensor:
    """[B] distance of the outermost outline points from the image center; 1 is the image border."""
    points = outline @ T_cam_world[:, :3, :3].transpose(-1, -2) + T_cam_world[:, None, :3, 3]
    ahead = points[..., 2:] > _MIN_DEPTH
    pixels = points[..., :2] / points[..., 2:].clamp(min=_MIN_DEPTH) * focal[:, None, None]
    extent = (pixels.abs() / (size[:, None] / 2)).amax(-1)  # [B, N]
    extent = torch.where(ahead[..., 0], extent, math.inf)
    extent = torch.where(inside, extent, torch.nan)
    ordered = extent.nan_to_num(nan=-1.0, posinf=1e6).sort(dim=-1).values
    count = inside.sum(-1)
    rank = (ordered.shape[1] - count + (_INSIDE * (count - 1)).floor().long()).clamp(max=ordered.shape[1] - 1)
    return ordered.gather(1, rank[:, None])[:, 0]


class _Draw:
    """Random numbers for B scenes."""

    def __init__(self, count: int, generator: torch.Generator, like: Tensor) -> None:
        self._count, self._generator, self._like = count, generator, like

    def constant(self, value: float) -> Tensor:
        return self._like.new_full((self._count,), value)

    def uniform(self, low: float, high: float) -> Tensor:
        unit = torch.rand(self._count, generator=self._generator, dtype=self._like.dtype, device=self._like.device)
        return low + (high - low) * unit

    def log_uniform(self, low: float, high: float) -> Tensor:
        return self.uniform(math.log(low), math.log(high)).exp()

    def normal(self, *shape: int) -> Tensor:
        size = (self._count, *shape)
        return torch.randn(size, generator=self._generator, dtype=self._like.dtype, device=self._like.device)

    def index(self, options: int) -> Tensor:
        return torch.randint(options, (self._count,), generator=self._generator, device=self._like.device)
