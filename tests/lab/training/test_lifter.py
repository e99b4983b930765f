"""A tiny lifter, trained on synthetic motion, improves, is calibrated, and can be trained further."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.initialization.lifting_network import Lifter, LifterConfig, load_lifter
from closemesh.lab.training.lifter import LifterTraining, sample_pairs, train_lifter
from closemesh.lab.training.loop import LoopConfig, TrainingRun
from closemesh.lab.training.motion_bank import BODY_MODEL, MotionDatasets, make_dataset, sample_windows
from closemesh.motion_files.sequence import MotionSequence, body_rotations
from closemesh.networks.checkpoint import save_network

CPU = torch.device("cpu")
TINY = LifterTraining(
    network=LifterConfig(width=64, layers=2, heads=4, hidden=128),
    loop=LoopConfig(steps=120, learning_rate=2e-3, warm_up=10, ema_decay=0.95, evaluate_every=1000, log_every=20),
    batch=32,
    frames=12,
)


def people(seed: int, count: int) -> MotionSequence:
    """`count` people who stand about and swing their limbs."""
    rng = np.random.default_rng(seed)
    times = np.arange(60)[:, None, None, None] / 30
    pose = 0.25 * rng.normal(size=(1, count, 22, 3)) * np.sin(times * rng.uniform(1, 4, size=(1, count, 22, 1)))
    pose[:, :, 0, 1] += rng.uniform(-np.pi, np.pi, count)
    rotations, known = body_rotations(pose.astype(np.float32))
    pelvis = np.tile(np.array([0, 0.95, 0], np.float32), (60, count, 1))
    pelvis[:, 1:, 0] += 0.6
    return MotionSequence(f"swing_{seed}", 30.0, rotations, pelvis, np.ones((60, count), bool), known)


def banks(seeds: range) -> MotionDatasets:
    singles = make_dataset([people(seed, 1) for seed in seeds], 1, BODY_MODEL)
    couples = make_dataset([people(seed + 1000, 2) for seed in seeds], 2, BODY_MODEL)
    return MotionDatasets(singles, couples, make_dataset([], 2, BODY_MODEL))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Lifter, dict[str, float]]:
    folder = tmp_path_factory.mktemp("lifter")
    return folder, *train_lifter(banks(range(12)), banks(range(50, 54)), TINY, TrainingRun(folder, CPU, NullProgress()))


def test_it_learns_what_it_has_not_seen(trained, tmp_path: Path):
    none = replace(TINY, loop=replace(TINY.loop, steps=1))
    _, before = train_lifter(banks(range(12)), banks(range(50, 54)), none, TrainingRun(tmp_path, CPU, NullProgress()))
    after = trained[2]
    assert after["joints_mm"] < 0.8 * before["joints_mm"]
    assert after["root_deg"] < 0.9 * before["root_deg"]
    assert after["log_depth"] < 0.6 * before["log_depth"]


def test_nine_tenths_of_the_truth_lie_in_the_predicted_intervals(trained):
    for name in ("rotation", "place", "betas"):
        assert 0.85 < trained[2][f"covered_{name}"] < 0.95, name


def test_a_trained_one_can_be_trained_on(trained, tmp_path: Path):
    folder, lifter, metrics = trained
    save_network(folder / "lifter.safetensors", lifter, lifter.config)
    first = load_lifter("cpu", folder / "lifter.safetensors")
    more = replace(TINY, loop=replace(TINY.loop, steps=2, learning_rate=1e-5))
    _, same = train_lifter(
        banks(range(12)), banks(range(50, 54)), more, TrainingRun(tmp_path, CPU, NullProgress()), first
    )
    assert abs(same["joints_mm"] - metrics["joints_mm"]) < 0.05 * metrics["joints_mm"]


def test_the_state_of_another_network_is_one_clear_line(trained):
    other = replace(TINY, network=replace(TINY.network, width=32))
    with pytest.raises(InputError, match="not the state of this training"):
        train_lifter(banks(range(12)), banks(range(50, 54)), other, TrainingRun(trained[0], CPU, NullProgress()))


def test_batches_hold_unrelated_and_captured_pairs():
    generator = torch.Generator().manual_seed(0)
    data = banks(range(4))
    batch = sample_pairs(data, 40, 8, 30.0, generator, unrelated=0.25)
    assert batch.pelvis.shape == (40, 8, 2, 3)
    apart = (batch.pelvis[:, :, 0] - batch.pelvis[:, :, 1]).norm(dim=-1).mean(1)
    assert torch.allclose(apart[10:], torch.tensor(0.6), atol=1e-3)  # As the couples of the data.
    assert not torch.allclose(apart[:10], torch.tensor(0.6), atol=1e-2)
    alone = sample_pairs(replace(data, pairs=data.interactions), 40, 8, 30.0, generator)
    assert alone.pelvis.shape == (40, 8, 2, 3)


def test_mirrored_windows_swap_sides():
    """A walk with one hand up shows the other hand up in a mirror: half of the windows."""
    sequence = people(3, 1)
    rotations = np.array(sequence.rotations)
    rotations[:, :, 1:] = np.eye(3)
    rotations[:, :, 16] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]  # left_shoulder
    bank = make_dataset([replace(sequence, rotations=rotations)], 1, BODY_MODEL)
    windows = sample_windows(bank, 64, 4, 30.0, torch.Generator().manual_seed(0))
    still = torch.eye(3)
    left = (windows.rotations[:, 0, 0, 16] - still).norm(dim=(-1, -2)) > 0.1
    right = (windows.rotations[:, 0, 0, 17] - still).norm(dim=(-1, -2)) > 0.1
    assert (left ^ right).all() and 10 < left.sum() < 54
