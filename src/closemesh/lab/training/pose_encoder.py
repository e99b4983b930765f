"""Trains the pose VQ-VAE and the pose encoder together with label embeddings, by a contrastive loss.

This is the first part of the alignment. It needs no text: each label has a free vector, so that a step is cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closemesh.body.capsules import NUM_POINTS, CapsuleBody, capsule_body
from closemesh.body.landmarks import LandmarkBody, pose_landmarks
from closemesh.body.loading import load_bundled_body, load_landmark_body
from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.geometry.rotations import matrix_to_6d, rotation_6d_to_matrix
from closemesh.lab.training.caption_labels import MIN_CONFIDENCE, LabelTable, Part, parts_of
from closemesh.lab.training.loop import Forward, LoopConfig, Losses, Trainer, TrainingRun
from closemesh.lab.training.motion_bank import MotionDataset, sample_windows
from closemesh.lab.training.pose_attributes import PoseAttribute, attribute_confidence
from closemesh.text.alignment import LabelEmbeddings, PoseEncoder, PoseTokens, place_input, pose_input
from closemesh.text.pose_features import PoseFeatures, pose_features_at
from closemesh.text.predicates import confidence

UP = (0.0, 1.0, 0.0)  # World frame.
_BATCH = {"cpu": 1024, "cuda": 8192}  # Poses drawn at once.
_LEVELS = 255  # Confidences are stored in steps of 1 / 255.


@dataclass(frozen=True)
class MeanBody:
    """The mean bundled body, coarse."""

    landmarks: LandmarkBody
    capsules: CapsuleBody


@dataclass(frozen=True)
class PoseBank(TensorDataclass):
    """N poses of P people, world frame; the poses are its time axis."""

    rotations: Tensor  # [N, P, 22, 6] half precision
    pelvis: Tensor  # [N, P, 3] meters
    known: Tensor  # [N, P, 22] bool: joints whose rotation was measured
    part_confidence: Tensor  # [N, C] 0..255, of each of `parts_of(P)`

    def __len__(self) -> int:
        return len(self.part_confidence)

    def matrices(self) -> Tensor:
        """Rotation matrices [N, P, 22, 3, 3]."""
        return rotation_6d_to_matrix(self.rotations.float())


@dataclass(frozen=True)
class AlignmentData:
    """Poses of one and of two people, with the labels that they can have."""

    singles: PoseBank
    pairs: PoseBank
    single_labels: LabelTable
    pair_labels: LabelTable


@dataclass(frozen=True)
class PoseEncoderTraining:
    """Batch size and weights of the losses."""

    loop: LoopConfig
    batch: int = 384
    """Poses, and half as many pairs, in each step."""
    label_weight: float = 4.0
    """Of the classification of labels and poses as matching or not."""
    retrieval_weight: float = 0.3
    """Of finding the pose of some of its labels in the batch."""
    rotation: float = 1.0
    joints: float = 5.0
    place: float = 1.0
    commitment: float = 0.02
    seed: int = 0


class PoseLabelModel(nn.Module):
    """The pose encoder and the label embeddings, trained together."""

    def __init__(self, pose_encoder: PoseEncoder, labels: LabelEmbeddings) -> None:
        super().__init__()
        self.pose_encoder, self.labels = pose_encoder, labels

    def forward(self, inputs: list[tuple[Tensor, Tensor | None]]) -> list[tuple[Tensor, PoseTokens]]:
        """Unit vectors [B, space] and tokens for each of the inputs: [B, P, POSE_WIDTH] and [B, 2, PLACE_WIDTH]."""
        return [self.pose_encoder(*one) for one in inputs]


def load_mean_body(device: torch.device) -> MeanBody:
    """The mean bundled body on a device. Raises ModelFileError when its file is missing or damaged."""
    body = load_bundled_body("light")
    return MeanBody(load_landmark_body(body).coarse(NUM_POINTS).to(device), capsule_body(body).to(device))


def draw_poses(
    datasets: Sequence[tuple[MotionDataset, int]], people: int, body: MeanBody, generator: torch.Generator
) -> PoseBank:
    """Random poses, a given number of each dataset; pairs are split into single people where `people` is 1.

    Half of the poses are mirrored; people without a shape get a random one.
    """
    parts, banks = parts_of(people), []
    size = _BATCH[body.landmarks.moments.device.type]
    for dataset, wanted in datasets:
        for first in range(0, wanted if len(dataset.length) else 0, size):
            batch = sample_windows(dataset, min(size, wanted - first), 1, 30.0, generator)
            rotations, pelvis, known = batch.rotations[:, 0], batch.pelvis[:, 0], batch.joint_valid
            betas = batch.betas
            if people == 1:
                rotations, pelvis, known, betas = (t.flatten(0, 1)[:, None] for t in (rotations, pelvis, known, betas))
            up = pelvis.new_tensor(UP).expand(len(pelvis), 3)
            features = pose_features_at(rotations, pelvis, betas, up, body.landmarks, body.capsules)
            banks.append(PoseBank(matrix_to_6d(rotations).half(), pelvis, known, _part_confidence(parts, features)))
    return PoseBank.concat(banks)


def train_poses(
    network: PoseLabelModel,
    data: AlignmentData,
    run: TrainingRun,
    config: PoseEncoderTraining,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
) -> PoseLabelModel:
    """The network with averaged weights; log and state are in the folder of the run.

    Raises InputError when the state in the folder belongs to another training.
    """
    device = run.device
    trainer = Trainer(network, config.loop, run.folder, device)
    generator = torch.Generator(device).manual_seed(config.seed)
    body = load_mean_body(device)
    sources = (("one", data.singles, data.single_labels), ("two", data.pairs, data.pair_labels))
    counts = {"one": config.batch, "two": config.batch // 2}

    def loss(forward: Forward, step: int) -> Losses:
        drawn = [
            bank.frames(torch.randint(len(bank), (counts[name],), generator=generator, device=device))
            for name, bank, _ in sources
        ]
        terms: Losses = {}
        encoded = forward([encoder_input(poses) for poses in drawn])
        for (name, _, table), poses, (vectors, tokens) in zip(sources, drawn, encoded, strict=True):
            true = label_probability(poses, table)
            chosen = _random_labels(true, table, generator)
            label_loss, retrieval_loss = contrastive_losses(vectors, network.labels, table, true, chosen)
            terms[f"holding_{name}"] = config.label_weight * label_loss
            terms[f"nearness_{name}"] = config.retrieval_weight * retrieval_loss
            terms |= {f"{what}_{name}": term for what, term in _decoding_losses(tokens, poses, body, config).items()}
        return terms

    trained = trainer.run(loss, run.progress, evaluate, run.resume)
    assert isinstance(trained, PoseLabelModel)
    return trained


def label_probability(poses: PoseBank, table: LabelTable) -> Tensor:
    """Probability 0..1 [B, L] of each label for each pose."""
    return table.confidence(poses.part_confidence / float(_LEVELS))


def contrastive_losses(
    poses: Tensor, labels: LabelEmbeddings, table: LabelTable, true: Tensor, chosen: Tensor
) -> tuple[Tensor, Tensor]:
    """Two losses []: labels and poses match or not, and chosen labels find their pose in the batch.

    poses: [B, space] unit vectors; true: [B, L] probabilities 0..1; chosen: [B, L] bool. The first loss is a sigmoid
    over all pairs (SigLIP, Zhai et al. 2023) against the probabilities of the rules; the second is InfoNCE.
    """
    odds = labels.scale * poses @ labels.vectors[table.place].T  # [B, L]
    each = F.binary_cross_entropy_with_logits(odds + labels.log_odds[table.place], true, reduction="none").mean(0)
    label_loss = (each * table.weight).sum() / table.weight.sum()
    similarity = chosen.to(odds) @ odds.T
    targets = torch.arange(len(similarity), device=odds.device)
    retrieval_loss = F.cross_entropy(similarity, targets, reduction="none")
    has_labels = chosen.any(1).to(odds)
    return label_loss, (retrieval_loss * has_labels).sum() / has_labels.sum().clamp(min=1)


def encoder_input(poses: PoseBank) -> tuple[Tensor, Tensor | None]:
    """Inputs of the pose encoder: pose [B, P, POSE_WIDTH] and, for two people, place [B, 2, PLACE_WIDTH]."""
    rotations = poses.matrices()
    pose = pose_input(rotations, rotations.new_tensor(UP).expand(*rotations.shape[:2], 3))
    return pose, place_input(rotations[:, :, 0], poses.pelvis) if rotations.shape[1] == 2 else None


def joint_errors(decoded: Tensor, truth: Tensor, body: MeanBody) -> Tensor:
    """Differences [B * P, 22, 3], in meters, of joints relative to the pelvis, in pelvis axes, on the mean body.

    decoded, truth: [B, P, POSE_WIDTH], pose inputs [..., POSE_WIDTH].
    """
    found, true = (_joints(pose.flatten(0, 1), body) for pose in (decoded, truth))
    return found - true


def _part_confidence(parts: Sequence[Part], features: PoseFeatures) -> Tensor:
    """Confidences [N, C] of parts as bytes."""
    found = [
        attribute_confidence(part, features) if isinstance(part, PoseAttribute) else confidence(part, features)
        for part in parts
    ]
    return (torch.stack(found, dim=-1) * _LEVELS).round().to(torch.uint8)


def _random_labels(true: Tensor, table: LabelTable, generator: torch.Generator) -> Tensor:
    """Some of the true labels of each pose, bool [B, L]: mostly few, sometimes nearly all."""

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=true.device)

    return (true >= MIN_CONFIDENCE) & (rand(*true.shape) < rand(len(true), 1).square() * table.weight)


def _decoding_losses(tokens: PoseTokens, poses: PoseBank, body: MeanBody, config: PoseEncoderTraining) -> Losses:
    """Errors of decoded poses and places; joints that were not measured are left out."""
    truth, place = encoder_input(poses)
    known = poses.known[:, :, 1:].float()
    angles = (tokens.pose[..., :-3] - truth[..., :-3]).abs().unflatten(-1, (-1, 6)).mean(-1)
    up = (tokens.pose[..., -3:] - truth[..., -3:]).abs().mean()
    terms = {
        "rotation": config.rotation * ((angles * known).sum() / known.sum() + up),
        "joints": config.joints * joint_errors(tokens.pose, truth, body).square().sum(-1).mean(),
        "commitment": config.commitment * tokens.commitment,
    }
    if tokens.place is not None and place is not None:
        terms["place"] = config.place * (tokens.place - place).abs().mean()
    return terms


def _joints(pose: Tensor, body: MeanBody) -> Tensor:
    rotations = rotation_6d_to_matrix(pose[:, :-3].unflatten(-1, (-1, 6)))
    root = torch.eye(3, device=pose.device).expand(len(pose), 1, 3, 3)
    betas = pose.new_zeros(len(pose), body.landmarks.num_betas)
    posed = pose_landmarks(
        body.landmarks, betas, torch.cat([root, rotations], dim=1)[None], pose.new_zeros(1, len(pose), 3)
    )
    joints = posed.joints[0]
    return joints - joints[:, :1]
