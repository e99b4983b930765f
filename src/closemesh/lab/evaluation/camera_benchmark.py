"""Focal length and vertical that people show, against the known cameras of simulated clips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from closemesh.body.loading import load_body, load_landmark_body
from closemesh.core.progress import NullProgress, Progress
from closemesh.fitting.objective import FitModel
from closemesh.initialization.camera_estimation import estimate_camera
from closemesh.initialization.intrinsics import find_camera_prior
from closemesh.initialization.lifting_network import load_lifter
from closemesh.lab.evaluation.benchmark_run import seed_of
from closemesh.lab.evaluation.benchmark_scenes import Window, observe_keypoints
from closemesh.lab.evaluation.evaluate import fitting_betas
from closemesh.lab.evaluation.report import current_commit
from closemesh.lab.simulation.scene import make_scene
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.structures import Camera

NOMINAL = 0.9  # Probability of the interval whose coverage is counted.
_NOMINAL_STDS = 1.645


@dataclass(frozen=True)
class CameraError:
    """One window: the estimated camera against the true one."""

    name: str
    true_focal: float
    """Of the diagonal of the image."""
    focal: float
    """Of the diagonal."""
    prior_error: float
    """Percent by which the focal length of a usual camera is off."""
    focal_error: float
    """Percent by which the estimate is off."""
    focal_stds: float
    """Standard deviations of the estimate by which its logarithm is off."""
    vertical_error: float
    """Degrees between the estimated and the true vertical."""
    level_error: float
    """Degrees between the vertical of a level camera and the true one."""

    @property
    def covered(self) -> bool:
        """Whether the interval of probability NOMINAL holds the true focal length."""
        return abs(self.focal_stds) < _NOMINAL_STDS


def as_json(errors: Sequence[CameraError]) -> dict[str, Any]:
    """The commit, the summary and the errors of all windows by their names in the JSON file."""
    return {"commit": current_commit(), "summary": summary(errors), "windows": [asdict(one) for one in errors]}


def summary(errors: Sequence[CameraError]) -> dict[str, Any]:
    """Quartiles over windows, and the percentage of windows whose interval holds the true focal length."""
    names = ("prior_error", "focal_error", "level_error", "vertical_error")
    quartiles = {
        name: np.quantile([getattr(one, name) for one in errors], [0.25, 0.5, 0.75]).tolist() for name in names
    }
    return {**quartiles, "covered": 100 * float(np.mean([one.covered for one in errors]))}


def measure_cameras(windows: Sequence[Window], seed: int, progress: Progress) -> list[CameraError]:
    """The errors of every window, from simulated detections. Raises ClosemeshError."""
    body = load_body(None)
    model, lifter = FitModel(load_landmark_body(body), load_pose_prior()), load_lifter(torch.device("cpu"))
    errors = []
    with progress.task("cameras", len(windows)) as advance:
        for window in windows:
            sequence = window.read()
            scene = make_scene(sequence, body, seed_of(window, seed), fitting_betas(sequence, body))
            observed = observe_keypoints(scene, seed_of(window, seed) + 1)
            prior = find_camera_prior(observed.clip, None)
            estimate = estimate_camera(prior, observed.clip, observed.observations, model, lifter, NullProgress())
            errors.append(_error(window.name, scene.camera, prior.focal, estimate))
            advance(1)
    return errors


def _error(name: str, true: Camera, prior_focal: float, estimate: Camera) -> CameraError:
    diagonal, up = math.hypot(*true.size), true.up[0]
    log_std = estimate.focal_std / estimate.focal
    return CameraError(
        name=name,
        true_focal=true.focal / diagonal,
        focal=estimate.focal / diagonal,
        prior_error=100 * abs(prior_focal / true.focal - 1),
        focal_error=100 * abs(estimate.focal / true.focal - 1),
        focal_stds=math.log(true.focal / estimate.focal) / log_std,
        vertical_error=_degrees(estimate.up[0] @ up),
        level_error=_degrees(-up[1]),
    )


def _degrees(cosine: float) -> float:
    return math.degrees(math.acos(min(1.0, max(-1.0, float(cosine)))))
