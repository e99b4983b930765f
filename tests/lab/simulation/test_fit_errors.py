"""Errors planted into detections are recovered by the fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_errors import C, E, K, no_errors, uniform
from sample_motion import two_people
from test_error_model import person

from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.lab.datasets.recording import write_pose_file
from closemesh.lab.simulation.detector_errors import DetectorErrors
from closemesh.lab.simulation.error_labels import comparison_table, label_errors
from closemesh.lab.simulation.error_model import sample_keypoints, sample_keypoints3d
from closemesh.lab.simulation.fit import fit_error_distributions
from closemesh.lab.simulation.measure import (
    Detections,
    GroundTruth,
    MeasuredVideo,
    VideoConfig,
    measure_videos,
    random_clips,
)
from closemesh.lab.simulation.statistics import person_size

FRAMES = 60


def measured(errors: DetectorErrors, seed: int) -> MeasuredVideo:
    """Two people a step apart; a random fifth of all keypoints is hidden for a while."""
    rng = np.random.default_rng(seed)
    pixels = torch.stack([person(100), person(145)]).repeat(FRAMES, 1, 1, 1)
    pixels = pixels + torch.as_tensor(rng.normal(size=(FRAMES, 2, 1, 2)).cumsum(0), dtype=torch.float32)
    hidden = torch.as_tensor(np.repeat(rng.random((FRAMES // 20, 2, K)) < 0.2, 20, axis=0))
    size, generator = person_size(pixels), torch.Generator().manual_seed(seed)
    sampled = sample_keypoints(pixels, hidden, size, pixels.flip(1), errors, generator, resolve_shared=False)
    depth = 0.1 * torch.as_tensor(rng.normal(size=(1, 2, K, 1)), dtype=torch.float32)
    points_cam = torch.cat([pixels / 60, depth.expand(FRAMES, -1, -1, -1)], dim=-1)
    points3d = sample_keypoints3d(points_cam, hidden, torch.ones_like(hidden), errors, generator)
    present = sampled.present.numpy()
    raw = torch.cat([sampled.points, sampled.confidence[..., None]], dim=-1).double().numpy() * present[..., None, None]
    body = pixels[:, :, :17].numpy()
    truth = GroundTruth(
        pixels=pixels.numpy(),
        points_cam=points_cam.numpy(),
        hidden=hidden.numpy(),
        outside=np.zeros(hidden.shape, bool),
        size=size.numpy(),
        partner=pixels.flip(1).numpy(),
        valid=np.ones((FRAMES, 2), bool),
    )
    detected = Detections(
        raw=raw,
        keypoints=raw,
        disagreement=sampled.disagreement.numpy(),
        boxes=np.concatenate([body.min(2) - 0.1 * size.numpy()[..., None], body.max(2)], axis=-1),
        keypoints3d=points3d.numpy() * present[..., None, None],
        detected=present,
        track_confidence=np.full((FRAMES, 2), 0.8),
    )
    return MeasuredVideo(truth, detected, np.ones(2, bool), 30.0)


def measured_videos(errors: DetectorErrors, count: int = 30) -> list[MeasuredVideo]:
    return [measured(errors, seed) for seed in range(count)]


@pytest.fixture(scope="module")
def planted() -> DetectorErrors:
    """Small errors of every kind."""
    miss, snap, flip = torch.zeros(K, 2), torch.zeros(K, 2), torch.zeros(3, 3)
    miss[17:23, 1], snap[[9, 10], 1], flip[2, 2] = 0.2, 0.3, 0.05
    confidence = torch.linspace(0.9, 0.3, E)[:, None].expand(K, 2, E, 28)
    return no_errors(
        error=torch.stack([uniform(0.03, K), uniform(0.09, K)], dim=1),
        error_variances=torch.tensor([0.2, 0.0, 0.8, 0.0]).expand(K, C),
        **{"miss": miss, "partner_snap": snap, "left_right_flip": flip, "confidence": confidence},
        identity_switch=torch.full((4,), 0.04),
        absent=torch.full((4,), 0.06),
        keypoints3d_scale=0.2 + 0.1 * uniform(1.0),
        keypoints3d_residual=uniform(0.02, K, 2, 3) - 0.01,
    )


@pytest.fixture(scope="module")
def found(planted: DetectorErrors) -> DetectorErrors:
    return fit_error_distributions(measured_videos(planted), "sample detections")


def test_error_sizes_and_variances_are_recovered(planted: DetectorErrors, found: DetectorErrors):
    middle = slice(8, 20)  # Levels 0.3 to 0.85.
    others = [k for k in range(K) if k not in (9, 10)]  # Wrists that snap to a near one are distinguished less well.
    one, other = (errors.error[others][:, :, middle] for errors in (found, planted))
    assert torch.allclose(one, other, rtol=0.15, atol=2e-3)
    decay = found.error_variances @ torch.exp(-0.1 / found.times.clamp(min=1e-6))
    assert float(decay.mean()) == pytest.approx(0.8 * np.exp(-0.1 / 0.4), abs=0.08)
    assert torch.allclose(found.confidence[..., 14], planted.confidence[..., 14], atol=0.16)
    assert float(found.bias[:, 0].abs().max()) < 5e-3
    assert float(found.bias[:, 1].abs().max()) < 0.02


def test_rates_are_recovered(planted: DetectorErrors, found: DetectorErrors):
    assert torch.allclose(found.miss[17:23], planted.miss[17:23], atol=0.04)
    assert float(found.miss[:17].max()) == 0
    assert float(found.partner_snap[9, 1]) == pytest.approx(0.3, abs=0.08)
    assert float(found.partner_snap[9, 0]) < 0.03
    assert float(found.left_right_flip[2, 2]) == pytest.approx(0.05, abs=0.02)
    assert float(found.left_right_flip[:2].max()) < 0.01
    assert float(found.identity_switch.mean()) == pytest.approx(0.04, abs=0.02)
    assert float(found.absent.mean()) == pytest.approx(0.06, abs=0.02)


def test_errors_of_3d_keypoints_and_boxes_are_recovered(found: DetectorErrors):
    assert float(found.keypoints3d_scale[14]) == pytest.approx(0.25, abs=0.02)
    assert float(found.keypoints3d_rotation.abs().max()) < 0.1
    assert float(found.keypoints3d_residual[:, :, :, 14].abs().max()) < 5e-3
    assert torch.allclose(found.box[0], torch.tensor(0.1), atol=1e-3)
    assert torch.allclose(found.track_confidence, torch.tensor(0.8))


def test_kinds_of_errors_are_distinguished(planted: DetectorErrors):
    perfect = measured(no_errors(), 0)
    labels = label_errors(perfect)
    assert (
        not labels.absent.any()
        | labels.identity_switch.any()
        | labels.left_right_flip.any()
        | labels.partner_snap.any()
    )
    assert np.nanmax(labels.distance) < 1e-4
    exchanged = replace(perfect, detections=replace(perfect.detections, raw=perfect.detections.raw[:, ::-1]))
    assert label_errors(exchanged).identity_switch.all()


def test_equal_detections_have_equal_metrics_and_worse_ones_do_not(planted: DetectorErrors):
    real = measured_videos(planted, 6)
    for line in comparison_table(real, [one.detections for one in real]):
        assert line.real == line.simulated
    worse = measured_videos(replace(planted, error=2 * planted.error), 6)
    by_name = {(line.keypoint, line.hidden): line for line in comparison_table(real, [one.detections for one in worse])}
    knee = by_name["knee", False]
    assert knee.simulated.median_error == pytest.approx(2 * knee.real.median_error, rel=0.2)
    assert knee.real.missed == pytest.approx(0.06, abs=0.03)
    assert by_name["big toe", True].real.missed > by_name["big toe", False].real.missed


def test_files_are_used_equally_often_and_too_short_motion_is_reported(tmp_path):
    for k in range(3):
        write_pose_file(tmp_path / f"motion_{k}.npz", two_people(frames=30))
    files = sorted(tmp_path.glob("*.npz"))
    names = [s.name for s in random_clips(files, VideoConfig(num_videos=6, num_frames=10))]
    assert sorted(names) == sorted(2 * [path.stem for path in files])
    with pytest.raises(InputError, match="no motion of at least 50 frames"):
        measure_videos(files, VideoConfig(num_videos=1, num_frames=50), NullProgress())
    blind = measured(no_errors(), 0)
    with pytest.raises(InputError, match="found no person"):
        fit_error_distributions([replace(blind, found=np.zeros(2, bool))], "")
