"""A network's weights as what is optimised: the motion begins where it is and goes where the loss says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from known_scenes import KnownScene

from closemesh.body.loading import load_landmark_body
from closemesh.body.motion import MotionParameters
from closemesh.config.schema import OptimiseConfig
from closemesh.core.progress import NullProgress
from closemesh.fitting.keypoint_tracks import KeypointTracks, make_evidence
from closemesh.fitting.objective import from_motion
from closemesh.fitting.optimizer import Phase, Weights
from closemesh.optimization.network_finetuning import FinetunedMotion, refine_by_network
from closemesh.optimization.optimize import optimise

CPU = torch.device("cpu")
PAIR = (1, 0)


@pytest.fixture(scope="module")
def evidence(known_scene: KnownScene) -> KeypointTracks:
    return make_evidence(known_scene.observations, known_scene.clip.times, known_scene.camera, CPU)


@pytest.fixture(scope="module")
def variables(known_scene: KnownScene) -> MotionParameters:
    return from_motion(load_landmark_body(known_scene.body), known_scene.motion, CPU)


def test_the_untouched_network_leaves_the_motion(
    known_scene: KnownScene, variables: MotionParameters, evidence: KeypointTracks
) -> None:
    told = FinetunedMotion(known_scene.body, PAIR, variables, evidence)()
    torch.testing.assert_close(told.rotations(), variables.rotations(), atol=1e-4, rtol=0)
    torch.testing.assert_close(told.pelvis(), variables.pelvis(), atol=1e-4, rtol=0)


def test_fine_tuning_goes_where_the_loss_says(
    known_scene: KnownScene, variables: MotionParameters, evidence: KeypointTracks
) -> None:
    """Person 0 is asked to stand 5 cm to the side; nobody asks anything of person 1."""
    goal = variables.pelvis()[:, 0] + torch.tensor([0.05, 0.0, 0.0])

    def loss(now: MotionParameters, weights: Weights, step: int) -> torch.Tensor:
        return 100 * (now.pelvis()[:, 0] - goal).square().sum()

    motion = FinetunedMotion(known_scene.body, PAIR, variables, evidence)
    before = float(loss(motion(), Weights(), 0).detach())
    after = refine_by_network(loss, motion, (Phase("all", Weights(), 1.0),), 20, lambda _: None)
    assert float(loss(after, Weights(), 0)) < 0.5 * before
    assert (after.pelvis()[:, 1] - variables.pelvis()[:, 1]).norm(dim=-1).max() < 0.05


def test_the_stage_takes_either_parametrisation(known_scene: KnownScene) -> None:
    scene = known_scene
    config = OptimiseConfig(iterations=4, pairs=((0, 1),), motion="network")
    given = scene.observed, scene.motion, scene.body
    _, by_network, _ = optimise(*given, config, CPU, NullProgress())
    _, by_parameters, _ = optimise(*given, replace(config, motion="parameters"), CPU, NullProgress())
    assert abs(by_network.transl - by_parameters.transl).max() > 1e-5
    assert abs(by_network.transl - scene.motion.transl).max() < 0.1
