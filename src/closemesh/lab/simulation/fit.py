"""Detector error distributions fitted to measured videos: people, boxes, identities and monocular 3D keypoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import InputError
from closemesh.core.progress import Progress
from closemesh.lab.datasets.registry import split_motion_files
from closemesh.lab.simulation.detector_errors import DetectorErrors, no_matched_errors, save_detector_errors
from closemesh.lab.simulation.error_labels import ErrorLabels, label_errors
from closemesh.lab.simulation.fit_points import ERROR_EDGES, MIN_SAMPLES, KeypointSamples, pool_frames
from closemesh.lab.simulation.measure import MeasuredVideo, VideoConfig, measure_videos
from closemesh.lab.simulation.statistics import (
    FACINGS,
    FLIPS,
    LEVELS,
    MIRROR,
    TIMES,
    event_variances,
    facing_class,
    lagged_correlation,
    normal_scores,
    process_variances,
    quantiles,
)
from closemesh.perception.keypoints.topdown import AGREEMENT_DISTANCE

HIDDEN_EDGES = np.array([0.15, 0.35, 0.55])
"""Classes of the hidden fraction of a person's keypoints."""
_MIN_ALIGNED = 8  # Confident 3D keypoints needed to align them with the true ones.
_MIN_CONFIDENCE = 0.3
_HIPS = [11, 12]
_NUM_KEYPOINTS = 23
_NUM_BODY = 17


def fit_detector_errors(data: Path, out: Path, config: VideoConfig, progress: Progress) -> DetectorErrors:
    """Errors of the bundled detector on videos rendered from the motion below `data`, written to `out`.

    The test split of the motion is left out. Raises InputError when there is no motion of enough frames or no person
    was found in any video.
    """
    training, _ = split_motion_files(data)
    videos = measure_videos(training, config, progress)
    pairs = sum(video.truth.valid.shape[1] > 1 for video in videos)
    measured_on = (
        f"{len(videos)} rendered videos of {config.num_frames} frames, {pairs} of them with two people, "
        f"seed {config.seed}"
    )
    errors = fit_error_distributions(videos, measured_on)
    save_detector_errors(out, errors)
    return errors


def fit_error_distributions(videos: list[MeasuredVideo], measured_on: str) -> DetectorErrors:
    """The error distributions of these videos. Raises InputError when no person was found in any of them."""
    videos = [video for video in videos if video.found.any()]
    if not videos:
        raise InputError("the detector found no person in any video, so its errors are unknown; make more videos")
    labels = [label_errors(video) for video in videos]
    arrays = {
        **{"levels": LEVELS, "times": TIMES, "error_edges": ERROR_EDGES, "hidden_edges": HIDDEN_EDGES},
        **KeypointSamples(videos, labels).fit(),
        **fit_people(videos, labels),
        **fit_keypoints3d(videos, labels),
        **no_matched_errors(_NUM_KEYPOINTS, len(LEVELS)),
    }
    tensors = {name: torch.as_tensor(array, dtype=torch.float32) for name, array in arrays.items()}
    return DetectorErrors(**tensors, measured_on=measured_on)


def fit_people(videos: list[MeasuredVideo], labels: list[ErrorLabels]) -> dict[str, Floats]:
    """The fields of DetectorErrors about whole people, by name; shapes [...] as there."""
    fps, classes = videos[0].fps, len(HIDDEN_EDGES) + 1
    occlusion = [np.digitize(video.truth.hidden.mean(-1), HIDDEN_EDGES) for video in videos]
    facing = [facing_class(torch.as_tensor(video.truth.pixels)).numpy() for video in videos]
    observed = [label.counted & ~label.absent for label in labels]
    paired = [
        seen & np.isfinite(video.truth.partner).all((-1, -2)) for seen, video in zip(observed, videos, strict=True)
    ]
    counted = [label.counted for label in labels]
    flips = [label.left_right_flip for label in labels]
    switches = [label.identity_switch for label in labels]
    absences = [label.absent for label in labels]
    flip_rates = [_rates([one[..., f] for one in flips], observed, facing, len(FACINGS)) for f in range(len(FLIPS))]
    variances = [
        _event_variances([np.any(one, axis=-1) for one in flips], observed, fps),
        _event_variances(switches, paired, fps),
        _event_variances(absences, counted, fps),
    ]
    return {
        "left_right_flip": np.stack(flip_rates),
        "identity_switch": _rates(switches, paired, occlusion, classes),
        "absent": _rates(absences, counted, occlusion, classes),
        "event_variances": np.stack(variances),
        "track_confidence": _track_confidence(videos, observed, occlusion),
        **_fit_boxes(videos, labels, fps),
    }


