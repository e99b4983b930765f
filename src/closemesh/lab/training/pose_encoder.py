"""Pose bank, pose side, contrastive loss.

Poses of one and of two people, each with how surely all that may be said holds of it.

First part of the alignment: the pose VQ-VAE and the reader of its tokens learn together with vectors of all sayings.

No text is read here: each thing that can be said has a free vector, so that a step costs little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closemesh.body.capsules import NUM_POINTS, CapsuleBody, capsule_body
from closemesh.body.landmarks import LandmarkBody, pose_landmarks
from closemesh.body.loading import load_bundled_body, load_landmark_body
from closemesh.core.progress import Progress
from closemesh.geometry.rotations import matrix_to_6d, rotation_6d_to_matrix
from closemesh.lab.training.caption_labels import SURE, LabelTable, Part, parts_of
from closemesh.lab.training.loop import Forward, LoopConfig, Losses, Trainer
from closemesh.lab.training.motion_bank import MotionDataset, draw_windows
from closemesh.lab.training.pose_attributes import PoseAttribute, remark_confidence
from closemesh.text.alignment import LabelEmbeddings, PoseEncoder, Tokens, place_features, pose_features
from closemesh.text.predicates import PoseFeatures, confidence, figures_at

_TOGETHER = {"cpu": 1024, "cuda": 8192}
UP = (0.0, 1.0, 0.0)  # The world's.
_SURE = 255  # Confidences are kept in steps of 1 / 255.


@dataclass(frozen=True)
class PoseBank:
    """N states of P people, world frame."""

    rotations: Tensor  # [N, P, 22, 6] half precision
    pelvis: Tensor  # [N, P, 3] metres
    known: Tensor  # [N, P, 22] bool joints whose rotation was measured
    holds: Tensor  # [N, S] 0..255 how surely each of `parts_of(P)` holds

    def __len__(self) -> int:
        return len(self.holds)

    def to(self, device: torch.device | str) -> PoseBank:
        return PoseBank(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def part(self, index: Tensor) -> PoseBank:
        """Some of them."""
        return PoseBank(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def matrices(self) -> Tensor:
        """[N, P, 22, 3, 3]."""
        return rotation_6d_to_matrix(self.rotations.float())


def draw_poses(
    banks: Sequence[tuple[MotionDataset, int]],
    people: int,
    points: LandmarkBody,
    capsules: CapsuleBody,
    generator: torch.Generator,
) -> PoseBank:
    """So many random frames of each bank; pairs become single people where `people` is 1.

    points: the coarse body. Sides are exchanged in half of them, and who has no shape gets a random one.
    """
    said, parts = parts_of(people), []
    together = _TOGETHER[points.moments.device.type]
    for bank, wanted in banks:
        for first in range(0, wanted if len(bank.length) else 0, together):
            batch = draw_windows(bank, min(together, wanted - first), 1, 30.0, generator)
            rotations, pelvis, known = batch.rotations[:, 0], batch.pelvis[:, 0], batch.known
            betas = batch.betas
            if people == 1:
                rotations, pelvis, known, betas = (t.flatten(0, 1)[:, None] for t in (rotations, pelvis, known, betas))
            up = pelvis.new_tensor(UP).expand(len(pelvis), 3)
            holds = _holding(said, figures_at(rotations, pelvis, betas, up, points, capsules))
            parts.append(PoseBank(matrix_to_6d(rotations).half(), pelvis, known, holds))
    return PoseBank(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(PoseBank)})


def _holding(said: Sequence[Part], figures: PoseFeatures) -> Tensor:
    """[N, C]."""
    sure = [remark_confidence(s, figures) if isinstance(s, PoseAttribute) else confidence(s, figures) for s in said]
    return (torch.stack(sure, dim=-1) * _SURE).round().to(torch.uint8)


_FULL = 255.0  # Of PoseBank.holds.


@dataclass(frozen=True)
class PoseReading:
    """How the readers of poses are trained."""

    loop: LoopConfig
    batch: int = 384
    """Poses, and half as many pairs, in each step."""
    holding: float = 4.0
    """Weight of telling of which poses each saying holds."""
    nearness: float = 0.3
    """Weight of knowing among all the pose that some true sayings are about."""
    rotation: float = 1.0
    joints: float = 5.0
    place: float = 1.0
    commitment: float = 0.02
    seed: int = 0


@dataclass(frozen=True)
class Library:
    """Poses of one and of two people, and what can be said of them."""

    singles: PoseBank
    pairs: PoseBank
    about_one: LabelTable
    about_two: LabelTable


@dataclass(frozen=True)
class Measure:
    """The mean body, for the joints of decoded poses."""

    points: LandmarkBody
    capsules: CapsuleBody


class PosesAndSayings(nn.Module):
    """What learns here."""

    def __init__(self, poses: PoseEncoder, sayings: LabelEmbeddings) -> None:
        super().__init__()
        self.poses, self.sayings = poses, sayings

    def forward(self, states: list[tuple[Tensor, Tensor | None]]) -> list[tuple[Tensor, Tokens]]:
        """Vectors and tokens of each batch of (pose, place)."""
        return [self.poses(*state) for state in states]


def train_poses(
    network: PosesAndSayings,
    library: Library,
    folder: Path,
    config: PoseReading,
    device: torch.device,
    progress: Progress,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
    resume: bool = True,
) -> PosesAndSayings:
    """The network with averaged weights; folder holds log and state."""
    trainer = Trainer(network, config.loop, folder, device)
    generator = torch.Generator(device).manual_seed(config.seed)
    body = measure(device)
    learned = (("one", library.singles, library.about_one), ("two", library.pairs, library.about_two))
    counts = {"one": config.batch, "two": config.batch // 2}

    def loss(forward: Forward, step: int) -> Losses:
        drawn = [
            bank.part(torch.randint(len(bank), (counts[name],), generator=generator, device=device))
            for name, bank, _ in learned
        ]
        terms: Losses = {}
        read = forward([features(states) for states in drawn])
        for (name, _, table), states, (poses, tokens) in zip(learned, drawn, read, strict=True):
            true = label_probability(states, table)
            holding, nearness = contrast(poses, network.sayings, table, true, _some(true, table, generator))
            terms[f"holding_{name}"] = config.holding * holding
            terms[f"nearness_{name}"] = config.nearness * nearness
            terms |= {f"{what}_{name}": term for what, term in _decoding(tokens, states, body, config).items()}
        return terms

    made = trainer.run(loss, progress, evaluate, resume)
    assert isinstance(made, PosesAndSayings)
    return made


def label_probability(states: PoseBank, table: LabelTable) -> Tensor:
    """[B, S] 0..1 how surely each saying holds of each state."""
    return table.hold(states.holds / _FULL)


def _some(true: Tensor, table: LabelTable, generator: torch.Generator) -> Tensor:
    """[B, S] bool: of each state some of what surely holds, mostly little, sometimes nearly all."""

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=true.device)

    return (true >= SURE) & (rand(*true.shape) < rand(len(true), 1).square() * table.weight)


def contrast(
    poses: Tensor, sayings: LabelEmbeddings, table: LabelTable, true: Tensor, told: Tensor
) -> tuple[Tensor, Tensor]:
    """How badly it is told of which poses each saying holds, and which of all poses some of them are about.

    poses [B, space] unit vectors; true [B, S] 0..1; told [B, S] bool. The first is a sigmoid over all pairs (SigLIP,
    Zhai et al. 2023) against what the rules say of each pair; the second is InfoNCE.
    """
    odds = sayings.scale * poses @ sayings.vectors[table.place].T  # [B, S]
    each = F.binary_cross_entropy_with_logits(odds + sayings.log_odds[table.place], true, reduction="none").mean(0)
    holding = (each * table.weight).sum() / table.weight.sum()
    alike = told.to(odds) @ odds.T
    nearness = F.cross_entropy(alike, torch.arange(len(alike), device=odds.device), reduction="none")
    anything = told.any(1).to(odds)
    return holding, (nearness * anything).sum() / anything.sum().clamp(min=1)


def features(bank: PoseBank) -> tuple[Tensor, Tensor | None]:
    """What the pose reader sees of states: poses, and of two people where each is."""
    rotations = bank.matrices()
    pose = pose_features(rotations, rotations.new_tensor(UP).expand(*rotations.shape[:2], 3))
    return pose, place_features(rotations[:, :, 0], bank.pelvis) if rotations.shape[1] == 2 else None


def _decoding(tokens: Tokens, bank: PoseBank, body: Measure, config: PoseReading) -> Losses:
    """How far decoded poses and places are from what was coded; joints that nobody measured are left out."""
    truth, place = features(bank)
    known = bank.known[:, :, 1:].float()
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


def joint_errors(decoded: Tensor, truth: Tensor, body: Measure) -> Tensor:
    """[N, 22, 3] metres of joints about the pelvis, in its axes, on the mean body."""
    made, true = (_joints(pose.flatten(0, 1), body) for pose in (decoded, truth))
    return made - true


def _joints(pose: Tensor, body: Measure) -> Tensor:
    rotations = rotation_6d_to_matrix(pose[:, :-3].unflatten(-1, (-1, 6)))
    root = torch.eye(3, device=pose.device).expand(len(pose), 1, 3, 3)
    betas = pose.new_zeros(len(pose), body.points.num_betas)
    posed = pose_landmarks(
        body.points, betas, torch.cat([root, rotations], dim=1)[None], pose.new_zeros(1, len(pose), 3)
    )
    joints = posed.joints[0]
    return joints - joints[:, :1]


def measure(device: torch.device) -> Measure:
    """The open body, coarse."""
    body = load_bundled_body("light")
    return Measure(load_landmark_body(body).coarse(NUM_POINTS).to(device), capsule_body(body).to(device))
