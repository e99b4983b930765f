"""Trains the pose VQ-VAE and the readers of poses and texts together, so that text and pose come near each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closemesh.body.capsules import NUM_POINTS, CapsuleBody, capsule_body
from closemesh.body.load import fitting_points, load_open_body
from closemesh.body.points import PointBody, pose_points
from closemesh.geometry.rotations import rotation_6d_to_matrix
from closemesh.language.alignment import Alignment, PoseReaderConfig, TextReaderConfig, new_alignment
from closemesh.language.pose_tokens import Tokens, place_features, pose_features
from closemesh.language.words import Pieces
from closemesh.progress import Progress
from closemesh.training.bank import MotionBank
from closemesh.training.lifter_loss import Banks
from closemesh.training.loop import Forward, LoopConfig, Losses, Trainer
from closemesh.training.pose_bank import UP, PoseBank, draw_poses
from closemesh.training.sentence_weights import begin_with_sentences
from closemesh.training.texts import TextTable, draw_texts, make_table, statements_of, write_texts

CHECKED = 0.05  # Poses to check on, for each to learn from.
GALLERY = 1000  # Poses among which the right one is looked for.
_FULL = 255.0  # Of PoseBank.holds.


@dataclass(frozen=True)
class AlignmentTraining:
    """How the alignment is trained."""

    poses: PoseReaderConfig = field(default_factory=PoseReaderConfig)
    text: TextReaderConfig = field(default_factory=TextReaderConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(evaluate_every=500))
    batch: int = 512
    """Poses, and half as many pairs, in each step."""
    singles: int = 120_000
    """Poses of one person that are drawn once and learned from."""
    pairs: int = 40_000
    sentences: tuple[int, int] = (2, 20)
    """Fewest and most in a text."""
    noise: float = 0.06
    """Share of a text's pieces that are made unknown, in every second text."""
    rotation: float = 1.0
    joints: float = 5.0
    place: float = 1.0
    commitment: float = 0.02
    seed: int = 0


@dataclass(frozen=True)
class Library:
    """What is learned from: states of one and of two people, and all sentences about them."""

    singles: PoseBank
    pairs: PoseBank
    about_one: TextTable
    about_two: TextTable

    def to(self, device: torch.device | str) -> Library:
        parts = (self.singles, self.pairs, self.about_one, self.about_two)
        return Library(*(part.to(device) for part in parts))  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Measure:
    """The mean body, for the joints of decoded poses."""

    points: PointBody
    capsules: CapsuleBody


def make_library(
    banks: Banks, pieces: Pieces, config: AlignmentTraining, share: float, device: torch.device
) -> Library:
    """A `share` of the poses that training draws, with mirrored ones, and the sentences about them."""
    body = _measure(device)
    banks = banks.to(device)
    generator = torch.Generator(device).manual_seed(config.seed + 2)

    def drawn(people: int, of_banks: Sequence[tuple[MotionBank, float]], count: int) -> PoseBank:
        shares = [(bank, round(count * share * part)) for bank, part in of_banks]
        return draw_poses(shares, statements_of(people), body.points, body.capsules, generator)

    # People of couples come by twos: a sixth of the draws gives a third of the poses.
    one = [(banks.singles, 0.4), (banks.pairs, 0.1), (banks.interactions, 0.2)]
    two = [(banks.pairs, 0.25), (banks.interactions, 0.75)]
    return Library(
        drawn(1, one, config.singles),
        drawn(2, two, config.pairs),
        make_table(1, pieces, config.seed).to(device),
        make_table(2, pieces, config.seed + 1).to(device),
    )


