"""A tiny denoiser, trained on first motions with errors that keypoints show, corrects those of other people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from closemesh.body.capsules import capsule_body, part_distances
from closemesh.body.landmarks import make_surface_body
from closemesh.body.loading import load_bundled_body, load_landmark_body
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.core.errors import ModelFileError
from closemesh.core.progress import NullProgress
from closemesh.fitting.keypoint_tracks import NUM_POINTS, KeypointTracks
from closemesh.geometry.camera import project
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_6d
from closemesh.interaction_prior.diffusion import Denoiser, DenoiserConfig, Sampler, cosine_schedule
from closemesh.interaction_prior.state import PairState
from closemesh.interaction_prior.windows import NUM_LIMBS, WINDOW, PairBody, pose_pair, unfold_windows
from closemesh.lab.training.denoiser import DenoiserTraining, LossWeights, denoiser_metrics, motion_loss, train_denoiser
from closemesh.lab.training.denoiser_examples import cut_examples
from closemesh.lab.training.initial_motions import (
    CONTACT_DISTANCE,
    FOCAL,
    MAX_GAP,
    MIN_GAP,
    InitialMotions,
    random_gaps,
)
from closemesh.lab.training.interaction_prior import NETWORKS, CodebookTraining, train_interaction_prior
from closemesh.lab.training.loop import LoopConfig, TrainingRun
from closemesh.lab.training.motion_bank import BODY_MODEL, MotionDatasets, make_dataset
from closemesh.networks.checkpoint import save_network

CPU = torch.device("cpu")
FRAMES = 20
TINY = DenoiserTraining(
    network=DenoiserConfig(width=64, layers=2, heads=4, hidden=128),
    loop=LoopConfig(steps=250, learning_rate=2e-3, warm_up=10, ema_decay=0.97, evaluate_every=1000),
    batch=16,
)


@pytest.fixture(scope="module")
def body() -> PairBody:
    light = load_bundled_body("light")
    return PairBody(load_landmark_body(light).coarse(NUM_POINTS), capsule_body(light))


def first_motions(body: PairBody, count: int, seed: int) -> InitialMotions:
    """People three meters away, displaced by some centimeters; the keypoints show the direction."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    pose = (0.2 * randn(count, 1, 2, 22, 3)).expand(-1, FRAMES, -1, -1, -1).clone()
    pose[..., 0, 0] += torch.pi  # Upright before a camera whose y points down.
    rotations, betas = axis_angle_to_matrix(pose), 0.5 * randn(count, 2, 10)
    pelvis = 0.1 * randn(count, 1, 2, 3) + torch.tensor([[-0.4, 0.0, 3.0], [0.4, 0.0, 3.0]])
    pelvis = pelvis.expand(-1, FRAMES, -1, -1)
    posed = unfold_windows(
        pose_pair(body, PairState(rotations, betas[:, None].expand(-1, FRAMES, -1, -1), pelvis)).keypoints
    )
    aside = 0.15 * randn(count, 1, 2, 3) * torch.tensor([1.0, 0.3, 0.0])
    present = torch.ones(count, FRAMES, 2, dtype=torch.bool)
    tracks = KeypointTracks(
        points2d=project(posed, FOCAL, (0.0, 0.0)),
        inv_sigma=torch.full((count, FRAMES, 2, NUM_POINTS), 0.2),
        points3d=None,
        limb_directions=torch.zeros(count, FRAMES, 2, NUM_LIMBS, 3),
        limb_weights=torch.zeros(count, FRAMES, 2, NUM_LIMBS),
        detected=present,
        present=present,
        times=(torch.arange(FRAMES) / 25).expand(count, -1),
        focal=torch.full((count,), FOCAL),
        principal_point=torch.zeros(count, 2),
    )
    return InitialMotions(
        rotations=matrix_to_6d(rotations),
        pelvis=pelvis + aside,
        betas=betas,
        rotation_std=torch.full((count, FRAMES, 2, 22), 0.05),
        pelvis_std=torch.full((count, FRAMES, 2, 3), 0.15),
        betas_std=torch.full((count, 2, 10), 0.2),
        tracks=tracks,
        true_rotations=matrix_to_6d(rotations),
        true_pelvis=pelvis,
        true_betas=betas,
        joint_valid=torch.ones(count, 2, 22, dtype=torch.bool),
        contacts=part_distances(posed[:, :, 0], posed[:, :, 1], body.capsules) < CONTACT_DISTANCE,
    )


@pytest.fixture(scope="module")
def trained(body: PairBody, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Denoiser, dict[str, float]]:
    folder = tmp_path_factory.mktemp("prior")
    train, validation = first_motions(body, 96, 0), first_motions(body, 16, 1)
    return folder, *train_denoiser(train, validation, body, TINY, TrainingRun(folder, CPU, NullProgress()))


def test_a_tiny_prior_improves_first_motions_of_the_validation_set(trained) -> None:
    metrics = trained[2]
    assert metrics["refined_between_mm"] < 0.8 * metrics["first_between_mm"]


