"""The table of keypoint noise (`keypoint_noise.toml`) from repeated detections of real people."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.body.skeleton import KEYPOINT_NAMES
from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file
from closemesh.fitting.keypoint_noise import (
    JointNoise,
    KeypointNoise,
    NoiseFactors,
    joint_name,
)
from closemesh.lab.simulation.noise_samples import (
    CONFIDENT,
    LIMB_WIDTH,
    CutSamples,
    NoiseSamples,
    cut_samples,
    noise_samples,
)
from closemesh.lab.simulation.noise_statistics import (
    NoiseCore,
    core_sigma,
    fit_noise_core,
    median_of_known,
    repetition_sigma,
    three_cornered_hat,
)
from closemesh.lab.simulation.real_noise import NETWORKS, RepeatedKeypoints
from closemesh.structures import NUM_KEYPOINTS3D

_FREE_BORDER = 0.1
CONFIDENCE_EDGES = np.array([0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0])
PARTNER_EDGES = np.array([-1e-9, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 4.0])  # Limb widths.
BORDER_EDGES = np.array([0.0, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.4])  # Heights.
_RAYLEIGH_MEDIAN = np.sqrt(2 * np.log(2))
_FIRST_LIMB = 7  # Elbows and further out; heads and trunks do not snap to a partner.
_MIN_BIN = 30
_CERTAIN = 0.8  # Confidence.
_SLOW, _FAST = 0.005, 0.04  # Heights per frame.
_DISAGREEMENT_WEIGHT = 0.5  # The error of a mean of which one part is right.
_UNMEASURED = {"face": ("nose", 0.030 / 0.026), "hand": ("wrist", 0.050 / 0.062), "small_toe": ("big_toe", 1.0)}
"""No second network estimates these: their noise is that of a joint, in the ratio of the annotators' deviations."""
_MOVENET, _FULL, _HEAVY, _FUSED = range(len(NETWORKS))
_JOINTS = sorted({joint_name(name) for name in KEYPOINT_NAMES[:NUM_KEYPOINTS3D]})
_FEET = ("big_toe", "heel")
_LOWER_LIMBS = ("elbow", "wrist", "knee", "ankle")


@dataclass(frozen=True)
class JointStatistics:
    """Standard deviations along each axis, fractions of the height; arrays over NETWORKS."""

    differences: Floats
    """[3] of MoveNet - full, MoveNet - heavy, full - heavy."""
    hat: Floats
    """[3] three-cornered hat: it assumes independent networks, the two BlazePose are not."""
    repetition: Floats
    """[4] of the same network on slightly changed frames."""
    core: Floats
    """[4] what is used."""
    tails: tuple[NoiseCore, ...]
    """[3] of the differences."""
    missed: Floats
    """[4] fraction of people and frames without a keypoint of confidence 0.2."""
    samples: int


def joint_statistics(samples: NoiseSamples) -> dict[str, JointStatistics]:
    """Statistics of each joint, from confident keypoints that are far from partners and borders."""
    clear = (samples.partner > PARTNER_EDGES[-1]) & (samples.border > _FREE_BORDER)
    found = {name: _joint(samples, samples.joint(name), clear) for name in _JOINTS if name != "small_toe"}
    ratios = [found[name].core[_HEAVY] / found[name].differences[2] for name in _LOWER_LIMBS]
    for name in _FEET:  # MoveNet has no feet.
        heavy = np.nanmean(ratios) * found[name].differences[2]
        full = heavy * found[name].repetition[_FULL] / found[name].repetition[_HEAVY]
        found[name] = replace(found[name], core=np.array([np.nan, full, heavy, heavy]))
    return found


def median_statistics(clips: list[dict[str, JointStatistics]]) -> dict[str, JointStatistics]:
    """The median over clips of each figure: no clip counts more because it is longer."""

    def over_clips(values: list[Floats]) -> Floats:
        return median_of_known(np.array(values, float), axis=0)

    return {
        name: JointStatistics(
            **{
                field: over_clips([getattr(clip[name], field) for clip in clips])
                for field in ("differences", "hat", "repetition", "core", "missed")
            },
            tails=tuple(_median_core([clip[name].tails[n] for clip in clips]) for n in range(3)),
            samples=sum(clip[name].samples for clip in clips),
        )
        for name in clips[0]
    }