def _rates(happened: list[Bools], possible: list[Bools], classes: list[np.ndarray], count: int) -> Floats:
    """[count] fraction of possible frames [T, P] in which an event happened, for each class [T, P] of frames."""
    all_happened, all_possible, all_classes = (pool_frames(part) for part in (happened, possible, classes))
    overall = all_happened[all_possible].mean() if all_possible.any() else 0.0
    rates = np.full(count, overall)
    for c in range(count):
        rows = all_possible & (all_classes == c)
        if rows.sum() >= MIN_SAMPLES:
            rates[c] = all_happened[rows].mean()
    return rates


def _event_variances(happened: list[Bools], possible: list[Bools], fps: float) -> Floats:
    """[C]."""
    events = [np.where(can, did, np.nan) for did, can in zip(happened, possible, strict=True)]
    known = np.concatenate([one[np.isfinite(one)] for one in events])
    return event_variances(events, float(known.mean()) if len(known) else 0.0, fps)


def _track_confidence(videos: list[MeasuredVideo], observed: list[Bools], occlusion: list[np.ndarray]) -> Floats:
    """[S, Q]."""
    confidence = [video.detections.track_confidence[rows] for video, rows in zip(videos, observed, strict=True)]
    pooled = np.concatenate(confidence)
    classes = np.concatenate([one[rows] for one, rows in zip(occlusion, observed, strict=True)])
    tables = []
    for c in range(len(HIDDEN_EDGES) + 1):
        own = pooled[classes == c]
        tables.append(quantiles(own if len(own) >= MIN_SAMPLES else pooled))
    return np.stack(tables)


def _fit_boxes(videos: list[MeasuredVideo], labels: list[ErrorLabels], fps: float) -> dict[str, Floats]:
    """Distance of the box sides outside the box of the true body keypoints; people cut by the border are left out."""
    margins = []
    for video, label in zip(videos, labels, strict=True):
        body, boxes = video.truth.pixels[:, :, :_NUM_BODY], video.detections.boxes
        sides = np.concatenate([body.min(2) - boxes[..., :2], boxes[..., 2:] - body.max(2)], -1)
        sides = sides / video.truth.size[..., None]
        whole = label.counted & ~label.absent & ~label.identity_switch & ~video.truth.outside.any(-1)
        margins.append(np.where(whole[..., None], sides, np.nan))
    pooled = pool_frames(margins)
    pooled = pooled[np.isfinite(pooled).all(-1)]
    mean, std = pooled.mean(0), np.maximum(pooled.std(0), 1e-9)
    normal = [np.clip((one - mean) / std, -3, 3) for one in margins]
    return {
        "box": quantiles_of_columns(pooled),
        "box_variances": process_variances(lagged_correlation(normal), fps),
    }


def quantiles_of_columns(samples: Floats) -> Floats:
    """[K, Q] quantiles of samples [N, K] at LEVELS."""
    return np.quantile(samples, LEVELS, axis=0).T


def fit_keypoints3d(videos: list[MeasuredVideo], labels: list[ErrorLabels]) -> dict[str, Floats]:
    """The fields of DetectorErrors about monocular 3D keypoints, by name; shapes [...] as there."""
    rotations, scales, residuals, confidences = [], [], [], []
    for video, label in zip(videos, labels, strict=True):
        usable = label.counted & ~label.absent & ~label.identity_switch & ~label.left_right_flip.any(-1)
        rotation, scale, residual = _align(video, usable)
        rotations.append(rotation)
        scales.append(scale)
        residuals.append(residual)
        agree = video.detections.disagreement < 0.99 * AGREEMENT_DISTANCE
        valid = usable[..., None] & agree & ~video.truth.outside
        confidence = video.detections.keypoints3d[..., 3]
        confidences.append(np.where(valid & (confidence > 0), confidence, np.nan))
    variances = [_process_variances(values, videos[0].fps) for values in (rotations, scales, residuals)]
    rotation, scale = pool_frames(rotations), pool_frames(scales)
    hidden = pool_frames([video.truth.hidden for video in videos])
    return {
        "keypoints3d_rotation": quantiles_of_columns(rotation[np.isfinite(rotation).all(-1)]),
        "keypoints3d_scale": quantiles(scale[np.isfinite(scale)]),
        "keypoints3d_residual": _residual_tables(pool_frames(residuals), hidden),
        "keypoints3d_confidence": _confidence_tables(pool_frames(confidences), hidden),
        "keypoints3d_variances": np.stack(variances),
    }


