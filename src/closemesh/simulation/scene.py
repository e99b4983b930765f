"""A made-up recording whose truth is known: captured motion on a body before a random camera."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from closemesh.body.frames import motion_in_camera
from closemesh.body.model import BodyModel
from closemesh.geometry.camera import project
from closemesh.motion_data.sequence import MotionSequence, put_on_body
from closemesh.output.skinned import motion_keypoints
from closemesh.scene import NUM_CUE_POINTS, BodyMotion, Camera, Clip, Floats
from closemesh.simulation.cameras import sample_cameras

_SHAPES = 0.7  # Standard deviations of each beta among random people; the open body's betas have 1.
_ON_FLOOR = 0.1  # Share of frames in which somebody's lowest keypoint may be nearer to the floor than it can be.
_OPEN = "closemesh_open"
_LOWEST_POINT = 0.02  # Metres from the sole to the lowest keypoint, a toe or a heel.


@dataclass(frozen=True)
class SimulatedScene:
    """Who moved how before which camera."""

    clip: Clip
    camera: Camera
    motion: BodyMotion
    """The truth, camera frame."""
    body: BodyModel
    """Whose betas the motion has."""
    name: str
    kind: str
    """The action of the sequence."""


@dataclass(frozen=True)
class TruePoints:
    """The 23 body and foot keypoints of everybody, seen or not."""

    points_cam: Floats
    """[T, P, 23, 3] metres."""
    pixels: Floats
    """[T, P, 23, 2]."""


def make_scene(sequence: MotionSequence, body: BodyModel, seed: int, betas: Floats | None = None) -> SimulatedScene:
    """The sequence on `body` before a random still camera; its own shapes, else random ones.

    `betas` [P, B] go before both. People of random shapes are moved up or down to stand on the floor. The clip has no
    file yet; `render_film` makes one.
    """
    generator = torch.Generator().manual_seed(seed)
    if betas is None:
        betas = _own_betas(sequence, body)
    if betas is None:
        betas = (_SHAPES * torch.randn(sequence.num_people, body.num_betas, generator=generator)).numpy()
        sequence = _stand_on_floor(sequence, body, betas)
    motion_world = put_on_body(sequence, body, betas)
    pelvis, valid = torch.as_tensor(sequence.pelvis)[None], torch.as_tensor(sequence.valid)[None]
    sampled = sample_cameras(pelvis.double(), generator, valid)
    width, height = (int(side) for side in sampled.size[0])
    camera = Camera(
        focal=float(sampled.focal[0]),
        centre=(width / 2, height / 2),
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
    """The sequence's shapes where they mean something to `body`; all variants of the open body share their betas."""
    if sequence.betas is None or sequence.body_model is None:
        return None
    same = sequence.body_model == body.name or (body.is_open and sequence.body_model.startswith(_OPEN))
    return sequence.betas if same else None


def _stand_on_floor(sequence: MotionSequence, body: BodyModel, betas: Floats) -> MotionSequence:
    """The same motion, each person raised or lowered so that legs of another length end on the floor."""
    points = motion_keypoints(put_on_body(sequence, body, betas), body)[:, :, :NUM_CUE_POINTS]
    lowest = np.where(sequence.valid, points[..., 1].min(2), np.nan)  # [T, P]
    lift = np.nan_to_num(_LOWEST_POINT - np.nanquantile(lowest, _ON_FLOOR, axis=0))  # [P]
    return replace(sequence, pelvis=(sequence.pelvis + lift[:, None] * (0, 1, 0)).astype(sequence.pelvis.dtype))


def true_points(scene: SimulatedScene) -> TruePoints:
    """Where the keypoints 0-22 are, in the camera frame and in the picture."""
    points_cam = motion_keypoints(scene.motion, scene.body)[:, :, :NUM_CUE_POINTS]
    pixels = project(torch.as_tensor(points_cam), scene.camera.focal, scene.camera.centre)
    return TruePoints(points_cam, pixels.numpy())
