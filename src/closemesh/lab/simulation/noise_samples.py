"""Samples of repeated detections for the table of noise: near partners and borders or not, whole and cut people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch

from closemesh.body.skeleton import KEYPOINT_NAMES
from closemesh.core.arrays import Bools, Floats
from closemesh.fitting.keypoint_noise import apparent_height, joint_name
from closemesh.lab.simulation.noise_statistics import median_of_known
from closemesh.lab.simulation.real_noise import NETWORKS, RepeatedKeypoints
from closemesh.perception.keypoints.uncertainty import distance_to_limbs
from closemesh.structures import NUM_KEYPOINTS3D

LIMB_WIDTH = 0.045
"""Fraction of the height: a forearm or lower leg."""
CONFIDENT = 0.5
_MOVENET, _FULL, _HEAVY, _FUSED = range(len(NETWORKS))


@dataclass(frozen=True)
class NoiseSamples:
    """Samples of all clips: S people and frames. Lengths are fractions of the person's height."""

    points: Floats
    """[S, V, N, 23, 2]."""
    confidence: Floats
    """[S, V, N, 23] 0 where not detected."""
    partner: Floats
    """[S, 23] distance to a partner's nearest limb, limb widths; infinity without a partner."""
    border: Floats
    """[S, 23] distance to the border of the image."""
    speed: Floats
    """[S, 23] from the frame before."""
    disagreement: Floats
    """[S, 23] between MoveNet and BlazePose heavy; nan where one is missing."""

    def joint(self, name: str) -> list[int]:
        """Indices of both keypoints of a joint."""
        return [k for k in range(NUM_KEYPOINTS3D) if joint_name(KEYPOINT_NAMES[k]) == name]


def noise_samples(clips: Iterable[RepeatedKeypoints]) -> NoiseSamples:
    """The samples of all people and frames of the clips in which a person was detected."""
    parts = [_clip_samples(clip) for clip in clips]
    fields = {name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])}
    return NoiseSamples(**fields)


def clip_heights(clip: RepeatedKeypoints) -> Floats:
    """[T, P] `apparent_height` of the people, pixels; the median over a second, nan where not detected."""
    reference = np.nan_to_num(clip.reference)
    heights = apparent_height(torch.as_tensor(reference), torch.as_tensor(np.nan_to_num(clip.boxes))).numpy()
    heights = np.where(np.isfinite(clip.boxes).all(-1), heights, np.nan)
    half = max(1, round(clip.fps / 2))
    smooth = [median_of_known(heights[max(0, t - half) : t + half + 1], axis=0) for t in range(len(heights))]
    return np.where(np.isfinite(heights), smooth, np.nan)


def _clip_samples(clip: RepeatedKeypoints) -> NoiseSamples:
    heights = clip_heights(clip)
    present = np.isfinite(heights)
    reference = np.nan_to_num(clip.reference)
    partner = np.full(reference.shape[:3], np.inf)
    for p, q in permutations(range(reference.shape[1]), 2):
        partner[:, p] = np.minimum(partner[:, p], distance_to_limbs(reference[:, p, :, :2], reference[:, q]))
    points, size = reference[..., :2], np.asarray(clip.size)
    border = np.minimum(points, size - 1 - points).min(-1)
    speed = np.full(border.shape, np.nan)
    speed[1:] = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    base = clip.keypoints[:, :, 0].astype(float)
    disagreement = np.linalg.norm(base[:, :, _MOVENET, :, :2] - base[:, :, _HEAVY, :, :2], axis=-1)
    unit = heights[..., None]
    return NoiseSamples(
        points=(clip.keypoints[..., :2] / unit[..., None, None, None])[present],
        confidence=np.nan_to_num(clip.keypoints[..., 2])[present],
        partner=(partner / (LIMB_WIDTH * unit))[present],
        border=(border / unit)[present],
        speed=(speed / unit)[present],
        disagreement=(disagreement / unit)[present],
    )


@dataclass(frozen=True)
class CutSamples:
    """Fused keypoints in frames that were cut by a border through the people; S people and frames."""

    error: Floats
    """[S, 23] distance from the keypoint in the whole frame, of the height; nan where either is not detected."""
    border: Floats
    """[S, 23] distance of the detected point to the border of the cut frame, of the height."""
    confidence: Floats
    """[S, 23] 0 where not detected, or placed outside the cut frame."""
    outside: Bools
    """[S, 23] outside the cut frame in truth."""
    known: Bools
    """[S, 23] confident in the whole frame."""
    found: Bools
    """[S] people who are detected in the cut frame."""


def cut_samples(clips: Iterable[RepeatedKeypoints]) -> CutSamples:
    """The samples of all people of the cut frames who are partly outside: some keypoints in, some out."""
    parts: list[CutSamples] = []
    for clip in clips:
        whole, cut = clip.keypoints[:, :, 0, _FUSED].astype(float), clip.cropped[:, :, _FUSED].astype(float)
        low, high = clip.crops[:, None, None, :2], clip.crops[:, None, None, 2:]
        known = np.nan_to_num(whole[..., 2]) > CONFIDENT
        with np.errstate(invalid="ignore"):
            outside = ((whole[..., :2] < low) | (whole[..., :2] >= high)).any(-1)
            border = np.minimum(cut[..., :2] - low, high - 1 - cut[..., :2]).min(-1)
        confidence = np.where(border >= 0, np.nan_to_num(cut[..., 2]), 0.0)
        was_cut = np.asarray(np.isfinite(clip.crops).all(-1))[:, None]
        rows = np.asarray((outside & known).any(-1) & (~outside & known).any(-1) & was_cut)
        unit = clip_heights(clip)[..., None]
        error = np.linalg.norm(cut[..., :2] - whole[..., :2], axis=-1) / unit
        found = np.asarray((confidence > 0).any(-1))
        parts.append(
            CutSamples(
                error=error[rows],
                border=(border / unit)[rows],
                confidence=confidence[rows],
                outside=np.asarray(outside)[rows],
                known=np.asarray(known)[rows],
                found=found[rows],
            )
        )
    return CutSamples(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})