def test_a_stopped_training_resumes_to_the_same_result(trained, body: PairBody, tmp_path: Path) -> None:
    """The state holds steps and averages; a finished one has nothing left to do."""
    folder, network, metrics = trained
    train, validation = first_motions(body, 96, 0), first_motions(body, 16, 1)
    again, same = train_denoiser(train, validation, body, TINY, TrainingRun(folder, CPU, NullProgress()))
    assert same == metrics
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    short = replace(TINY, loop=replace(TINY.loop, steps=2))
    train_denoiser(train, validation, body, short, TrainingRun(tmp_path, CPU, NullProgress()))
    longer = replace(TINY, loop=replace(TINY.loop, steps=4, log_every=2))
    train_denoiser(train, validation, body, longer, TrainingRun(tmp_path, CPU, NullProgress()))
    rows = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()[1:]]
    assert {row[0] for row in rows} == {"4"} and "interaction" in {row[2] for row in rows}


def test_a_missing_initial_network_is_reported_before_training(tmp_path: Path) -> None:
    nothing = make_dataset([], 2, BODY_MODEL)
    run = TrainingRun(tmp_path, CPU, NullProgress())
    datasets = MotionDatasets(make_dataset([], 1, BODY_MODEL), nothing, nothing)
    save_network(tmp_path / "denoiser.safetensors", Denoiser(TINY.network), TINY.network)
    with pytest.raises(ModelFileError, match=r"codebook\.safetensors not found"):
        train_interaction_prior(datasets, datasets, 2, TINY, CodebookTraining(), run, init_from=tmp_path, only=NETWORKS)


def test_gaps_hide_one_person_between_frames_in_which_both_are_seen() -> None:
    gaps = random_gaps(400, 32, 0.5, torch.Generator().manual_seed(0), CPU)
    length = gaps.sum(1)  # [B, 2]
    assert 0.4 < (length.sum(1) > 0).float().mean() < 0.6
    assert (length.min(1).values == 0).all() and not gaps[:, [0, -1]].any()
    found = length[length > 0]
    assert found.min() == MIN_GAP and found.max() == MAX_GAP and (length[:, 0] > 0).any() and (length[:, 1] > 0).any()


def hide(motions: InitialMotions, length: int) -> InitialMotions:
    """The second person is not detected for so many frames."""
    detected = motions.tracks.detected.clone()
    detected[:, 1 : 1 + length, 1] = False
    inv_sigma = motions.tracks.inv_sigma * detected[..., None]
    return replace(motions, tracks=replace(motions.tracks, detected=detected, inv_sigma=inv_sigma))


def test_a_window_inside_a_gap_is_masked_as_in_the_product(body: PairBody) -> None:
    """The first motion is kept, as the network that makes it sees nothing either; its std grows from both ends."""
    motions = hide(first_motions(body, 3, 2), FRAMES - 2)
    index, frames = torch.arange(3), torch.arange(2, 2 + WINDOW).expand(3, -1)
    windows = cut_examples(motions, index, frames).windows
    assert windows.masked[:, :, 1].all() and not windows.masked[:, :, 0].any()
    cam = windows.view.points_to_cam(windows.mean.pelvis)
    torch.testing.assert_close(cam, motions.pelvis[:, 2 : 2 + WINDOW], atol=1e-4, rtol=0)
    std = windows.std.rotation_std[..., 0]
    assert (std[:, 8, 1] > std[:, 0, 1]).all() and (std[:, 0, 1] > std[:, 0, 0]).all()


def test_the_loss_sees_what_joints_do_not(body: PairBody) -> None:
    """The twist of a forearm changes the skin alone; a shift along the line of sight changes little in the image."""
    windows = cut_examples(first_motions(body, 2, 3), torch.arange(2), torch.arange(WINDOW).expand(2, -1)).windows
    surface = make_surface_body(load_bundled_body("light"), 150)
    truth, joint_valid = windows.mean, torch.ones(2, 2, 22, dtype=torch.bool)

    def terms(state: PairState) -> dict[str, float]:
        given = (joint_valid, torch.ones(2, WINDOW, 2, dtype=torch.bool), LossWeights(), windows)
        return {name: float(v) for name, v in motion_loss(replace(body, surface=surface), state, truth, *given).items()}

    assert max(terms(truth).values()) < 1e-4
    twist = truth.rotations.clone()
    twist[:, :, :, JOINT_INDEX["left_wrist"]] @= axis_angle_to_matrix(torch.tensor([1.0, 0.0, 0.0]))
    twisted = terms(replace(truth, rotations=twist))
    assert twisted["joints"] < 1e-4 < twisted["vertices"]
    aside, back = (terms(replace(truth, pelvis=truth.pelvis + 0.1 * axis)) for axis in torch.eye(3)[[0, 2]])
    assert aside["reprojection"] == pytest.approx(0.1 * LossWeights().reprojection, rel=0.1)
    assert back["reprojection"] < 0.3 * aside["reprojection"]
    assert aside["vertices"] < 1e-4


def test_the_metrics_compare_a_hidden_person_with_the_straight_line(trained, body: PairBody) -> None:
    """People stand still and the first motion is wrong in the gap, so that the straight line is better."""
    motions = hide(first_motions(body, 8, 1), 10)
    pelvis = motions.pelvis.clone()
    pelvis[:, 1:11, 1] += torch.tensor([0.3, 0.0, 0.0])
    sampler = Sampler(trained[1].eval(), cosine_schedule(), body)
    metrics = denoiser_metrics(sampler, replace(motions, pelvis=pelvis), 8)
    assert metrics["gap8_straight_between_mm"] < metrics["gap8_first_between_mm"]
    assert metrics["gap8_straight_joints_mm"] == pytest.approx(metrics["gap8_first_joints_mm"], abs=0.1)
    assert metrics["gap8_generated_between_mm"] > 0 and "gap24_first_joints_mm" not in metrics
