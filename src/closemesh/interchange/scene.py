"""What is exported of a result: turned to the chosen up axis, and resampled where a format has one rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from closemesh.body.loading import load_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import motion_in_camera, motion_in_world, rest_pelvis
from closemesh.body.skinning import rest_joints, shaped_template
from closemesh.core.arrays import Bools, Floats
from closemesh.core.progress import Progress
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.output.gltf import last_valid, mean_expression
from closemesh.pipeline.cache import load_saved_contacts, load_saved_motion
from closemesh.structures import BodyMotion, Camera, Clip, PairContacts
from closemesh.temporal import nominal_rate

UpAxis = Literal["y", "z"]

_Z_UP_FROM_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


@dataclass(frozen=True)
class ExportedScene:
    """People and camera of a result. Frame of the files: the world of the camera, with `up` as its vertical axis."""

    clip: Clip
    camera: Camera
    motion: BodyMotion
    """Camera frame."""
    body: BodyModel
    contacts: tuple[PairContacts, ...]
    up: UpAxis
    progress: Progress

    @cached_property
    def motion_world(self) -> BodyMotion:
        return motion_in_world(self.motion, self.camera, self.body)

    @property
    def people(self) -> list[str]:
        """Names of the people: `person_00` and so on."""
        return [f"person_{index:02d}" for index in range(self.motion.num_people)]

    def at_constant_rate(self, whole: bool = False) -> ExportedScene:
        """The scene at the constant rate `clip.fps` nearest to its mean rate, a whole number of frames if `whole`.

        Rotations are interpolated on the shortest arc; a person who is not valid stays at the last valid pose.
        """
        rate = nominal_rate(self.clip.fps)
        rate = max(1.0, float(round(rate))) if whole else rate
        times = self.clip.times
        count = max(1, round((times[-1] - times[0]) * rate) + 1)
        new = times[0] + np.arange(count) / rate
        before, fraction = _neighbors(times, new)
        nearest = np.minimum(before + (fraction > 0.5), len(times) - 1)
        clip = replace(self.clip, times=new, fps=rate, frame_indices=self.clip.frame_indices[nearest])
        camera = replace(self.camera, T_cam_world=_resampled_poses(self.camera.T_cam_world, times, new))
        motion_world = _resampled(_held(self.motion_world), times, new)
        motion_world = replace(motion_world, valid=self.motion.valid[nearest])
        return replace(self, clip=clip, camera=camera, motion=motion_in_camera(motion_world, camera, self.body))


@dataclass(frozen=True)
class SkeletalAnimation:
    """One person as formats with a skeleton store them: a rest pose, and rotations over it. World, meters."""

    joints_rest: Floats  # [55, 3]
    vertices_rest: Floats  # [V, 3]
    pelvis: Floats  # [T, 3]
    rotations: Floats  # [T, 55, 3, 3] relative to the parent
    valid: Bools  # [T]


def skeletal_animation(scene: ExportedScene, person: int) -> SkeletalAnimation:
    """The shape of a person with their mean expression, and their motion; invalid frames repeat the last valid one."""
    motion, body = scene.motion_world, scene.body
    betas = torch.as_tensor(motion.betas[person]).to(body.v_template)
    mean = torch.as_tensor(mean_expression(motion, person)).to(body.v_template)
    expression = torch.as_tensor(motion.expression[:, person]).to(body.v_template)
    valid = motion.valid[:, person]
    frames = last_valid(valid)
    pelvis = motion.transl[:, person] + rest_pelvis(body, betas, expression).cpu().numpy()
    return SkeletalAnimation(
        joints_rest=rest_joints(body, betas, mean).cpu().numpy(),
        vertices_rest=shaped_template(body, betas, mean).cpu().numpy(),
        pelvis=pelvis[frames],
        rotations=motion.rotations[frames, person],
        valid=valid,
    )


def load_scene(out: Path, up: UpAxis, progress: Progress) -> ExportedScene:
    """The result in the folder `out`. Raises InputError when it is missing, unfinished or damaged."""
    saved = load_saved_motion(out, "optimised")
    camera = saved.camera
    if up == "z":
        camera = replace(camera, T_cam_world=camera.T_cam_world @ _Z_UP_FROM_Y_UP.T)
    body, contacts = load_body(saved.body_path), load_saved_contacts(out, "optimised")
    return ExportedScene(saved.clip, camera, saved.motion, body, contacts, up, progress)


def _held(motion: BodyMotion) -> BodyMotion:
    """Every person in their last valid pose while they are not valid."""
    frames = np.stack([last_valid(valid) for valid in motion.valid.T], axis=1)  # [T, P]
    people = np.arange(motion.num_people)
    return motion.with_pose(
        rotations=motion.rotations[frames, people],
        transl=motion.transl[frames, people],
        expression=motion.expression[frames, people],
    )


def _resampled(motion: BodyMotion, times: Floats, new: Floats) -> BodyMotion:
    """The motion at the times new [N] seconds; times [T]. `valid` is not resampled."""
    return motion.with_pose(
        rotations=_slerp(motion.rotations, times, new).astype(np.float32),
        transl=_linear(motion.transl, times, new).astype(np.float32),
        expression=_linear(motion.expression, times, new).astype(np.float32),
        confidence=_linear(motion.confidence, times, new).astype(np.float32),
    )


def _resampled_poses(T_cam_world: Floats, times: Floats, new: Floats) -> Floats:
    """Poses [N, 4, 4] of a camera with poses T_cam_world [T, 4, 4]; its position moves on straight lines."""
    poses = np.tile(np.eye(4), (len(new), 1, 1))
    poses[:, :3, :3] = _slerp(T_cam_world[:, :3, :3], times, new)
    position = _linear(np.linalg.inv(T_cam_world)[:, :3, 3], times, new)
    poses[:, :3, 3] = -np.einsum("tij,tj->ti", poses[:, :3, :3], position)
    return poses


def _neighbors(times: Floats, new: Floats) -> tuple[np.ndarray, Floats]:
    """Index [N] of the frame before each time, and the fraction [N] of the way to the next."""
    if len(times) == 1:
        return np.zeros(len(new), int), np.zeros(len(new))
    before = np.clip(np.searchsorted(times, new, side="right") - 1, 0, len(times) - 2)
    fraction = (new - times[before]) / (times[before + 1] - times[before])
    return before, np.clip(fraction, 0, 1)


def _linear(values: Floats, times: Floats, new: Floats) -> Floats:
    before, fraction = _neighbors(times, new)
    after = np.minimum(before + 1, len(times) - 1)
    fraction = fraction.reshape(-1, *[1] * (values.ndim - 1))
    return values[before] * (1 - fraction) + values[after] * fraction


def _slerp(rotations: Floats, times: Floats, new: Floats) -> Floats:
    """Rotations [N, ..., 3, 3] between rotations [T, ..., 3, 3], along the shortest arc."""
    before, fraction = _neighbors(times, new)
    first = torch.as_tensor(rotations[before], dtype=torch.float64)
    second = torch.as_tensor(rotations[np.minimum(before + 1, len(times) - 1)], dtype=torch.float64)
    arc = matrix_to_axis_angle(first.transpose(-1, -2) @ second)
    arc = arc * torch.as_tensor(fraction).reshape(-1, *[1] * (arc.ndim - 1))
    return (first @ axis_angle_to_matrix(arc)).numpy()
