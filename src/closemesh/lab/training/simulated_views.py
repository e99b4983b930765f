"""Random windows of motion before random cameras, with the detections that would be made of them, in batches."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.capsules import CapsuleBody, capsule_body
from closemesh.body.landmarks import LandmarkBody, pose_landmarks
from closemesh.body.loading import load_bundled_body, load_landmark_body
from closemesh.body.motion import transl_of
from closemesh.geometry.camera import project
from closemesh.initialization.lifting_network import NUM_POINTS, Sightings
from closemesh.lab.simulation.detector_errors import DetectorErrors, load_detector_errors
from closemesh.lab.simulation.error_model import sample_keypoints, sample_keypoints3d
from closemesh.lab.simulation.occlusion import hidden_by_capsules
from closemesh.lab.simulation.scene import sample_cameras
from closemesh.lab.simulation.statistics import person_size
from closemesh.lab.training.motion_bank import MotionBatch
from closemesh.perception.keypoints.topdown import AGREEMENT_DISTANCE
from closemesh.perception.keypoints.uncertainty import batched_keypoint_sigmas

NO_CUE = 0.25  # Share of people of whom there is no 3D cue at all.
BLACKOUT = 0.15  # Share of people who are not seen for a part of the window.


@dataclass(frozen=True)
class TruthCam:
    """Where people truly are, camera frame."""

    rotations: Tensor  # [B, T, P, 22, 3, 3] root as R_cam_root
    pelvis: Tensor  # [B, T, P, 3] metres
    betas: Tensor  # [B, P, num_betas]
    known: Tensor  # [B, P, 22] bool
    joints: Tensor  # [B, T, P, 22, 3] metres
    keypoints: Tensor  # [B, T, P, 23, 3] metres


@dataclass(frozen=True)
class SeenBatch:
    """Truth and sightings of B windows of P people; the people of a window stand one after the other in `seen`."""

    truth: TruthCam
    seen: Sightings  # [B * P, T, ...]
    hidden: Tensor  # [B, T, P, 23] bool: occluded or outside the picture


@dataclass(frozen=True)
class DetectionSimulator:
    """What is needed to look at motion: a body, its capsules, the detector's errors."""

    points: LandmarkBody
    capsules: CapsuleBody
    errors: DetectorErrors

    def to(self, device: torch.device | str) -> DetectionSimulator:
        return DetectionSimulator(self.points.to(device), self.capsules.to(device), self.errors.to(device))


def open_studio() -> DetectionSimulator:
    """With the bundled body and errors."""
    body = load_bundled_body("light")
    return DetectionSimulator(load_landmark_body(body).coarse(NUM_POINTS), capsule_body(body), load_detector_errors())


def simulate_views(batch: MotionBatch, studio: DetectionSimulator, fps: float, generator: torch.Generator) -> SeenBatch:
    """Random cameras, and what the detector would say of each window."""
    cameras = sample_cameras(batch.pelvis, generator)
    R, t = cameras.T_cam_world[:, :3, :3], cameras.T_cam_world[:, :3, 3]
    pelvis = torch.einsum("bij,btpj->btpi", R, batch.pelvis) + t[:, None, None]
    rotations = batch.rotations.clone()
    rotations[:, :, :, 0] = torch.einsum("bij,btpjk->btpik", R, batch.rotations[:, :, :, 0])
    joints, keypoints = _pose(studio.points, rotations, pelvis, batch.betas)
    pixels = project(keypoints, cameras.focal.reshape(-1, 1, 1, 1, 1), cameras.principal_point[:, None, None, None])
    hidden = hidden_by_capsules(keypoints, studio.capsules, cameras.focal, cameras.principal_point, cameras.size)
    seen = _detect(studio, pixels, keypoints, hidden, cameras.size, fps, generator)
    everyone = torch.arange(pixels.shape[2], device=pixels.device).expand(len(pixels), -1)
    sightings = replace(
        seen,
        times=batch.times.expand(everyone.numel(), -1),
        focal=cameras.focal.repeat_interleave(pixels.shape[2]),
        centre=cameras.principal_point.repeat_interleave(pixels.shape[2], dim=0),
    )
    truth = TruthCam(rotations, pelvis, batch.betas, batch.known, joints, keypoints)
    return SeenBatch(truth, _forget(sightings, generator), hidden)


def _pose(points: LandmarkBody, rotations: Tensor, pelvis: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
    """Joints [B, T, P, 22, 3] and keypoints [B, T, P, 23, 3]; the people of all windows go through together."""
    windows, people = pelvis.shape[0], pelvis.shape[2]
    shapes = betas.flatten(0, 1)
    transl = transl_of(points, shapes, pelvis.transpose(0, 1).flatten(1, 2))
    posed = pose_landmarks(points, shapes, rotations.transpose(0, 1).flatten(1, 2), transl)

    def by_window(tensor: Tensor) -> Tensor:
        return tensor.unflatten(1, (windows, people)).transpose(0, 1)

    return by_window(posed.joints), by_window(posed.keypoints)


def _detect(
    studio: DetectionSimulator,
    pixels: Tensor,
    keypoints: Tensor,
    hidden: Tensor,
    picture: Tensor,
    fps: float,
    generator: torch.Generator,
) -> Sightings:
    """Detections of pixels [B, T, P, 23, 2], keypoints [B, T, P, 23, 3] in the camera frame, picture [B, 2] pixels."""
    size = person_size(pixels)
    partner = pixels.flip(2) if pixels.shape[2] == 2 else None
    sampled = sample_keypoints(pixels, hidden, size, partner, studio.errors, generator, fps)
    inside = ((sampled.points >= 0) & (sampled.points < picture[:, None, None, None])).all(-1)
    confidence = torch.where(inside & sampled.present[..., None], sampled.confidence, 0.0)
    agree = sampled.disagreement < 0.99 * AGREEMENT_DISTANCE
    cue = sample_keypoints3d(keypoints, hidden, agree, studio.errors, generator, fps)
    low, high = pixels[..., :17, :].amin(-2), pixels[..., :17, :].amax(-2)
    boxes = torch.cat([low, high], dim=-1)
    spread = sampled.disagreement * (high - low).norm(dim=-1)[..., None]
    detected = torch.cat([sampled.points, confidence[..., None]], dim=-1)
    sigmas = batched_keypoint_sigmas(detected, boxes, sampled.present, spread)
    inverse_sigmas = torch.where(confidence > 0, confidence.clamp(0, 1).sqrt() / sigmas.clamp(min=1e-3), 0.0)

    def each(tensor: Tensor) -> Tensor:
        return tensor.transpose(1, 2).flatten(0, 1)  # [B * P, T, ...]

    return Sightings(
        points=each(sampled.points),
        inverse_sigmas=each(inverse_sigmas),
        cue_points=each(cue),
        visible=each(sampled.present),
        times=pixels.new_zeros(0),
        focal=pixels.new_zeros(0),
        centre=pixels.new_zeros(0),
    )


def _forget(seen: Sightings, generator: torch.Generator) -> Sightings:
    """Some people without a cue, some not seen for a while: what a network has to bear."""
    people, frames = seen.visible.shape
    device = seen.visible.device

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    cue = seen.cue_points.clone()
    cue[..., 3] *= (rand(people, 1, 1) > NO_CUE).float()
    start, length = rand(people, 1) * frames, rand(people, 1) * frames / 2
    frame = torch.arange(frames, device=device)
    out = (rand(people, 1) < BLACKOUT) & (frame >= start) & (frame < start + length)
    return replace(seen, cue_points=cue, visible=seen.visible & ~out)
