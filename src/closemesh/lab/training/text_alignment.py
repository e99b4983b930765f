"""Trains the joint space of texts and poses in two parts: poses with label vectors, then texts with labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn

from closemesh.lab.training.caption_labels import MIN_CONFIDENCE, LabelTable, label_table, labels_of
from closemesh.lab.training.caption_sampler import CaptionSampler
from closemesh.lab.training.loop import LoopConfig, TrainingRun
from closemesh.lab.training.motion_bank import MotionDataset, MotionDatasets
from closemesh.lab.training.pose_encoder import (
    AlignmentData,
    PoseBank,
    PoseEncoderTraining,
    PoseLabelModel,
    draw_poses,
    encoder_input,
    joint_errors,
    label_probability,
    load_mean_body,
    train_poses,
)
from closemesh.lab.training.text_encoder import TextEncoderTraining, init_from_sentence_encoder, train_text
from closemesh.text.alignment import (
    PoseEncoder,
    PoseEncoderConfig,
    PoseTextModel,
    TextEncoder,
    TextEncoderConfig,
    create_alignment,
    load_alignment,
)
from closemesh.text.text_encoder import TextTransformerConfig, WordPieceTokenizer

CHECK_FRACTION = 0.05  # Poses for evaluation, relative to those for training.
GALLERY = 1000  # Poses among which the right one is searched.
_EMA_DECAY = 0.99  # Of the averaged weights; both parts have few steps.
_NUM_TEXTS = 200  # That search for their pose.
_NUM_LABELS = 8  # Labels in each of these texts.

EncodeLabels = Callable[[Sequence[Sequence[int]], int], Tensor]
"""Vectors [M, space] of M texts, given by their label rows and the number of people."""


@dataclass(frozen=True)
class AlignmentTraining:
    """Sizes of the networks, amount of data, and settings of both parts."""

    pose: PoseEncoderConfig = field(default_factory=PoseEncoderConfig)
    text: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    pose_training: PoseEncoderTraining = field(default_factory=lambda: PoseEncoderTraining(LoopConfig()))
    text_training: TextEncoderTraining = field(default_factory=lambda: TextEncoderTraining(LoopConfig()))
    singles: int = 120_000
    """Poses of one person, drawn once."""
    pairs: int = 40_000
    seed: int = 0


def alignment_training(
    pose_training: PoseEncoderTraining,
    text_training: TextEncoderTraining,
    tokenizer: WordPieceTokenizer,
    layers: int,
    poses: int,
    seed: int,
) -> AlignmentTraining:
    """The configuration with averages over fewer steps in both parts, and `poses` single poses, a third as many pairs.

    layers: of the text transformer. The other sizes of the networks are the defaults.
    """
    return AlignmentTraining(
        text=TextEncoderConfig(TextTransformerConfig(len(tokenizer), layers=layers), len(labels_of(2))),
        pose_training=replace(pose_training, loop=replace(pose_training.loop, ema_decay=_EMA_DECAY)),
        text_training=replace(text_training, loop=replace(text_training.loop, ema_decay=_EMA_DECAY)),
        singles=poses,
        pairs=poses // 3,
        seed=seed,
    )


def make_alignment_data(
    datasets: MotionDatasets, config: AlignmentTraining, fraction: float, device: torch.device
) -> AlignmentData:
    """Random poses with their labels, a `fraction` of the number in the configuration."""
    body = load_mean_body(device)
    datasets = datasets.to(device)
    generator = torch.Generator(device).manual_seed(config.seed + 2)

    def draw(people: int, sources: Sequence[tuple[MotionDataset, float]], count: int) -> PoseBank:
        counts = [(dataset, round(count * fraction * part)) for dataset, part in sources]
        return draw_poses(counts, people, body, generator)

    # A draw from pairs gives two single people: a sixth of the draws gives a third of the poses.
    one = [(datasets.singles, 0.4), (datasets.pairs, 0.1), (datasets.interactions, 0.2)]
    two = [(datasets.pairs, 0.25), (datasets.interactions, 0.75)]
    single_labels, pair_labels = label_table(1).to(device), label_table(2).to(device)
    return AlignmentData(draw(1, one, config.singles), draw(2, two, config.pairs), single_labels, pair_labels)


def train_alignment(
    data: AlignmentData,
    check: AlignmentData,
    tokenizer: WordPieceTokenizer,
    run: TrainingRun,
    config: AlignmentTraining,
    sentence_encoder: Path | None = None,
    init_from: Path | None = None,
) -> tuple[PoseTextModel, dict[str, float]]:
    """The trained model and its metrics on `check`, which is not used for training.

    sentence_encoder: folder of a published sentence encoder to initialize the text transformer; init_from: folder of an
    earlier model to continue. Without either the weights are random. Raises InputError when a folder does not fit.
    """
    torch.manual_seed(config.seed)
    if init_from is None:
        network = create_alignment(config.pose, config.text, tokenizer)
    else:
        network = load_alignment(run.device, init_from)
    if sentence_encoder is not None:
        init_from_sentence_encoder(network.text_encoder.transformer, tokenizer, sentence_encoder)
    poses = PoseLabelModel(network.pose_encoder, network.text_encoder.labels)
    pose_run = replace(run, folder=run.folder / "poses")
    trained = train_poses(poses, data, pose_run, config.pose_training, _metrics_without_text(check))
    text = TextEncoder(network.text_encoder.config)
    labels = {f"labels.{name}": value for name, value in trained.labels.state_dict().items()}
    text.load_state_dict({**network.text_encoder.state_dict(), **labels})

    def evaluate(network: nn.Module) -> dict[str, float]:
        assert isinstance(network, TextEncoder)
        return alignment_metrics(PoseTextModel(trained.pose_encoder, network, tokenizer).eval(), check)

    pretrained = sentence_encoder is not None or init_from is not None
    text_run = replace(run, folder=run.folder / "text")
    text = train_text(text, tokenizer, text_run, config.text_training, evaluate, pretrained)
    model = PoseTextModel(trained.pose_encoder, text, tokenizer).eval()
    return model, alignment_metrics(model, check)


def alignment_metrics(model: PoseTextModel, check: AlignmentData) -> dict[str, float]:
    """Retrieval of poses by captions of some of their labels (R@1, R@10), and errors of decoded poses in mm."""
    sampler = CaptionSampler(model.tokenizer)

    def encode(label_rows: Sequence[Sequence[int]], people: int) -> Tensor:
        random = Random(0)
        captions = [[sampler.paraphrase(row, random, people) for row in rows] for rows in label_rows]
        vectors = model.encode_sentences([text for one in captions for text in one])
        return torch.stack([part.sum(0) for part in vectors.split([len(one) for one in captions])])

    return _metrics(model.pose_encoder, check, encode)


def ranks_of(texts: Tensor, poses: Tensor) -> Tensor:
    """Number [M] of poses that are closer to each text than its own pose.

    texts: [M, space] vectors; poses: [N, space] vectors, the own pose of each text first, in order.
    """
    similarity = texts @ poses.T
    return (similarity > similarity.diagonal()[:, None]).sum(1)


def _metrics_without_text(check: AlignmentData) -> Callable[[nn.Module], dict[str, float]]:
    """Metrics of a pose encoder alone, as if texts were encoded without errors."""

    def evaluate(network: nn.Module) -> dict[str, float]:
        assert isinstance(network, PoseLabelModel)

        def encode(label_rows: Sequence[Sequence[int]], people: int) -> Tensor:
            return torch.stack([network.labels.vectors[list(rows)].sum(0) for rows in label_rows])

        return _metrics(network.pose_encoder.eval(), check, encode)

    return evaluate


@torch.no_grad()
def _metrics(encoder: PoseEncoder, check: AlignmentData, encode: EncodeLabels) -> dict[str, float]:
    found: dict[str, float] = {}
    body = load_mean_body(check.singles.part_confidence.device)
    sources = (("one", 1, check.singles, check.single_labels), ("two", 2, check.pairs, check.pair_labels))
    for name, people, bank, table in sources:
        generator = torch.Generator().manual_seed(0)
        chosen = torch.randperm(len(bank), generator=generator)[:GALLERY]
        gallery = bank.frames(chosen.to(bank.part_confidence.device))
        label_rows = _random_label_rows(label_probability(gallery, table)[:_NUM_TEXTS], table, generator)
        pose, place = encoder_input(gallery)
        vectors, tokens = encoder(pose, place)
        ranks = ranks_of(encode(label_rows, people).to(vectors), vectors)
        found |= {f"{name}_R@{k}": float((ranks < k).float().mean()) for k in (1, 10)}
        found[f"{name}_joints_mm"] = 1000 * float(joint_errors(tokens.pose, pose, body).norm(dim=-1).mean())
        if place is not None and tokens.place is not None:
            found[f"{name}_place_mm"] = 1000 * float((tokens.place - place)[..., :3].norm(dim=-1).mean())
    return found


def _random_label_rows(true: Tensor, table: LabelTable, generator: torch.Generator) -> list[list[int]]:
    """Of each pose _NUM_LABELS true labels, by their row among all labels; true: [M, L] probabilities."""
    found = []
    for row in true.cpu():
        certain = (row >= MIN_CONFIDENCE).nonzero()[:, 0]
        chosen = certain[torch.randperm(len(certain), generator=generator)[:_NUM_LABELS]]
        found.append(table.place.cpu()[chosen].tolist())
    return found
