"""From a simulated scene to Observations; calls the error model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from closemesh.core.arrays import Bools, Floats
from closemesh.fitting.keypoint_tracks import keypoints3d_in_camera
from closemesh.geometry.camera import default_focal, outside_image
from closemesh.lab.simulation.detector_errors import (
    DetectorErrors,
    correlated_noise,
    load_detector_errors,
    normal_rank,
    quantile,
)
from closemesh.lab.simulation.error_model import (
    SampledKeypoints,
    occlusion_class,
    place_outside,
    sample_keypoints,
    sample_keypoints3d,
)
from closemesh.lab.simulation.occlusion import hidden_points
from closemesh.lab.simulation.scene import SimulatedScene, true_points
from closemesh.lab.simulation.statistics import person_size
from closemesh.perception.keypoints.selection import AGREEMENT_DISTANCE
from closemesh.perception.keypoints.uncertainty import keypoint_sigmas, without_shared_keypoints
from closemesh.perception.observation_builder import BORDER_MARGIN
from closemesh.structures import NUM_KEYPOINTS, NUM_KEYPOINTS3D, Camera, Observations


@dataclass(frozen=True)
class SimulatedObservations:
    """Observations of a scene, and the keypoints hidden from its camera."""

    observations: Observations
    hidden: Bools
    """[T, P, 23] of `hidden_points`."""
    disagreement: Floats
    """[T, P, 23] pixels between detection and crop pose."""


def simulate_observations(
    scene: SimulatedScene, seed: int, errors: DetectorErrors | None = None
) -> SimulatedObservations:
    """Observations with the given detector errors, by default the bundled ones, measured on rendered videos.

    Sigmas and shared keypoints follow the rules of perception. Hands and face have confidence 0. Raises ModelFileError
    when the bundled errors are missing or damaged.
    """
    errors = load_detector_errors() if errors is None else errors
    generator = torch.Generator().manual_seed(seed)
    truth, hidden, fps = true_points(scene), hidden_points(scene), scene.clip.fps
    pixels, hidden_now = torch.as_tensor(truth.pixels), torch.as_tensor(hidden)
    size = person_size(pixels)
    partner = nearest_partner(pixels, torch.as_tensor(scene.motion.valid))
    inside = torch.as_tensor(~outside_image(truth.pixels, scene.camera.size))
    sampled = sample_keypoints(pixels, hidden_now & inside, size, partner, errors, generator, fps)
    sampled = place_outside(sampled, pixels, size, torch.tensor(scene.camera.size), errors, generator, fps)
    detected = (sampled.present & torch.as_tensor(scene.motion.valid)).numpy()
    boxes = _sample_boxes(scene, pixels, size, errors, generator) * detected[..., None]
    agree = sampled.disagreement < 0.99 * AGREEMENT_DISTANCE
    points_cam = torch.as_tensor(truth.points_cam)
    keypoints3d = sample_keypoints3d(points_cam, hidden_now, agree, errors, generator, fps).numpy()
    rank = _rank((*detected.shape, 1, 1), errors.event_variances[1], errors, fps, generator)[..., 0, 0]
    occlusion = occlusion_class(hidden_now & inside, errors)
    track_confidence = quantile(errors.track_confidence, errors.levels, rank, occlusion).numpy()
    keypoints, disagreement, outside = _whole_body(sampled, boxes, detected, scene.camera.size)
    keypoints = without_shared_keypoints(keypoints, boxes, detected)
    observations = Observations(
        boxes=boxes,
        keypoints=keypoints,
        sigmas=keypoint_sigmas(keypoints, boxes, detected, disagreement, scene.camera.size),
        keypoints3d=keypoints3d * detected[..., None, None],
        detected=detected,
        track_confidence=track_confidence * detected,
        detector="simulated",
        outside=outside,
    )
    observations = _with_usual_rays(observations, scene.camera)
    return SimulatedObservations(observations, hidden, disagreement[:, :, :NUM_KEYPOINTS3D])


def _with_usual_rays(observations: Observations, camera: Camera) -> Observations:
    """The observations as perception makes them: their 3D keypoints do not know the focal length of the camera."""
    known = replace(observations, keypoints3d_focal=camera.focal)
    usual = default_focal(camera.size)
    keypoints3d = keypoints3d_in_camera(known, replace(camera, focal=usual))
    return replace(observations, keypoints3d=keypoints3d, keypoints3d_focal=usual)


def nearest_partner(pixels: Tensor, valid: Tensor) -> Tensor:
    """[T, P, 23, 2] true pixels of the nearest other person; nan where no other person is present.

    pixels: [T, P, 23, 2]. valid: [T, P] people who are present.
    """
    middle = pixels.mean(-2)  # [T, P, 2]
    distance = torch.cdist(middle, middle)
    excluded = torch.eye(pixels.shape[1], dtype=torch.bool) | ~valid[:, None, :]
    distance = distance.masked_fill(excluded, torch.inf)
    nearest = distance.argmin(-1)  # [T, P]
    partner = pixels.gather(1, nearest[..., None, None].expand(-1, -1, *pixels.shape[-2:]))
    return torch.where(distance.amin(-1).isfinite()[..., None, None], partner, torch.nan)


def _whole_body(
    sampled: SampledKeypoints, boxes: Floats, detected: Bools, size: tuple[int, int]
) -> tuple[Floats, Floats, Bools]:
    """Keypoints [T, P, 133, 3], disagreement [T, P, 133] in pixels, and what is outside [T, P, 23].

    As in perception, keypoints at the border or beyond it have confidence 0 and count as outside.
    """
    keypoints = np.zeros((*detected.shape, NUM_KEYPOINTS, 3))
    disagreement = np.zeros((*detected.shape, NUM_KEYPOINTS))
    points, diagonal = sampled.points.numpy(), np.linalg.norm(boxes[..., 2:] - boxes[..., :2], axis=-1)
    margin = BORDER_MARGIN * diagonal[..., None, None]
    outside = ((points < margin) | (points >= np.array(size) - margin)).any(-1)
    confidence = np.where(outside | ~detected[..., None], 0, sampled.confidence.numpy())
    body = np.concatenate([points, confidence[..., None]], axis=-1)
    keypoints[:, :, :NUM_KEYPOINTS3D] = body * detected[..., None, None]
    disagreement[:, :, :NUM_KEYPOINTS3D] = sampled.disagreement.numpy() * diagonal[..., None]
    return keypoints, disagreement, outside & detected[..., None]


def _sample_boxes(
    scene: SimulatedScene, pixels: Tensor, size: Tensor, errors: DetectorErrors, generator: torch.Generator
) -> Floats:
    """[T, P, 4] inside the image."""
    rank = _rank((*size.shape, 4, 1), errors.box_variances, errors, scene.clip.fps, generator)[..., 0]
    margin = quantile(errors.box, errors.levels, rank, torch.arange(4)) * size[..., None]
    body = pixels[..., :17, :]
    boxes = torch.cat([body.amin(-2) - margin[..., :2], body.amax(-2) + margin[..., 2:]], dim=-1)
    return boxes.numpy().clip(0, np.tile(scene.camera.size, 2))


def _rank(
    shape: tuple[int, ...], variances: Tensor, errors: DetectorErrors, fps: float, generator: torch.Generator
) -> Tensor:
    return normal_rank(correlated_noise(shape, variances, errors.times, fps, generator))
