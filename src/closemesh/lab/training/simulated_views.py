"""Motion windows before random cameras with simulated detections, in batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from closemesh.body.capsules import CapsuleBody, capsule_body
from closemesh.body.landmarks import LandmarkBody, pose_landmarks
from closemesh.body.loading import load_bundled_body, load_landmark_body
from closemesh.body.motion import transl_of
from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.fitting.keypoint_tracks import NUM_POINTS, KeypointTracks
from closemesh.geometry.camera import project
from closemesh.lab.simulation.detector_errors import DetectorErrors, load_detector_errors
from closemesh.lab.simulation.error_model import place_outside, sample_keypoints, sample_keypoints3d
from closemesh.lab.simulation.occlusion import hidden_by_capsules
from closemesh.lab.simulation.scene import sample_cameras
from closemesh.lab.simulation.statistics import person_size
from closemesh.lab.training.motion_bank import MotionBatch
from closemesh.losses.keypoints import limb_confidence, limb_directions
from closemesh.perception.keypoints.selection import AGREEMENT_DISTANCE
from closemesh.perception.keypoints.uncertainty import batched_keypoint_sigmas
from closemesh.perception.observation_builder import BORDER_MARGIN

NO_POINTS3D = 0.25  # Fraction of people without any 3D keypoints.
CUT_FRACTION = 0.35  # Fraction of windows in which the image border cuts people: half figures are common framing.
UNDETECTED = 0.15  # Fraction of people who are not detected in a part of the window.


@dataclass(frozen=True)
class CameraTruth:
    """The true motion of people, camera frame."""

    rotations: Tensor  # [B, T, P, 22, 3, 3] root as R_cam_root
    pelvis: Tensor  # [B, T, P, 3] meters
    betas: Tensor  # [B, P, num_betas]
    joint_valid: Tensor  # [B, P, 22] bool: the rotation was measured
    joints: Tensor  # [B, T, P, 22, 3] meters
    keypoints: Tensor  # [B, T, P, 23, 3] meters


@dataclass(frozen=True)
class SimulatedViews:
    """Truth and simulated keypoint tracks of B windows of P people."""

    truth: CameraTruth
    tracks: KeypointTracks  # [B, T, P, 23, ...]
    occluded: Tensor  # [B, T, P, 23] bool: occluded or outside the image


@dataclass(frozen=True)
class DetectionSimulator(TensorDataclass):
    """A body, its capsules and the error distributions of the detector."""

    TIME_AXIS: ClassVar[int | None] = None

    points: LandmarkBody
    capsules: CapsuleBody
    errors: DetectorErrors


def load_simulator() -> DetectionSimulator:
    """The simulator with the bundled body and errors. Raises ModelFileError when one is missing or damaged."""
    body = load_bundled_body("light")
    return DetectionSimulator(load_landmark_body(body).coarse(NUM_POINTS), capsule_body(body), load_detector_errors())


def simulate_views(
    batch: MotionBatch, simulator: DetectionSimulator, fps: float, generator: torch.Generator
) -> SimulatedViews:
    """The windows before random cameras, and their simulated tracks; every person counts as present."""
    cameras = sample_cameras(batch.pelvis, generator, cut_fraction=CUT_FRACTION)
    R, t = cameras.T_cam_world[:, :3, :3], cameras.T_cam_world[:, :3, 3]
    pelvis = torch.einsum("bij,btpj->btpi", R, batch.pelvis) + t[:, None, None]
    rotations = batch.rotations.clone()
    rotations[:, :, :, 0] = torch.einsum("bij,btpjk->btpik", R, batch.rotations[:, :, :, 0])
    joints, keypoints = _pose(simulator.points, rotations, pelvis, batch.betas)
    pixels = project(keypoints, cameras.focal.reshape(-1, 1, 1, 1, 1), cameras.principal_point[:, None, None, None])
    occluded = hidden_by_capsules(keypoints, simulator.capsules, cameras.focal, cameras.principal_point, cameras.size)
    detections = _detect(simulator, pixels, keypoints, occluded, cameras.size, fps, generator)
    detections = _drop(detections, generator)
    tracks = KeypointTracks(
        points2d=detections.points2d,
        inv_sigma=detections.inv_sigma,
        points3d=detections.points3d,
        limb_directions=limb_directions(detections.points3d[..., :3]),
        limb_weights=limb_confidence(detections.points3d[..., 3]),
        detected=detections.detected,
        present=torch.ones_like(detections.detected),
        times=batch.times.expand(len(pixels), -1),
        focal=cameras.focal,
        principal_point=cameras.principal_point,
    )
    truth = CameraTruth(rotations, pelvis, batch.betas, batch.joint_valid, joints, keypoints)
    return SimulatedViews(truth, tracks, occluded)


def _pose(points: LandmarkBody, rotations: Tensor, pelvis: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
    """Joints [B, T, P, 22, 3] and keypoints [B, T, P, 23, 3]; the people of all windows are posed together."""
    windows, people = pelvis.shape[0], pelvis.shape[2]
    shapes = betas.flatten(0, 1)
    transl = transl_of(points, shapes, pelvis.transpose(0, 1).flatten(1, 2))
    posed = pose_landmarks(points, shapes, rotations.transpose(0, 1).flatten(1, 2), transl)

    def unfold(tensor: Tensor) -> Tensor:
        return tensor.unflatten(1, (windows, people)).transpose(0, 1)

    return unfold(posed.joints), unfold(posed.keypoints)


@dataclass(frozen=True)
class _Detections:
    points2d: Tensor  # [B, T, P, 23, 2] pixels
    inv_sigma: Tensor  # [B, T, P, 23] 1/pixels
    points3d: Tensor  # [B, T, P, 23, 4] meters and confidence
    detected: Tensor  # [B, T, P] bool


def _detect(
    simulator: DetectionSimulator,
    pixels: Tensor,
    keypoints: Tensor,
    occluded: Tensor,
    image_size: Tensor,
    fps: float,
    generator: torch.Generator,
) -> _Detections:
    """Of pixels [B, T, P, 23, 2], keypoints [B, T, P, 23, 3] in the camera frame, image_size [B, 2] pixels."""
    size = person_size(pixels)
    partner = pixels.flip(2) if pixels.shape[2] == 2 else None
    image = image_size[:, None, None, None]
    visible = ((pixels >= 0) & (pixels < image)).all(-1)
    sampled = sample_keypoints(pixels, occluded & visible, size, partner, simulator.errors, generator, fps)
    sampled = place_outside(sampled, pixels, size, image_size, simulator.errors, generator, fps)
    agree = sampled.disagreement < 0.99 * AGREEMENT_DISTANCE
    points3d = sample_keypoints3d(keypoints, occluded, agree, simulator.errors, generator, fps)
    low, high = pixels[..., :17, :].amin(-2), pixels[..., :17, :].amax(-2)
    boxes = torch.cat([low, high], dim=-1)
    boxes = torch.minimum(boxes.clamp(min=0), image_size.repeat(1, 2)[:, None, None])
    margin = BORDER_MARGIN * (boxes[..., 2:] - boxes[..., :2]).norm(dim=-1)[..., None, None]
    inside = ((sampled.points >= margin) & (sampled.points < image - margin)).all(-1)
    confidence = torch.where(inside & sampled.present[..., None], sampled.confidence, 0.0)
    disagreement = sampled.disagreement * (high - low).norm(dim=-1)[..., None]
    points = torch.cat([sampled.points, confidence[..., None]], dim=-1)
    sigmas = batched_keypoint_sigmas(points, boxes, sampled.present, disagreement, image_size)
    inv_sigma = torch.where(confidence > 0, confidence.clamp(0, 1).sqrt() / sigmas.clamp(min=1e-3), 0.0)
    return _Detections(sampled.points, inv_sigma, points3d, sampled.present)


def _drop(detections: _Detections, generator: torch.Generator) -> _Detections:
    """Some people without 3D keypoints, some undetected for a while: training must cover both."""
    windows, frames, people = detections.detected.shape
    device = detections.detected.device

    def rand() -> Tensor:
        """[B, 1, P]."""
        return torch.rand(windows * people, generator=generator, device=device).unflatten(0, (windows, 1, people))

    points3d = detections.points3d.clone()
    points3d[..., 3] *= (rand() > NO_POINTS3D).float()[..., None]
    start, length = rand() * frames, rand() * frames / 2
    frame = torch.arange(frames, device=device)[:, None]
    missing = (rand() < UNDETECTED) & (frame >= start) & (frame < start + length)
    return _Detections(detections.points2d, detections.inv_sigma, points3d, detections.detected & ~missing)
