"""A tiny codebook: training reduces its errors, and a trained one gets more levels of codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from closemesh.core.progress import NullProgress
from closemesh.interaction_prior.codebook import Codebook, CodebookConfig
from closemesh.interaction_prior.windows import PairBody
from closemesh.lab.training.interaction_prior import CodebookTraining, train_codebook
from closemesh.lab.training.loop import LoopConfig, TrainingRun
from closemesh.lab.training.motion_bank import BODY_MODEL, MotionDatasets, make_dataset
from closemesh.lab.training.simulated_views import load_simulator
from closemesh.motion_files.sequence import MotionSequence, body_rotations

TINY = CodebookTraining(
    network=CodebookConfig(width=160, layers=1, heads=4, hidden=64, codes=32, code_width=20, groups=8, levels=2),
    loop=LoopConfig(steps=60, learning_rate=2e-3, warm_up=5, ema_decay=0.9, evaluate_every=1000),
    batch=16,
    first_windows=64,
)


def people(seed: int, count: int) -> MotionSequence:
    """`count` people who stand about and swing their limbs."""
    rng = np.random.default_rng(seed)
    times = np.arange(40)[:, None, None, None] / 30
    pose = 0.25 * rng.normal(size=(1, count, 22, 3)) * np.sin(times * rng.uniform(1, 4, size=(1, count, 22, 1)))
    rotations, known = body_rotations(pose.astype(np.float32))
    pelvis = np.tile(np.array([0, 0.95, 0], np.float32), (40, count, 1))
    pelvis[:, 1:, 0] += 0.6
    return MotionSequence(f"swing_{seed}", 30.0, rotations, pelvis, np.ones((40, count), bool), known)


def banks(seeds: range) -> MotionDatasets:
    singles = make_dataset([people(seed, 1) for seed in seeds], 1, BODY_MODEL)
    couples = make_dataset([people(seed + 1000, 2) for seed in seeds], 2, BODY_MODEL)
    return MotionDatasets(singles, couples, make_dataset([], 2, BODY_MODEL))


def train(folder: Path, config: CodebookTraining, first: Codebook | None = None) -> tuple[Codebook, dict[str, float]]:
    simulator = load_simulator()
    body = PairBody(simulator.points, simulator.capsules)
    run = TrainingRun(folder, torch.device("cpu"), NullProgress())
    return train_codebook(banks(range(8)), banks(range(50, 54)), body, config, run, first)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Codebook, dict[str, float]]:
    return train(tmp_path_factory.mktemp("codebook"), TINY)


def test_training_reduces_the_errors_of_the_linear_code(trained, tmp_path: Path) -> None:
    _, before = train(tmp_path, replace(TINY, loop=replace(TINY.loop, steps=1, learning_rate=1e-6)))
    assert trained[1]["joints_mm"] < before["joints_mm"]


def test_a_trained_one_gets_more_levels(trained, tmp_path: Path) -> None:
    more = replace(TINY, network=replace(TINY.network, levels=3), loop=replace(TINY.loop, steps=1, learning_rate=1e-6))
    grown, metrics = train(tmp_path, more, trained[0])
    assert grown.config.levels == 3
    assert metrics["joints_mm"] < trained[1]["joints_mm"]
