"""Real and simulated detections compared by statistics that need no ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import KEYPOINT_NAMES
from closemesh.core.arrays import Bools, Floats
from closemesh.core.progress import Progress
from closemesh.fitting.keypoint_noise import apparent_height, joint_name
from closemesh.lab.evaluation.benchmark_scenes import Window
from closemesh.lab.simulation.detections import simulate_observations
from closemesh.lab.simulation.detector_errors import DetectorErrors
from closemesh.lab.simulation.noise_statistics import median_of_known, second_differences
from closemesh.lab.simulation.real_noise import RepeatedKeypoints
from closemesh.lab.simulation.scene import SimulatedScene, make_scene
from closemesh.perception.keypoints.uncertainty import distance_to_limbs, without_shared_keypoints
from closemesh.structures import NUM_KEYPOINTS, NUM_KEYPOINTS3D

_JOINTS = [joint_name(name) for name in KEYPOINT_NAMES[:NUM_KEYPOINTS3D]]
_NEAR = 0.09  # Fraction of the height: two widths of a limb.
_MOVENET, _HEAVY, _FUSED = 0, 2, 3


@dataclass(frozen=True)
class TruthFree:
    """Statistics of detections of one joint that need no ground truth; lengths are fractions of the height."""

    joint: str
    near: bool
    """Within two widths of a limb of a partner's limb."""
    points: int
    disagreement: float
    """Median distance of the two networks."""
    disagreement_90: float
    """90th percentile."""
    jitter: float
    """Median second difference over the square root of 6."""
    confidence: float
    """Mean over detected keypoints."""
    unsure: float
    """Fraction of confidence below 0.3, of the detected ones."""
    missed: float
    """Fraction without a keypoint."""


@dataclass(frozen=True)
class DetectionSet:
    """Detections of one clip, real or simulated."""

    keypoints: Floats
    """[T, P, 23, 3] pixels; confidence 0 where not detected."""
    disagreement: Floats
    """[T, P, 23] pixels; nan where only one network gives the keypoint."""
    boxes: Floats
    """[T, P, 4]."""
    detected: Bools
    """[T, P]."""

    @classmethod
    def of_clip(cls, clip: RepeatedKeypoints, rate: float = 30.0) -> DetectionSet:
        """The fused keypoints of a real clip, at about `rate` frames per second."""
        step = max(1, round(clip.fps / rate))
        base = clip.keypoints[::step, :, 0].astype(float)
        distance = np.linalg.norm(base[:, :, _MOVENET, :, :2] - base[:, :, _HEAVY, :, :2], axis=-1)
        boxes = clip.boxes[::step]
        detected = np.asarray(np.isfinite(boxes).all(-1))
        keypoints = np.zeros((*detected.shape, NUM_KEYPOINTS, 3))
        keypoints[:, :, :NUM_KEYPOINTS3D] = np.nan_to_num(base[:, :, _FUSED])
        resolved = without_shared_keypoints(keypoints, np.nan_to_num(boxes), detected)
        return cls(resolved[:, :, :NUM_KEYPOINTS3D], distance, np.nan_to_num(boxes), detected)

    @classmethod
    def of_scene(cls, scene: SimulatedScene, seed: int, errors: DetectorErrors | None = None) -> DetectionSet:
        """Simulated detections of a scene. Raises ModelFileError when the bundled errors are missing."""
        simulated = simulate_observations(scene, seed, errors)
        seen = simulated.observations
        keypoints = seen.keypoints[:, :, :NUM_KEYPOINTS3D]
        distance = np.where(keypoints[..., 2] > 0, simulated.disagreement, np.nan)
        return cls(keypoints, distance, seen.boxes, seen.detected)


def truth_free_statistics(sets: list[DetectionSet]) -> list[TruthFree]:
    """The statistics of each joint, far from partners and near them."""
    parts = [_values(one) for one in sets]
    near, present, disagreement, jitter, confidence = (np.concatenate(one) for one in zip(*parts, strict=True))
    lines = []
    for joint in dict.fromkeys(_JOINTS):
        both = [k for k in range(NUM_KEYPOINTS3D) if _JOINTS[k] == joint]
        for is_near in (False, True):
            rows = present[:, both] & (near[:, both] == is_near)
            given = rows & (confidence[:, both] > 0)
            certainty = confidence[:, both][given]
            apart, moved = disagreement[:, both][given], jitter[:, both][given]
            apart, moved = apart[np.isfinite(apart)], moved[np.isfinite(moved)]
            if given.any():
                lines.append(
                    TruthFree(
                        joint=joint,
                        near=is_near,
                        points=int(rows.sum()),
                        disagreement=float(np.median(apart)) if len(apart) else np.nan,
                        disagreement_90=float(np.quantile(apart, 0.9)) if len(apart) else np.nan,
                        jitter=float(np.median(moved)) if len(moved) else np.nan,
                        confidence=float(certainty.mean()),
                        unsure=float((certainty < 0.3).mean()),
                        missed=1 - float(given.sum() / rows.sum()),
                    )
                )
    return lines


def _values(one: DetectionSet) -> tuple[np.ndarray, ...]:
    """Near, present, disagreement, jitter and confidence of all people and frames [T * P, 23]."""
    keypoints = torch.as_tensor(one.keypoints)
    height = _heights(keypoints, torch.as_tensor(one.boxes), one.detected)[..., None]
    near = np.zeros(one.disagreement.shape, bool)
    for p, q in permutations(range(one.detected.shape[1]), 2):
        near[:, p] |= distance_to_limbs(one.keypoints[:, p, :, :2], one.keypoints[:, q]) < _NEAR * height[:, p]
    given = one.keypoints[..., 2] > 0
    points = np.where(given[..., None], one.keypoints[..., :2], np.nan)
    jitter = np.full(near.shape, np.nan)
    jitter[1:-1] = second_differences(points)
    present = np.broadcast_to(one.detected[..., None], near.shape)
    arrays = (near, present, one.disagreement / height, jitter / height, one.keypoints[..., 2])
    return tuple(array.reshape(-1, NUM_KEYPOINTS3D) for array in arrays)


def _heights(keypoints: Tensor, boxes: Tensor, detected: Bools) -> Floats:
    """[T, P] apparent heights, the median of each person's frames."""
    heights = np.where(detected, apparent_height(keypoints, boxes).numpy(), np.nan)
    return np.broadcast_to(np.nan_to_num(median_of_known(heights, axis=0), nan=1.0), heights.shape)


@dataclass(frozen=True)
class RealAgainstSimulated:
    """One line of the table."""

    real: TruthFree
    simulated: TruthFree


def compare_with_real(
    clips: list[RepeatedKeypoints],
    windows: list[Window],
    seed: int,
    progress: Progress,
    errors: DetectorErrors | None = None,
) -> list[RealAgainstSimulated]:
    """Real clips against simulated detections of the windows, each before a random camera.

    Raises InputError when a window cannot be read, ModelFileError when the bundled errors are missing.
    """
    body, simulated = load_bundled_body("light"), []
    with progress.task("scenes", len(windows)) as advance:
        for number, window in enumerate(windows):
            scene = make_scene(window.read(), body, seed + number)
            simulated.append(DetectionSet.of_scene(scene, seed + number, errors))
            advance(1)
    real = truth_free_statistics([DetectionSet.of_clip(clip) for clip in clips])
    found = {(line.joint, line.near): line for line in truth_free_statistics(simulated)}
    return [
        RealAgainstSimulated(line, found[line.joint, line.near]) for line in real if (line.joint, line.near) in found
    ]
