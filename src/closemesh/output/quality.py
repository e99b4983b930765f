"""Quality metrics of a motion for scene.json and the summary: reprojection error, jitter, penetration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from closemesh.body.model import BodyModel
from closemesh.body.motion import motion_in_world, motion_joints, motion_keypoints
from closemesh.body.skinning import shaped_template
from closemesh.core.arrays import Floats
from closemesh.core.errors import NonFiniteError
from closemesh.geometry.camera import project
from closemesh.structures import (
    NUM_BODY_JOINTS,
    BodyMotion,
    Camera,
    Clip,
    Observations,
    PairContacts,
    check_finite,
)
from closemesh.temporal import jerk

NUM_COCO_KEYPOINTS = 17
MIN_CONFIDENCE = 0.5

Metrics = dict[str, float | None]
"""Values by name, with the unit at the end of the name; None when the clip has no data for it."""


def motion_quality(
    clip: Clip,
    observations: Observations,
    camera: Camera,
    motion: BodyMotion,
    body: BodyModel,
    contacts: Sequence[PairContacts],
) -> Metrics:
    """All metrics of a camera-frame motion."""
    return {
        **reprojection_metrics(observations, camera, motion, body),
        "jitter_m_s3": jitter(motion_joints(motion_in_world(motion, camera, body), body), motion, clip.fps),
        **contact_metrics(contacts, motion.num_people),
    }


def reprojection_metrics(observations: Observations, camera: Camera, motion: BodyMotion, body: BodyModel) -> Metrics:
    """Reprojection error of the 17 COCO keypoints whose confidence is above 0.5.

    In pixels, and in percent of the person's height in the image (standing height * focal / depth of the pelvis).
    """
    keypoints_cam = motion_keypoints(motion, body)[:, :, :NUM_COCO_KEYPOINTS]
    depth = motion_joints(motion, body)[:, :, 0, 2]  # [T, P]
    projected = project(torch.as_tensor(keypoints_cam), camera.focal, camera.principal_point).numpy()  # [T, P, 17, 2]
    detected = observations.keypoints[:, :, :NUM_COCO_KEYPOINTS]
    error = np.linalg.norm(projected - detected[..., :2], axis=-1)  # [T, P, 17]
    height = standing_heights(motion, body) * camera.focal / depth  # [T, P] pixels
    counted = (detected[..., 2] > MIN_CONFIDENCE) & motion.valid[..., None] & (depth > 0)[..., None]
    percent = 100 * error / height[..., None]
    return {
        "reprojection_median_px": _median(error[counted]),
        "reprojection_median_percent_of_height": _median(percent[counted]),
        "reprojection_p95_percent_of_height": _percentile(percent[counted], 95),
    }


def jitter(joints: Floats, motion: BodyMotion, fps: float) -> float | None:
    """Mean jerk in m/s^3 of the 22 body joints [T, P, 55, 3], over runs of four frames in which the person is valid.

    The measure that WHAM, TRAM and GVHMR report in units of 10 m/s^3.
    """
    if len(joints) < 4:
        return None
    valid = np.lib.stride_tricks.sliding_window_view(motion.valid, 4, axis=0).all(-1)  # [T - 3, P]
    size = jerk(joints[:, :, :NUM_BODY_JOINTS], fps)[valid]
    return float(size.mean()) if size.size else None


def contact_metrics(contacts: Sequence[PairContacts], num_people: int) -> Metrics:
    """Contact and penetration over all close pairs and the frames in which both people are valid.

    Several people without a close pair have a penetration of 0.
    """
    distance = np.concatenate([pair.distance for pair in contacts] or [np.zeros(0)])
    finite = np.isfinite(distance)
    depth = np.concatenate([pair.depth for pair in contacts] or [np.zeros(0)])[finite]
    if num_people > 1 and not len(depth):
        depth = np.zeros(1)
    penetrating = depth[depth > 0]
    return {
        "contacts": float(sum(len(pair.contacts) for pair in contacts)),
        "closest_mm": 1000 * float(distance[finite].min()) if finite.any() else None,
        "frames_crossing_percent": 100 * len(penetrating) / len(depth) if len(depth) else None,
        "penetration_mean_mm": 1000 * float(depth.mean()) if len(depth) else None,
        "penetration_max_mm": 1000 * float(depth.max()) if len(depth) else None,
    }


def check_numbers(where: str, record: Any) -> None:
    """Check a part of a result before it is written. Raises NonFiniteError when a number is NaN or infinite."""
    try:
        check_finite(where, record)
    except NonFiniteError as error:
        raise NonFiniteError(f"{error}; nothing is written, run again with --fresh or with another --seed") from error


def standing_heights(motion: BodyMotion, body: BodyModel) -> Floats:
    """Heights [P] in meters from sole to crown of the rest bodies."""
    betas = torch.as_tensor(motion.betas).to(body.v_template)
    heights = shaped_template(body, betas)[..., 1]  # [P, V]
    return (heights.amax(-1) - heights.amin(-1)).cpu().numpy()


def _median(values: Floats) -> float | None:
    return _percentile(values, 50)


def _percentile(values: Floats, percent: float) -> float | None:
    return float(np.percentile(values, percent)) if values.size else None