def _align(video: MeasuredVideo, usable: Bools) -> tuple[Floats, Floats, Floats]:
    """Rotation [T, P, 3] in radians, log scale [T, P, 1] and residual [T, P, 23, 3] in meters, true to estimated."""
    shape = usable.shape
    rotations, scales = np.full((*shape, 3), np.nan), np.full((*shape, 1), np.nan)
    residual = np.full((*shape, _NUM_KEYPOINTS, 3), np.nan)
    truth = video.truth.points_cam - video.truth.points_cam[:, :, _HIPS].mean(2, keepdims=True)
    keypoints3d = video.detections.keypoints3d
    given = keypoints3d[..., :3] - keypoints3d[:, :, _HIPS, :3].mean(2, keepdims=True)
    for t, p in np.argwhere(usable):
        confident = keypoints3d[t, p, :, 3] > _MIN_CONFIDENCE
        if confident.sum() < _MIN_ALIGNED:
            continue
        rotation = Rotation.align_vectors(given[t, p, confident], truth[t, p, confident])[0]
        rotated = rotation.apply(truth[t, p])
        scale = (rotated[confident] * given[t, p, confident]).sum() / (rotated[confident] ** 2).sum()
        if scale <= 0:
            continue
        rotations[t, p], scales[t, p] = rotation.as_rotvec(), np.log(scale)
        residual[t, p] = np.where(keypoints3d[t, p, :, 3:] > 0, given[t, p] - scale * rotated, np.nan)
    return rotations, scales, residual


def _process_variances(values: list[Floats], fps: float) -> Floats:
    """[C] of series [T, P, ...] of any distribution."""
    flat = np.concatenate([one.ravel() for one in values])
    known = np.isfinite(flat)
    scores = np.full(flat.shape, np.nan)
    scores[known] = normal_scores(flat[known])
    ends = np.cumsum([one.size for one in values])[:-1]
    series = [part.reshape(one.shape) for part, one in zip(np.split(scores, ends), values, strict=True)]
    return process_variances(lagged_correlation(series), fps)


def _residual_tables(residual: Floats, hidden: Bools) -> Floats:
    """[23, 2, 3, Q] of residual [N, 23, 3]; mirrored samples of the other side of the body are added."""
    tables = np.zeros((_NUM_KEYPOINTS, 2, 3, len(LEVELS)))
    residual = np.concatenate([residual, residual[:, MIRROR] * (-1, 1, 1)])
    hidden = np.concatenate([hidden, hidden[:, MIRROR]])
    known: Bools = np.isfinite(residual).all(axis=-1)  # type: ignore[assignment]
    for k in range(_NUM_KEYPOINTS):
        for h in (0, 1):
            rows = _rows(known, hidden, k, h)
            if rows.any():
                tables[k, h] = quantiles_of_columns(residual[rows, k])
    return tables


def _confidence_tables(confidence: Floats, hidden: Bools) -> Floats:
    """[23, 2, Q] of confidence [N, 23], nan where detection and crop pose disagree."""
    tables = np.zeros((_NUM_KEYPOINTS, 2, len(LEVELS)))
    known = np.isfinite(confidence)
    for k in range(_NUM_KEYPOINTS):
        for h in (0, 1):
            rows = _rows(known, hidden, k, h)
            if rows.any():
                tables[k, h] = quantiles(confidence[rows, k])
    return tables


def _rows(known: Bools, hidden: Bools, k: int, h: int) -> Bools:
    """[N] known samples of keypoint k, hidden (h = 1) or visible; all known ones where these are too few."""
    rows = known[:, k] & (hidden[:, k] == bool(h))
    return rows if rows.sum() >= MIN_SAMPLES else known[:, k]
