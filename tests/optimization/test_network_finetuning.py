"""Weights of a network as the parameters: the motion starts unchanged and follows the loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from known_scenes import KnownScene

from closemesh.body.loading import load_landmark_body
from closemesh.body.motion import MotionParameters
from closemesh.config.schema import OptimiseConfig
from closemesh.core.progress import NullProgress, RecordingProgress
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.objective import from_motion
from closemesh.fitting.optimizer import Phase, Weights
from closemesh.optimization.network_finetuning import FinetunedMotion, finetune_network
from closemesh.optimization.optimize import optimise

CPU = torch.device("cpu")
PAIR = (1, 0)


@pytest.fixture(scope="module")
def tracks(known_scene: KnownScene) -> KeypointTracks:
    return KeypointTracks.from_observations(known_scene.observations, known_scene.clip.times, known_scene.camera, CPU)


@pytest.fixture(scope="module")
def parameters(known_scene: KnownScene) -> MotionParameters:
    return from_motion(load_landmark_body(known_scene.body), known_scene.motion, CPU)


def test_the_bundled_weights_leave_the_motion(
    known_scene: KnownScene, parameters: MotionParameters, tracks: KeypointTracks
) -> None:
    motion = FinetunedMotion(known_scene.body, [PAIR], parameters, tracks)()
    torch.testing.assert_close(motion.rotations(), parameters.rotations(), atol=1e-4, rtol=0)
    torch.testing.assert_close(motion.pelvis(), parameters.pelvis(), atol=1e-4, rtol=0)


def test_fine_tuning_follows_the_loss(
    known_scene: KnownScene, parameters: MotionParameters, tracks: KeypointTracks
) -> None:
    """The loss moves person 0 by 5 cm to the side and leaves person 1 free."""
    goal = parameters.pelvis()[:, 0] + torch.tensor([0.05, 0.0, 0.0])

    def loss(now: MotionParameters, weights: Weights, step: int) -> torch.Tensor:
        return 100 * (now.pelvis()[:, 0] - goal).square().sum()

    motion = FinetunedMotion(known_scene.body, [PAIR], parameters, tracks)
    before = float(loss(motion(), Weights(), 0).detach())
    after = finetune_network(loss, motion, (Phase("all", Weights(), 1.0),), 20, lambda _: None)
    assert float(loss(after, Weights(), 0)) < 0.5 * before
    assert (after.pelvis()[:, 1] - parameters.pelvis()[:, 1]).norm(dim=-1).max() < 0.06, "shared weights move both"


@pytest.fixture
def four(parameters: MotionParameters, tracks: KeypointTracks) -> tuple[MotionParameters, KeypointTracks]:
    """Each person of the scene twice."""
    return parameters.people([0, 1, 0, 1]), tracks.people([0, 1, 0, 1])


def test_all_pairs_follow_one_set_of_weights(known_scene: KnownScene, four) -> None:
    """Person 1 is in two pairs and gets the mean; person 3 is in none and stays a variable."""
    people, tracks = four
    motion = FinetunedMotion(known_scene.body, [(0, 1), (1, 2)], people, tracks)
    torch.testing.assert_close(motion().pelvis(), people.pelvis(), atol=1e-4, rtol=0)
    assert motion.free.people == [3]
    goal = people.pelvis() + torch.tensor([0.05, 0.0, 0.0])

    def loss(now: MotionParameters, weights: Weights, step: int) -> torch.Tensor:
        return 100 * (now.pelvis() - goal).square().sum()

    after = finetune_network(loss, motion, (Phase("all", Weights(), 1.0),), 20, lambda _: None)
    off = (after.pelvis() - goal).norm(dim=-1).mean(0)  # [P]
    assert (off < 0.04).all(), "all four come nearer"


def test_without_a_pair_a_note_says_that_parameters_are_optimized(known_scene: KnownScene) -> None:
    scene = known_scene
    apart = scene.motion.with_pose(transl=np.add(scene.motion.transl, [[0.0, 0, 0], [3.0, 0, 0]]).astype(np.float32))
    config = OptimiseConfig(iterations=1, motion="network")
    progress = RecordingProgress(NullProgress())
    optimise(scene.observed, apart, scene.body, config, CPU, progress)
    assert any("not the weights of the denoiser" in note for note in progress.notes)


def test_the_stage_takes_either_parametrization(known_scene: KnownScene) -> None:
    scene = known_scene
    config = OptimiseConfig(iterations=4, pairs=((0, 1),), motion="network")
    parameters = replace(config, motion="parameters")
    _, by_network, _ = optimise(scene.observed, scene.motion, scene.body, config, CPU, NullProgress())
    _, by_parameters, _ = optimise(scene.observed, scene.motion, scene.body, parameters, CPU, NullProgress())
    assert abs(by_network.transl - by_parameters.transl).max() > 1e-5
    assert abs(by_network.transl - scene.motion.transl).max() < 0.1