def _median_core(cores: list[NoiseCore]) -> NoiseCore:
    core, tail, fraction = median_of_known(np.array([(c.core, c.tail, c.tail_fraction) for c in cores]), axis=0)
    return NoiseCore(float(core), float(tail), float(fraction), sum(c.samples for c in cores))


def _joint(samples: NoiseSamples, keypoints: list[int], clear: Bools) -> JointStatistics:
    use = clear[:, keypoints] & (samples.confidence[:, 0, _HEAVY][:, keypoints] > CONFIDENT)
    movenet = samples.confidence[:, 0, _MOVENET][:, keypoints]
    use &= (movenet > CONFIDENT) | (movenet == 0)  # Feet have no confidence by MoveNet.
    points = samples.points[:, :, :, keypoints]  # [S, V, N, K, 2]
    base = [points[:, 0, n][use] for n in range(len(NETWORKS))]
    pairs = ((_MOVENET, _FULL), (_MOVENET, _HEAVY), (_FULL, _HEAVY))
    lengths = [np.linalg.norm(base[a] - base[b], axis=-1) for a, b in pairs]
    differences = np.array([core_sigma(one) for one in lengths])
    changed = points[:, 1:].transpose(1, 0, 3, 2, 4)[:, use]  # [V - 1, S, N, 2]
    repetition = np.array([repetition_sigma(changed[:, :, n]) for n in range(len(NETWORKS))])
    fraction = repetition[_MOVENET] ** 2 / (repetition[_MOVENET] ** 2 + repetition[_HEAVY] ** 2)
    movenet_variance = differences[1] ** 2 * fraction
    heavy_variance = differences[1] ** 2 * (1 - fraction)
    full_variance = max(differences[0] ** 2 - movenet_variance, repetition[_FULL] ** 2)
    core = np.array([*np.sqrt([movenet_variance, full_variance, heavy_variance]), differences[1] / 2])
    return JointStatistics(
        differences=differences,
        hat=three_cornered_hat(np.stack(base[:3])),
        repetition=repetition,
        core=core,
        tails=tuple(fit_noise_core(one) for one in lengths),
        missed=np.array([(samples.confidence[:, 0, n][:, keypoints] < 0.2).mean() for n in range(len(NETWORKS))]),
        samples=int(use.sum()),
    )


def factors(samples: NoiseSamples, cut: CutSamples, cores: Floats) -> NoiseFactors:
    """How the noise grows with falling confidence, and near partners and borders; cores [23] of fused keypoints.

    The factors of partners and borders are those that confidence does not explain.
    """
    relative = samples.disagreement / 2 / cores / _RAYLEIGH_MEDIAN
    confidence = samples.confidence[:, 0, _FUSED]
    clear = (samples.partner > PARTNER_EDGES[-1]) & (samples.border > _FREE_BORDER)
    by_confidence = _binned(relative, confidence, CONFIDENCE_EDGES, clear)
    at, factor = np.array(by_confidence).T
    limbs = np.broadcast_to(np.arange(NUM_KEYPOINTS3D) >= _FIRST_LIMB, relative.shape)
    inside = samples.border > _FREE_BORDER
    explained = relative / np.interp(confidence, at, factor)
    by_partner = _binned(explained, samples.partner, PARTNER_EDGES, inside & limbs)
    explained = cut.error / cores / np.interp(cut.confidence, at, factor)
    by_border = _binned(explained, cut.border, BORDER_EDGES, cut.known & (cut.confidence > 0))
    return NoiseFactors(tuple(by_confidence), tuple(by_partner), tuple(by_border))


def _binned(relative: Floats, values: Floats, edges: Floats, use: Bools) -> list[tuple[float, float]]:
    """Median of relative errors in bins of values, over that in the last bin and beyond; it never rises.

    The last pair has factor 1.
    """
    known = use & np.isfinite(relative)
    last = known & (values > edges[-2])
    base = max(float(np.median(relative[last])), 1e-6)
    pairs: list[tuple[float, float]] = []
    for low, high in pairwise(edges[:-1]):
        rows = known & (values > low) & (values <= high)
        if rows.sum() >= _MIN_BIN:
            pairs.append((float(np.median(values[rows])), max(float(np.median(relative[rows])) / base, 1.0)))
    pairs.append((float(edges[-1]), 1.0))
    factor = np.maximum.accumulate([factor for _, factor in pairs][::-1])[::-1]
    return [(round(value, 4), round(float(one), 3)) for (value, _), one in zip(pairs, factor, strict=True)]


