"""Tiny text and pose encoders learn, continue and are saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from closemesh.core.progress import NullProgress
from closemesh.lab.training.caption_labels import label_table, labels_of
from closemesh.lab.training.loop import LoopConfig, TrainingRun
from closemesh.lab.training.motion_bank import BODY_MODEL, MotionDatasets, make_dataset
from closemesh.lab.training.pose_encoder import AlignmentData, PoseEncoderTraining, contrastive_losses
from closemesh.lab.training.text_alignment import (
    AlignmentTraining,
    alignment_metrics,
    make_alignment_data,
    train_alignment,
)
from closemesh.lab.training.text_encoder import TextEncoderTraining
from closemesh.motion_files.sequence import MotionSequence, body_rotations
from closemesh.text.alignment import (
    LabelEmbeddings,
    PoseEncoderConfig,
    PoseVQVAEConfig,
    TextEncoderConfig,
    create_alignment,
    load_alignment,
    save_alignment,
)
from closemesh.text.text_encoder import TextTransformerConfig, load_tokenizer

CPU = torch.device("cpu")
TOKENIZER = load_tokenizer()
LOOP = LoopConfig(steps=40, learning_rate=3e-3, warm_up=5, ema_decay=0.9, log_every=20, evaluate_every=1000)
TINY = AlignmentTraining(
    pose=PoseEncoderConfig(PoseVQVAEConfig(hidden=64, pose_tokens=8, place_tokens=4, codes=64, code_width=16), 64, 32),
    text=TextEncoderConfig(TextTransformerConfig(len(TOKENIZER), 48, 1, 4, 64), len(labels_of(2)), 32),
    pose_training=PoseEncoderTraining(LOOP, batch=64),
    text_training=TextEncoderTraining(LOOP, batch=32),
    singles=600,
    pairs=200,
)


def people(seed: int, count: int) -> MotionSequence:
    """`count` people in random poses."""
    rng = np.random.default_rng(seed)
    pose = 0.5 * rng.normal(size=(30, count, 22, 3))
    pose[:, :, 0] *= 0.2
    rotations, known = body_rotations(pose.astype(np.float32))
    pelvis = np.tile(np.array([0, 0.95, 0], np.float32), (30, count, 1))
    pelvis[:, 1:, 0] += 0.6
    return MotionSequence(f"poses_{seed}", 30.0, rotations, pelvis, np.ones((30, count), bool), known)


def alignment_data(seed: int, fraction: float) -> AlignmentData:
    one, two = (make_dataset([people(seed + k, n) for k in range(6)], n, BODY_MODEL) for n in (1, 2))
    return make_alignment_data(MotionDatasets(one, two, make_dataset([], 2, BODY_MODEL)), TINY, fraction, CPU)


def test_contrastive_losses_are_low_where_vectors_match_the_labels():
    table = replace(label_table(1), place=torch.arange(2), members=torch.tensor([[[0]], [[1]]]), weight=torch.ones(2))
    labels = LabelEmbeddings(2, 2)
    true = torch.eye(2)
    with torch.no_grad():
        labels.vectors.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
    right, wrong = (
        contrastive_losses(poses, labels, table, true, true > 0.5) for poses in (torch.eye(2), torch.eye(2).flip(0))
    )
    assert max(term.item() for term in right) < 0.01 and min(term.item() for term in wrong) > 5


@pytest.fixture(scope="module")
def data() -> tuple[AlignmentData, AlignmentData]:
    """Poses for training and for evaluation."""
    return alignment_data(0, 1.0), alignment_data(100, 0.5)


def test_both_parts_learn_continue_and_are_saved(data: tuple[AlignmentData, AlignmentData], tmp_path: Path):
    training, check = data
    before = alignment_metrics(create_alignment(TINY.pose, TINY.text, TOKENIZER).eval(), check)
    run = TrainingRun(tmp_path / "all", CPU, NullProgress())
    model, after = train_alignment(training, check, TOKENIZER, run, TINY)
    assert after["one_joints_mm"] < 0.9 * before["one_joints_mm"]
    losses = [
        float(row.split(",")[3]) for row in (tmp_path / "all/text/log.csv").read_text().splitlines() if "reading" in row
    ]
    assert losses[-1] < 0.95 * losses[0]
    save_alignment(tmp_path, model, after)
    again, same = train_alignment(training, check, TOKENIZER, run, TINY)
    assert same == after, "a finished training has nothing left to do"
    assert torch.equal(again.pose_encoder.layers[0].weight, model.pose_encoder.layers[0].weight)
    loaded = load_alignment(CPU, tmp_path)
    texts = ["A squats."]
    torch.testing.assert_close(loaded.encode_texts(texts), model.encode_texts(texts), atol=5e-3, rtol=0)
