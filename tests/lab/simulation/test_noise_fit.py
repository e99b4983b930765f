"""The table of keypoint noise and the matched detector errors recover the noise of networks that were made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_errors import K, no_errors, uniform

from closemesh.fitting.keypoint_noise import JointNoise, load_keypoint_noise
from closemesh.lab.simulation.noise_fit import fit_keypoint_noise, save_keypoint_noise
from closemesh.lab.simulation.noise_samples import clip_heights, cut_samples, noise_samples
from closemesh.lab.simulation.real_errors import SIZE_OVER_HEIGHT, match_real_errors, mixture_quantiles, stereo_sigmas
from closemesh.lab.simulation.real_noise import NETWORKS, RepeatedKeypoints, random_views

T, V, HEIGHT = 150, 7, 500.0
SIGMAS = (3.0, 2.5, 1.5)
"""Pixels of MoveNet, full and heavy."""
STANDING = np.array(
    [
        *[(0, -0.42), (0.02, -0.44), (-0.02, -0.44), (0.05, -0.43), (-0.05, -0.43)],
        *[(0.12, -0.3), (-0.12, -0.3), (0.18, -0.14), (-0.18, -0.14), (0.2, 0.0), (-0.2, 0.0)],
        *[(0.08, 0.0), (-0.08, 0.0), (0.09, 0.24), (-0.09, 0.24), (0.1, 0.48), (-0.1, 0.48)],
        *[(0.12, 0.5), (0.14, 0.5), (0.08, 0.5), (-0.12, 0.5), (-0.14, 0.5), (-0.08, 0.5)],
    ]
)
"""[23, 2] a person who faces the camera, height 1, mid-hip at the origin."""


def truth(x: float, y: float = 600.0) -> np.ndarray:
    """[23, 2] pixels."""
    return HEIGHT * STANDING + (x, y)


def made_up(seed: int, decay: float = 0.0, near: float = 1.0, unsure: float = 1.0) -> RepeatedKeypoints:
    """Two people side by side. Their inner wrists meet, where noise is `near` times larger.

    Elbows of confidence 0.4 have `unsure` times the noise. decay: correlation of the noise from frame to frame.
    """
    rng = np.random.default_rng(seed)
    points = np.stack([truth(600), truth(800)])
    scale, confidence = np.ones((2, 23)), np.full((T, 2, 23), 0.95)
    scale[0, 9] = scale[1, 10] = near
    low = rng.random((T, 2, 23)) < 0.3
    low[:, :, [k for k in range(23) if k not in (7, 8)]] = False
    confidence[low] = 0.4
    noise = rng.normal(size=(T, 2, V, 3, 23, 2))
    for t in range(1, T):
        noise[t] = decay * noise[t - 1] + np.sqrt(1 - decay**2) * noise[t]
    noise *= np.array(SIGMAS)[:, None, None] * (scale * np.where(low, unsure, 1))[:, :, None, None, :, None]
    keypoints = np.zeros((T, 2, V, len(NETWORKS), 23, 3))
    keypoints[..., 2] = confidence[:, :, None, None]
    keypoints[:, :, :, :3, :, :2] = points[:, None, None] + noise
    keypoints[:, :, :, 0, 17:] = np.nan  # MoveNet has no feet.
    keypoints[:, :, :, 3] = np.nanmean(keypoints[:, :, :, [0, 2]], axis=3)
    keypoints[..., [18, 21], :] = np.nan
    crops = np.tile([0.0, 0.0, 1600.0, 700.0], (T, 1))
    cut = keypoints[:, :, 1].copy()
    outside = cut[..., 1] >= 700
    cut[..., 1] = np.minimum(cut[..., 1], 697 - 4 * rng.random(cut.shape[:-1]))
    cut[..., 2] = np.where(outside & (rng.random(outside.shape) < 0.5), 0.0, cut[..., 2])
    boxes = np.concatenate([points.min(1), points.max(1)], -1)
    return RepeatedKeypoints(
        f"made_up_{seed}", keypoints, np.broadcast_to(boxes, (T, 2, 4)).copy(), (1600, 1200), 30.0, cut, crops
    )


def test_the_noise_of_each_network_is_recovered(tmp_path) -> None:
    clips = [made_up(seed) for seed in range(2)]
    noise, statistics = fit_keypoint_noise(clips)
    height = float(np.nanmedian(clip_heights(clips[0])))
    expected = np.array([*SIGMAS, np.hypot(SIGMAS[0], SIGMAS[2]) / 2]) / height
    for joint in ("nose", "shoulder", "hip", "knee", "ankle"):
        np.testing.assert_allclose(statistics[joint].core, expected, rtol=0.12)
        np.testing.assert_allclose(statistics[joint].hat, expected[:3], rtol=0.2)
        np.testing.assert_allclose(statistics[joint].repetition[:3], expected[:3], rtol=0.1)
    assert noise.networks["blazepose_heavy"]["heel"].core == pytest.approx(expected[2], rel=0.2)
    assert "heel" not in noise.networks["movenet"]
    save_keypoint_noise(tmp_path / "noise.toml", noise)
    assert "[networks.fused.nose]" in (tmp_path / "noise.toml").read_text()


def test_factors_grow_with_falling_confidence_and_near_partners_and_borders() -> None:
    factors = fit_keypoint_noise([made_up(0, near=3, unsure=4), made_up(1, near=3, unsure=4)])[0].factors
    confidence = dict(factors.confidence)
    assert confidence[1.0] == 1 and confidence[min(confidence)] == pytest.approx(4, rel=0.25)
    assert factors.partner[0][1] == pytest.approx(3, rel=0.25) and factors.partner[-1][1] == 1
    assert factors.border[0][1] > 3 and factors.border[-1][1] == 1
    for table in (factors.confidence, factors.partner, factors.border):
        assert (np.diff([factor for _, factor in table]) <= 0).all() and (np.diff([at for at, _ in table]) > 0).all()


def test_matched_errors_have_size_duration_and_misses_of_the_clips() -> None:
    clips = [made_up(seed, decay=np.exp(-1 / (30 * 0.4))) for seed in range(3)]
    noise, _ = fit_keypoint_noise(clips)
    rendered = no_errors(error=uniform(0.2, K, 2))
    matched = match_real_errors(rendered, noise, clips)
    core = noise.networks["fused"]["knee"].core / SIZE_OVER_HEIGHT
    assert float(matched.error[13, 0, 11]) == pytest.approx(core * np.sqrt(2 * np.log(2)), rel=0.15)
    assert (matched.error[:, 1] >= matched.error[:, 0] - 1e-6).all()
    decay = matched.error_variances @ torch.exp(-0.1 / matched.times.clamp(min=1e-6))
    assert float(decay.mean()) == pytest.approx(np.exp(-0.1 / 0.4), abs=0.12)
    assert float(matched.miss[18, 0]) == 0 and float(matched.miss[13, 0]) == 0
    below = [15, 16, 17, 19, 20, 22]  # Beyond the border in the cut frames; half of them are placed inside.
    assert float(matched.outside_rate[below].mean()) == pytest.approx(0.5, abs=0.08)
    assert float(matched.outside_inset.max()) * SIZE_OVER_HEIGHT * HEIGHT < 8
    assert float(matched.confidence[13, 0, 0, 14]) == pytest.approx(0.95)
    again = match_real_errors(matched, noise, clips)
    torch.testing.assert_close(again.error, matched.error)


def test_quantiles_of_a_mixture_are_those_of_its_samples() -> None:
    rng = np.random.default_rng(0)
    scale = np.where(rng.random(200_000) < 0.2, 0.05, 0.01)
    lengths = np.linalg.norm(scale[:, None] * rng.normal(size=(200_000, 2)), axis=-1)
    levels = np.array([0.1, 0.5, 0.8, 0.95])
    found = mixture_quantiles(JointNoise(0.01, 0.05, 0.2), levels)
    np.testing.assert_allclose(found, np.quantile(lengths, levels), rtol=0.02)


def test_samples_know_partners_borders_and_cut_people() -> None:
    clip = made_up(0)
    samples, cut = noise_samples([clip]), cut_samples([clip])
    assert len(samples.points) == 2 * T and len(cut.error) == 2 * T
    assert np.median(samples.partner[::2, 9]) < 0.5 < 4 < np.median(samples.partner[::2, 10])
    assert cut.outside[:, 15].all() and not cut.outside[:, 0].any()
    alone = noise_samples([clip.people([1])])
    assert np.isinf(alone.partner).all()
    assert len(random_views(4, 0)) == 5 and random_views(4, 0) == random_views(4, 0) != random_views(4, 1)


def test_the_noise_is_measured_from_two_views() -> None:
    """A person who walks about, before two cameras that stand far apart."""
    rng = np.random.default_rng(0)
    base = np.column_stack([truth(0, 0) / HEIGHT * 1.7, 0.1 * rng.normal(size=23)])
    walked = (
        base + np.column_stack([rng.uniform(-1.5, 1.5, T), rng.uniform(-0.2, 0.2, T), rng.uniform(4, 7, T)])[:, None]
    )
    c, s = np.cos(0.9), np.sin(0.9)
    turned = (walked - (0, 0, 5.5)) @ np.array([[c, 0.1, s], [0, 1, 0], [-s, 0, c]]).T + (0.2, 0.3, 5.5)
    clips = []
    for points in (walked, turned):
        clip = made_up(0).people([0])
        keypoints = np.ones((T, 1, V, len(NETWORKS), 23, 3))
        keypoints[..., :2] = (1000 * points[..., :2] / points[..., 2:] + 800)[:, None, None, None]
        keypoints[..., :2] += 1.5 * rng.normal(size=keypoints[..., :2].shape)
        clips.append(replace(clip, keypoints=keypoints))
    height = float(np.nanmedian(clip_heights(clips[0])))
    found = stereo_sigmas(*clips)
    assert np.mean([found[joint] for joint in ("nose", "knee", "hip", "wrist")]) == pytest.approx(1.5 / height, rel=0.2)


def test_the_shipped_table_has_every_keypoint_and_rising_doubt() -> None:
    noise = load_keypoint_noise()
    assert noise.scales().shape == (133,) and (noise.scales() > 1e-3).all() and (noise.scales() < 0.03).all()
    assert set(noise.networks) == set(NETWORKS)
    assert (noise.scales("blazepose_heavy")[:17] < noise.scales("fused")[:17] * 2).all()
