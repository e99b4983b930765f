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
from closemesh.interaction_prior.masking import MAX_SHORT_GAP, ROTATION_RATE, hidden_frames, hide_frames
from closemesh.interaction_prior.refine import refine
from closemesh.interaction_prior.state import PairState, PairUncertainty
from closemesh.structures import BodyMotion, Observations, PoseUncertainty

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
    found = hidden_frames(tracks)
    assert found[:, 0].sum() == 0
    assert found[:, 1].nonzero().flatten().tolist() == list(range(2, 2 + hidden))
    windows = hidden_frames(tracks.windows(torch.arange(12)[None]))
    assert torch.equal(windows[0], found)


def test_nothing_of_hidden_frames_is_left() -> None:
    generator = torch.Generator().manual_seed(0)
    turns = 0.3 * torch.randn(1, 20, 2, 22, 3, generator=generator)
    state = PairState(axis_angle_to_matrix(turns), torch.zeros(1, 20, 2, 10), torch.randn(1, 20, 2, 3))
    std = PairUncertainty(torch.full((1, 20, 2, 22), 0.1), torch.ones(1, 20, 2, 10), torch.full((1, 20, 2, 3), 0.1))
    hidden = torch.zeros(1, 20, 2, dtype=torch.bool)
    hidden[:, 5:16, 1] = True
    times = torch.arange(20)[None] / 10.0
    other = replace(state, pelvis=state.pelvis + 3 * hidden[..., None])
    (first, wide), (second, _) = (hide_frames(one, std, hidden, times) for one in (state, other))
    assert torch.equal(first.pelvis, second.pelvis)
    middle = (state.pelvis[:, 4, 1] + state.pelvis[:, 16, 1]) / 2
    torch.testing.assert_close(first.pelvis[:, 10, 1], middle)
    torch.testing.assert_close(first.pelvis[~hidden], state.pelvis[~hidden])
    growing = wide.rotation_std[0, 4:11, 1, 0]
    torch.testing.assert_close(growing, 0.1 + ROTATION_RATE * torch.arange(7) / 10)
    assert torch.equal(wide.rotation_std[~hidden], std.rotation_std[~hidden])


def test_a_hidden_partner_is_generated_between_the_frames_around(known_scene: KnownScene) -> None:
    """A first motion that is wrong in the gap, as that of a network that sees nothing, does not matter."""
    scene, gap = known_scene, slice(3, 10)
    transl, truth = scene.motion.transl.copy(), scene.motion.transl
    transl[gap, 1] += [0.2, 0.1, 0.5]
    observed = replace(scene.observed, observations=unseen(scene.observations, gap, 1))
    refined = _refined(scene, observed, scene.motion.with_pose(transl=transl))
    assert np.linalg.norm(refined.transl - truth, axis=-1)[gap, 1].max() < 0.1


def _refined(scene: KnownScene, observed, motion: BodyMotion) -> BodyMotion:
    frames = len(scene.clip)
    uncertainty = PoseUncertainty(
        np.full((frames, 2, 22), 0.15, np.float32),
        np.tile(np.array([0.02, 0.02, 0.2], np.float32), (frames, 2, 1)),
        np.full((2, 10), 0.3, np.float32),
    )
    return refine(observed, motion, uncertainty, scene.body, Config(), CPU, NullProgress())