def fit_keypoint_noise(clips: list[RepeatedKeypoints]) -> tuple[KeypointNoise, dict[str, JointStatistics]]:
    """The table of noise and the statistics of each joint that it comes from.

    Raises InputError when the clips show a joint too rarely.
    """
    samples = noise_samples(clips)
    statistics = median_statistics([joint_statistics(noise_samples([clip])) for clip in clips])
    unknown = [name for name, one in statistics.items() if not np.isfinite(one.core[_FUSED])]
    if unknown:
        raise InputError(f"too few confident keypoints of {', '.join(unknown)} in these clips; give more clips")
    networks = {
        network: {name: _joint_noise(one, n) for name, one in statistics.items() if np.isfinite(one.core[n])}
        for n, network in enumerate(NETWORKS)
    }
    for joints in networks.values():
        for name, (joint, ratio) in _UNMEASURED.items():
            if joint in joints:
                joints[name] = replace(joints[joint], core=round(ratio * joints[joint].core, 5))
    cores = np.array([networks["fused"][joint_name(name)].core for name in KEYPOINT_NAMES[:NUM_KEYPOINTS3D]])
    people = sum(clip.boxes.shape[1] for clip in clips)
    noise = KeypointNoise(
        measured_on=f"{len(clips)} clips, {people} people, {len(samples.points)} people in frames",
        limb_width=LIMB_WIDTH,
        disagreement_weight=_DISAGREEMENT_WEIGHT,
        speed_weight=_speed_weight(samples, cores),
        factors=factors(samples, cut_samples(clips), cores),
        networks=networks,
    )
    return noise, statistics


def _joint_noise(statistics: JointStatistics, n: int) -> JointNoise:
    """Of network n; half of the outliers of a difference belong to each of its two networks."""
    mixture = statistics.tails[2 if np.isnan(statistics.differences[1]) else min(n, 1)]
    core, tail = float(statistics.core[n]), float(mixture.tail)
    return JointNoise(round(core, 5), round(max(tail, 2.5 * core), 4), round(mixture.tail_fraction / 2, 3))


def _speed_weight(samples: NoiseSamples, cores: Floats) -> float:
    """Standard deviation over the motion from frame to frame: by how much noise is larger on fast keypoints."""
    use = (samples.confidence[:, 0, _FUSED] > _CERTAIN) & (samples.partner > PARTNER_EDGES[-1])
    relative = np.where(use, samples.disagreement / 2 / cores / _RAYLEIGH_MEDIAN, np.nan)
    fast, slow = (np.isfinite(relative) & rows for rows in (samples.speed > _FAST, samples.speed < _SLOW))
    if min(fast.sum(), slow.sum()) < _MIN_BIN:
        return 0.0
    excess = np.median(relative[fast]) ** 2 - np.median(relative[slow]) ** 2
    core = np.median(np.broadcast_to(cores, relative.shape)[fast])
    return round(float(core * np.sqrt(max(excess, 0.0)) / np.median(samples.speed[fast])), 3)


def save_keypoint_noise(path: Path, noise: KeypointNoise) -> None:
    """Write the table as TOML. Raises OutputError when the file cannot be written."""
    import tomli_w

    with atomic_file(path) as part:
        part.write_text(tomli_w.dumps(asdict(noise)))


def statistics_json(
    noise: KeypointNoise, statistics: dict[str, JointStatistics], epipolar: dict[str, float]
) -> dict[str, Any]:
    """All measured figures; arrays over NETWORKS. epipolar: by joint, of two synchronized views."""
    joints = {
        name: {
            "differences": one.differences.tolist(),
            "three_cornered_hat": one.hat.tolist(),
            "repetition": one.repetition.tolist(),
            "core": one.core.tolist(),
            "missed": one.missed.tolist(),
            "samples": one.samples,
        }
        for name, one in statistics.items()
    }
    return {"networks": list(NETWORKS), "statistics": joints, "epipolar": epipolar, "noise": asdict(noise)}
