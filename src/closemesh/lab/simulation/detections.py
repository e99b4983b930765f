"""Observations of a made-up scene, as if its film had been through the detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from closemesh.core.arrays import Bools, Floats
from closemesh.lab.simulation.detector_errors import (
    DetectorErrors,
    correlated_noise,
    load_detector_errors,
    normal_rank,
    quantile,
)
from closemesh.lab.simulation.error_model import SampledKeypoints, hidden_class, sample_cue, sample_keypoints
from closemesh.lab.simulation.occlusion import hidden_points, outside
from closemesh.lab.simulation.scene import SimulatedScene, true_points
from closemesh.lab.simulation.statistics import person_size
from closemesh.perception.keypoints.topdown import AGREEMENT
from closemesh.perception.keypoints.uncertainty import keypoint_sigmas, resolve_shared_keypoints
from closemesh.structures import NUM_CUE_POINTS, NUM_KEYPOINTS, Observations


@dataclass(frozen=True)
class SimulatedObservations:
    """What the detector would say, and what it could not see."""

    observations: Observations
    hidden: Bools
    """[T, P, 23] see `hidden_points`."""


def simulate_observations(
    scene: SimulatedScene, seed: int, errors: DetectorErrors | None = None
) -> SimulatedObservations:
    """Observations with the errors measured on rendered films; the bundled ones unless others are given.

    Sigmas and rival claims are worked out by the observation stage's own functions. Hands and face have confidence 0.
    Raises ModelFileError when the bundled errors are missing or damaged.
    """
    errors = load_detector_errors() if errors is None else errors
    generator = torch.Generator().manual_seed(seed)
    truth, hidden, fps = true_points(scene), hidden_points(scene), scene.clip.fps
    pixels, hidden_now = torch.as_tensor(truth.pixels), torch.as_tensor(hidden)
    size = person_size(pixels)
    partner = nearest_partner(pixels, torch.as_tensor(scene.motion.valid))
    sampled = sample_keypoints(pixels, hidden_now, size, partner, errors, generator, fps)
    visible = (sampled.present & torch.as_tensor(scene.motion.valid)).numpy()
    boxes = _sample_boxes(scene, pixels, size, errors, generator) * visible[..., None]
    cue = sample_cue(
        torch.as_tensor(truth.points_cam), hidden_now, sampled.spread < 0.99 * AGREEMENT, errors, generator, fps
    ).numpy()
    crowd = hidden_class(hidden_now, errors)
    rank = _rank((*visible.shape, 1, 1), errors.event_shares[1], errors, fps, generator)[..., 0, 0]
    scores = quantile(errors.track_score, errors.levels, rank, crowd).numpy()
    keypoints, spread = _whole_body(sampled, boxes, visible, scene.camera.size)
    keypoints = resolve_shared_keypoints(keypoints, boxes, visible)
    observations = Observations(
        boxes=boxes,
        keypoints=keypoints,
        sigmas=keypoint_sigmas(keypoints, boxes, visible, spread),
        keypoints3d=cue * visible[..., None, None],
        detected=visible,
        track_confidence=scores * visible,
        detector="simulated",
    )
    return SimulatedObservations(observations, hidden)


def nearest_partner(pixels: Tensor, valid: Tensor) -> Tensor:
    """[T, P, 23, 2] the true pixels of whoever stands nearest in the picture; nan where nobody else is there.

    pixels [T, P, 23, 2], valid [T, P].
    """
    middle = pixels.mean(-2)  # [T, P, 2]
    apart = torch.cdist(middle, middle)
    alone = torch.eye(pixels.shape[1], dtype=torch.bool) | ~valid[:, None, :]
    apart = apart.masked_fill(alone, torch.inf)
    nearest = apart.argmin(-1)  # [T, P]
    chosen = pixels.gather(1, nearest[..., None, None].expand(-1, -1, *pixels.shape[-2:]))
    return torch.where(apart.amin(-1).isfinite()[..., None, None], chosen, torch.nan)


def _whole_body(
    sampled: SampledKeypoints, boxes: Floats, visible: Bools, size: tuple[int, int]
) -> tuple[Floats, Floats]:
    """Keypoints [T, P, 133, 3] and their spread [T, P, 133] in pixels; nothing is detected outside the picture."""
    keypoints, spread = np.zeros((*visible.shape, NUM_KEYPOINTS, 3)), np.zeros((*visible.shape, NUM_KEYPOINTS))
    points = sampled.points.numpy()
    confidence = np.where(outside(points, size) | ~visible[..., None], 0, sampled.confidence.numpy())
    keypoints[:, :, :NUM_CUE_POINTS] = (
        np.concatenate([points, confidence[..., None]], axis=-1) * visible[..., None, None]
    )
    diagonal = np.linalg.norm(boxes[..., 2:] - boxes[..., :2], axis=-1)
    spread[:, :, :NUM_CUE_POINTS] = sampled.spread.numpy() * diagonal[..., None]
    return keypoints, spread


def _sample_boxes(
    scene: SimulatedScene, pixels: Tensor, size: Tensor, errors: DetectorErrors, generator: torch.Generator
) -> Floats:
    """[T, P, 4] inside the picture."""
    rank = _rank((*size.shape, 4, 1), errors.box_shares, errors, scene.clip.fps, generator)[..., 0]
    outwards = quantile(errors.box, errors.levels, rank, torch.arange(4)) * size[..., None]
    body = pixels[..., :17, :]
    boxes = torch.cat([body.amin(-2) - outwards[..., :2], body.amax(-2) + outwards[..., 2:]], dim=-1)
    return boxes.numpy().clip(0, np.tile(scene.camera.size, 2))


def _rank(
    shape: tuple[int, ...], shares: Tensor, errors: DetectorErrors, fps: float, generator: torch.Generator
) -> Tensor:
    return normal_rank(correlated_noise(shape, shares, errors.times, fps, generator))