def train_alignment(
    learn: Library,
    check: Library,
    pieces: Pieces,
    folder: Path,
    config: AlignmentTraining,
    device: torch.device,
    progress: Progress,
    resume: bool = True,
    sentences: Path | None = None,
) -> tuple[Alignment, dict[str, float]]:
    """The alignment, and its figures on `check`, which it has not learned from.

    sentences: folder of a published sentence encoder whose weights the text reader begins with, else random ones.
    """
    torch.manual_seed(config.seed)
    network = new_alignment(config.poses, config.text, pieces)
    if sentences is not None:
        begin_with_sentences(network.text.encoder, pieces, sentences)
    trainer = Trainer(network, config.loop, folder, device)
    generator = torch.Generator(device).manual_seed(config.seed + 1)
    body = _measure(device)

    def lesson(
        bank: PoseBank, table: TextTable, count: int
    ) -> tuple[PoseBank, tuple[Tensor, Tensor, Tensor, Tensor | None]]:
        chosen = bank.part(torch.randint(len(bank), (count,), generator=generator, device=device))
        numbers = draw_texts(table, chosen.holds / _FULL, config.sentences, pieces, generator, config.noise)
        return chosen, (numbers, numbers != pieces.pad, *features(chosen))

    def loss(forward: Forward, step: int) -> Losses:
        with torch.no_grad():
            one, about_one = lesson(learn.singles, learn.about_one, config.batch)
            two, about_two = lesson(learn.pairs, learn.about_two, config.batch // 2)
        found = forward([about_one, about_two])
        temperature = network.temperature
        terms: Losses = {}
        for name, chosen, (text, pose, tokens) in zip(("one", "two"), (one, two), found, strict=True):
            terms[f"nearness_{name}"] = contrast(text, pose, temperature)
            terms |= {f"{what}_{name}": term for what, term in _decoding(tokens, chosen, body, config).items()}
        return terms

    def evaluate(trained: nn.Module) -> dict[str, float]:
        assert isinstance(trained, Alignment)
        return figures(trained.eval(), check, body)

    made = trainer.run(loss, progress, evaluate, resume)
    assert isinstance(made, Alignment)
    return made, evaluate(made)


def contrast(text: Tensor, pose: Tensor, temperature: Tensor) -> Tensor:
    """Symmetric InfoNCE of unit vectors [B, space]: each text knows its pose among all, and each pose its text."""
    alike = text @ pose.T / temperature
    own = torch.arange(len(alike), device=alike.device)
    return (F.cross_entropy(alike, own) + F.cross_entropy(alike.T, own)) / 2


def features(bank: PoseBank) -> tuple[Tensor, Tensor | None]:
    """What the pose reader sees of states: poses, and of two people where each is."""
    rotations = bank.matrices()
    pose = pose_features(rotations, rotations.new_tensor(UP).expand(*rotations.shape[:2], 3))
    return pose, place_features(rotations[:, :, 0], bank.pelvis) if rotations.shape[1] == 2 else None


def _decoding(tokens: Tokens, bank: PoseBank, body: _Measure, config: AlignmentTraining) -> Losses:
    """How far decoded poses and places are from what was coded; joints that nobody measured are left out."""
    truth, place = features(bank)
    known = bank.known[:, :, 1:].float()
    angles = (tokens.pose[..., :-3] - truth[..., :-3]).abs().unflatten(-1, (-1, 6)).mean(-1)
    up = (tokens.pose[..., -3:] - truth[..., -3:]).abs().mean()
    terms = {
        "rotation": config.rotation * ((angles * known).sum() / known.sum() + up),
        "joints": config.joints * _joint_errors(tokens.pose, truth, body).square().sum(-1).mean(),
        "commitment": config.commitment * tokens.commitment,
    }
    if tokens.place is not None and place is not None:
        terms["place"] = config.place * (tokens.place - place).abs().mean()
    return terms


def _joint_errors(decoded: Tensor, truth: Tensor, body: _Measure) -> Tensor:
    """[N, 22, 3] metres of joints about the pelvis, in its axes, on the mean body."""
    made, true = (_joints(pose.flatten(0, 1), body) for pose in (decoded, truth))
    return made - true


def _joints(pose: Tensor, body: _Measure) -> Tensor:
    rotations = rotation_6d_to_matrix(pose[:, :-3].unflatten(-1, (-1, 6)))
    root = torch.eye(3, device=pose.device).expand(len(pose), 1, 3, 3)
    betas = pose.new_zeros(len(pose), body.points.num_betas)
    posed = pose_points(body.points, betas, torch.cat([root, rotations], dim=1)[None], pose.new_zeros(1, len(pose), 3))
    joints = posed.joints[0]
    return joints - joints[:, :1]


@torch.no_grad()
def figures(alignment: Alignment, check: Library, body: _Measure) -> dict[str, float]:
    """Retrieval among GALLERY states by all that is true of each, in wordings drawn by a seed; decoded joints."""
    found: dict[str, float] = {}
    for name, bank, table in (("one", check.singles, check.about_one), ("two", check.pairs, check.about_two)):
        generator = torch.Generator(bank.holds.device).manual_seed(0)
        gallery = bank.part(torch.randperm(len(bank), generator=generator, device=bank.holds.device)[:GALLERY])
        numbers = write_texts(table, gallery.holds / _FULL, alignment.pieces, generator)
        pose, place = features(gallery)
        poses, tokens = alignment.poses(pose, place)
        texts = torch.cat([alignment.text(n, n != alignment.pieces.pad) for n in numbers.split(64)])
        ranks = ranks_of(texts, poses)
        found |= {f"{name}_R@{k}": float((ranks < k).float().mean()) for k in (1, 10)}
        found[f"{name}_joints_mm"] = 1000 * float(_joint_errors(tokens.pose, pose, body).norm(dim=-1).mean())
        if place is not None and tokens.place is not None:
            found[f"{name}_place_mm"] = 1000 * float((tokens.place - place)[..., :3].norm(dim=-1).mean())
    found["temperature"] = float(alignment.temperature.detach())
    return found


def ranks_of(texts: Tensor, poses: Tensor) -> Tensor:
    """[N] how many other poses each text is nearer to than to its own; vectors [N, space]."""
    alike = texts @ poses.T
    return (alike > alike.diagonal()[:, None]).sum(1)


def _measure(device: torch.device) -> _Measure:
    body = load_open_body("light")
    return _Measure(fitting_points(body).coarse(NUM_POINTS).to(device), capsule_body(body).to(device))
