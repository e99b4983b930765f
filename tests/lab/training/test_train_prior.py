"""A tiny denoiser, trained on first motions whose errors can be seen in the picture, mends those of others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from closemesh.body.capsules import capsule_body, part_distances
from closemesh.body.loading import load_bundled_body, load_landmark_body
from closemesh.core.errors import ModelFileError
from closemesh.core.progress import NullProgress
from closemesh.geometry.camera import project
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_6d
from closemesh.interaction_prior.diffusion import Denoiser, DenoiserConfig
from closemesh.interaction_prior.state import PairState
from closemesh.interaction_prior.windows import NUM_LIMBS, NUM_POINTS, PairBody, by_window, pose_pair
from closemesh.lab.training.denoiser import PriorTraining, train_denoiser
from closemesh.lab.training.initial_motions import FOCAL, TOUCH, InitialMotions
from closemesh.lab.training.interaction_prior import NETWORKS, CodebookTraining, train_proxemics
from closemesh.lab.training.loop import LoopConfig
from closemesh.lab.training.motion_bank import BODY_MODEL, MotionDatasets, make_bank
from closemesh.networks.checkpoint import save_network

CPU = torch.device("cpu")
FRAMES = 20
TINY = PriorTraining(
    network=DenoiserConfig(width=64, layers=2, heads=4, hidden=128),
    loop=LoopConfig(steps=250, learning_rate=2e-3, warm_up=10, average=0.97, evaluate_every=1000),
    batch=16,
)


@pytest.fixture(scope="module")
def body() -> PairBody:
    light = load_bundled_body("light")
    return PairBody(load_landmark_body(light).coarse(NUM_POINTS), capsule_body(light))


def starts(body: PairBody, count: int, seed: int) -> InitialMotions:
    """People who stand three metres away, put aside by some centimetres: what is seen says which way."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    pose = (0.2 * randn(count, 1, 2, 22, 3)).expand(-1, FRAMES, -1, -1, -1).clone()
    pose[..., 0, 0] += torch.pi  # Upright before a camera whose y points down.
    rotations, betas = axis_angle_to_matrix(pose), 0.5 * randn(count, 2, 10)
    pelvis = 0.1 * randn(count, 1, 2, 3) + torch.tensor([[-0.4, 0.0, 3.0], [0.4, 0.0, 3.0]])
    pelvis = pelvis.expand(-1, FRAMES, -1, -1)
    posed = by_window(
        pose_pair(body, PairState(rotations, betas[:, None].expand(-1, FRAMES, -1, -1), pelvis)).keypoints
    )
    aside = 0.15 * randn(count, 1, 2, 3) * torch.tensor([1.0, 0.3, 0.0])
    return InitialMotions(
        rotations=matrix_to_6d(rotations),
        pelvis=pelvis + aside,
        betas=betas,
        rotation_spread=torch.full((count, FRAMES, 2, 22), 0.05),
        pelvis_spread=torch.full((count, FRAMES, 2, 3), 0.15),
        betas_spread=torch.full((count, 2, 10), 0.2),
        points=project(posed, FOCAL, (0.0, 0.0)),
        inverse_sigmas=torch.full((count, FRAMES, 2, NUM_POINTS), 0.2),
        limbs=torch.zeros(count, FRAMES, 2, NUM_LIMBS, 4),
        visible=torch.ones(count, FRAMES, 2, dtype=torch.bool),
        times=(torch.arange(FRAMES) / 25).expand(count, -1),
        true_rotations=matrix_to_6d(rotations),
        true_pelvis=pelvis,
        true_betas=betas,
        known=torch.ones(count, 2, 22, dtype=torch.bool),
        touching=part_distances(posed[:, :, 0], posed[:, :, 1], body.capsules) < TOUCH,
    )


@pytest.fixture(scope="module")
def trained(body: PairBody, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Denoiser, dict[str, float]]:
    folder = tmp_path_factory.mktemp("prior")
    learn, check = starts(body, 96, 0), starts(body, 16, 1)
    return folder, *train_denoiser(learn, check, body, folder, TINY, CPU, NullProgress())


def test_a_tiny_prior_beats_the_first_motions_of_people_it_has_not_seen(trained) -> None:
    figures = trained[2]
    assert figures["refined_between_mm"] < 0.8 * figures["first_between_mm"]


def test_a_stopped_training_goes_on_to_the_same_end(trained, body: PairBody, tmp_path: Path) -> None:
    """The state holds steps and averages; a finished one has nothing left to do."""
    folder, network, figures = trained
    learn, check = starts(body, 96, 0), starts(body, 16, 1)
    again, same = train_denoiser(learn, check, body, folder, TINY, CPU, NullProgress())
    assert same == figures
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    short = replace(TINY, loop=replace(TINY.loop, steps=2))
    train_denoiser(learn, check, body, tmp_path, short, CPU, NullProgress())
    longer = replace(TINY, loop=replace(TINY.loop, steps=4, log_every=2))
    train_denoiser(learn, check, body, tmp_path, longer, CPU, NullProgress())
    rows = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()[1:]]
    assert {row[0] for row in rows} == {"4"} and "interaction" in {row[2] for row in rows}


def test_a_network_to_begin_with_that_is_missing_is_told_of_before_anything_is_trained(tmp_path: Path) -> None:
    nothing = make_bank([], 2, BODY_MODEL)
    banks = MotionDatasets(make_bank([], 1, BODY_MODEL), nothing, nothing)
    save_network(tmp_path / "denoiser.safetensors", Denoiser(TINY.network), TINY.network)
    with pytest.raises(ModelFileError, match=r"codebook\.safetensors not found"):
        train_proxemics(
            banks, banks, tmp_path, 2, TINY, CodebookTraining(), CPU, NullProgress(), begin_with=tmp_path, only=NETWORKS
        )
