"""Weights of a network as the parameters: the motion starts unchanged and follows the loss."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from known_scenes import KnownScene

from closemesh.body.loading import load_landmark_body
from closemesh.body.motion import MotionParameters
from closemesh.config.schema import OptimiseConfig
from closemesh.core.progress import NullProgress
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
    motion = FinetunedMotion(known_scene.body, PAIR, parameters, tracks)()
    torch.testing.assert_close(motion.rotations(), parameters.rotations(), atol=1e-4, rtol=0)
    torch.testing.assert_close(motion.pelvis(), parameters.pelvis(), atol=1e-4, rtol=0)


def test_fine_tuning_follows_the_loss(
    known_scene: KnownScene, parameters: MotionParameters, tracks: KeypointTracks
) -> None:
    """The loss moves person 0 by 5 cm to the side and leaves person 1 free."""
    goal = parameters.pelvis()[:, 0] + torch.tensor([0.05, 0.0, 0.0])

    def loss(now: MotionParameters, weights: Weights, step: int) -> torch.Tensor:
        return 100 * (now.pelvis()[:, 0] - goal).square().sum()

    motion = FinetunedMotion(known_scene.body, PAIR, parameters, tracks)
    before = float(loss(motion(), Weights(), 0).detach())
    after = finetune_network(loss, motion, (Phase("all", Weights(), 1.0),), 20, lambda _: None)
    assert float(loss(after, Weights(), 0)) < 0.5 * before
    assert (after.pelvis()[:, 1] - parameters.pelvis()[:, 1]).norm(dim=-1).max() < 0.05


def test_the_stage_takes_either_parametrization(known_scene: KnownScene) -> None:
    scene = known_scene
    config = OptimiseConfig(iterations=4, pairs=((0, 1),), motion="network")
    parameters = replace(config, motion="parameters")
    _, by_network, _ = optimise(scene.observed, scene.motion, scene.body, config, CPU, NullProgress())
    _, by_parameters, _ = optimise(scene.observed, scene.motion, scene.body, parameters, CPU, NullProgress())
    assert abs(by_network.transl - by_parameters.transl).max() > 1e-5
    assert abs(by_network.transl - scene.motion.transl).max() < 0.1
