"""Hidden people: found by their gaps, interpolated between the frames around, and less certain in the middle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from known_scenes import KnownScene

from closemesh.config.schema import Config
from closemesh.core.progress import NullProgress
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.interaction_prior.guidance import TextGuidance
from closemesh.interaction_prior.masking import (
    MAX_SHORT_GAP,
    ROTATION_RATE,
    hidden_frames,
    interpolate_hidden,
    widen_std,
)
from closemesh.interaction_prior.refine import Prior, refine
from closemesh.interaction_prior.state import PairState, PairUncertainty
from closemesh.interaction_prior.windows import PairClip
from closemesh.structures import Observations, PoseUncertainty

CPU = torch.device("cpu")


def unseen(observations: Observations, frames: slice, person: int) -> Observations:
    """The same without detections of the person in these frames."""
    detected = observations.detected.copy()
    keypoints, points3d = observations.keypoints.copy(), observations.keypoints3d.copy()
    detected[frames, person] = False
    keypoints[frames, person], points3d[frames, person] = 0, 0
    return replace(observations, detected=detected, keypoints=keypoints, keypoints3d=points3d)


@pytest.mark.parametrize(("length", "hidden"), [(MAX_SHORT_GAP, 0), (MAX_SHORT_GAP + 1, 5), (8, 8)])
def test_only_longer_gaps_are_hidden(known_scene: KnownScene, length: int, hidden: int) -> None:
    observations = unseen(known_scene.observations, slice(2, 2 + length), 1)
    tracks = KeypointTracks.from_observations(observations, known_scene.clip.times, known_scene.camera, "cpu")
    found = hidden_frames(tracks.detected, tracks.present)
    assert found[:, 0].sum() == 0
    assert found[:, 1].nonzero().flatten().tolist() == list(range(2, 2 + hidden))
    windows = tracks.windows(torch.arange(12)[None])
    assert torch.equal(hidden_frames(windows.detected, windows.present)[0], found)


def test_nothing_of_hidden_frames_is_left() -> None:
    generator = torch.Generator().manual_seed(0)
    turns = 0.3 * torch.randn(1, 20, 2, 22, 3, generator=generator)
    state = PairState(axis_angle_to_matrix(turns), torch.zeros(1, 20, 2, 10), torch.randn(1, 20, 2, 3))
    std = PairUncertainty(torch.full((1, 20, 2, 22), 0.1), torch.ones(1, 20, 2, 10), torch.full((1, 20, 2, 3), 0.1))
    hidden = torch.zeros(1, 20, 2, dtype=torch.bool)
    hidden[:, 5:16, 1] = True
    times = torch.arange(20)[None] / 10.0
    other = replace(state, pelvis=state.pelvis + 3 * hidden[..., None])
    first, second = (interpolate_hidden(one, hidden, times) for one in (state, other))
    wide = widen_std(std, hidden, times)
    assert torch.equal(first.pelvis, second.pelvis)
    middle = (state.pelvis[:, 4, 1] + state.pelvis[:, 16, 1]) / 2
    torch.testing.assert_close(first.pelvis[:, 10, 1], middle)
    torch.testing.assert_close(first.pelvis[~hidden], state.pelvis[~hidden])
    growing = wide.rotation_std[0, 4:11, 1, 0]
    torch.testing.assert_close(growing, 0.1 + ROTATION_RATE * torch.arange(7) / 10)
    assert torch.equal(wide.rotation_std[~hidden], std.rotation_std[~hidden])


def test_a_hidden_partner_is_masked_and_uncertain(known_scene: KnownScene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, gap, clips = known_scene, slice(3, 10), []

    def record(prior: Prior, clip: PairClip, text: TextGuidance | None) -> PairState:
        clips.append(clip)
        return clip.state

    monkeypatch.setattr("closemesh.interaction_prior.refine.refine_interval", record)
    observed = replace(scene.observed, observations=unseen(scene.observations, gap, 1))
    frames = len(scene.clip)
    uncertainty = PoseUncertainty(
        np.full((frames, 2, 22), 0.15, np.float32),
        np.tile(np.array([0.02, 0.02, 0.2], np.float32), (frames, 2, 1)),
        np.full((2, 10), 0.3, np.float32),
    )
    refine(observed, scene.motion, uncertainty, scene.body, Config(), CPU, NullProgress())
    [clip] = clips
    assert clip.masked[gap, 1].all() and clip.masked.sum() == 7
    assert (clip.tracks.inv_sigma[gap, 1] == 0).all() and (clip.tracks.inv_sigma[gap, 0] > 0).any()
    std = clip.std.rotation_std[0, :, 1, 0]
    assert std[6] == std.max() > std[3] > std[2]


def test_a_hidden_partner_is_generated(known_scene: KnownScene) -> None:
    """Near the motion, and present."""
    scene = known_scene
    observed = replace(scene.observed, observations=unseen(scene.observations, slice(3, 10), 1))
    uncertainty = PoseUncertainty(
        np.full((12, 2, 22), 0.15, np.float32), np.full((12, 2, 3), 0.1, np.float32), np.ones((2, 10), np.float32)
    )
    refined = refine(observed, scene.motion, uncertainty, scene.body, Config(), CPU, NullProgress())
    assert 0.002 < np.linalg.norm(refined.transl - scene.motion.transl, axis=-1)[3:10, 1].mean() < 0.2
    assert refined.valid.all()
