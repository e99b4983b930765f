"""Detector errors made to match real detections, and both compared by statistics that need no ground truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from closemesh.body.skeleton import KEYPOINT_NAMES
from closemesh.core.arrays import Floats
from closemesh.fitting.keypoint_noise import JointNoise, KeypointNoise, joint_name
from closemesh.lab.simulation.detector_errors import DetectorErrors
from closemesh.lab.simulation.noise_samples import CutSamples, NoiseSamples, clip_heights, cut_samples, noise_samples
from closemesh.lab.simulation.noise_statistics import NORMAL_MEDIAN, epipolar_distances, fundamental_matrix
from closemesh.lab.simulation.real_noise import RepeatedKeypoints
from closemesh.lab.simulation.statistics import (
    LEVELS,
    jump_fraction,
    lagged_correlation,
    process_variances,
    rayleigh_lengths,
)
from closemesh.structures import NUM_KEYPOINTS3D

SIZE_OVER_HEIGHT = 0.62
"""`person_size` of a standing person over the height."""
DIAGONAL_OVER_HEIGHT = 1.05
"""Of the box of a standing person."""
_LIMB_ENDS = [7, 8, 9, 10, 13, 14, 15, 16]
_JOINTS = [joint_name(name) for name in KEYPOINT_NAMES[:NUM_KEYPOINTS3D]]
_LIMBS = (
    np.arange(NUM_KEYPOINTS3D) >= 7
)  # Elbows and further out are hidden by others, heads and trunks by the own body.
_MAX_RANK = 0.9995  # Of a distribution without a largest value.
_MIN_SAMPLES = 60
_CERTAIN = 0.7  # Confidence in both views.
_NEAR = 0.09  # Fraction of the height: two widths of a limb.
_MOVENET, _HEAVY, _FUSED = 0, 2, 3


def mixture_quantiles(noise: JointNoise, levels: Floats) -> Floats:
    """[Q] quantiles at levels [Q] of the lengths of 2D errors with this noise, in its unit."""
    grid = np.linspace(0, 6 * noise.tail, 4000)
    narrow, wide = (np.exp(-(grid**2) / (2 * sigma**2)) for sigma in (noise.core, noise.tail))
    rank = 1 - (1 - noise.tail_fraction) * narrow - noise.tail_fraction * wide
    return np.interp(np.minimum(levels, _MAX_RANK), rank, grid)


def match_real_errors(
    errors: DetectorErrors,
    noise: KeypointNoise,
    clips: list[RepeatedKeypoints],
) -> DetectorErrors:
    """`errors` of rendered videos with sizes, durations, confidence, misses and disagreement of real detections.

    Hidden keypoints, flips, identity switches and 3D keypoints, whose truth real clips lack, stay as rendered; hidden
    heads and trunks shrink with the visible ones, and so does the bias: a network is out of its depth on dolls.
    """
    samples, cut = noise_samples(clips), cut_samples(clips)
    joints = [noise.networks["fused"][name] for name in _JOINTS]
    levels = errors.levels.numpy().astype(float)
    visible = np.stack([mixture_quantiles(joint, levels) for joint in joints]) / SIZE_OVER_HEIGHT  # [23, Q]
    rendered = errors.error.numpy().astype(float)
    middle = len(levels) // 2
    ratio = np.minimum(visible[:, middle] / np.maximum(rendered[:, 0, middle], 1e-6), 1)
    hidden = rendered[:, 1] * np.where(_LIMBS, np.sqrt(ratio), ratio)[:, None]
    table = np.stack([visible, np.maximum(hidden, visible)], axis=1)
    variances, jumps = _processes(clips)
    arrays = {
        "error": table,
        "bias": errors.bias.numpy() * ratio[:, None, None],
        "error_variances": np.broadcast_to(variances, (NUM_KEYPOINTS3D, len(variances))),
        "jumps": np.full(NUM_KEYPOINTS3D, jumps),
        "miss": _misses(errors, samples),
        **_confidence(errors, samples),
        "partner_confusion": np.isin(np.arange(NUM_KEYPOINTS3D), _LIMB_ENDS).astype(float),
        **_outside(cut, levels),
    }
    tensors = {
        name: torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32) for name, array in arrays.items()
    }
    return replace(errors, **tensors, measured_on=f"{errors.measured_on}; matched to {noise.measured_on}")


def _processes(clips: list[RepeatedKeypoints]) -> tuple[Floats, float]:
    """Variances [C] and jumping fraction of the difference of two networks, which has no motion."""
    variances, jumps, weights = [], [], []
    for clip in clips:
        base = clip.keypoints[:, :, 0].astype(float)
        difference = base[:, :, _MOVENET, :17, :2] - base[:, :, _HEAVY, :17, :2]
        confident = np.asarray((np.nan_to_num(base[:, :, [_MOVENET, _HEAVY]][..., :17, 2]) > 0.5).all(2))
        difference = np.where(confident[..., None], difference / clip_heights(clip)[..., None, None], np.nan)
        if len(difference) < 40:
            continue
        noise = np.full(difference.shape, np.nan)
        for k in range(17):
            lengths = np.linalg.norm(difference[:, :, k], axis=-1)
            known = np.isfinite(lengths)
            if known.sum() > _MIN_SAMPLES:
                unit = difference[:, :, k][known] / np.maximum(lengths[known], 1e-9)[:, None]
                noise[:, :, k][known] = unit * rayleigh_lengths(lengths[known])[:, None]
        own = process_variances(lagged_correlation([noise]), clip.fps)
        steps = np.linalg.norm(np.diff(noise, axis=0), axis=-1)
        jumping = np.array([0, own[0] + own[1], *own[2:]])
        variances.append(own)
        jumps.append(jump_fraction(float(np.nanmedian(steps)), jumping, clip.fps))
        weights.append(np.isfinite(steps).sum())
    mean = np.average(variances, axis=0, weights=weights)
    return np.array([0, mean[0] + mean[1], *mean[2:]]), float(np.average(jumps, weights=weights))


def _misses(errors: DetectorErrors, samples: NoiseSamples) -> Floats:
    """[23, 2] those of real detections for keypoints far from others and from the border."""
    miss = errors.miss.numpy().astype(float).copy()
    clear = (samples.partner > 4) & (samples.border > 0.1)
    for k in range(NUM_KEYPOINTS3D):
        rows = clear[:, k]
        if rows.sum() >= _MIN_SAMPLES and _JOINTS[k] != "small_toe":
            miss[k, 0] = (samples.confidence[rows, 0, _FUSED, k] == 0).mean()
    return miss


def _confidence(errors: DetectorErrors, samples: NoiseSamples) -> dict[str, Floats]:
    """Confidence and disagreement given the error, which half the disagreement stands for.

    Elbows, wrists, knees and ankles on a partner's limb stand for hidden ones; these joints replace one another.
    """
    tables = {name: getattr(errors, name).numpy().astype(float) for name in ("confidence", "disagreement")}
    edges = errors.error_edges.numpy()
    given = (samples.confidence[:, 0, _FUSED] > 0) & np.isfinite(samples.disagreement)
    grade = np.digitize(np.nan_to_num(samples.disagreement) / 2 / SIZE_OVER_HEIGHT, edges)
    values = {
        "confidence": samples.confidence[:, 0, _FUSED],
        "disagreement": samples.disagreement / DIAGONAL_OVER_HEIGHT,
    }
    on_partner = given & (samples.partner < 1)
    for k in range(NUM_KEYPOINTS3D):
        both = _same_joint(k)
        for state, known, alike in ((0, given & ~on_partner, both), (1, on_partner, _LIMB_ENDS)):
            if state == 1 and k not in _LIMB_ENDS:
                continue
            for e in range(len(edges) + 1):
                rows = (known & (grade == e))[:, alike]
                if rows.sum() >= _MIN_SAMPLES:
                    for name, table in tables.items():
                        table[k, state, e] = np.quantile(values[name][:, alike][rows], LEVELS)
    return dict(tables)


def _same_joint(k: int) -> list[int]:
    return [one for one in range(NUM_KEYPOINTS3D) if _JOINTS[one] == _JOINTS[k]]


def _outside(cut: CutSamples, levels: Floats) -> dict[str, Floats]:
    """How often, where and how surely keypoints beyond the border are placed inside."""
    beyond = cut.outside & cut.known & cut.found[:, None]
    inside = beyond & (cut.confidence > 0)
    overall = inside.sum() / max(beyond.sum(), 1)
    rate = np.full(NUM_KEYPOINTS3D, overall)
    for k in range(NUM_KEYPOINTS3D):
        both = _same_joint(k)
        if beyond[:, both].sum() >= _MIN_SAMPLES:
            rate[k] = inside[:, both].sum() / beyond[:, both].sum()
    return {
        "outside_rate": rate,
        "outside_inset": np.quantile(cut.border[inside], levels) / SIZE_OVER_HEIGHT,
        "outside_confidence": np.quantile(cut.confidence[inside], levels),
    }


def stereo_sigmas(a: RepeatedKeypoints, b: RepeatedKeypoints) -> dict[str, float]:
    """Standard deviation of the fused keypoints of the first person of two synchronized clips, by joint.

    It comes from the epipolar distances after a fundamental matrix was fitted to all confident keypoints, and is a
    fraction of the person's height. Empty where no matrix was found.
    """
    frames = min(len(a.boxes), len(b.boxes))
    first, second = (clip.keypoints[:frames, 0, 0, _FUSED].astype(float) for clip in (a, b))
    certain = np.minimum(np.nan_to_num(first[..., 2]), np.nan_to_num(second[..., 2])) > _CERTAIN
    F = fundamental_matrix(first[certain][:, :2], second[certain][:, :2])
    if F is None:
        return {}
    distance = np.full(certain.shape, np.nan)
    distance[certain] = np.abs(epipolar_distances(F, first[certain][:, :2], second[certain][:, :2]))
    heights = [clip_heights(clip)[:frames, :1] for clip in (a, b)]
    relative = distance / np.sqrt(heights[0] * heights[1])
    sigmas = {joint: relative[:, [k for k in range(NUM_KEYPOINTS3D) if _JOINTS[k] == joint]] for joint in _JOINTS}
    return {
        joint: float(np.nanmedian(values)) / NORMAL_MEDIAN
        for joint, values in sigmas.items()
        if np.isfinite(values).sum() >= _MIN_SAMPLES
    }
