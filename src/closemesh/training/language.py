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
from closemesh.language.alignment import (
    Alignment,
    PoseReaderConfig,
    Reading,
    TextReaderConfig,
    load_alignment,
    new_alignment,
)
from closemesh.language.pose_tokens import Tokens, place_features, pose_features
from closemesh.language.words import Pieces
from closemesh.progress import Progress
from closemesh.training.bank import MotionBank
from closemesh.training.lifter_loss import Banks
from closemesh.training.loop import Forward, LoopConfig, Losses, Trainer
from closemesh.training.pose_bank import UP, PoseBank, draw_poses
from closemesh.training.sentence_weights import begin_with_sentences
from closemesh.training.texts import Texts, TextTable, draw_texts, make_table, statements_of

CHECKED = 0.05  # Poses to check on, for each to learn from.
_CHECK_TOLD = (24, 24)  # Things in a text, some of which are not said; few states have more.
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
    told: tuple[int, int] = (2, 24)
    """Fewest and most things in a text."""
    noise: float = 0.06
    """Share of a sentence's pieces that are made unknown, in every second sentence."""
    begun_share: float = 0.08
    """Of the learning rate, for a transformer that begins with published weights: more, and it forgets its words."""
    holding: float = 4.0
    """Weight of telling of which states each sentence holds."""
    nearness: float = 0.3
    """Weight of knowing the state that a text is about among all."""
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
class Lesson:
    """B states, what is true of each, and texts about them."""

    states: PoseBank
    true: Tensor  # [B, S] rows of the table
    texts: Texts


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
    begin_with: Path | None = None,
) -> tuple[Alignment, dict[str, float]]:
    """The alignment, and its figures on `check`, which it has not learned from.

    sentences: folder of a published sentence encoder whose weights the text reader begins with; begin_with: folder of
    earlier readers to go on from. Without either the weights are random.
    """
    torch.manual_seed(config.seed)
    if begin_with is None:
        network = new_alignment(config.poses, config.text, pieces)
    else:
        network = load_alignment(device, begin_with)
    if sentences is not None:
        begin_with_sentences(network.text.encoder, pieces, sentences)
    shares = {"text.encoder.": config.begun_share} if sentences or begin_with else {}
    trainer = Trainer(network, config.loop, folder, device, shares)
    generator = torch.Generator(device).manual_seed(config.seed + 1)
    body = _measure(device)

    def lesson(bank: PoseBank, table: TextTable, count: int) -> Lesson:
        chosen = bank.part(torch.randint(len(bank), (count,), generator=generator, device=device))
        true = table.hold(chosen.holds / _FULL)
        return Lesson(chosen, true, draw_texts(table, true, config.told, pieces, generator, config.noise))

    def loss(forward: Forward, step: int) -> Losses:
        with torch.no_grad():
            one = lesson(learn.singles, learn.about_one, config.batch)
            two = lesson(learn.pairs, learn.about_two, config.batch // 2)
            read = [(one.texts.pieces, one.texts.pieces != pieces.pad, *features(one.states))]
            read += [(two.texts.pieces, two.texts.pieces != pieces.pad, *features(two.states))]
        terms: Losses = {}
        for name, seen, found in zip(("one", "two"), (one, two), forward(read), strict=True):
            holding, nearness = contrast(found, seen, network.scale)
            terms[f"holding_{name}"] = config.holding * holding
            terms[f"nearness_{name}"] = config.nearness * nearness
            decoding = _decoding(found.tokens, seen.states, body, config)
            terms |= {f"{what}_{name}": term for what, term in decoding.items()}
        return terms

    def evaluate(trained: nn.Module) -> dict[str, float]:
        assert isinstance(trained, Alignment)
        return figures(trained.eval(), check, body)

    made = trainer.run(loss, progress, evaluate, resume)
    assert isinstance(made, Alignment)
    return made, evaluate(made)


def contrast(found: Reading, seen: Lesson, scale: Tensor) -> tuple[Tensor, Tensor]:
    """How badly it is told of which states each sentence holds, and which state of all each text is about.

    The first is a sigmoid over all pairs (SigLIP, Zhai et al. 2023) against what the rules say of each pair, so that a
    sentence that holds of many states is near all of them; the second is InfoNCE.
    """
    odds = scale * found.sentences @ found.poses.T
    holding = F.binary_cross_entropy_with_logits(odds + found.log_odds[:, None], seen.texts.hold(seen.true))
    texts = odds.new_zeros(len(seen.states), odds.shape[1]).index_add(0, seen.texts.owner, odds)
    told = texts.new_zeros(len(texts)).index_fill(0, seen.texts.owner, 1.0)
    nearness = F.cross_entropy(texts, torch.arange(len(texts), device=odds.device), reduction="none")
    return holding, (nearness * told).sum() / told.sum().clamp(min=1)


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
    """Retrieval among GALLERY states by some true things of each, in wordings drawn by a seed; decoded joints."""
    found: dict[str, float] = {}
    pad = alignment.pieces.pad
    for name, bank, table in (("one", check.singles, check.about_one), ("two", check.pairs, check.about_two)):
        generator = torch.Generator(bank.holds.device).manual_seed(0)
        gallery = bank.part(torch.randperm(len(bank), generator=generator, device=bank.holds.device)[:GALLERY])
        told = draw_texts(table, table.hold(gallery.holds / _FULL), _CHECK_TOLD, alignment.pieces, generator)
        pose, place = features(gallery)
        poses, tokens = alignment.poses(pose, place)
        sentences = torch.cat([alignment.text(n, n != pad)[0] for n in told.pieces.split(1024)])
        texts = torch.zeros_like(poses).index_add(0, told.owner, sentences)
        ranks = ranks_of(texts, poses)
        found |= {f"{name}_R@{k}": float((ranks < k).float().mean()) for k in (1, 10)}
        found[f"{name}_joints_mm"] = 1000 * float(_joint_errors(tokens.pose, pose, body).norm(dim=-1).mean())
        if place is not None and tokens.place is not None:
            found[f"{name}_place_mm"] = 1000 * float((tokens.place - place)[..., :3].norm(dim=-1).mean())
    found["scale"] = float(alignment.scale.detach())
    return found


def ranks_of(texts: Tensor, poses: Tensor) -> Tensor:
    """[N] how many other poses each text is nearer to than to its own; vectors [N, space], those of poses units."""
    alike = texts @ poses.T
    return (alike > alike.diagonal()[:, None]).sum(1)


def _measure(device: torch.device) -> _Measure:
    body = load_open_body("light")
    return _Measure(fitting_points(body).coarse(NUM_POINTS).to(device), capsule_body(body).to(device))
